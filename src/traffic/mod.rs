//! Requests counted by route and backend, in bounded space. Both stages of an edge count with it.

mod tally;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwap;
use imbl::HashMap;
use serde::{Deserialize, Serialize};

pub use tally::{BOUNDS, Histogram, Tally, label};

use crate::model::{Action, BackendId, BackendTarget, ObjectId, Route};

/// Pairs that are told apart; requests of further ones count as [`Routed::Other`].
pub const PAIRS: usize = 2000;

/// The route that took a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Routed {
    /// None.
    Nowhere,
    /// This one.
    By(ObjectId),
    /// One of those that are not told apart.
    Other,
}

/// Whom a request is counted for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pair {
    /// The route.
    pub route: Routed,
    /// The backend that was chosen.
    pub backend: Option<BackendId>,
}

impl Pair {
    /// Requests that no route took.
    pub const NOWHERE: Self = Self { route: Routed::Nowhere, backend: None };
    /// Requests that are not told apart.
    pub const OTHER: Self = Self { route: Routed::Other, backend: None };

    /// A route's requests for one backend, or without any.
    pub fn of(route: ObjectId, backend: Option<BackendId>) -> Self {
        Self { route: Routed::By(route), backend }
    }

    /// Whether a snapshot that holds `route` under this pair's name can have such requests.
    pub fn is_of(&self, route: &Route) -> bool {
        let Some(backend) = &self.backend else { return true };
        let names = |action: &Action| match action {
            Action::Forward(refs) => refs.iter().any(|reference| reference.target == BackendTarget::Service(backend.clone())),
            Action::Redirect(_) | Action::Answer(_) => false,
        };
        route.rules.iter().any(|rule| names(&rule.action))
    }
}

/// What was counted for one pair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Count {
    /// Whom for.
    pub pair: Pair,
    /// Requests by status; see [`label`].
    pub statuses: Vec<(u16, u64)>,
    /// Requests by time: one number per bound of [`BOUNDS`] and one for what is slower.
    pub times: Vec<u64>,
    /// Time of all requests together, in seconds.
    pub seconds: f64,
}

/// What a filter proxy tells its supervisor when asked. One of another version may tell less, or more.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Requests by route and backend.
    pub traffic: Vec<Count>,
    /// Requests that were no proper HTTP.
    pub refused: u64,
    /// Connections to backends that were made.
    pub connected: u64,
    /// Connections to backends that could not be made.
    pub connect_errors: u64,
    /// Exchanges with backends that broke before a response head.
    pub upstream_errors: u64,
    /// Exchanges with backends that took too long.
    pub timeouts: u64,
    /// Requests sent once more because a reused connection was dead.
    pub replays: u64,
    /// Requests sent again because their rule says so.
    pub retries: u64,
    /// Copies that were sent to mirrors.
    pub mirrored: u64,
    /// Copies that came to nothing, sent or not.
    pub mirror_errors: u64,
    /// Requests and tunnels that are open.
    pub active: i64,
    /// Connections that are open.
    pub connections: u64,
    /// Bytes that clients make it hold.
    pub held: u64,
    /// How many they may.
    pub memory: u64,
    /// Connections that were closed at once, by [`Report::REFUSED`].
    pub refused_connections: [u64; 3],
    /// Connections that were closed before their clients ended them, by [`Report::CLOSED`].
    pub closed_connections: [u64; 5],
    /// Requests that were answered 503, by [`Report::SHED`].
    pub shed_requests: [u64; 3],
    /// Bytes of requests, and of answers.
    pub bytes: [u64; 2],
    /// Connections whose TLS handshake failed.
    pub tls_failures: u64,
    /// Lines of its access log: written, and dropped.
    pub access_log: [u64; 2],
    /// Endpoints to which it could not connect when it last tried.
    pub unreached: Vec<Unreached>,
}

/// An endpoint to which the filter proxy could not connect when it last tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreached {
    /// The endpoint.
    pub address: SocketAddr,
    /// Connections that could not be made one after the other.
    pub failures: u64,
    /// Seconds since the first of them.
    pub seconds: u64,
}

impl Report {
    /// Why connections are closed at once: too many, too many of one address, too much held.
    pub const REFUSED: [&str; 3] = ["connections", "address", "memory"];
    /// Why connections are closed: too many, too much held, stalled, old, cut off at the end of a drain.
    pub const CLOSED: [&str; 5] = ["connections", "memory", "stalled", "age", "drain"];
    /// Why requests are answered 503: too much held, a backend that has too many, too many before the first snapshot.
    pub const SHED: [&str; 3] = ["memory", "backend", "start"];
}

/// All tallies of one stage.
#[derive(Debug, Default)]
pub struct Traffic {
    pairs: ArcSwap<HashMap<Pair, Arc<Tally>>>,
    pruned: AtomicU64,
}

impl Traffic {
    /// The tally of a pair.
    pub fn tally(&self, pair: &Pair) -> Arc<Tally> {
        if let Some(tally) = self.pairs.load().get(pair) {
            return tally.clone();
        }
        let apart = |pairs: &HashMap<Pair, Arc<Tally>>| matches!(pair.route, Routed::By(_)) && pairs.len() >= PAIRS;
        let fresh = Arc::<Tally>::default();
        self.pairs.rcu(|pairs| {
            let mut pairs = HashMap::clone(pairs);
            let pair = if apart(&pairs) { &Pair::OTHER } else { pair };
            pairs.entry(pair.clone()).or_insert_with(|| fresh.clone());
            pairs
        });
        let pairs = self.pairs.load();
        pairs.get(pair).or_else(|| pairs.get(&Pair::OTHER)).cloned().unwrap_or(fresh)
    }

    /// Forgets the pairs of which `holds` does not hold: routes that are gone, backends that their routes no longer name.
    pub fn prune(&self, holds: impl Fn(&Pair) -> bool) {
        let gone = |pair: &Pair| matches!(pair.route, Routed::By(_)) && !holds(pair);
        let absent: Vec<Pair> = self.pairs.load().keys().filter(|pair| gone(pair)).cloned().collect();
        if !absent.is_empty() {
            self.pruned.fetch_add(1, Relaxed);
            self.pairs.rcu(|pairs| absent.iter().fold(HashMap::clone(pairs), |pairs, pair| pairs.without(pair)));
        }
    }

    /// Changes whenever pairs were forgotten: tallies that were asked for before may count for nobody.
    pub fn pruned(&self) -> u64 {
        self.pruned.load(Relaxed)
    }

    /// What was counted so far, sorted by pair.
    pub fn counts(&self) -> Vec<Count> {
        let pairs = self.pairs.load();
        let mut counts: Vec<Count> = pairs.iter().map(|(pair, tally)| tally.read(pair)).collect();
        counts.sort_by(|a, b| a.pair.cmp(&b.pair));
        counts
    }
}

#[cfg(test)]
mod tests;
