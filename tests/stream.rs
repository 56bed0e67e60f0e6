//! The snapshot stream over TLS: real connections on loopback, faults, attackers, and the edge's side of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "stream/attack.rs"]
mod attack;
#[path = "stream/disk.rs"]
mod disk;
#[path = "stream/edge.rs"]
mod edge;
#[path = "stream/faults.rs"]
mod faults;
#[path = "stream/property.rs"]
mod property;
#[path = "stream/rig.rs"]
mod rig;
