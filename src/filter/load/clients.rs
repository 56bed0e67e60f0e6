//! The connections of one worker, and which of them must go.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use tokio::sync::Notify;
use tokio::time::{Duration, Instant};

use super::budget::Budget;
use super::meter::{CONNECTION, Common, Meter, Side};
use crate::filter::counters::{Counters, count};
use crate::filter::settings::Limits;

/// Idle connections that are looked for at a time.
const AT_ONCE: usize = 64;
/// Pause after none was found.
const BARREN: Duration = Duration::from_millis(10);
/// Connections that hold less are closed last: what little they hold is not what is missing.
const WORTH: usize = 16 * 1024;

/// All connections of one worker.
pub(in crate::filter) struct Clients {
    common: Common,
    limits: Limits,
    counters: Arc<Counters>,
    all: RefCell<Vec<Weak<Meter>>>,
    /// The longest idle when they were looked for, the longest first, with since when.
    idle: RefCell<VecDeque<(u64, Weak<Meter>)>>,
    /// None was found then.
    barren: Cell<Option<Instant>>,
}

impl Clients {
    /// None yet.
    pub(in crate::filter) fn new(limits: Limits, budget: Arc<Budget>, seats: Arc<AtomicUsize>, counters: Arc<Counters>) -> Self {
        let common = Common { budget, seats, upkeep: Arc::new(Notify::new()), start: Instant::now() };
        Self { common, limits, counters, all: RefCell::default(), idle: RefCell::default(), barren: Cell::new(None) }
    }

    /// A place for a connection that has been accepted; none when there is no room for it.
    pub(in crate::filter) fn admit(&self, side: Side) -> Option<Arc<Meter>> {
        if self.common.budget.is_full() {
            self.common.upkeep.notify_one();
            count(&self.counters.refused_for_memory);
            return None;
        }
        if self.common.seats.load(Relaxed) >= self.limits.connections && !self.evict() {
            count(&self.counters.refused_when_full);
            return None;
        }
        let meter = Meter::new(side, &self.common);
        self.all.borrow_mut().push(Arc::downgrade(&meter));
        Some(meter)
    }

    /// Closes the client's connection that has idled longest, if any idles.
    pub(in crate::filter) fn evict(&self) -> bool {
        if self.barren.get().is_some_and(|since| since.elapsed() < BARREN) {
            return false;
        }
        for looked in [false, true] {
            if looked {
                self.look();
            }
            let next = || self.idle.borrow_mut().pop_front();
            while let Some((since, meter)) = next() {
                if let Some(meter) = meter.upgrade().filter(|meter| meter.idle_since() == Some(since)) {
                    meter.close();
                    count(&self.counters.closed_when_full);
                    return true;
                }
            }
        }
        self.barren.set(Some(Instant::now()));
        false
    }

    /// Looks for the longest idle.
    fn look(&self) {
        let mut idle = self.living(|meter| meter.idle_since());
        if idle.len() > AT_ONCE {
            idle.select_nth_unstable_by_key(AT_ONCE, |(since, _)| *since);
            idle.truncate(AT_ONCE);
        }
        idle.sort_unstable_by_key(|(since, _)| *since);
        *self.idle.borrow_mut() = idle.into_iter().map(|(since, meter)| (since, Arc::downgrade(&meter))).collect();
    }

    fn living<T>(&self, what: impl Fn(&Meter) -> Option<T>) -> Vec<(T, Arc<Meter>)> {
        let all = self.all.borrow();
        let living = all.iter().filter_map(Weak::upgrade).filter(|meter| !meter.is_closed());
        living.filter_map(|meter| what(&meter).map(|what| (what, meter))).collect()
    }

    /// What connections hold that are closed and not gone yet.
    fn leaving(&self) -> usize {
        let all = self.all.borrow();
        let leaving = all.iter().filter_map(Weak::upgrade).filter(|meter| meter.is_closed());
        leaving.map(|meter| meter.weight().1 + CONNECTION).sum()
    }

    /// Resolves when more is held than may be.
    pub(in crate::filter) async fn overfull(&self) {
        self.common.upkeep.notified().await;
    }

    /// Closes connections until no more than enough is held: those that hold something and have stood still longest, then
    /// those that have idled longest, then the others.
    pub(in crate::filter) fn shed(&self) {
        if !self.common.budget.is_full() {
            return;
        }
        // Some may be going already.
        let mut excess = self.common.budget.excess().saturating_sub(self.leaving());
        let order = |meter: &Meter| {
            let (moved, held) = meter.weight();
            match meter.idle_since() {
                _ if held >= WORTH => (0, moved, held),
                Some(since) => (1, since, held),
                None => (2, moved, held),
            }
        };
        let mut all = self.living(|meter| Some(order(meter)));
        all.sort_unstable_by_key(|(order, _)| *order);
        for ((_, _, held), meter) in all {
            if excess == 0 {
                return;
            }
            excess = excess.saturating_sub(held + CONNECTION);
            meter.close();
            count(&self.counters.closed_for_memory);
        }
    }

    /// How many connections a drain waits for: those of clients, and those of Sōzu with open requests.
    pub(in crate::filter) fn busy(&self) -> usize {
        self.living(|meter| (meter.side() == Side::Client || meter.open() > 0).then_some(())).len()
    }

    /// Forgets connections that are gone, and closes those that stand still.
    pub(in crate::filter) fn sweep(&self) {
        self.all.borrow_mut().retain(|meter| meter.strong_count() > 0);
        for ((), meter) in self.living(|meter| meter.stalls(self.limits.stall, self.limits.head).then_some(())) {
            meter.close();
            count(&self.counters.closed_as_stalled);
        }
    }
}
