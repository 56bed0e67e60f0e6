//! Clients as users have them, through `kakehi standalone` and a real Sōzu, in every stage: what Sōzu serves alone, what takes
//! the hop, and what is relayed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "plain threads and processes beside what is async")]

#[path = "standalone/client.rs"]
#[allow(dead_code, reason = "the rig brings its own client; other tests use the rest")]
mod client;
#[path = "standalone/rig.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod rig;

#[path = "clients/backends.rs"]
mod backends;
#[path = "clients/browser.rs"]
mod browser;
#[path = "clients/clocks.rs"]
mod clocks;
#[path = "clients/go.rs"]
mod go;
#[path = "clients/grpc.rs"]
mod grpc;
#[path = "clients/java.rs"]
mod java;
#[path = "clients/leaving.rs"]
mod leaving;
#[path = "clients/messages.rs"]
mod messages;
#[path = "clients/programs.rs"]
mod programs;
#[path = "clients/stage.rs"]
mod stage;
#[path = "clients/tools.rs"]
mod tools;
#[path = "clients/upgrades.rs"]
mod upgrades;
#[path = "clients/websocket.rs"]
mod websocket;
#[path = "clients/wsgi.rs"]
mod wsgi;
