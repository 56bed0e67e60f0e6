//! Endpoints that do not answer, as far as the edge knows.

use std::fmt;
use std::net::SocketAddr;

use serde::Serialize;

use super::{Answer, Share, Trace};
use crate::edge::reach::{GivenUp, Reach};
use crate::model::BackendId;

/// What an edge met when it last tried a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "met", rename_all = "camelCase")]
pub enum Unanswered {
    /// By Sōzu, which counts endpoints alone.
    Sozu {
        /// Endpoints that it thought of as answering when it last chose one.
        available: u64,
        /// Endpoints there were.
        total: u64,
        /// Connections that could not be made since it started.
        failures: u64,
    },
    /// By the filter proxy, of one endpoint.
    Filter {
        /// The endpoint.
        address: SocketAddr,
        /// Connections that could not be made one after the other.
        failures: u64,
        /// Seconds since the first of them.
        seconds: u64,
    },
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sozu { available, total, failures } => {
                write!(f, "{available} of {total} endpoints answered when Sōzu last chose one; {}", failed(*failures))?;
                f.write_str(" since it started")
            }
            Self::Filter { address, failures, seconds } => {
                write!(f, "{address} does not answer: {} one after the other, the first {seconds} s ago", failed(*failures))
            }
        }
    }
}

fn failed(connections: u64) -> String {
    format!("{connections} connection{} failed", if connections == 1 { "" } else { "s" })
}

impl Trace {
    /// The backends that the request may go to.
    pub fn backends(&self) -> Vec<BackendId> {
        self.shares().iter().filter_map(|share| share.backend.clone()).collect()
    }

    /// Adds what the edge knows of their endpoints.
    #[must_use]
    pub fn reaching(mut self, reach: &Reach) -> Self {
        if let Answer::Forward { shares } = &mut self.answer {
            shares.iter_mut().for_each(|share| share.unanswered = unanswered(share, reach));
        }
        self
    }

    /// The backend references that the request may go to.
    pub(super) fn shares(&self) -> &[Share] {
        match &self.answer {
            Answer::Forward { shares } => shares,
            _ => &[],
        }
    }
}

fn unanswered(share: &Share, reach: &Reach) -> Vec<Unanswered> {
    let of_backend = reach.native.iter().filter(|known| Some(&known.backend) == share.backend.as_ref());
    let by_sozu = of_backend.map(|GivenUp { available, total, failures, .. }| Unanswered::Sozu {
        available: *available,
        total: *total,
        failures: *failures,
    });
    let is_of = |address: SocketAddr| share.endpoints.iter().any(|known| (known.ip, known.port) == (address.ip(), address.port()));
    let of_endpoints = reach.filter.iter().filter(|known| is_of(known.address));
    let by_filter =
        of_endpoints.map(|known| Unanswered::Filter { address: known.address, failures: known.failures, seconds: known.seconds });
    by_sozu.chain(by_filter).collect()
}
