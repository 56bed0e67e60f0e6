//! The launcher: keeps the Sōzus of an edge running for a supervisor in another process, which adopts their command sockets; and
//! holds the sockets by which they reach the filter proxy, which is the supervisor's child and goes when its container does.

use std::convert::Infallible;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures::future::{select, try_join_all};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::instance::{COMMAND_SOCKET, Instance, SpawnSettings};
use super::starts::Starts;
use super::{Error, TWINS, Watched, access, dir_of};
use crate::edge::private_directory;
use crate::edge::pulse::Pulses;
use crate::edge::sockets::Sockets;
use crate::trouble::Trouble;

/// A process that lived this long works, and is replaced at once when it ends.
const STABLE: Duration = Duration::from_secs(1);
/// First and longest wait before one that did not is replaced.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

/// How often the record of requests is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How the end goes.
#[derive(Clone, Copy, Debug)]
pub struct Farewell {
    /// How long new connections are still taken once the end is asked for.
    pub linger: Duration,
    /// How long requests in flight may then take.
    pub drain: Duration,
}

/// Keeps so many Sōzus running until `stop` resolves, also those that a launcher before left behind, each in a directory of its own
/// below that of `settings`: one that ends, by itself or because its supervisor wants an empty one, is replaced at once. Then they
/// linger, and let requests in flight end. All the while the filter proxy's sockets are handed to each supervisor that comes.
///
/// # Errors
/// When those sockets cannot be opened, or no Sōzu has ever worked and its starts keep failing.
pub async fn launch(
    settings: SpawnSettings,
    sozus: usize,
    farewell: Farewell,
    stop: impl Future<Output = &'static str>,
) -> Result<(), Error> {
    let sockets = Sockets::take_over(&settings.dir, settings.budget.buffer_bytes).await;
    let sockets = sockets.map_err(|(path, source)| Error::File { path, source })?;
    let (end, ends) = watch::channel(false);
    let (mut keeping, mut watched, proven) = (Vec::new(), Vec::new(), Arc::<AtomicBool>::default());
    for name in TWINS.into_iter().take(sozus.max(1)) {
        let settings = SpawnSettings { dir: dir_of(&settings.dir, name), ..settings.clone() };
        private_directory(&settings.dir).map_err(|source| Error::File { path: settings.dir.clone(), source })?;
        let (pid, main) = watch::channel(None);
        watched.push(Watched { command: settings.dir.join(COMMAND_SOCKET), main });
        let starts = Starts::new(&settings, proven.clone());
        keeping.push(Keeper { name, settings, farewell, pid, starts, trouble: Trouble::default() }.keep(ends.clone()));
    }
    let pulses = Pulses::default();
    let kept = async {
        let told = async {
            let reason = stop.await;
            tracing::info!(reason, "ending");
            end.send_replace(true);
        };
        // What closes its ports and ends is not probed.
        let watching = std::pin::pin!(super::watch(watched, &pulses));
        let told = std::pin::pin!(told);
        let told = async {
            select(watching, told).await;
            Ok(())
        };
        tokio::try_join!(try_join_all(keeping), told).map(drop)
    };
    tokio::select! {
        handed = sockets.hand_over(&settings.dir) => handed.map(|never| match never {}).map_err(|source| Error::File { path: settings.dir.clone(), source }),
        kept = kept => kept,
    }
}

/// Whether a launcher before us may have left a Sōzu behind in this directory.
pub fn left_behind(shared: &Path) -> bool {
    TWINS.into_iter().any(|name| dir_of(shared, name).join(COMMAND_SOCKET).exists())
}

/// Why a Sōzu is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Served {
    /// It ended by itself.
    Ended,
    /// The end was asked for.
    Enough,
}

/// Keeps one Sōzu.
struct Keeper {
    name: &'static str,
    settings: SpawnSettings,
    farewell: Farewell,
    /// Where it tells its process id.
    pid: watch::Sender<Option<i32>>,
    starts: Starts,
    trouble: Trouble,
}

impl Keeper {
    async fn keep(mut self, mut end: watch::Receiver<bool>) -> Result<(), Error> {
        let (mut wait, name) = (BACKOFF.0, self.name);
        loop {
            let since = Instant::now();
            let made = tokio::select! {
                made = Instance::keep(&self.settings) => made,
                () = told(&mut end) => {
                    tracing::info!(name, "ending before Sōzu is up");
                    // A launcher before us may have left one to us.
                    if let Some(instance) = Instance::found(&self.settings).await {
                        finish(instance, self.farewell).await;
                    }
                    return Ok(());
                }
            };
            match made {
                Ok(instance) => {
                    if self.serve(instance, &mut end).await? == Served::Enough {
                        return Ok(());
                    }
                }
                Err(error) => {
                    if self.trouble.begins(&error) {
                        tracing::error!(name, %error, "Sōzu does not start; tried again");
                    }
                    self.starts.fail(&error)?;
                }
            }
            if since.elapsed() > STABLE {
                wait = BACKOFF.0;
                continue;
            }
            tokio::select! {
                () = told(&mut end) => {
                    tracing::info!(name, "ending while Sōzu is not up");
                    return Ok(());
                }
                () = sleep(wait) => wait = (wait * 2).min(BACKOFF.1),
            }
        }
    }

    /// Keeps a Sōzu that is up until it ends.
    async fn serve(&mut self, mut instance: Instance, end: &mut watch::Receiver<bool>) -> Result<Served, Error> {
        let (name, pid, since) = (self.name, instance.pid(), Instant::now());
        tracing::debug!(name, pid, "Sōzu is up");
        if instance.is_orphan() {
            self.starts.works();
        }
        self.pid.send_replace(pid.and_then(|pid| i32::try_from(pid).ok()));
        let settles = async {
            sleep(STABLE).await;
            self.starts.works();
            if self.trouble.ends() {
                tracing::info!(name, pid, "Sōzu is up again");
            }
            trim(&self.settings.dir).await
        };
        tokio::select! {
            () = instance.ended() => {}
            never = settles => match never {},
            () = told(end) => {
                finish(instance, self.farewell).await;
                return Ok(Served::Enough);
            }
        }
        self.pid.send_replace(None);
        let error = instance.end();
        if self.trouble.begins("it ended") {
            tracing::error!(name, pid, %error, "Sōzu ended by itself; another one is started");
        }
        instance.reap_now().await;
        if since.elapsed() < STABLE {
            self.starts.fail(&error)?;
        }
        Ok(Served::Ended)
    }
}

/// Resolves when the end is asked for.
async fn told(end: &mut watch::Receiver<bool>) {
    // Without a sender this is over anyway.
    drop(end.wait_for(|end| *end).await);
}

/// Keeps the record of requests small while nobody reads it.
async fn trim(directory: &Path) -> Infallible {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        if let Err(error) = access::trim(directory) {
            tracing::warn!(%error, "the access log cannot be cut off");
        }
    }
}

async fn finish(mut instance: Instance, farewell: Farewell) {
    let ended = tokio::time::timeout(farewell.linger, instance.ended()).await;
    if ended.is_err() {
        instance.stop(farewell.drain).await;
    }
}
