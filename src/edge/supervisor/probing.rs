//! How an edge stands between its changes: whether Sōzu answers, whether it is full, and whether one client fills it.

use std::path::PathBuf;

use tokio::sync::watch;
use tokio::time::{Duration, sleep};

use crate::edge::gate::{self, Guarded};
use crate::edge::metrics::Metrics;
use crate::edge::sozu;

/// How often Sōzu is asked how full it is, and by which ports it is reached.
const CROWD: Duration = Duration::from_secs(2);

/// Probes Sōzu, asks it how full it is, and keeps one client address from more than `per_address` connections, half of all when
/// nothing is said, for ever.
pub(super) async fn probe(command: PathBuf, per_address: Option<u64>, metrics: Metrics) {
    let own = || metrics.standing.borrow().sozu_pid.and_then(|pid| i32::try_from(pid).ok());
    let guarded = watch::Sender::new(Guarded::default());
    let crowd = async {
        loop {
            sleep(CROWD).await;
            let Ok(now) = sozu::connections(&command).await else { continue };
            metrics.crowded.send_replace(now.is_full());
            let most = per_address.unwrap_or(now.room() / 2);
            let most = u32::try_from(most).unwrap_or(u32::MAX);
            if let Ok(mut ports) = sozu::http_ports(&command).await {
                ports.sort_unstable();
                guarded.send_replace(Guarded { ports, most });
            }
        }
    };
    tokio::select! {
        never = sozu::watch(&command, own, &metrics.pulses) => match never {},
        never = gate::keep(guarded.subscribe(), metrics.refusals.clone()) => match never {},
        never = crowd => match never {},
    }
}
