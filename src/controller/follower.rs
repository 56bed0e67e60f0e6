//! Follows what one edge acknowledges: for statuses, and for how long changes take.

use std::collections::VecDeque;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::acks::Wake;
use crate::model::EdgeId;
use crate::observe::metrics::Metrics;
use crate::snapshot::publish::Publisher;
use crate::snapshot::wire::{Ack, Stamp};

/// Where the time of each publication is told.
pub type Published = mpsc::UnboundedSender<(Stamp, Instant)>;

/// Publications that are remembered while an edge says nothing.
const UNACKED: usize = 1024;

/// Follows one edge until its publisher is gone.
pub struct Follower {
    id: EdgeId,
    acks: watch::Receiver<Option<Ack>>,
    published: mpsc::UnboundedReceiver<(Stamp, Instant)>,
    wakes: mpsc::UnboundedSender<Wake>,
    metrics: Metrics,
}

impl Follower {
    /// A follower of the acks that `publisher` receives, and where to tell it what was published.
    pub fn new(id: EdgeId, publisher: &Publisher, wakes: mpsc::UnboundedSender<Wake>, metrics: Metrics) -> (Published, Self) {
        let (sender, published) = mpsc::unbounded_channel();
        (sender, Self { id, acks: publisher.acks(), published, wakes, metrics })
    }

    /// Tells whoever writes statuses what the edge acknowledges, and counts.
    pub async fn run(mut self) {
        let name = self.id.to_string();
        let mut unacked = VecDeque::new();
        while self.acks.changed().await.is_ok() {
            let ack = self.acks.borrow_and_update().clone();
            while let Ok(publication) = self.published.try_recv() {
                unacked.push_back(publication);
            }
            unacked.drain(..unacked.len().saturating_sub(UNACKED)).for_each(drop);
            if let Some(ack) = &ack {
                while let Some((_, since)) = unacked.pop_front_if(|(stamp, _)| *stamp <= ack.stamp) {
                    self.metrics.apply.with_label_values(&[&name]).observe(since.elapsed().as_secs_f64());
                }
            }
            if self.wakes.send(Wake::Acknowledged(self.id.clone(), ack)).is_err() {
                return;
            }
        }
    }
}
