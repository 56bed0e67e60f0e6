//! The filter proxy as a child that inherits its listening sockets.
//!
//! The sockets outlive it, so connections queue while a dead child is replaced.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::edge::budget::FilterBudget;
use crate::edge::metrics::{Metrics, Pids};
use crate::edge::pulse::{FILTER, LOST, PROBE, Pulse};
use crate::edge::sockets::{Holder, Lease};
use crate::model::{
    ALLOCATOR, FILTER_CONNECTIONS, FILTER_CONNECTIONS_PER_ADDRESS, FILTER_DRAIN, FILTER_MEMORY, FILTER_SOZU_BUFFER, PROBE_PATH,
};
use crate::trouble::Trouble;

/// How to start the filter proxy. Four arguments follow: `--snapshot` and the path of the unix socket that serves its
/// snapshot, `--report` and the path of the one on which it tells what it counted. The listening sockets for requests and for
/// connections are file descriptors 3 and 4 (`LISTEN_FDS=2`), and standard input ends when the edge does.
#[derive(Clone, Debug)]
pub struct FilterCommand {
    /// The program.
    pub program: PathBuf,
    /// Its first arguments.
    pub args: Vec<String>,
}

/// Sockets that are not inherited.
pub(super) struct Paths {
    /// The one that serves its snapshot.
    pub snapshot: PathBuf,
    /// The one on which it is to tell what it counted.
    pub report: PathBuf,
    /// The one by which requests come.
    pub hop: PathBuf,
}

/// How the child is kept.
pub(super) struct Keeping {
    /// How to start it.
    pub command: FilterCommand,
    /// What it may hold.
    pub budget: FilterBudget,
    /// How long requests, streams and tunnels in flight may take at the end.
    pub drain: Duration,
}

/// The running child's keeper.
pub(super) struct Kept {
    end: watch::Sender<End>,
    task: JoinHandle<()>,
}

/// How far the end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// It serves.
    NotYet,
    /// It tells its clients, and takes what comes by connections that are open.
    Parting,
    /// Nothing comes any more.
    Now,
}

/// A child that lived this long is replaced at once when it dies.
const STABLE: Duration = Duration::from_secs(1);
/// First and longest wait before one that did not is replaced.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// Once nothing can come any more, it has this long to end.
const LAST: Duration = Duration::from_secs(1);

/// Keeps a filter proxy running.
pub(super) fn keep(keeping: Keeping, holder: Holder, paths: Paths, metrics: &Metrics) -> Kept {
    let (end, ends) = watch::channel(End::NotYet);
    let keeper = Keeper {
        keeping,
        holder,
        paths,
        starts: metrics.filter_starts.clone(),
        pulse: metrics.pulses.filter.clone(),
        pids: metrics.pids.clone(),
    };
    Kept { end, task: tokio::spawn(keeper.run(ends)) }
}

impl Kept {
    /// Has the child tell its clients that it ends. It serves on what comes by open connections.
    pub(super) fn part(self) -> Self {
        self.end.send_replace(End::Parting);
        self
    }

    /// Ends the child.
    pub(super) async fn stop(self) {
        self.end.send_replace(End::Now);
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the filter proxy's keeper ended badly");
        }
    }
}

/// What comes after a child.
enum After {
    /// Nothing: it is the end.
    Over,
    /// Another one, with these sockets where they are there already.
    Another(Option<Lease>),
}

struct Keeper {
    keeping: Keeping,
    holder: Holder,
    paths: Paths,
    starts: Arc<AtomicU64>,
    pulse: Arc<Pulse>,
    pids: watch::Sender<Pids>,
}

impl Keeper {
    async fn run(self, mut ends: watch::Receiver<End>) {
        let (mut wait, mut next, mut trouble) = (BACKOFF.0, None, Trouble::default());
        loop {
            let lease = match next.take() {
                Some(lease) => lease,
                None => tokio::select! {
                    lease = self.holder.lease() => lease,
                    () = reached(&mut ends, End::Now) => return,
                },
            };
            let since = Instant::now();
            match start(&self.keeping, &lease, &self.paths) {
                Ok(child) => {
                    if self.starts.fetch_add(1, Relaxed) > 0 || trouble.ends() {
                        tracing::info!(pid = child.id(), "the filter proxy is started again");
                    }
                    match self.serve(child, lease, &mut ends).await {
                        After::Over => return,
                        After::Another(lease) => next = lease,
                    }
                }
                Err(error) if trouble.begins(&error) => tracing::error!(%error, "the filter proxy cannot be started; tried again"),
                Err(error) => tracing::debug!(%error, "the filter proxy cannot be started"),
            }
            if since.elapsed() > STABLE || next.is_some() {
                wait = BACKOFF.0;
                continue;
            }
            tokio::select! {
                () = reached(&mut ends, End::Now) => return,
                () = sleep(wait) => wait = (wait * 2).min(BACKOFF.1),
            }
        }
    }

    /// Follows a child until it is gone.
    async fn serve(&self, mut child: Child, mut lease: Lease, ends: &mut watch::Receiver<End>) -> After {
        // Waiting would close it, and the child ends when its input does.
        let _input = child.stdin.take();
        let mut told = false;
        let pid = child.id();
        self.pids.send_modify(|pids| pids.filter = pid);
        let probed = probe(&self.paths.hop, pid, &self.pulse);
        let offered = lease.offer(&self.holder);
        tokio::pin!(probed, offered);
        loop {
            tokio::select! {
                never = &mut offered => match never {},
                () = reached(ends, if told { End::Now } else { End::Parting }) => {
                    if *ends.borrow() == End::Now {
                        end(child, LAST).await;
                        return After::Over;
                    }
                    told = true;
                    terminate(&child);
                }
                status = child.wait() => {
                    if told {
                        tracing::debug!("the filter proxy had nothing to do; the next one takes what Sōzu may still hand over");
                    } else {
                        tracing::error!(?status, "the filter proxy ended by itself");
                    }
                    return After::Another(None);
                }
                () = lease.lost() => {
                    tracing::warn!("the holder of the filter proxy's sockets is gone; waiting for the next one");
                    // Until it is there, this child takes what comes by those that we have.
                    let next = tokio::select! {
                        next = self.holder.lease() => next,
                        never = &mut offered => match never {},
                        () = reached(ends, End::Now) => {
                            end(child, LAST).await;
                            return After::Over;
                        }
                    };
                    if next.is_like(&lease) {
                        lease = next;
                        continue;
                    }
                    tracing::warn!("its sockets are others; starting the filter proxy over with them");
                    end(child, LAST).await;
                    return After::Another(Some(next));
                }
                () = &mut probed, if !told => {
                    end(child, Duration::ZERO).await;
                    self.pulse.renew();
                    return After::Another(None);
                }
            }
        }
    }
}

async fn reached(ends: &mut watch::Receiver<End>, end: End) {
    // Without a sender there is nobody to serve for.
    drop(ends.wait_for(|now| *now >= end).await);
}

/// Resolves when a child hangs.
async fn probe(hop: &Path, pid: Option<u32>, pulse: &Pulse) {
    let mut look = interval(PROBE);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        if pulse.note(answers(hop).await, FILTER) >= LOST {
            return tracing::error!(process = FILTER, pid, "hangs; killed, to be replaced");
        }
    }
}

/// Whether requests are answered that come by the socket for requests.
async fn answers(hop: &Path) -> bool {
    let asked = async {
        let mut stream = UnixStream::connect(hop).await?;
        stream.write_all(format!("GET {PROBE_PATH} HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n").as_bytes()).await?;
        stream.read(&mut [0; 64]).await
    };
    matches!(timeout(PROBE, asked).await, Ok(Ok(1..)))
}

fn start(keeping: &Keeping, lease: &Lease, paths: &Paths) -> std::io::Result<Child> {
    let Keeping { command, budget, drain } = keeping;
    let mut mappings = Vec::new();
    for (socket, child_fd) in lease.sockets.iter().zip(3..) {
        mappings.push(FdMapping { parent_fd: socket.try_clone()?, child_fd });
    }
    let mut child = Command::new(&command.program);
    child.args(&command.args).arg("--snapshot").arg(&paths.snapshot).arg("--report").arg(&paths.report);
    child.env("LISTEN_FDS", "2").env_remove("LISTEN_PID");
    child.env(FILTER_MEMORY, budget.memory.to_string()).env(FILTER_CONNECTIONS, budget.connections.to_string());
    child.env(FILTER_CONNECTIONS_PER_ADDRESS, budget.connections_per_address.to_string());
    child.env(FILTER_DRAIN, drain.as_secs().to_string()).env(FILTER_SOZU_BUFFER, lease.buffer_bytes.to_string());
    // Requests take and free all the time.
    child.env_remove(ALLOCATOR.0);
    child.fd_mappings(mappings).map_err(std::io::Error::other)?;
    child.stdin(Stdio::piped()).kill_on_drop(true).spawn()
}

fn terminate(child: &Child) {
    if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.cast_signed()))
        && let Err(error) = kill_process(pid, Signal::TERM)
    {
        tracing::debug!(%error, "the filter proxy is gone already");
    }
}

/// Ends a child, which has so long to end by itself.
async fn end(mut child: Child, within: Duration) {
    if !within.is_zero() {
        terminate(&child);
    }
    if timeout(within, child.wait()).await.is_err()
        && let Err(error) = child.kill().await
    {
        tracing::warn!(%error, "the filter proxy cannot be killed");
    }
}
