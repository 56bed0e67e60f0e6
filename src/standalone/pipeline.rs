//! The translator task: changes in, snapshots to edges, wakes to the status writer. It owns all translation state.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::edges::Edges;
use super::statuses::Wake;
use super::world::{World, owner};
use crate::api::Change;
use crate::model::EdgeId;
use crate::observe::metrics::Metrics;
use crate::snapshot::Delta;
use crate::snapshot::publish::Publisher;
use crate::store::Event;
use crate::translate::{self, Now, Translator};

/// Most events taken in at once: later ones gather while a translation runs, none waits for a timer.
const BATCH: usize = 4096;
/// How often certificate expiry is looked at.
const EXPIRY: std::time::Duration = std::time::Duration::from_secs(3600);
/// One process, one leader, one epoch.
const EPOCH: u64 = 1;

/// The translator task.
pub struct Pipeline {
    /// Objects to snapshots.
    pub translator: Translator,
    /// Running edges.
    pub edges: Edges,
    /// What everybody else reads.
    pub world: watch::Sender<World>,
    /// Wakes the status writer.
    pub wakes: mpsc::UnboundedSender<Wake>,
    /// Counters.
    pub metrics: Metrics,
    /// Changes that wait for the start-up gate.
    pub gathered: Vec<Change>,
}

impl Pipeline {
    /// Runs until the source or `stop` ends it, then stops all edges.
    pub async fn run(mut self, mut events: mpsc::Receiver<Event>, stop: impl Future<Output = ()>) {
        let mut batch = Vec::new();
        let mut expiry = interval(EXPIRY);
        expiry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(stop);
        loop {
            tokio::select! {
                received = events.recv_many(&mut batch, BATCH) => {
                    if received == 0 {
                        break;
                    }
                    for event in batch.drain(..) {
                        self.take(event);
                    }
                }
                _ = expiry.tick() => {}
                () = &mut stop => break,
            }
            if self.world.borrow().synced {
                self.translate().await;
            }
        }
        self.edges.stop_all().await;
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Changes(changes) => self.gathered.extend(changes),
            // Publishing opens when everything that existed at the start is known: a restart withdraws nothing.
            Event::Synced => drop(self.world.send_if_modified(|world| !std::mem::replace(&mut world.synced, true))),
            Event::Refusals { file, refusals } => {
                for refusal in &refusals {
                    tracing::warn!("{refusal}");
                }
                self.world.send_modify(|world| {
                    if refusals.is_empty() { world.refusals.remove(&file) } else { world.refusals.insert(file, refusals) };
                });
            }
        }
    }

    async fn translate(&mut self) {
        let changes = std::mem::take(&mut self.gathered);
        let mut dirty: Vec<_> = changes.iter().map(|change| change.id.clone()).collect();
        self.world.send_modify(|world| {
            for change in &changes {
                match &change.new {
                    Some(object) => world.objects.insert(change.id.clone(), object.clone()),
                    None => world.objects.remove(&change.id),
                };
            }
        });
        let started = Instant::now();
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default();
        let decided = self.translator.apply(changes, Now::from_unix(seconds.cast_signed()));
        self.metrics.translate.observe(started.elapsed().as_secs_f64());
        for (id, edge) in decided.edges {
            self.publish(&id, edge).await;
        }
        dirty.extend(decided.reports.keys().cloned());
        self.world.send_modify(|world| {
            for (id, report) in decided.reports {
                match report {
                    Some(report) => world.reports.insert(id, report),
                    None => world.reports.remove(&id),
                };
            }
        });
        drop(self.wakes.send(Wake::Objects(dirty)));
    }
}
