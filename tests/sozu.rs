//! The edge against a real Sōzu: what the plan relies on, and what the applier promises.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "sozu/build.rs"]
mod build;
#[path = "sozu/rig.rs"]
mod rig;
#[path = "sozu/supervisor.rs"]
mod supervisor;
#[path = "sozu/thin.rs"]
mod thin;
