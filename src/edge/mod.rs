//! The edge: a snapshot becomes what Sōzu and the filter proxy hold.
//!
//! [`plan`] decides, purely, what Sōzu must hold and which requests go through the filter; [`sozu`] brings a real Sōzu
//! there and says what it refused; [`run`] keeps both stages in step with the control plane.

mod budget;
mod gate;
mod health;
mod limits;
mod metrics;
pub mod plan;
mod pulse;
pub mod reach;
mod sockets;
pub mod sozu;
mod supervisor;
#[cfg(test)]
pub(crate) mod testing;
mod traffic;

pub use budget::{Capacity, parse_memory};
pub use limits::raise_files;
pub use sockets::bind;
pub use sozu::{Farewell, SpawnSettings, Unusable, check as check_sozu, launch, left_behind};
pub use supervisor::{EdgeError, EdgeSettings, FilterCommand, Origin, PAGES, SozuOrigin, private_directory, run};
