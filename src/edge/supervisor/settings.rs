//! What an edge is told, and why it cannot work.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::filter::Keeping;
use super::{FilterCommand, Origin};
use crate::access_log::AccessLog;
use crate::edge::budget::{Capacity, FilterBudget, SozuBudget};
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
    /// Where its Sōzus come from.
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
    /// Where the requests are logged that Sōzu answers alone.
    pub access_log: Option<Arc<AccessLog>>,
}

/// Where the Sōzus of an edge come from.
#[derive(Clone, Debug)]
pub enum SozuOrigin {
    /// The edge starts them.
    Spawn {
        /// The binary.
        program: PathBuf,
        /// Their log level.
        log_level: String,
    },
    /// A launcher keeps them running in this directory, in which both can write.
    Adopt(PathBuf),
}

impl SozuOrigin {
    /// The directory that the Sōzus share with us, when the edge's own is `dir`.
    pub(super) fn dir<'a>(&'a self, dir: &'a Path) -> &'a Path {
        match self {
            Self::Spawn { .. } => dir,
            Self::Adopt(shared) => shared,
        }
    }
}

impl EdgeSettings {
    /// The directories of its Sōzus.
    pub(super) fn sozu_dirs(&self) -> impl Iterator<Item = PathBuf> {
        let shared = self.sozu.dir(&self.runtime_dir).to_owned();
        sozu::TWINS.into_iter().take(self.capacity.sozus()).map(move |name| sozu::dir_of(&shared, name))
    }

    /// What each Sōzu that the edge starts may use. Where the filter proxy runs beside them both have half of the memory.
    pub(super) fn sozu_budget(&self) -> SozuBudget {
        self.capacity.sozu(self.capacity.memory() / 2, limits::files())
    }

    /// How to start a Sōzu.
    pub(super) fn spawn(&self, program: &Path, log_level: &str, dir: PathBuf) -> SpawnSettings {
        let budget = self.sozu_budget();
        SpawnSettings { program: program.to_owned(), dir, log_level: log_level.to_owned(), budget }
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
