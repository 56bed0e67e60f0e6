//! One of an edge's Sōzus, kept in step by a task of its own: while one is away, changes reach the other.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use crate::edge::plan::{PortKind, Target};
use crate::edge::sozu::{Error, Item, Kin, Maker, Sozu, Wire};
use crate::snapshot::wire::Refusal;
use crate::trouble::Trouble;

/// How often the process is looked at, so that a worker that restarted gets its order back.
const LOOK: Duration = Duration::from_secs(1);
/// Under unceasing changes Sōzu is asked this often what it holds.
const AUDIT: Duration = Duration::from_secs(30);
/// How often a port that another process holds is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// First and longest wait after a failed apply.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// An adopted Sōzu is ended by its launcher, which may take so much longer than requests in flight may.
const LAUNCHER: Duration = Duration::from_secs(8);

/// What twins are to hold.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Which target this is; 0 is none yet.
    pub number: u64,
    pub target: Target,
    /// When the control plane's last change came.
    pub changed: Instant,
    pub phase: Phase,
}

/// How far the end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It serves.
    Serve,
    /// It serves on for a while; a Sōzu that ends is not replaced.
    Linger,
    /// Its ports close, and what is in flight may take so long. `told` is whether clients can be told by the target.
    Close { told: bool, drain: Duration },
}

/// How a twin stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Stand {
    /// It was reached.
    pub up: bool,
    /// It ran before we came, and what it holds was not looked at yet.
    pub stranger: bool,
    /// Number of the target that it holds.
    pub held: u64,
    /// What it refuses of that.
    pub refused: Vec<Refusal>,
    /// Its ports: bound, and refused.
    pub listeners: (usize, usize),
    /// Addresses of those that are bound.
    pub bound: Vec<SocketAddr>,
    /// A port on which it speaks HTTP.
    pub port: Option<SocketAddr>,
    /// Where it reads what clients send.
    pub read_ports: Vec<SocketAddr>,
    /// Processes that were started or adopted.
    pub starts: u64,
    /// Running workers.
    pub workers: usize,
    /// The main process and its workers, as far as they can be seen.
    pub pids: Vec<u32>,
    /// Since when it is away or not what it should be.
    pub out_of_step: Option<Instant>,
}

/// A twin and its task.
pub(super) struct Twin {
    pub name: &'static str,
    pub stand: watch::Receiver<Stand>,
    /// Whether its process is being replaced.
    pub away: watch::Receiver<bool>,
    pub pid: watch::Receiver<Option<i32>>,
    pub task: JoinHandle<()>,
}

impl Twin {
    /// Whether it is to be waited for.
    pub(super) fn is_up(&self) -> bool {
        !*self.away.borrow() && self.stand.borrow().out_of_step.is_none()
    }

    /// Waits until it stands differently.
    pub(super) async fn changed(&mut self) {
        let ended = tokio::select! {
            changed = self.stand.changed() => changed.is_err(),
            changed = self.away.changed() => changed.is_err(),
        };
        if ended {
            std::future::pending().await
        }
    }
}

/// Keeps a twin: one that was started already, or one that is adopted as soon as it is there.
pub(super) fn keep(edge: &str, started: Result<Sozu, Maker>, (wire, kin): (Wire, Kin), wanted: watch::Receiver<Wanted>) -> Twin {
    let first = Stand { out_of_step: started.is_err().then(Instant::now), ..Stand::default() };
    let (stand, stands) = watch::channel(first);
    let (pid, pids) = watch::channel(None);
    let (name, away) = (kin.name(), kin.away());
    let keeper = Keeper { edge: edge.to_owned(), name, wanted, stand, pid, audited: Instant::now() };
    let task = tokio::spawn(keeper.run(started, wire, kin));
    Twin { name, stand: stands, away, pid: pids, task }
}

struct Keeper {
    /// Name of the edge, for logs.
    edge: String,
    name: &'static str,
    wanted: watch::Receiver<Wanted>,
    stand: watch::Sender<Stand>,
    pid: watch::Sender<Option<i32>>,
    /// When it was last asked what it holds.
    audited: Instant,
}

impl Keeper {
    async fn run(mut self, started: Result<Sozu, Maker>, wire: Wire, kin: Kin) {
        let mut closing = self.wanted.clone();
        let mut sozu = match started {
            Ok(sozu) => sozu,
            Err(maker) => tokio::select! {
                sozu = adopt(maker, wire, kin) => sozu,
                _ = closing.wait_for(|wanted| wanted.phase != Phase::Serve) => return,
            },
        };
        tracing::info!(edge = self.edge, sozu = self.name, pid = sozu.pid(), "Sōzu is up");
        self.stand.send_modify(|stand| (stand.up, stand.stranger, stand.out_of_step) = (true, sozu.is_stranger(), None));
        self.note(&sozu);
        if let Some((told, drain)) = self.follow(&mut sozu).await {
            self.close(sozu, told, drain).await;
        }
    }

    /// Follows the newest target until the end; how that is to go, unless Sōzu is gone by then. What is being applied then is
    /// applied to its end: a command whose answer is not waited for spoils the connection, and a Sōzu that cannot be spoken to is
    /// started over.
    async fn follow(&mut self, sozu: &mut Sozu) -> Option<(bool, Duration)> {
        let mut look = interval(LOOK);
        let mut retry = interval(RETRY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failed: Option<(Instant, Duration)> = None;
        let (mut lingers, mut trouble) = (false, Trouble::default());
        loop {
            let again = failed.map_or_else(|| Instant::now() + LOOK, |(at, _)| at);
            let apply = tokio::select! {
                biased;
                changed = self.wanted.changed() => {
                    changed.ok()?;
                    match self.wanted.borrow().phase {
                        Phase::Close { told, drain } => return Some((told, drain)),
                        phase => lingers = phase == Phase::Linger,
                    }
                    true
                }
                () = sozu.ended(), if lingers || (failed.is_none() && self.stand.borrow().held > 0) => {
                    self.fell_out_of_step();
                    if !lingers && trouble.begins("gone") {
                        tracing::warn!(edge = self.edge, sozu = self.name, "Sōzu is gone; waiting for the next");
                    }
                    // At the end its launcher ends too, and makes no other.
                    if lingers { return None } else { true }
                }
                () = sleep_until(again), if failed.is_some() => true,
                _ = look.tick(), if failed.is_none() => {
                    self.audit(sozu).await;
                    true
                }
                _ = retry.tick() => {
                    self.retry(sozu).await;
                    false
                }
            };
            if apply {
                failed = self.apply(sozu).await.err().map(|error| {
                    self.fell_out_of_step();
                    let wait = failed.map_or(BACKOFF.0, |(_, wait)| (wait * 2).min(BACKOFF.1));
                    if trouble.begins(&error) {
                        tracing::error!(edge = self.edge, sozu = self.name, %error, "Sōzu is not in step; tried again");
                    }
                    (Instant::now() + wait, wait)
                });
                if failed.is_none() && trouble.ends() {
                    tracing::info!(edge = self.edge, sozu = self.name, pid = sozu.pid(), "Sōzu is in step again");
                }
            }
        }
    }

    fn fell_out_of_step(&self) {
        self.pid.send_replace(None);
        self.stand.send_modify(|stand| {
            stand.out_of_step.get_or_insert_with(Instant::now);
        });
    }

    /// Brings it to the newest target; without a newer one, sees to it that it still holds the last.
    async fn apply(&mut self, sozu: &mut Sozu) -> Result<(), Error> {
        let Wanted { number, target, .. } = self.wanted.borrow_and_update().clone();
        if number == 0 {
            return Ok(());
        }
        let refused = sozu.apply(&target).await?;
        self.stand.send_if_modified(|stand| {
            let before = stand.clone();
            (stand.held, stand.refused, stand.out_of_step, stand.stranger) = (number, refused, None, false);
            *stand != before
        });
        self.note(sozu);
        Ok(())
    }

    /// Has Sōzu say what it holds, once changes have ceased, or have gone on for long.
    async fn audit(&mut self, sozu: &mut Sozu) {
        let Wanted { number, target, changed, .. } = self.wanted.borrow().clone();
        if number == 0 || (changed.elapsed() < LOOK && self.audited.elapsed() < AUDIT) {
            return;
        }
        self.audited = Instant::now();
        if let Err(error) = sozu.audit(&target).await {
            tracing::warn!(edge = self.edge, sozu = self.name, %error, "Sōzu does not say what it holds");
        }
    }

    async fn retry(&self, sozu: &mut Sozu) {
        match sozu.retry().await {
            Ok(false) => {}
            Ok(true) => {
                self.stand.send_if_modified(|stand| {
                    let refused = sozu.shadow().refusals();
                    let differs = stand.refused != refused;
                    stand.refused = refused;
                    differs
                });
                self.note(sozu);
            }
            Err(error) => tracing::debug!(edge = self.edge, sozu = self.name, %error, "cannot try again"),
        }
    }

    /// Notes how Sōzu stands.
    fn note(&self, sozu: &Sozu) {
        let (target, shadow) = (sozu.shadow().applied(), sozu.shadow());
        let refused = shadow.refused().keys().filter(|item| matches!(item, Item::Bound(_) | Item::Listener(_))).count();
        let plain = target.bound().find(|port| port.kind == PortKind::Http);
        self.stand.send_if_modified(|stand| {
            let before = stand.clone();
            stand.listeners = (target.bound().count().saturating_sub(refused), refused);
            stand.port = plain.map(|port| shadow.address(port));
            stand.bound = shadow.addresses();
            stand.read_ports = shadow.read_ports();
            stand.starts = sozu.starts();
            stand.workers = sozu.workers().len();
            let workers = sozu.workers().iter().filter_map(|pid| u32::try_from(*pid).ok());
            stand.pids = sozu.pid().into_iter().chain(workers).collect();
            *stand != before
        });
        self.pid.send_replace(sozu.pid().and_then(|pid| i32::try_from(pid).ok()));
    }

    /// Has it end: clients of kept connections are told to come by another one, no new one is taken, and what is in flight may end.
    async fn close(self, mut sozu: Sozu, told: bool, drain: Duration) {
        let target = self.wanted.borrow().target.clone();
        if told && let Err(error) = sozu.close(&target).await {
            // A launcher that ended first has told them.
            tracing::debug!(edge = self.edge, sozu = self.name, %error, "clients of kept connections are not told that they end");
        }
        if sozu.pid().is_some() {
            sozu.stop(drain).await;
        } else if timeout(drain + LAUNCHER, sozu.ended()).await.is_err() {
            tracing::warn!(edge = self.edge, sozu = self.name, "the adopted Sōzu outlives its edge");
        }
    }
}

/// A Sōzu that is adopted as soon as it is there.
async fn adopt(maker: Maker, wire: Wire, kin: Kin) -> Sozu {
    let mut trouble = Trouble::default();
    loop {
        match Sozu::start(maker.clone(), wire.clone(), kin.clone()).await {
            Ok(sozu) => return sozu,
            Err(error) if trouble.begins(&error) => tracing::warn!(sozu = kin.name(), %error, "waiting for Sōzu"),
            Err(error) => tracing::debug!(sozu = kin.name(), %error, "waiting for Sōzu"),
        }
        sleep(BACKOFF.0).await;
    }
}
