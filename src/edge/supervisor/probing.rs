//! How an edge stands between its changes: whether its Sōzus answer, whether one is full, and whether one client fills them.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use tokio::sync::watch;
use tokio::time::{Duration, sleep};

use crate::edge::gate::{self, Guarded};
use crate::edge::metrics::Metrics;
use crate::edge::sozu::{self, Connections, Watched};

/// How often Sōzu is asked how full it is.
const CROWD: Duration = Duration::from_secs(2);

/// Probes the Sōzus, asks them how full they are, and keeps one client address from more than `per_address` connections to these
/// ports, half of all when nothing is said, for ever.
pub(super) async fn probe(
    sozus: Vec<Watched>,
    (ports, per_address): (watch::Receiver<BTreeSet<SocketAddr>>, Option<u64>),
    metrics: Metrics,
) {
    let guarded = watch::Sender::new(Guarded::default());
    let crowd = async {
        // One that is being replaced does not say how many it had room for.
        let mut room = 0;
        loop {
            sleep(CROWD).await;
            let answers: Vec<Connections> = metrics.connections().await.into_iter().flatten().collect();
            if answers.is_empty() {
                continue;
            }
            metrics.crowded.send_replace(answers.iter().any(Connections::is_full));
            room = answers.iter().map(Connections::room).sum::<u64>().max(room);
            let most = u32::try_from(per_address.unwrap_or(room / 2)).unwrap_or(u32::MAX);
            guarded.send_replace(Guarded { ports: ports.borrow().iter().copied().collect(), most });
        }
    };
    tokio::select! {
        never = sozu::watch(sozus, &metrics.pulses) => match never {},
        never = gate::keep(guarded.subscribe(), metrics.refusals.clone()) => match never {},
        never = crowd => match never {},
    }
}
