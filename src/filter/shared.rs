//! What all workers share: the table, what they count, and the news of retired endpoints.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::{broadcast, watch};

use super::counters::Counters;
use super::load::{Addresses, Budget, Clients};
use super::relay::Tls;
use super::router::Table;
use super::settings::Limits;
use crate::access_log::AccessLog;
use crate::model::{Endpoint, Tuning};
use crate::snapshot::Delta;
use crate::snapshot::wire::Refusal;
use crate::traffic::{Pair, Report, Tally, Traffic};

/// How many changes a busy worker may be behind before it misses one; it then closes its idle connections by age only.
const BEHIND: usize = 256;

/// Limits that the EdgeProfile gives, as they change; 0 where it gives none.
#[derive(Debug, Default)]
pub(super) struct Given {
    connect_seconds: AtomicU32,
    max_streams: AtomicU32,
    max_age_seconds: AtomicU32,
}

impl Given {
    fn take(&self, tuning: &Tuning) {
        self.connect_seconds.store(tuning.connect_seconds.unwrap_or_default(), Relaxed);
        self.max_streams.store(tuning.max_streams.unwrap_or_default(), Relaxed);
        self.max_age_seconds.store(tuning.max_age_seconds.unwrap_or_default(), Relaxed);
    }

    /// How old a client's connection may become.
    pub(super) fn max_age(&self) -> Option<Duration> {
        Some(self.max_age_seconds.load(Relaxed)).filter(|seconds| *seconds > 0).map(|seconds| Duration::from_secs(seconds.into()))
    }

    /// The limits with what is given in the place of what they say.
    pub(super) fn over(&self, limits: &Limits) -> Limits {
        let given = |limit: &AtomicU32| Some(limit.load(Relaxed)).filter(|given| *given > 0);
        let connect_timeout = given(&self.connect_seconds).map(|seconds| Duration::from_secs(seconds.into()));
        Limits {
            connect_timeout: connect_timeout.unwrap_or(limits.connect_timeout),
            max_streams: given(&self.max_streams).unwrap_or(limits.max_streams),
            ..*limits
        }
    }
}

/// State that the updating thread writes and the workers read.
pub struct Shared {
    /// Limits on both sides.
    pub(super) limits: Limits,
    /// What the EdgeProfile gives in their place.
    pub(super) given: Arc<Given>,
    /// Counts over all workers.
    pub counters: Arc<Counters>,
    /// Bytes that clients make the process hold.
    pub(super) budget: Arc<Budget>,
    /// Connections that are open.
    pub(super) seats: Arc<AtomicUsize>,
    /// The same by client address.
    pub(super) addresses: Arc<Addresses>,
    /// Requests that wait for the first snapshot.
    pub(super) waiting: Arc<AtomicUsize>,
    /// Requests by route and backend.
    pub traffic: Traffic,
    /// Requests that no route took.
    pub(super) nowhere: Arc<Tally>,
    /// Where requests are logged.
    pub(super) access_log: Option<Arc<AccessLog>>,
    table: ArcSwap<Table>,
    tls: ArcSwap<Tls>,
    ready: watch::Sender<bool>,
    retired: broadcast::Sender<Arc<[Endpoint]>>,
}

impl Shared {
    /// An empty table, not ready.
    pub fn new(limits: Limits) -> Arc<Self> {
        Self::logging(limits, None)
    }

    /// The same, with an access log.
    pub fn logging(limits: Limits, access_log: Option<Arc<AccessLog>>) -> Arc<Self> {
        let (ready, retired) = (watch::Sender::new(false), broadcast::Sender::new(BEHIND));
        let traffic = Traffic::default();
        let nowhere = traffic.tally(&Pair::NOWHERE);
        Arc::new(Self {
            limits,
            given: Arc::default(),
            counters: Arc::default(),
            budget: Arc::new(Budget::new(limits.memory)),
            seats: Arc::default(),
            addresses: Arc::default(),
            waiting: Arc::default(),
            traffic,
            nowhere,
            access_log,
            table: ArcSwap::default(),
            tls: ArcSwap::default(),
            ready,
            retired,
        })
    }

    /// The table of now.
    pub fn table(&self) -> Guard<Arc<Table>> {
        self.table.load()
    }

    /// Applies a change for requests that come from now on. Calls must not overlap: one task owns the updates.
    pub fn apply(&self, delta: &Delta) {
        // All listeners of an edge say the same.
        if let Some(tuning) = delta.set.iter().find_map(|resource| resource.as_listener().map(|listener| &listener.tuning)) {
            self.given.take(tuning);
        }
        let mut table = Table::clone(&self.table.load());
        let gone = table.apply(delta);
        self.table.store(Arc::new(table));
        let tls = self.tls.load();
        if tls.concerns(delta) {
            let mut tls = Tls::clone(&tls);
            tls.apply(delta);
            self.tls.store(Arc::new(tls));
        }
        if !gone.is_empty() {
            // Nobody listens before the first worker runs.
            self.retired.send(gone.into()).unwrap_or_default();
        }
    }

    /// How TLS is spoken on a port.
    pub(super) fn tls(&self, port: u16) -> Option<Arc<rustls::ServerConfig>> {
        self.tls.load().port(port)
    }

    /// Whether a connection to a port that was made for `name` may carry requests for `host`, as far as its certificate counts.
    pub(super) fn carries(&self, port: u16, name: &str, host: &str) -> bool {
        self.tls.load().carries(port, name, host)
    }

    /// What is held back, with the reason; sorted by key.
    pub fn refused(&self) -> Vec<Refusal> {
        let mut refused = self.table().refused();
        refused.extend(self.tls.load().refused());
        refused.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        refused
    }

    /// Lets requests in: the table is that of a snapshot. Until then they wait.
    pub fn open(&self) {
        self.ready.send_if_modified(|ready| !std::mem::replace(ready, true));
    }

    /// Whether the first snapshot is there.
    pub(super) fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// The connections of a worker: none yet.
    pub(super) fn clients(&self) -> Clients {
        Clients::new(self.limits, self.budget.clone(), self.seats.clone(), self.counters.clone())
    }

    /// What was counted, and how much is held.
    pub fn report(&self) -> Report {
        let table = self.table();
        self.traffic.prune(|pair| table.serves(pair));
        let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Report {
            connections: number(self.seats.load(Relaxed)),
            held: number(self.budget.held()),
            memory: number(self.limits.memory),
            access_log: self.access_log.as_ref().map(|log| log.counts()).unwrap_or_default(),
            ..self.counters.report(self.traffic.counts())
        }
    }

    /// Endpoints as they are taken away.
    pub(super) fn retired(&self) -> broadcast::Receiver<Arc<[Endpoint]>> {
        self.retired.subscribe()
    }
}
