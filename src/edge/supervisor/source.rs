//! The control plane's stream: followed across reconnects, with the last good state kept.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::snapshot::fetch::{self, Acks, Updates};
use crate::snapshot::wire::{Ack, Stamp, Update};
use crate::snapshot::{Delta, Snapshot};

/// A state of the control plane.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub stamp: Stamp,
    pub snapshot: Snapshot,
}

/// The connection to the control plane.
pub(super) struct Source {
    acks: watch::Sender<Option<Ack>>,
    task: JoinHandle<()>,
}

/// First and longest wait between attempts.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

impl Source {
    /// Follows the stream at `path`; the newest state is in the channel.
    pub(super) fn follow(path: PathBuf) -> (Self, watch::Receiver<Option<State>>) {
        let (states, newest) = watch::channel(None);
        let acks = watch::Sender::new(None);
        let task = tokio::spawn(follow(path, states, acks.subscribe()));
        (Self { acks, task }, newest)
    }

    /// Where acks go; the newest is sent, again after a reconnect.
    pub(super) fn acks(&self) -> watch::Sender<Option<Ack>> {
        self.acks.clone()
    }

    /// No more updates and acks.
    pub(super) fn stop(&self) {
        self.task.abort();
    }
}

async fn follow(path: PathBuf, states: watch::Sender<Option<State>>, mut acks: watch::Receiver<Option<Ack>>) {
    let mut wait = BACKOFF.0;
    loop {
        match fetch::connect(&path).await {
            Ok((updates, back)) => {
                acks.mark_changed();
                let received = converse(updates, back, &states, &mut acks).await;
                tracing::warn!(reason = received.1, "the control plane is gone; serving on");
                if received.0 {
                    wait = BACKOFF.0;
                }
            }
            Err(error) => tracing::debug!(%error, path = %path.display(), "no control plane"),
        }
        sleep(wait).await;
        wait = (wait * 2).min(BACKOFF.1);
    }
}

/// Until the connection ends: whether anything good came, and why it ended.
async fn converse(
    mut updates: Updates,
    mut back: Acks,
    states: &watch::Sender<Option<State>>,
    acks: &mut watch::Receiver<Option<Ack>>,
) -> (bool, String) {
    let mut received = false;
    let mut epoch = None;
    loop {
        tokio::select! {
            update = updates.next() => match update {
                Ok(Some(update)) => {
                    epoch = Some(update.stamp.epoch);
                    if let Err(reason) = receive(update, states) {
                        return (received, reason);
                    }
                    received = true;
                }
                Ok(None) => return (received, "it closed the stream".to_owned()),
                Err(error) => return (received, error.to_string()),
            },
            changed = acks.changed() => {
                if changed.is_err() {
                    return (received, "this edge ends".to_owned());
                }
                // An ack of another control plane's epoch says nothing to this one.
                let ack = acks.borrow_and_update().clone().filter(|ack| Some(ack.stamp.epoch) == epoch);
                if let Some(ack) = ack
                    && let Err(error) = back.send(&ack).await
                {
                    return (received, error.to_string());
                }
            }
        }
    }
}

/// Takes an update, if the result is what the control plane says it is.
fn receive(update: Update, states: &watch::Sender<Option<State>>) -> Result<(), String> {
    let held = states.borrow().clone();
    let snapshot = match (update.full, held) {
        (true, held) => {
            let fresh = patched(Snapshot::default(), &update.delta);
            // The same content shares what is held already, so that later differences stay cheap.
            let mut held = held.map(|state| state.snapshot).unwrap_or_default();
            let difference = held.diff(&fresh);
            held.apply(&difference);
            held
        }
        (false, Some(held)) => patched(held.snapshot, &update.delta),
        (false, None) => return Err("its first update is not a full one".to_owned()),
    };
    if snapshot.hash() != update.hash {
        return Err("its update does not lead to the state that it names".to_owned());
    }
    states.send_replace(Some(State { stamp: update.stamp, snapshot }));
    Ok(())
}

fn patched(mut snapshot: Snapshot, delta: &Delta) -> Snapshot {
    snapshot.apply(delta);
    snapshot
}
