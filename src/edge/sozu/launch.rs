//! The launcher: keeps one Sōzu running for a supervisor in another container, which adopts its command socket; and holds the
//! sockets by which that Sōzu reaches the filter proxy, which is the supervisor's child and goes when its container does.

use std::convert::Infallible;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::instance::{COMMAND_SOCKET, Instance, Maker, SpawnSettings};
use super::{Error, access, watch};
use crate::edge::pulse::Pulses;
use crate::edge::sockets::Sockets;

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

/// Keeps a Sōzu running until `stop` resolves: one that ends, by itself or because its supervisor wants an empty one, is
/// replaced at once. Then it lingers, and lets requests in flight end. All the while it hands the filter proxy's sockets to
/// each supervisor that comes.
///
/// # Errors
/// When those sockets cannot be opened.
pub async fn launch(settings: SpawnSettings, farewell: Farewell, stop: impl Future<Output = &'static str>) -> Result<(), Error> {
    let sockets = Sockets::open(&settings.dir).map_err(|(path, source)| Error::File { path, source })?;
    tokio::select! {
        handed = sockets.hand_over(&settings.dir) => handed.map(|never| match never {}).map_err(|source| Error::File { path: settings.dir.clone(), source }),
        () = keep(&settings, farewell, stop) => Ok(()),
    }
}

async fn keep(settings: &SpawnSettings, farewell: Farewell, stop: impl Future<Output = &'static str>) {
    let mut wait = BACKOFF.0;
    tokio::pin!(stop);
    loop {
        let since = Instant::now();
        let made = tokio::select! {
            made = Instance::make(Maker::Spawn(settings.clone())) => made,
            reason = &mut stop => return tracing::info!(reason, "ending before Sōzu is up"),
        };
        match made {
            Ok(mut instance) => {
                tracing::info!(pid = instance.pid(), "Sōzu is up");
                let (command, pulses) = (settings.dir.join(COMMAND_SOCKET), Pulses::default());
                let pid = instance.pid().and_then(|pid| i32::try_from(pid).ok());
                tokio::select! {
                    () = instance.ended() => instance.reap_now().await,
                    never = trim(&settings.dir) => match never {},
                    never = watch(&command, || pid, &pulses) => match never {},
                    reason = &mut stop => return end(instance, farewell, reason).await,
                }
            }
            Err(error) => tracing::error!(%error, "Sōzu does not start"),
        }
        if since.elapsed() > STABLE {
            wait = BACKOFF.0;
            continue;
        }
        tokio::select! {
            reason = &mut stop => return tracing::info!(reason, "ending while no Sōzu is up"),
            () = sleep(wait) => wait = (wait * 2).min(BACKOFF.1),
        }
    }
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

async fn end(mut instance: Instance, farewell: Farewell, reason: &'static str) {
    tracing::info!(reason, "ending");
    let ended = tokio::time::timeout(farewell.linger, instance.ended()).await;
    if ended.is_err() {
        instance.stop(farewell.drain).await;
    }
}
