//! Properties that hold for every input, found by random search. A failing input is shrunk and printed. One module per room.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "properties/hostile.rs"]
mod hostile;
#[path = "properties/limits.rs"]
mod limits;
#[path = "properties/ownership.rs"]
mod ownership;
#[path = "properties/translate.rs"]
mod translate;
#[path = "properties/universe.rs"]
mod universe;
