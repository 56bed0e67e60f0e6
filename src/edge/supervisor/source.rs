//! The control plane's stream: followed across reconnects, with the last good state kept.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::edge::metrics::Metrics;
use crate::snapshot::disk::Disk;
use crate::snapshot::fetch::{self, Acks, Remote, Updates};
use crate::snapshot::wire::{Ack, Have, Refusal, Stamp, Update};
use crate::snapshot::{Held, Snapshot};
use crate::trouble::Trouble;

/// Where an edge's snapshot comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A control plane on this machine, by its unix socket.
    Local(PathBuf),
    /// A control plane on the network, and the copy that is served while nobody answers.
    Remote(Remote, Disk),
}

/// A state of the control plane.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub stamp: Stamp,
    pub snapshot: Snapshot,
    /// What of it this version of the edge does not understand well enough to serve.
    pub refused: Vec<Refusal>,
    /// When it came.
    pub came: Instant,
}

/// The connection to the control plane.
pub(super) struct Source {
    acks: watch::Sender<Option<Ack>>,
    tasks: Vec<JoinHandle<()>>,
}

/// First and longest wait between attempts.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));
/// How often a quiet connection shows the control plane that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// A control plane that takes no ack in this time is gone.
const STALLED: Duration = Duration::from_secs(10);
/// Shortest wait between copies to disk, and how often the time for a copy fits into the time between two: one twentieth of
/// a core at most, whatever the size of the snapshot.
const COPY: (Duration, u32) = (Duration::from_millis(500), 20);
/// Wait before a copy that failed is tried again, when nothing newer comes.
const COPY_AGAIN: Duration = Duration::from_secs(5);

impl Source {
    /// Follows the stream; the newest state is in the channel, at first the copy on disk, if there is one.
    pub(super) fn follow(origin: Origin, metrics: &Metrics) -> (Self, watch::Receiver<Option<State>>) {
        let (states, mut newest) = watch::channel(None);
        let acks = watch::Sender::new(None);
        let feeds = metrics.connected.clone();
        let mut stream = Stream { origin: origin.clone(), held: None, whole: true, states, copies: watch::Sender::new(None), feeds };
        let mut tasks = Vec::new();
        if let Origin::Remote(_, disk) = origin {
            stream.load(&disk);
            newest.mark_changed();
            tasks.push(tokio::spawn(copy(disk, stream.copies.subscribe(), metrics.unsaved.clone())));
        }
        tasks.push(tokio::spawn(stream.follow(acks.subscribe())));
        (Self { acks, tasks }, newest)
    }

    /// Where acks go; the newest is sent, again after a reconnect.
    pub(super) fn acks(&self) -> watch::Sender<Option<Ack>> {
        self.acks.clone()
    }

    /// No more updates and acks.
    pub(super) fn stop(&self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

struct Stream {
    origin: Origin,
    held: Option<(Stamp, Held)>,
    /// What is held is what the server sent: differences to it may be asked for.
    whole: bool,
    states: watch::Sender<Option<State>>,
    copies: watch::Sender<Option<(Stamp, Held)>>,
    /// Whether a control plane is connected that has sent something good.
    feeds: watch::Sender<bool>,
}

impl Stream {
    fn load(&mut self, disk: &Disk) {
        match disk.load() {
            Ok(Some(kept)) => {
                tracing::info!(stamp = ?kept.stamp, resources = kept.held.snapshot().len(), "serving the last good snapshot");
                self.whole = kept.whole;
                self.hold(kept.stamp, kept.held);
            }
            Ok(None) => tracing::info!("no snapshot on disk yet"),
            Err(error) => tracing::error!(%error, "the snapshot on disk cannot be used"),
        }
    }

    fn hold(&mut self, stamp: Stamp, held: Held) {
        let state = State { stamp, snapshot: held.snapshot().clone(), refused: held.refused().cloned().collect(), came: Instant::now() };
        self.held = Some((stamp, held));
        self.states.send_replace(Some(state));
    }

    async fn connect(&self) -> io::Result<(Updates, Acks)> {
        match &self.origin {
            Origin::Local(path) => fetch::connect(path).await,
            Origin::Remote(remote, _) => {
                let have = self.held.as_ref().filter(|_| self.whole).map(|(stamp, held)| Have { stamp: *stamp, hash: held.hash() });
                remote.connect(have).await
            }
        }
    }

    async fn follow(mut self, mut acks: watch::Receiver<Option<Ack>>) {
        let mut wait = BACKOFF.0;
        let mut trouble = Trouble::default();
        loop {
            match self.connect().await {
                Ok((updates, back)) => {
                    let (received, reason) = self.converse(updates, back, (&mut acks, &mut trouble)).await;
                    self.feeds.send_replace(false);
                    if received {
                        wait = BACKOFF.0;
                    }
                    if trouble.begins(&reason) {
                        tracing::warn!(reason, "the control plane is gone; serving on");
                    }
                }
                Err(error) => {
                    let reason = error.to_string();
                    if trouble.begins(&reason) {
                        tracing::warn!(reason, origin = ?self.origin, "no control plane");
                    }
                }
            }
            sleep(wait.mul_f64(rand::random_range(0.5..1.0))).await;
            wait = (wait * 2).min(BACKOFF.1);
        }
    }

    /// Until the connection ends: whether anything good came, and why it ended.
    async fn converse(
        &mut self,
        mut updates: Updates,
        mut back: Acks,
        (acks, trouble): (&mut watch::Receiver<Option<Ack>>, &mut Trouble),
    ) -> (bool, String) {
        let mut received = false;
        let mut alive = interval(KEEP_ALIVE);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let sent = tokio::select! {
                update = updates.next() => match update {
                    Ok(Some(update)) => {
                        if let Err(reason) = self.receive(&update) {
                            return (received, reason);
                        }
                        if !received {
                            // The control plane may not know what was acknowledged over another connection.
                            acks.mark_changed();
                        }
                        received = true;
                        if trouble.ends() {
                            tracing::info!(epoch = update.stamp.epoch, "the control plane is back");
                        }
                        self.feeds.send_replace(true);
                        continue;
                    }
                    Ok(None) => return (received, "it closed the stream".to_owned()),
                    Err(error) => return (received, error.to_string()),
                },
                changed = acks.changed() => {
                    if changed.is_err() {
                        return (received, "this edge ends".to_owned());
                    }
                    // An ack of another control plane's epoch says nothing to this one.
                    let epoch = self.held.as_ref().filter(|_| received).map(|(stamp, _)| stamp.epoch);
                    let ack = acks.borrow_and_update().clone().filter(|ack| Some(ack.stamp.epoch) == epoch);
                    let Some(ack) = ack else { continue };
                    timeout(STALLED, back.send(&ack)).await
                }
                _ = alive.tick(), if matches!(self.origin, Origin::Remote(..)) => timeout(STALLED, back.keep_alive()).await,
            };
            match sent {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return (received, error.to_string()),
                Err(_) => return (received, "it takes no acks".to_owned()),
            }
        }
    }

    /// Takes an update, if the result is what the control plane says it is and the control plane is no former one.
    fn receive(&mut self, update: &Update) -> Result<(), String> {
        let remote = matches!(self.origin, Origin::Remote(..));
        let before = match &self.held {
            Some((stamp, _)) if remote && update.stamp.epoch < stamp.epoch => {
                return Err(format!("its epoch {} is over: {} has begun", update.stamp.epoch, stamp.epoch));
            }
            Some((_, held)) => held.clone(),
            None if update.full => Held::default(),
            None => return Err(crate::snapshot::Mismatch::NotFull.to_string()),
        };
        let after = before.after(update).map_err(|error| {
            // Differences lead nowhere any more: everything is to come anew.
            self.whole = false;
            error.to_string()
        })?;
        self.whole = true;
        if remote {
            self.copies.send_replace(Some((update.stamp, after.clone())));
        }
        self.hold(update.stamp, after);
        Ok(())
    }
}

/// Copies the newest state to disk, whenever there is one. What cannot be copied is served all the same, and tried again.
async fn copy(disk: Disk, mut states: watch::Receiver<Option<(Stamp, Held)>>, unsaved: watch::Sender<bool>) {
    loop {
        let again = *unsaved.borrow();
        let newer = match again {
            true => timeout(COPY_AGAIN, states.changed()).await.unwrap_or(Ok(())),
            false => states.changed().await,
        };
        if newer.is_err() {
            return;
        }
        let Some((stamp, held)) = states.borrow_and_update().clone() else { continue };
        let (disk, since) = (disk.clone(), Instant::now());
        let saved = tokio::task::spawn_blocking(move || disk.save(stamp, &held)).await;
        match saved.unwrap_or_else(|ended| Err(io::Error::other(ended))) {
            Ok(()) if unsaved.send_replace(false) => tracing::info!("the last good snapshot is saved again"),
            Ok(()) => {}
            // The same news is not worth the same line again.
            Err(error) if unsaved.send_replace(true) => tracing::debug!(%error, "the last good snapshot still cannot be saved"),
            Err(error) => tracing::error!(%error, "the last good snapshot cannot be saved; the one before stays"),
        }
        sleep((since.elapsed() * COPY.1).max(COPY.0)).await;
    }
}
