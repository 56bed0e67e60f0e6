//! One edge: follows the control plane's snapshot, keeps a filter proxy and a Sōzu in step with it, and acknowledges.
//!
//! An update goes to the filter first and to Sōzu when the filter has it, so that a request which Sōzu sends through the
//! hop is decided by rules at least as new as Sōzu's. While one update is applied, later ones gather.

mod filter;
mod news;
mod probing;
mod settings;
mod source;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

pub use filter::FilterCommand;
pub use settings::{EdgeError, EdgeSettings, SozuOrigin};
pub use source::Origin;

use super::metrics::Metrics;
use super::plan::{Options, Planner, PortKind};
use super::sockets::{self, Holder, Sockets};
use super::sozu::{self, AccessLog, Item, Maker, Silence, Sozu, Wire};
use super::{health, traffic};
use crate::listen::listen;
use crate::snapshot::publish::Publisher;
use crate::snapshot::wire::{Ack, Refusal, Stamp};
use crate::stop::told_to_end;
use news::Obsolete;
use source::{Source, State};

/// Name of the unix socket in an edge's directory on which it answers as on its health port.
pub const PAGES: &str = "pages.sock";
/// The filter has this long to take an update before Sōzu is told.
const FILTER_FIRST: Duration = Duration::from_secs(1);
/// A control plane has this long to say what is newest before a running Sōzu is compared with the copy on disk. Requests that
/// the filter decides wait meanwhile.
const HEARD_FIRST: Duration = Duration::from_secs(2);
/// How often the process is looked at, so that a worker that restarted gets its order back.
const LOOK: Duration = Duration::from_secs(1);
/// Under unceasing changes Sōzu is asked this often what it holds.
const AUDIT: Duration = Duration::from_secs(30);
/// How often a port that somebody else holds is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// First and longest wait after a failed apply.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// An adopted Sōzu is ended by its launcher, which may take so much longer than requests in flight may.
const LAUNCHER: Duration = Duration::from_secs(8);
/// Frontends up to this many tell clients at the end to come by another connection: a larger change would hold up requests.
const TOLD: usize = 5_000;

/// Runs an edge until it is told to end (SIGTERM, SIGINT, or the end of a piped standard input: its parent is gone), then
/// lets requests in flight end.
///
/// # Errors
/// When it cannot start.
pub async fn run(settings: EdgeSettings) -> Result<(), EdgeError> {
    let dir = &settings.runtime_dir;
    private_directory(dir).map_err(|source| EdgeError::File { path: dir.clone(), source })?;
    let filter_snapshot = dir.join("filter.sock");
    let report = dir.join("report.sock");
    let holder = match &settings.sozu {
        SozuOrigin::Spawn { .. } => Holder::Here(Sockets::open(dir).map_err(|(path, source)| EdgeError::File { path, source })?),
        SozuOrigin::Adopt(_) => Holder::Launcher(settings.sozu.dir(dir).to_owned()),
    };
    let pages = bind(&dir.join(PAGES))?;
    let publisher = Publisher::new(0);
    let (server, socket) = (publisher.clone(), bind(&filter_snapshot)?);
    let serving = tokio::spawn(async move { match server.serve(socket).await {} });
    let metrics = Metrics::new(&settings.name, &publisher, (report.clone(), settings.sozu.command_socket(dir)));
    let [hop, relay] = sockets::paths(settings.sozu.dir(dir));
    let paths = filter::Paths { snapshot: filter_snapshot, report, hop: hop.clone() };
    let filter = filter::keep(settings.keeping(), holder, paths, &metrics);
    let port = watch::Sender::new(None);
    let health = health(settings.health, pages, &metrics).await?;
    let mut stop = std::pin::pin!(told_to_end().map_err(EdgeError::Signals)?);
    let wire = Wire { address: settings.address, hop, relay, silence: Silence::default() };
    let sozu = tokio::select! {
        sozu = start(&settings, wire) => sozu?,
        reason = &mut stop => {
            tracing::info!(edge = settings.name, reason, "ending before Sōzu is up");
            return Ok(());
        }
    };
    tracing::info!(edge = settings.name, pid = sozu.pid(), "Sōzu is up");
    let probing = tokio::spawn(probing::probe(settings.sozu.command_socket(dir), settings.capacity.connections_per_address, metrics.clone()));
    let (source, states) = Source::follow(settings.snapshot.clone(), &metrics);
    let counting = tokio::spawn(traffic::follow(AccessLog::of(settings.sozu.dir(dir)), metrics.native.clone(), port.subscribe()));
    let mut edge = Edge {
        planner: Planner::new(Options { force_hop: settings.force_hop, force_relay: settings.force_relay }),
        publisher,
        sozu,
        acks: source.acks(),
        serving: metrics.serving.clone(),
        ending: false,
        metrics,
        port,
        applied: None,
        closed: Vec::new(),
        obsolete: Obsolete::default(),
        stamp: Stamp::default(),
        changed: Instant::now(),
        audited: Instant::now(),
    };
    let told = async {
        let reason = stop.await;
        tracing::info!(edge = settings.name, reason, "ending");
    };
    edge.hear_first().await;
    edge.follow(states.clone(), told).await;
    edge.end(states, (&settings, filter), (&source, &probing)).await;
    for task in [serving, counting].into_iter().chain(health) {
        task.abort();
    }
    Ok(())
}

/// Opens the health port, and its like for this machine.
async fn health(address: Option<SocketAddr>, pages: UnixListener, metrics: &Metrics) -> Result<Vec<JoinHandle<()>>, EdgeError> {
    let local = metrics.clone();
    let mut tasks = vec![tokio::spawn(async move { match health::serve(pages, local).await {} })];
    if let Some(address) = address {
        let listener = listen(address).map_err(|source| EdgeError::Health { address, source })?;
        let metrics = metrics.clone();
        tasks.push(tokio::spawn(async move { match health::serve(listener, metrics).await {} }));
    }
    Ok(tasks)
}

/// A Sōzu: an empty one made, or one adopted as soon as it is there.
async fn start(settings: &EdgeSettings, wire: Wire) -> Result<Sozu, sozu::Error> {
    match &settings.sozu {
        SozuOrigin::Spawn { program, log_level } => Sozu::start(Maker::Spawn(settings.spawn(program, log_level)), wire).await,
        SozuOrigin::Adopt(socket) => loop {
            match Sozu::start(Maker::Adopt(socket.clone()), wire.clone()).await {
                Ok(sozu) => return Ok(sozu),
                Err(error) => tracing::warn!(%error, socket = %socket.display(), "waiting for Sōzu"),
            }
        },
    }
}

struct Edge {
    planner: Planner,
    publisher: Publisher,
    sozu: Sozu,
    acks: watch::Sender<Option<Ack>>,
    /// Whether something was applied, and the end was not asked for.
    serving: watch::Sender<bool>,
    /// Whether the end was asked for.
    ending: bool,
    /// What is told of it.
    metrics: Metrics,
    /// A port on which Sōzu speaks HTTP.
    port: watch::Sender<Option<SocketAddr>>,
    /// What Sōzu holds: the filter's stamp that goes with it, and Sōzu's refusals.
    applied: Option<(Stamp, Vec<Refusal>)>,
    /// What the control plane sent and this version does not understand.
    closed: Vec<Refusal>,
    /// The control plane's stamp of what Sōzu holds.
    stamp: Stamp,
    /// Certificates that the filter may no longer need.
    obsolete: Obsolete,
    /// When it last got something new.
    changed: Instant,
    /// When it was last asked what it holds.
    audited: Instant,
}

impl Edge {
    /// Before a Sōzu that serves already is compared with the copy on disk, which may be older than what it holds, the control
    /// plane is heard.
    async fn hear_first(&self) {
        if self.sozu.is_stranger() {
            let mut connected = self.metrics.connected.subscribe();
            let heard = timeout(HEARD_FIRST, connected.wait_for(|connected| *connected)).await;
            tracing::debug!(heard = heard.is_ok(), "taking over a running Sōzu");
        }
    }

    /// Follows the newest state until `end`. What is being applied then is applied to its end: a command whose answer nobody
    /// waits for spoils the connection, and a Sōzu that cannot be spoken to is started over.
    async fn follow(&mut self, mut states: watch::Receiver<Option<State>>, end: impl Future<Output = ()>) {
        tokio::pin!(end);
        let mut filter_acks = self.publisher.acks();
        let mut look = interval(LOOK);
        let mut retry = interval(RETRY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failed: Option<(Instant, Duration)> = None;
        loop {
            let again = failed.map_or_else(|| Instant::now() + LOOK, |(at, _)| at);
            let apply = tokio::select! {
                biased;
                () = &mut end => return,
                () = self.sozu.ended(), if self.ending || (failed.is_none() && self.applied.is_some()) => {
                    self.fell_out_of_step();
                    // At the end its launcher ends too, and makes no other.
                    if self.ending { return } else { true }
                }
                changed = states.changed() => match changed {
                    Ok(()) => true,
                    Err(_) => return,
                },
                _ = filter_acks.changed() => {
                    self.acknowledge();
                    false
                }
                () = sleep_until(again), if failed.is_some() => true,
                _ = look.tick(), if failed.is_none() => {
                    self.audit().await;
                    true
                }
                _ = retry.tick() => {
                    self.retry().await;
                    false
                }
            };
            if !apply {
                continue;
            }
            let state = states.borrow_and_update().clone();
            failed = match self.apply(state).await {
                Ok(()) => None,
                Err(error) => {
                    self.fell_out_of_step();
                    let wait = failed.map_or(BACKOFF.0, |(_, wait)| (wait * 2).min(BACKOFF.1));
                    tracing::error!(%error, ?wait, "Sōzu is not in step; trying again");
                    Some((Instant::now() + wait, wait))
                }
            };
        }
    }

    fn fell_out_of_step(&self) {
        self.metrics.standing.send_modify(|standing| {
            standing.out_of_step.get_or_insert_with(Instant::now);
        });
    }

    /// Serves on for a while, no longer ready. Then no new connection is taken, clients of kept ones are told to come by another
    /// one, and requests, streams and tunnels in flight may end. Sōzu ends before the filter proxy, which may have to answer what
    /// comes by it.
    async fn end(
        mut self,
        states: watch::Receiver<Option<State>>,
        (settings, filter): (&EdgeSettings, filter::Kept),
        (source, probing): (&Source, &JoinHandle<()>),
    ) {
        let serving = std::mem::replace(&mut self.serving, watch::Sender::new(false));
        serving.send_replace(false);
        self.ending = true;
        self.follow(states, sleep(settings.linger)).await;
        // What is drained changes no more: nobody is to wait for its acks.
        source.stop();
        // Its ports close, which is no sign of a hang.
        probing.abort();
        let parting = filter.part();
        let target = self.planner.target();
        if target.frontends() <= TOLD
            && let Err(error) = self.sozu.apply(&target.closing()).await
        {
            tracing::warn!(%error, "clients of kept connections are not told that they end");
        }
        match settings.sozu {
            SozuOrigin::Spawn { .. } => self.sozu.stop(settings.drain).await,
            SozuOrigin::Adopt(_) if timeout(settings.drain + LAUNCHER, self.sozu.ended()).await.is_err() => {
                tracing::warn!("the adopted Sōzu outlives its edge");
            }
            SozuOrigin::Adopt(_) => {}
        }
        parting.stop().await;
    }

    /// Brings filter and Sōzu to a state; without a newer one, sees to it that Sōzu still holds the last.
    async fn apply(&mut self, state: Option<State>) -> Result<(), sozu::Error> {
        let Some(State { stamp, snapshot, refused: closed, came }) = state else { return Ok(()) };
        self.metrics.standing.send_modify(|standing| standing.newest = Some((stamp, came)));
        let delta = self.planner.snapshot().diff(&snapshot);
        let news = self.applied.is_none() || stamp != self.stamp;
        let mut filter_stamp = self.publisher.current().0;
        if !delta.is_empty() {
            let news = self.obsolete.news(&mut self.planner, &delta, snapshot);
            filter_stamp = self.publisher.publish(&news);
            let mut acks = self.publisher.acks();
            let taken = timeout(FILTER_FIRST, acks.wait_for(|ack| ack.as_ref().is_some_and(|ack| ack.stamp >= filter_stamp))).await;
            if taken.is_err() {
                tracing::warn!("the filter proxy has not taken the update yet");
            }
        }
        if news {
            self.changed = Instant::now();
        }
        let refused = self.sozu.apply(self.planner.target()).await?;
        self.look_at_sozu();
        let due = self.obsolete.due(&self.planner);
        if !due.is_empty() {
            self.publisher.publish(&due);
        }
        self.metrics.standing.send_modify(|standing| standing.out_of_step = None);
        let before = self.applied.replace((filter_stamp, refused));
        self.stamp = stamp;
        self.closed = closed;
        if news || before != self.applied {
            self.acknowledge();
        }
        Ok(())
    }

    /// Has Sōzu say what it holds, once changes have ceased, or have gone on for long.
    async fn audit(&mut self) {
        if self.changed.elapsed() < LOOK && self.audited.elapsed() < AUDIT {
            return;
        }
        self.audited = Instant::now();
        if let Err(error) = self.sozu.audit(self.planner.target()).await {
            tracing::warn!(%error, "Sōzu cannot be audited");
        }
    }

    async fn retry(&mut self) {
        match self.sozu.retry().await {
            Ok(false) => {}
            Ok(true) => {
                self.look_at_sozu();
                let refused = self.sozu.shadow().refusals();
                if let Some(applied) = &mut self.applied
                    && applied.1 != refused
                {
                    applied.1 = refused;
                    self.acknowledge();
                }
            }
            Err(error) => tracing::warn!(%error, "cannot try again"),
        }
    }

    /// Notes how Sōzu stands.
    fn look_at_sozu(&self) {
        let refused = self.sozu.shadow().refused().keys().filter(|item| matches!(item, Item::Bound(_) | Item::Listener(_))).count();
        let target = self.planner.target();
        self.metrics.standing.send_modify(|standing| {
            standing.sozu_starts = self.sozu.starts();
            standing.sozu_workers = self.sozu.workers().len();
            standing.sozu_pid = self.sozu.pid();
            standing.listeners = (target.bound().count().saturating_sub(refused), refused);
        });
        let plain = target.bound().find(|port| port.kind == PortKind::Http);
        self.port.send_replace(plain.map(|port| self.sozu.shadow().address(port)));
    }

    /// Acknowledges what both stages hold; nothing while the filter is behind.
    fn acknowledge(&self) {
        let Some((filter_stamp, refused)) = &self.applied else { return };
        let acks = self.publisher.acks();
        let taken = acks.borrow().clone();
        let Some(filter) = taken.filter(|ack| ack.stamp >= *filter_stamp) else { return };
        let mut refused = refused.clone();
        for refusal in filter.refused.into_iter().chain(self.closed.iter().cloned()) {
            if refused.iter().all(|known| known.key != refusal.key) {
                refused.push(refusal);
            }
        }
        refused.sort_by(|a, b| a.key.cmp(&b.key));
        self.serving.send_replace(true);
        self.metrics.standing.send_modify(|standing| {
            standing.refused = refused.len();
            if standing.held.replace(self.stamp) != Some(self.stamp)
                && let Some((newest, came)) = standing.newest
                && newest == self.stamp
            {
                self.metrics.apply.add(came.elapsed());
            }
        });
        self.acks.send_replace(Some(Ack { stamp: self.stamp, refused }));
    }
}

/// A listening unix socket of our own.
fn bind(path: &Path) -> Result<UnixListener, EdgeError> {
    sockets::bind(path).and_then(UnixListener::from_std).map_err(|source| EdgeError::File { path: path.to_owned(), source })
}

/// Makes a directory that only this user can enter.
///
/// # Errors
/// When it cannot be made, or is there and others can enter it.
pub fn private_directory(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let mode = std::fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(std::io::Error::other("the runtime directory can be entered by others: its mode must be 0700"));
    }
    Ok(())
}
