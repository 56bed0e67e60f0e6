//! The filter proxy as a child that inherits its listening sockets.
//!
//! The sockets outlive it, so connections queue while a dead child is replaced.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::model::ALLOCATOR;

use crate::edge::sockets::{Holder, Lease};

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
}

/// The running child's keeper.
pub(super) struct Kept {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// A child that lived this long is replaced at once when it dies.
const STABLE: Duration = Duration::from_secs(1);
/// First and longest wait before one that did not is replaced.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// Requests in flight may take this long at the end.
const DRAIN: Duration = Duration::from_secs(1);

/// Keeps a filter proxy running.
pub(super) fn keep(command: FilterCommand, holder: Holder, paths: Paths, starts: Arc<AtomicU64>) -> Kept {
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(run(command, holder, paths, starts, stopped));
    Kept { stop, task }
}

impl Kept {
    /// Lets requests in flight end, then ends the child.
    pub(super) async fn stop(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the filter proxy's keeper ended badly");
        }
    }
}

async fn run(command: FilterCommand, holder: Holder, paths: Paths, starts: Arc<AtomicU64>, mut stopped: oneshot::Receiver<()>) {
    let mut wait = BACKOFF.0;
    loop {
        let mut lease = tokio::select! {
            lease = holder.lease() => lease,
            _ = &mut stopped => return,
        };
        let since = Instant::now();
        match start(&command, &lease, &paths) {
            Ok(mut child) => {
                starts.fetch_add(1, Relaxed);
                // Waiting would close it, and the child ends when its input does.
                let _input = child.stdin.take();
                tokio::select! {
                    _ = &mut stopped => return end(child).await,
                    status = child.wait() => tracing::error!(?status, "the filter proxy ended by itself"),
                    () = lease.lost() => {
                        tracing::warn!("whoever held the filter proxy's sockets is gone; starting it over with the next one's");
                        end(child).await;
                    }
                }
            }
            Err(error) => tracing::error!(%error, "the filter proxy cannot be started"),
        }
        if since.elapsed() > STABLE {
            wait = BACKOFF.0;
            continue;
        }
        tokio::select! {
            _ = &mut stopped => return,
            () = sleep(wait) => wait = (wait * 2).min(BACKOFF.1),
        }
    }
}

fn start(command: &FilterCommand, lease: &Lease, paths: &Paths) -> std::io::Result<Child> {
    let mut mappings = Vec::new();
    for (socket, child_fd) in lease.sockets.iter().zip(3..) {
        mappings.push(FdMapping { parent_fd: socket.try_clone()?, child_fd });
    }
    let mut child = Command::new(&command.program);
    child.args(&command.args).arg("--snapshot").arg(&paths.snapshot).arg("--report").arg(&paths.report);
    child.env("LISTEN_FDS", "2").env_remove("LISTEN_PID");
    // Requests take and free all the time.
    child.env_remove(ALLOCATOR.0);
    child.fd_mappings(mappings).map_err(std::io::Error::other)?;
    child.stdin(Stdio::piped()).kill_on_drop(true).spawn()
}

async fn end(mut child: Child) {
    if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.cast_signed()))
        && let Err(error) = kill_process(pid, Signal::TERM)
    {
        tracing::debug!(%error, "the filter proxy is gone already");
    }
    if timeout(DRAIN, child.wait()).await.is_err()
        && let Err(error) = child.kill().await
    {
        tracing::warn!(%error, "the filter proxy cannot be killed");
    }
}
