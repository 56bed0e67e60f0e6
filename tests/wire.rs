//! What clients may send, byte for byte, through `kakehi standalone` and a real Sōzu in every stage: no stage may read the
//! bounds of a request otherwise than the next one does.
//!
//! A case is data (`wire/cases`): what a client sends, what it gets, and how many requests reach a backend that logs bytes. Where
//! a stage differs the case says how, and why that is allowed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "plain threads and processes beside what is async")]

#[path = "standalone/client.rs"]
#[allow(dead_code, reason = "the rig brings its own client; other tests use the rest")]
mod client;
#[path = "standalone/rig.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod rig;

#[path = "clients/backends.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod backends;
#[path = "clients/stage.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod stage;

#[path = "wire/answers.rs"]
mod answers;
#[path = "wire/backend.rs"]
mod backend;
#[path = "wire/case.rs"]
mod case;
#[path = "wire/frames.rs"]
mod frames;
#[path = "wire/run.rs"]
mod run;
#[path = "wire/uploads.rs"]
mod uploads;
