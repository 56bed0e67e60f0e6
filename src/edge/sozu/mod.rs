//! Brings a Sōzu to a target, and tells the truth about it. The only place that knows Sōzu's own types.
//!
//! [`Sozu`] holds a process, a shadow of its state, and what it refused. The facts about Sōzu that the code relies on are
//! measured by `tests/sozu`.

mod access;
mod answers;
mod apply;
mod ending;
mod error;
mod held;
mod instance;
mod kin;
mod launch;
mod load;
mod output;
mod parting;
mod ports;
mod program;
mod query;
mod request;
mod socket;
mod starts;
mod state;
mod steps;
mod strays;
#[cfg(test)]
mod tests;
mod watch;

#[cfg(fuzzing)]
pub use access::fuzzing;
pub use access::{NUDGE, Record, Records};
pub use apply::Sozu;
pub use error::Error;
pub use instance::{COMMAND_SOCKET, Maker, SpawnSettings};
pub use kin::{Kin, TWINS, dir_of};
pub use launch::{Farewell, launch, left_behind};
pub use parting::HANDSHAKE;
pub use program::{Unusable, check};
pub use query::{Connections, availability, connections};
pub use request::{Silence, Wire};
pub use socket::{Reply, Socket, SocketError};
pub use starts::{GivenUp, failed_starts};
pub use state::{Refused, Shadow, orphans};
pub use steps::{Item, Order, Step, steps};
pub(super) use watch::{Watched, watch};

/// The version of Sōzu that this build drives.
pub const VERSION: &str = "2.3.3";
