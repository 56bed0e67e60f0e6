//! The filter proxy as a whole: real sockets, real backends, snapshots from a publisher.

#[path = "filter/harness.rs"]
mod harness;
#[path = "filter/paths.rs"]
mod paths;
