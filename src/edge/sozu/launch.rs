//! The launcher: keeps the Sōzus of an edge running for a supervisor in another process, which adopts their command sockets; and
//! holds the sockets by which they reach the filter proxy, which is the supervisor's child and goes when its container does.

use std::convert::Infallible;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use futures::future::{join_all, select};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::instance::{COMMAND_SOCKET, Instance, SpawnSettings};
use super::{Error, TWINS, Watched, access, dir_of};
use crate::edge::private_directory;
use crate::edge::pulse::Pulses;
use crate::edge::sockets::Sockets;
use crate::trouble::Trouble;

/// A process that lived this long is replaced at once when it ends.
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
/// When those sockets cannot be opened.
pub async fn launch(
    settings: SpawnSettings,
    sozus: usize,
    farewell: Farewell,
    stop: impl Future<Output = &'static str>,
) -> Result<(), Error> {
    let sockets = Sockets::take_over(&settings.dir, settings.budget.buffer_bytes).await;
    let sockets = sockets.map_err(|(path, source)| Error::File { path, source })?;
    let (end, ends) = watch::channel(false);
    let (mut keeping, mut watched) = (Vec::new(), Vec::new());
    for name in TWINS.into_iter().take(sozus.max(1)) {
        let settings = SpawnSettings { dir: dir_of(&settings.dir, name), ..settings.clone() };
        private_directory(&settings.dir).map_err(|source| Error::File { path: settings.dir.clone(), source })?;
        let (pid, main) = watch::channel(None);
        watched.push(Watched { command: settings.dir.join(COMMAND_SOCKET), main });
        keeping.push(Keeper { name, settings, farewell, pid }.keep(ends.clone()));
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
        tokio::join!(join_all(keeping), select(watching, told));
    };
    tokio::select! {
        handed = sockets.hand_over(&settings.dir) => handed.map(|never| match never {}).map_err(|source| Error::File { path: settings.dir.clone(), source }),
        () = kept => Ok(()),
    }
}

/// Whether a launcher before us may have left a Sōzu behind in this directory.
pub fn left_behind(shared: &Path) -> bool {
    TWINS.into_iter().any(|name| dir_of(shared, name).join(COMMAND_SOCKET).exists())
}

/// Keeps one Sōzu.
struct Keeper {
    name: &'static str,
    settings: SpawnSettings,
    farewell: Farewell,
    /// Where it tells its process id.
    pid: watch::Sender<Option<i32>>,
}

impl Keeper {
    async fn keep(self, mut end: watch::Receiver<bool>) {
        let (mut wait, name, mut trouble) = (BACKOFF.0, self.name, Trouble::default());
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
                    return;
                }
            };
            match made {
                Ok(mut instance) => {
                    tracing::debug!(name, pid = instance.pid(), "Sōzu is up");
                    if trouble.ends() {
                        tracing::info!(name, pid = instance.pid(), "Sōzu is up again");
                    }
                    self.pid.send_replace(instance.pid().and_then(|pid| i32::try_from(pid).ok()));
                    tokio::select! {
                        () = instance.ended() => {
                            trouble.begins("it ended");
                            tracing::error!(name, pid = instance.pid(), "Sōzu ended by itself; another one is started");
                            instance.reap_now().await;
                        }
                        never = trim(&self.settings.dir) => match never {},
                        () = told(&mut end) => return finish(instance, self.farewell).await,
                    }
                    self.pid.send_replace(None);
                }
                Err(error) if trouble.begins(&error) => tracing::error!(name, %error, "Sōzu does not start; tried again"),
                Err(error) => tracing::debug!(name, %error, "Sōzu does not start"),
            }
            if since.elapsed() > STABLE {
                wait = BACKOFF.0;
                continue;
            }
            tokio::select! {
                () = told(&mut end) => return tracing::info!(name, "ending while Sōzu is not up"),
                () = sleep(wait) => wait = (wait * 2).min(BACKOFF.1),
            }
        }
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
