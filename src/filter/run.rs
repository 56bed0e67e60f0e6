//! The process: one thread that follows the snapshot stream, and workers that serve.

use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use tokio::runtime::LocalRuntime;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Duration, interval, sleep};

use super::accept::{self, Phase, Sockets};
use super::report;
use super::serve::Worker;
use super::settings::Settings;
use super::shared::Shared;
use crate::access_log::LAST_LINES;
use crate::snapshot::wire::{Ack, Update};
use crate::snapshot::{Ledger, fetch};

/// First and longest pause before the stream is connected to again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

/// How often idle connections are looked through.
const SWEEP: Duration = Duration::from_secs(1);
/// Pause after connections were closed because too much is held.
const GOING: Duration = Duration::from_millis(5);

/// Why the process could not serve.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The listening socket.
    #[error("listening socket: {0}")]
    Listen(#[source] io::Error),
    /// A runtime or a thread could not be made.
    #[error("worker: {0}")]
    Worker(#[source] io::Error),
}

/// Serves until `stop` is ready, then drains, until `cut` is ready at the latest. Blocks the calling thread, which follows the snapshot stream; each worker
/// is a thread of its own, so that compiling a large snapshot delays no request.
///
/// Without a publisher it keeps serving what it holds, and keeps trying to connect.
///
/// # Errors
/// [`RunError`] when it cannot start, or when a worker ends by itself: who started the process replaces it.
pub fn run(
    settings: &Settings,
    shared: &Arc<Shared>,
    stop: impl Future<Output = Farewell>,
    cut: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RunError::Worker)?;
    let sockets = Sockets::open(settings).map_err(RunError::Listen)?;
    let phase = watch::Sender::new(Phase::Serving);
    let (ends, mut ended) = mpsc::channel(1);
    let mut workers = Vec::new();
    for number in 0..settings.workers.max(1) {
        let (sockets, shared, phase) = (sockets.try_clone().map_err(RunError::Listen)?, shared.clone(), phase.subscribe());
        let (drain, end) = (settings.drain, End(ends.clone()));
        let thread = std::thread::Builder::new().name(format!("worker-{number}"));
        let spawned = thread.spawn(move || {
            let _end = end;
            work(sockets, shared, phase, drain)
        });
        workers.push(spawned.map_err(RunError::Worker)?);
    }
    drop((sockets, ends));
    runtime.block_on(async {
        let farewell = tokio::select! {
            farewell = stop => farewell,
            _ = ended.recv() => {
                tracing::error!("a worker ended by itself");
                Farewell::Serve
            }
            never = follow(&settings.snapshot, shared) => match never {},
            never = report::serve(settings.report.as_deref(), shared) => match never {},
        };
        phase.send_replace(match farewell {
            Farewell::Serve => Phase::Draining,
            Farewell::Leave => Phase::Leaving,
        });
        let end = async {
            cut.await;
            phase.send_replace(Phase::Ending);
            std::future::pending().await
        };
        tokio::select! {
            () = all_ended(&mut ended) => {}
            () = end => {}
            never = follow(&settings.snapshot, shared) => match never {},
            never = report::serve(settings.report.as_deref(), shared) => match never {},
        }
    });
    for worker in workers {
        let ended = worker.join().map_err(|_| RunError::Worker(io::Error::other("a worker panicked")))?;
        ended.map_err(RunError::Worker)?;
    }
    if let Some(log) = &shared.access_log {
        runtime.block_on(log.flush(LAST_LINES));
    }
    Ok(())
}

/// How a filter proxy ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// What comes meanwhile is served: no other process takes it.
    Serve,
    /// What comes is left at the sockets, which another process has next.
    Leave,
}

/// Tells that a worker ended, also when it panicked.
struct End(mpsc::Sender<()>);

impl Drop for End {
    fn drop(&mut self) {
        // A full channel has told it already.
        self.0.try_send(()).unwrap_or_default();
    }
}

async fn all_ended(ended: &mut mpsc::Receiver<()>) {
    while ended.recv().await.is_some() {}
}

fn work(sockets: Sockets, shared: Arc<Shared>, phase: watch::Receiver<Phase>, drain: Duration) -> io::Result<()> {
    let runtime = LocalRuntime::new()?;
    runtime.block_on(async move {
        let worker = Rc::new(Worker::new(shared, false));
        let upkeep = tokio::task::spawn_local(upkeep(worker.clone()));
        let ended = accept::run(worker, sockets, phase, drain).await;
        upkeep.abort();
        ended
    })
}

/// Closes connections that idled too long or lead to endpoints that are gone.
pub(super) async fn upkeep(worker: Rc<Worker>) {
    let mut retired = worker.shared.retired();
    let mut ticks = interval(SWEEP);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                worker.pool.sweep();
                worker.clients.sweep();
            }
            () = worker.clients.overfull() => {
                worker.pool.close_idle();
                sleep(GOING).await;
                worker.clients.shed();
                // What is closed needs a moment to be gone.
                sleep(GOING).await;
            }
            gone = retired.recv() => match gone {
                Ok(endpoints) => worker.pool.retire(&endpoints),
                Err(broadcast::error::RecvError::Lagged(missed)) => tracing::debug!(missed, "endpoints retired unseen"),
                Err(broadcast::error::RecvError::Closed) => return,
            },
        }
    }
}

/// Applies every update and acknowledges it, for ever.
async fn follow(path: &Path, shared: &Shared) -> std::convert::Infallible {
    let mut held = Ledger::default();
    let mut pause = BACKOFF.0;
    loop {
        match stream(path, shared, &mut held).await {
            Ok(true) => pause = BACKOFF.0,
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, "snapshot stream"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(BACKOFF.1);
    }
}

/// One connection; whether anything came by it.
async fn stream(path: &Path, shared: &Shared, held: &mut Ledger) -> io::Result<bool> {
    let (mut updates, mut acks) = fetch::connect(path).await?;
    let mut any = false;
    while let Some(update) = updates.next().await? {
        let Update { stamp, full, delta, hash, .. } = update;
        shared.apply(&if full { held.replace(delta) } else { held.follow(delta) });
        if stamp.seq > 0 {
            // At 0 the publisher itself has nothing yet.
            shared.open();
        }
        if held.hash() != hash {
            // Everything comes anew with the next connection; until then what is held is served.
            return Err(io::Error::other("the snapshot differs from the publisher's"));
        }
        tracing::debug!(seq = stamp.seq, resources = held.len(), "took an update");
        acks.send(&Ack { stamp, refused: shared.refused() }).await?;
        any = true;
    }
    Ok(any)
}
