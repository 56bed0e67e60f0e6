//! The filter proxy as a whole: real sockets, real backends, snapshots from a publisher.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "filter/cors.rs"]
mod cors;
#[path = "filter/drain.rs"]
mod drain;
#[path = "filter/early.rs"]
mod early;
#[path = "filter/fields.rs"]
mod fields;
#[path = "filter/harness.rs"]
mod harness;
#[path = "filter/leaving.rs"]
mod leaving;
#[path = "filter/load.rs"]
mod load;
#[path = "filter/logger.rs"]
mod logger;
#[path = "filter/mirrors.rs"]
mod mirrors;
#[path = "filter/paths.rs"]
mod paths;
#[path = "filter/pool.rs"]
mod pool;
#[path = "filter/probes.rs"]
mod probes;
#[path = "filter/process.rs"]
mod process;
#[path = "filter/relay.rs"]
mod relay;
#[path = "filter/retries.rs"]
mod retries;
#[path = "filter/script.rs"]
mod script;
#[path = "filter/streams.rs"]
mod streams;
#[path = "filter/timeouts.rs"]
mod timeouts;
mod tls_client;
