//! How an edge stands between its changes: whether Sōzu answers, and whether it is full.

use std::path::PathBuf;

use tokio::time::{Duration, sleep};

use crate::edge::metrics::Metrics;
use crate::edge::sozu;

/// How often Sōzu is asked how full it is.
const CROWD: Duration = Duration::from_secs(2);

/// Probes Sōzu, and asks it how full it is, for ever.
pub(super) async fn probe(command: PathBuf, metrics: Metrics) {
    let own = || metrics.standing.borrow().sozu_pid.and_then(|pid| i32::try_from(pid).ok());
    let crowd = async {
        loop {
            sleep(CROWD).await;
            if let Ok(now) = sozu::connections(&command).await {
                metrics.crowded.send_replace(now.is_full());
            }
        }
    };
    tokio::select! {
        never = sozu::watch(&command, own, &metrics.pulses) => match never {},
        never = crowd => match never {},
    }
}
