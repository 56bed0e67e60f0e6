//! The store against what others say: our defaults and checks beside the released CustomResourceDefinitions, hostile
//! files, and how long a change takes to be heard of.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "store/crds.rs"]
mod crds;
#[path = "store/hostile.rs"]
mod hostile;
#[path = "store/latency.rs"]
mod latency;
#[path = "store/mutate.rs"]
mod mutate;
#[path = "store/verdicts.rs"]
mod verdicts;
