//! The processes of an edge: its launcher, which keeps its Sōzus and outlives its supervisor, and the supervisor.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::edges::EdgeCommand;
use crate::api::Variable;
use crate::edge::Capacity;
use crate::model::capacity::{DRAIN, MEMORY};
use crate::model::{ALLOCATOR, EdgeId, LOG};
use crate::observe::metrics::Metrics;
use crate::settings::LogSettings;
use crate::trouble::Trouble;

/// Grace that a process has between the end of its drain and the kill.
const GRACE: Duration = Duration::from_secs(4);
/// First and longest wait before a process that ended by itself is started again.
const RESTART: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// A process that lived this long is replaced after the first wait.
const STABLE: Duration = Duration::from_secs(10);
/// Name of the file in the directory of an edge in which its launcher says why it failed.
const LAST_WORDS: &str = "last-words";
/// Bytes of these that are read, at most.
const WORDS: u64 = 64 << 10;

/// What the processes of an edge are started with.
pub(super) struct Supervised {
    pub id: EdgeId,
    pub command: EdgeCommand,
    pub metrics: Metrics,
    pub address: IpAddr,
    pub processes: Vec<Variable>,
    pub directory: PathBuf,
    pub fate: Fate,
}

/// What the edges of a process have in common: whether Sōzu works here.
#[derive(Clone, Debug)]
pub struct Fate {
    /// Whether an edge has ever acknowledged anything.
    pub served: watch::Sender<bool>,
    /// Why no edge ever will.
    pub hopeless: watch::Sender<Option<String>>,
}

impl Fate {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self { served: watch::Sender::new(false), hopeless: watch::Sender::new(None) }
    }
}

/// A process by what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Launcher,
    Supervisor,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Launcher => "launcher",
            Self::Supervisor => "edge",
        }
    }
}

impl Supervised {
    /// Keeps both running until told to stop.
    pub(super) async fn run(self, stopped: watch::Receiver<bool>) {
        tokio::join!(self.keep(Role::Launcher, stopped.clone()), self.keep(Role::Supervisor, stopped));
        drop(std::fs::remove_dir_all(&self.directory));
    }

    async fn keep(&self, role: Role, mut stopped: watch::Receiver<bool>) {
        let (mut wait, mut last, mut trouble) = (RESTART.0, false, Trouble::default());
        loop {
            let since = Instant::now();
            let reason = match self.spawn(role) {
                Ok(mut child) => {
                    // Waiting would close it, and the process ends when its input does.
                    let input = child.stdin.take();
                    tokio::select! {
                        () = told(&mut stopped) => {
                            drop(input);
                            if end(&mut child, self.drain() + GRACE).await {
                                return;
                            }
                            String::new()
                        }
                        reason = self.ended(role, &mut child, &mut trouble) => reason,
                    }
                }
                Err(error) => format!("it cannot be started: {error}"),
            };
            if *stopped.borrow() {
                // A launcher that was killed has left its Sōzus to the next, which ends them. One that has failed has left none.
                if last || role == Role::Supervisor || self.fate.hopeless.borrow().is_some() {
                    return;
                }
                last = true;
                continue;
            }
            if trouble.begins(&reason) {
                tracing::error!(edge = %self.id, process = role.name(), reason, "ended by itself; another one is started");
            }
            self.metrics.edge_restarts.with_label_values(&[self.id.to_string()]).inc();
            if since.elapsed() > STABLE {
                wait = RESTART.0;
            }
            tokio::select! {
                () = told(&mut stopped), if role == Role::Supervisor => return,
                () = sleep(wait) => wait = (wait * 2).min(RESTART.1),
            }
        }
    }

    /// Waits until a process ends by itself. Returns why. A launcher that fails ends this process too, unless an edge has served
    /// before: then it will again once the cause is mended.
    async fn ended(&self, role: Role, child: &mut Child, trouble: &mut Trouble) -> String {
        let settles = async {
            sleep(STABLE).await;
            if trouble.ends() {
                tracing::info!(edge = %self.id, process = role.name(), "runs again");
            }
            std::future::pending::<String>().await
        };
        let reason = tokio::select! {
            status = child.wait() => status.map_or_else(|error| error.to_string(), |status| status.to_string()),
            never = settles => never,
        };
        if role != Role::Launcher {
            return reason;
        }
        match self.last_words().await {
            Some(words) if !*self.fate.served.borrow() => {
                self.fate.hopeless.send_replace(Some(words));
                std::future::pending().await
            }
            Some(words) => words,
            None => reason,
        }
    }

    /// Why the launcher has failed, read once.
    async fn last_words(&self) -> Option<String> {
        let path = self.directory.join(LAST_WORDS);
        let mut words = String::new();
        tokio::fs::File::open(&path).await.ok()?.take(WORDS).read_to_string(&mut words).await.ok()?;
        tokio::fs::remove_file(&path).await.ok()?;
        Some(words)
    }

    /// How long what is in flight may take at the end.
    fn drain(&self) -> Duration {
        let given = self.processes.iter().find(|(name, _)| *name == DRAIN).and_then(|(_, seconds)| seconds.parse().ok());
        given.map_or(self.command.own.0, Duration::from_secs)
    }

    fn spawn(&self, role: Role) -> std::io::Result<Child> {
        let mut command = Command::new(&self.command.program);
        let sozus = self.directory.join("sozu");
        let given = |name: &str| self.processes.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        let log = LogSettings { log: given(LOG).unwrap_or_else(|| self.command.log.log.clone()), ..self.command.log };
        match role {
            Role::Launcher => {
                command.arg("launch").args(log.flags()).arg("--dir").arg(sozus);
                command.arg("--sozu").arg(&self.command.sozu);
                command.arg("--last-words").arg(self.directory.join(LAST_WORDS));
            }
            Role::Supervisor => {
                command.arg("edge").args(log.flags()).arg("--name").arg(self.id.to_string());
                command.arg("--address").arg(self.address.to_string());
                command.arg("--runtime-dir").arg(&self.directory);
                command.arg("--snapshot").arg(self.directory.join("snapshot.sock"));
                command.arg("--sozu-dir").arg(sozus);
                command.args(self.command.options.force_hop.then_some("--force-hop"));
                command.args(self.command.options.force_relay.then_some("--force-relay"));
                command.env(ALLOCATOR.0, ALLOCATOR.1);
            }
        }
        let (drain, memory) = self.command.own;
        command.env(DRAIN, drain.as_secs().to_string());
        // Each has half: the launcher for the Sōzus, the supervisor for the filter proxy.
        let memory = Capacity { memory, ..Capacity::default() }.memory() / 2;
        command.env(MEMORY, memory.to_string());
        command.envs(self.command.access_log.variables());
        command.envs(self.processes.iter().map(|(name, value)| (*name, value)));
        // A process ends when its standard input does: nothing is left behind when this process is killed. It is not killed itself
        // when this process ends early, as a killed launcher leaves its Sōzus to the next.
        command.stdin(Stdio::piped()).spawn()
    }
}

/// Resolves when the edge is to end, or its owner is gone.
async fn told(stopped: &mut watch::Receiver<bool>) {
    drop(stopped.wait_for(|stop| *stop).await);
}

/// Waits for the end of a process whose input has ended, which it notices also when it has just been started and a signal would end
/// it at once. Whether it ended well.
async fn end(child: &mut Child, within: Duration) -> bool {
    match timeout(within, child.wait()).await {
        Ok(status) => status.is_ok_and(|status| status.success()),
        Err(_) => {
            drop(child.kill().await);
            false
        }
    }
}
