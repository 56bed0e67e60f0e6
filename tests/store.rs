//! The store against what others say: our defaults and checks beside the released CustomResourceDefinitions, hostile
//! files, and how long a change takes to be heard of.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "dns/mod.rs"]
mod dns;

#[path = "store/crds.rs"]
mod crds;
#[path = "store/hostile.rs"]
mod hostile;
#[path = "store/latency.rs"]
mod latency;
#[path = "store/mutate.rs"]
mod mutate;
#[path = "store/names.rs"]
mod names;
#[path = "store/starting.rs"]
mod starting;
#[path = "store/verdicts.rs"]
mod verdicts;
