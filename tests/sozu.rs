//! The edge against a real Sōzu: what the plan relies on, and what the applier promises.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "sozu/access.rs"]
mod access;
#[path = "sozu/bouncers.rs"]
mod bouncers;
#[path = "sozu/build.rs"]
mod build;
#[path = "sozu/families.rs"]
mod families;
#[path = "sozu/headers.rs"]
mod headers;
#[path = "sozu/hosts.rs"]
mod hosts;
#[path = "sozu/mode.rs"]
mod mode;
#[path = "sozu/order.rs"]
mod order;
#[path = "sozu/paths.rs"]
mod paths;
#[path = "sozu/pod.rs"]
mod pod;
#[path = "sozu/replace.rs"]
mod replace;
#[path = "sozu/rig.rs"]
mod rig;
#[path = "sozu/scale.rs"]
mod scale;
#[path = "sozu/silence.rs"]
mod silence;
#[path = "sozu/stages.rs"]
mod stages;
#[path = "sozu/supervisor.rs"]
mod supervisor;
#[path = "sozu/thin.rs"]
mod thin;
#[path = "sozu/tls.rs"]
mod tls;
mod tls_client;
#[path = "sozu/truth.rs"]
mod truth;
