//! What an edge is told, and why it cannot work.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::filter::Keeping;
use super::{FilterCommand, Origin};
use crate::edge::budget::{Capacity, FilterBudget};
use crate::edge::sozu::SpawnSettings;
use crate::edge::{limits, sozu};

/// What an edge is.
#[derive(Clone, Debug)]
pub struct EdgeSettings {
    /// Its name, for logs.
    pub name: String,
    /// Address of its listeners.
    pub address: IpAddr,
    /// Directory of its own; made for this user only when it is not there.
    pub runtime_dir: PathBuf,
    /// Where its snapshot comes from.
    pub snapshot: Origin,
    /// Where its Sōzu comes from.
    pub sozu: SozuOrigin,
    /// How to start the filter proxy.
    pub filter: FilterCommand,
    /// Send everything through the filter.
    pub force_hop: bool,
    /// Relay every port to the filter.
    pub force_relay: bool,
    /// Where it says whether it is ready; nowhere when absent.
    pub health: Option<SocketAddr>,
    /// How long it serves on, no longer ready, once it is told to end.
    pub linger: Duration,
    /// How long requests, streams and tunnels in flight may then take.
    pub drain: Duration,
    /// How much it holds.
    pub capacity: Capacity,
}

/// Where the Sōzu of an edge comes from.
#[derive(Clone, Debug)]
pub enum SozuOrigin {
    /// The edge starts it.
    Spawn {
        /// The binary.
        program: PathBuf,
        /// Its log level.
        log_level: String,
    },
    /// A launcher in another container keeps it running; this is its command socket, in a directory that both can write to.
    Adopt(PathBuf),
}

impl SozuOrigin {
    /// Its command socket, when the edge's directory is `dir`.
    pub(super) fn command_socket(&self, dir: &Path) -> PathBuf {
        match self {
            Self::Spawn { .. } => dir.join(sozu::COMMAND_SOCKET),
            Self::Adopt(socket) => socket.clone(),
        }
    }

    /// The directory that it shares with us, when the edge's own is `dir`.
    pub(super) fn dir<'a>(&'a self, dir: &'a Path) -> &'a Path {
        match self {
            Self::Spawn { .. } => dir,
            Self::Adopt(socket) => socket.parent().unwrap_or(dir),
        }
    }
}

impl EdgeSettings {
    /// How to start a Sōzu. Where the filter proxy runs beside it both have half of the memory.
    pub(super) fn spawn(&self, program: &Path, log_level: &str) -> SpawnSettings {
        let budget = self.capacity.sozu(self.capacity.memory() / 2, limits::files());
        SpawnSettings { program: program.to_owned(), dir: self.runtime_dir.clone(), log_level: log_level.to_owned(), budget }
    }

    /// How to keep the filter proxy.
    pub(super) fn keeping(&self) -> Keeping {
        Keeping { command: self.filter.clone(), budget: self.filter_budget(), drain: self.drain }
    }

    fn filter_budget(&self) -> FilterBudget {
        let memory = self.capacity.memory();
        let own = match self.sozu {
            SozuOrigin::Spawn { .. } => memory / 2,
            SozuOrigin::Adopt(_) => memory,
        };
        self.capacity.filter(own, limits::files())
    }
}

/// An edge cannot work at all.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// A socket or directory of ours.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The signal handlers.
    #[error("signals: {0}")]
    Signals(std::io::Error),
    /// The health port.
    #[error("health port {address}: {source}")]
    Health {
        /// Its address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Sōzu does not start.
    #[error(transparent)]
    Sozu(#[from] sozu::Error),
}
