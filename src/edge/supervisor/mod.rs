//! One edge: follows the control plane's snapshot, keeps a filter proxy and its Sōzus in step with it, and acknowledges.
//!
//! An update goes to the filter first and to each Sōzu when the filter has it, so that a request which Sōzu sends through the
//! hop is decided by rules at least as new as Sōzu's. While one update is applied, later ones gather.

mod filter;
mod news;
mod probing;
mod settings;
mod source;
mod starting;
mod telling;
mod twin;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::{join_all, select_all};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

pub use filter::FilterCommand;
pub use settings::{EdgeError, EdgeSettings, SozuOrigin};
pub use source::Origin;
pub use starting::private_directory;

use super::health;
use super::metrics::{Metrics, Paths};
use super::plan::{Options, Planner, Target};
use super::sockets;
use super::sozu::{self, Silence, Watched, Wire};
use super::traffic::{Followers, Native};
use crate::snapshot::publish::Publisher;
use crate::snapshot::wire::{Ack, Refusal, Stamp};
use crate::stop::told_to_end;
use news::Obsolete;
use source::{Source, State};
use starting::{bind, hear_first, hold, start};
use telling::Telling;
use twin::{Phase, Twin, Wanted};

/// Name of the unix socket in an edge's directory on which it answers as on its health port.
pub const PAGES: &str = "pages.sock";
/// The filter has this long to take an update before Sōzu is told.
const FILTER_FIRST: Duration = Duration::from_secs(1);
/// How often is looked whether the filter may forget something.
const LOOK: Duration = Duration::from_secs(1);
/// The next update waits so long for a Sōzu that has not taken the one before: it may hang.
const GATHER: Duration = Duration::from_secs(2);
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
    let holder = hold(&settings)?;
    let pages = bind(&dir.join(PAGES))?;
    let publisher = Publisher::new(0);
    let (server, socket) = (publisher.clone(), bind(&filter_snapshot)?);
    let serving = tokio::spawn(async move { match server.serve(socket).await {} });
    let commands = settings.sozu_dirs().map(|dir| dir.join(sozu::COMMAND_SOCKET)).collect();
    let native = Arc::new(Native::logging(settings.access_log.clone()));
    let metrics = Metrics::new((&settings.name, native), &publisher, Paths { report: report.clone(), commands });
    let [hop, relay] = sockets::paths(settings.sozu.dir(dir));
    let paths = filter::Paths { snapshot: filter_snapshot, report, hop: hop.clone() };
    let filter = filter::keep(settings.keeping(), holder, paths, &metrics);
    let health = health::open(settings.health, pages, &metrics).map_err(|(address, source)| EdgeError::Health { address, source })?;
    let mut stop = std::pin::pin!(told_to_end().map_err(EdgeError::Signals)?);
    let wire = Wire { address: settings.address, hop, relay, silence: Silence::default() };
    let wanted = watch::Sender::new(Wanted { number: 0, target: Target::default(), changed: Instant::now(), phase: Phase::Serve });
    let twins = tokio::select! {
        twins = start(&settings, wire, &wanted) => twins?,
        reason = &mut stop => {
            tracing::info!(edge = settings.name, reason, "ending before Sōzu is up");
            return Ok(());
        }
    };
    let watched = metrics.commands().iter().zip(&twins);
    let watched = watched.map(|(command, twin)| Watched { command: command.clone(), main: twin.pid.clone() }).collect();
    let (port, read_ports) = (watch::Sender::new(None), watch::Sender::default());
    let guarded = (read_ports.subscribe(), settings.capacity.connections_per_address);
    let probing = tokio::spawn(probing::probe(watched, guarded, metrics.clone()));
    let counting = Followers::start(settings.sozu_dirs(), &metrics.native, &port);
    let (source, states) = Source::follow(settings.snapshot.clone(), &metrics);
    hear_first(&metrics, &twins).await;
    let mut edge = Edge {
        planner: Planner::new(Options { force_hop: settings.force_hop, force_relay: settings.force_relay }),
        publisher,
        twins,
        wanted,
        acks: source.acks(),
        serving: metrics.serving.clone(),
        metrics,
        port,
        read_ports,
        sent: None,
        obsolete: Obsolete::default(),
        telling: Telling::new(&settings.name),
    };
    let told = async {
        let reason = stop.await;
        tracing::info!(edge = settings.name, reason, "ending");
    };
    edge.follow(states.clone(), told).await;
    edge.end(states, (&settings, filter), (&source, &probing)).await;
    counting.finish().await;
    [serving].into_iter().chain(health).for_each(|task| task.abort());
    Ok(())
}

/// Waits until a twin stands differently.
async fn changed(twins: &mut [Twin]) {
    select_all(twins.iter_mut().map(|twin| Box::pin(twin.changed()))).await;
}

struct Edge {
    planner: Planner,
    publisher: Publisher,
    twins: Vec<Twin>,
    /// What the twins are to hold.
    wanted: watch::Sender<Wanted>,
    acks: watch::Sender<Option<Ack>>,
    /// Whether something was applied, and the end was not asked for.
    serving: watch::Sender<bool>,
    /// What is told of it.
    metrics: Metrics,
    /// A port on which Sōzu speaks HTTP.
    port: watch::Sender<Option<SocketAddr>>,
    /// Where Sōzu reads what clients send.
    read_ports: watch::Sender<BTreeSet<SocketAddr>>,
    /// What the twins were told last.
    sent: Option<Sent>,
    /// Certificates that the filter may no longer need.
    obsolete: Obsolete,
    /// Log lines about what was applied.
    telling: Telling,
}

/// A change that was sent to the twins.
struct Sent {
    /// The control plane's stamp of it.
    stamp: Stamp,
    /// The filter's stamp that goes with it.
    filter: Stamp,
    /// What the control plane sent and this version does not understand.
    closed: Vec<Refusal>,
    at: Instant,
}

impl Edge {
    /// Follows the newest state until `end`, or until no Sōzu is left.
    async fn follow(&mut self, mut states: watch::Receiver<Option<State>>, end: impl Future<Output = ()>) {
        tokio::pin!(end);
        let mut filter_acks = self.publisher.acks();
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.note();
        loop {
            let gathers = self.sent.as_ref().map(|sent| sent.at + GATHER).filter(|until| *until > Instant::now() && !self.is_held());
            tokio::select! {
                biased;
                () = &mut end => return,
                changed = states.changed(), if gathers.is_none() => {
                    if changed.is_err() {
                        return;
                    }
                    let state = states.borrow_and_update().clone();
                    self.apply(state).await;
                }
                _ = filter_acks.changed() => self.acknowledge(),
                () = changed(&mut self.twins) => {
                    self.note();
                    self.acknowledge();
                    if self.twins.iter().all(|twin| twin.task.is_finished()) {
                        return;
                    }
                }
                () = sleep_until(gathers.unwrap_or_else(Instant::now)), if gathers.is_some() => {}
                _ = look.tick() => {
                    self.telling.rest(|| bound(&self.twins));
                    self.forget();
                }
            }
        }
    }

    /// Whether every twin that is up holds what was sent last, and one is.
    fn is_held(&self) -> bool {
        let number = self.wanted.borrow().number;
        let mut up = self.twins.iter().filter(|twin| twin.is_up()).peekable();
        up.peek().is_some() && up.all(|twin| twin.stand.borrow().held == number)
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
        self.wanted.send_modify(|wanted| wanted.phase = Phase::Linger);
        self.follow(states, sleep(settings.linger)).await;
        // What is drained changes no more: nobody is to wait for its acks.
        source.stop();
        // Its ports close, which is no sign of a hang.
        probing.abort();
        let parting = filter.part();
        let target = self.planner.target();
        let told = target.frontends() <= TOLD;
        let closing = told.then(|| target.closing());
        self.wanted.send_modify(|wanted| {
            wanted.target = closing.unwrap_or_default();
            wanted.phase = Phase::Close { told, drain: settings.drain };
        });
        for ended in join_all(self.twins.into_iter().map(|twin| twin.task)).await {
            if let Err(error) = ended {
                tracing::warn!(%error, "Sōzu's keeper ended badly");
            }
        }
        parting.stop().await;
    }

    /// Sends a state to the filter, and what follows from it to the twins.
    async fn apply(&mut self, state: Option<State>) {
        let Some(State { stamp, snapshot, refused: closed, came }) = state else { return };
        self.metrics.standing.send_modify(|standing| standing.newest = Some((stamp, came)));
        let delta = self.planner.snapshot().diff(&snapshot);
        let mut filter = self.publisher.current().0;
        if !delta.is_empty() {
            let news = self.obsolete.news(&mut self.planner, &delta, snapshot);
            filter = self.publisher.publish(&news);
            let mut acks = self.publisher.acks();
            let taken = timeout(FILTER_FIRST, acks.wait_for(|ack| ack.as_ref().is_some_and(|ack| ack.stamp >= filter))).await;
            self.telling.filter(taken.is_ok());
        }
        self.sent = Some(Sent { stamp, filter, closed, at: Instant::now() });
        self.wanted.send_modify(|wanted| {
            wanted.number += 1;
            wanted.target = self.planner.target().clone();
            wanted.changed = Instant::now();
        });
        self.acknowledge();
    }

    /// Takes from the filter what no Sōzu needs it for any more.
    fn forget(&mut self) {
        if self.is_held() {
            let due = self.obsolete.due(&self.planner);
            if !due.is_empty() {
                self.publisher.publish(&due);
            }
        }
    }

    /// Notes how the twins stand.
    fn note(&self) {
        let stands: Vec<_> = self.twins.iter().map(|twin| (twin.name, twin.stand.borrow().clone(), *twin.away.borrow())).collect();
        let port = stands.iter().filter(|(.., away)| !away).find_map(|(_, stand, _)| stand.port);
        self.port.send_if_modified(|before| std::mem::replace(before, port) != port);
        self.read_ports.send_replace(stands.iter().flat_map(|(_, stand, _)| stand.read_ports.iter().copied()).collect());
        let pids = stands.iter().map(|(name, stand, _)| (*name, stand.pids.clone()));
        self.metrics.pids.send_modify(|all| all.sozus = pids.collect());
        self.metrics.standing.send_modify(|standing| {
            standing.sozu_starts = stands.iter().map(|(_, stand, _)| stand.starts).sum();
            standing.sozu_workers =
                stands.iter().filter(|(_, stand, away)| stand.out_of_step.is_none() && !away).map(|(_, stand, _)| stand.workers).sum();
            let refused = stands.iter().map(|(_, stand, _)| stand.listeners.1).max().unwrap_or_default();
            let all = stands.iter().map(|(_, stand, _)| stand.listeners.0 + stand.listeners.1).max().unwrap_or_default();
            standing.listeners = (all.saturating_sub(refused), refused);
            standing.twins = stands.iter().map(|(name, stand, away)| (*name, stand.out_of_step.is_none() && !away)).collect();
            let out: Vec<Option<Instant>> = stands.iter().map(|(_, stand, _)| stand.out_of_step).collect();
            standing.out_of_step = if out.iter().all(Option::is_some) { out.into_iter().flatten().max() } else { None };
        });
    }

    /// Acknowledges what both stages hold; nothing while the filter or a Sōzu that is up is behind.
    fn acknowledge(&mut self) {
        let Some(Sent { stamp, filter: filter_stamp, closed, .. }) = self.sent.as_ref().filter(|_| self.is_held()) else { return };
        let acks = self.publisher.acks();
        let taken = acks.borrow().clone();
        let Some(filter) = taken.filter(|ack| ack.stamp >= *filter_stamp) else { return };
        let mut refused = BTreeMap::new();
        let of_twins = self.twins.iter().filter(|twin| twin.is_up()).flat_map(|twin| twin.stand.borrow().refused.clone());
        for refusal in of_twins.chain(filter.refused).chain(closed.iter().cloned()) {
            refused.entry(refusal.key.clone()).or_insert(refusal);
        }
        let refused: Vec<Refusal> = refused.into_values().collect();
        self.serving.send_replace(true);
        let mut took = None;
        self.metrics.standing.send_modify(|standing| {
            standing.refused = refused.len();
            if standing.held.replace(*stamp) != Some(*stamp)
                && let Some((newest, came)) = standing.newest
                && newest == *stamp
            {
                took = Some(came.elapsed());
            }
        });
        if let Some(took) = took {
            self.metrics.apply.add(took);
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.metrics.applied.store(now.as_secs(), Relaxed);
            self.telling.applied(telling::Applied { routes: self.planner.snapshot().routes(), refused: refused.len(), took });
            self.telling.rest(|| bound(&self.twins));
        }
        let before = self.acks.borrow().as_ref().is_none_or(|ack| ack.refused != refused).then(|| self.acks.borrow().clone());
        if let Some(before) = before {
            self.telling.refused(&before.map(|ack| ack.refused).unwrap_or_default(), &refused);
        }
        let ack = Some(Ack { stamp: *stamp, refused });
        self.acks.send_if_modified(|before| {
            *before != ack && {
                before.clone_from(&ack);
                true
            }
        });
    }
}

/// Where clients connect.
fn bound(twins: &[Twin]) -> BTreeSet<SocketAddr> {
    twins.iter().flat_map(|twin| twin.stand.borrow().bound.clone()).collect()
}
