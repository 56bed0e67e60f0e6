//! The filter proxy: serves, behind Sōzu, what Sōzu cannot say.
//!
//! Sōzu sends a request over a unix socket with the port of its listener in `x-kakehi-hop`; the proxy decides anew from
//! the whole snapshot, so whatever is sent here is decided right. A worker is a thread with a runtime and upstream
//! connections of its own; workers share the table, which is swapped as a whole and never locked.

mod accept;
mod attempts;
mod body;
mod clocked;
#[cfg(test)]
mod clocks;
mod copies;
mod counters;
mod drain;
mod executor;
pub mod filters;
mod gathered;
pub mod hygiene;
mod leaving;
mod load;
mod logged;
mod mirror;
mod origin;
mod relay;
mod replay;
mod report;
pub mod router;
mod run;
mod serve;
mod settings;
mod shared;
mod tunnel;
mod unanswering;
mod upstream;

pub use counters::Counters;
#[cfg(fuzzing)]
pub use relay::fuzzing;
pub use run::{Farewell, RunError, run};
pub use settings::{Limits, Listen, Settings};
pub use shared::Shared;
pub use upstream::UpstreamError;
