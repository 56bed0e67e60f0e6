//! What all workers share: the table, what they count, and the news of retired endpoints.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::{broadcast, watch};

use super::counters::Counters;
use super::relay::Tls;
use super::router::Table;
use super::settings::Limits;
use crate::model::Endpoint;
use crate::snapshot::Delta;
use crate::snapshot::wire::Refusal;
use crate::traffic::{Pair, Tally, Traffic};

/// How many changes a busy worker may be behind before it misses one; it then closes its idle connections by age only.
const BEHIND: usize = 256;

/// State that the updating thread writes and the workers read.
pub struct Shared {
    /// Limits on both sides.
    pub(super) limits: Limits,
    /// Counts over all workers.
    pub counters: Arc<Counters>,
    /// Requests by route and backend.
    pub traffic: Traffic,
    /// Requests that no route took.
    pub(super) nowhere: Arc<Tally>,
    table: ArcSwap<Table>,
    tls: ArcSwap<Tls>,
    ready: watch::Sender<bool>,
    retired: broadcast::Sender<Arc<[Endpoint]>>,
}

impl Shared {
    /// An empty table, not ready.
    pub fn new(limits: Limits) -> Arc<Self> {
        let (ready, retired) = (watch::Sender::new(false), broadcast::Sender::new(BEHIND));
        let traffic = Traffic::default();
        let nowhere = traffic.tally(&Pair::NOWHERE);
        Arc::new(Self {
            limits,
            counters: Arc::default(),
            traffic,
            nowhere,
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

    /// Endpoints as they are taken away.
    pub(super) fn retired(&self) -> broadcast::Receiver<Arc<[Endpoint]>> {
        self.retired.subscribe()
    }
}
