//! Which endpoints do not answer, as far as an edge knows: what its stages met when they last tried.

use std::path::Path;

use futures::future::join_all;
use serde::{Deserialize, Serialize};

pub use crate::traffic::Unreached;

use super::sozu;
use crate::model::BackendId;

/// Backends that one page is about, at most.
pub const MOST_BACKENDS: usize = 16;

/// What an edge knows of endpoints that do not answer. What nothing was sent to is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reach {
    /// Backends to whose endpoints Sōzu could not connect.
    pub native: Vec<GivenUp>,
    /// Endpoints to which the filter proxy cannot connect.
    pub filter: Vec<Unreached>,
}

/// A backend to whose endpoints Sōzu could not connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUp {
    /// The backend.
    pub backend: BackendId,
    /// How many of its endpoints Sōzu thought of as answering when it last chose one; of twins the one that thinks less of them.
    pub available: u64,
    /// How many endpoints there were.
    pub total: u64,
    /// Connections that could not be made since Sōzu started.
    pub failures: u64,
}

/// Asks the Sōzus behind these command sockets about backends. One that does not answer knows nothing.
pub(super) async fn native(commands: &[impl AsRef<Path>], backends: &[BackendId]) -> Vec<GivenUp> {
    let names: Vec<_> = backends.iter().take(MOST_BACKENDS).map(ToString::to_string).collect();
    let asked = commands.iter().map(|command| sozu::availability(command.as_ref(), &names));
    let known: Vec<Vec<[u64; 3]>> = join_all(asked)
        .await
        .into_iter()
        .filter_map(|known| known.inspect_err(|error| tracing::debug!(%error, "Sōzu does not say which backends answer")).ok())
        .collect();
    let of = |(number, backend): (usize, &BackendId)| {
        let answers: Vec<_> = known.iter().filter_map(|known| known.get(number).copied()).filter(|[_, total, _]| *total > 0).collect();
        let failures = answers.iter().map(|[.., failures]| failures).sum();
        let [available, total, _] = answers.into_iter().min_by_key(|[available, ..]| *available)?;
        (available < total).then(|| GivenUp { backend: backend.clone(), available, total, failures })
    };
    backends.iter().take(MOST_BACKENDS).enumerate().filter_map(of).collect()
}
