//! Edge processes on this machine: one child per edge, fed by its publisher over a unix socket.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::UnixListener;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::api::Variable;
use crate::controller::EdgeHost;
use crate::edge::{PAGES, plan, private_directory};
use crate::model::capacity::{DRAIN, MEMORY};
use crate::model::{ALLOCATOR, EdgeId};
use crate::observe::metrics::Metrics;
use crate::settings::LogSettings;
use crate::snapshot::publish::Publisher;
use crate::translate::EdgeData;

/// Grace that an edge has between the end of its drain and the kill.
const GRACE: Duration = Duration::from_secs(4);
/// First and longest wait before an edge that ended by itself is started again.
const RESTART: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// How edge processes are started.
#[derive(Clone, Debug)]
pub struct EdgeCommand {
    /// This binary.
    pub program: PathBuf,
    /// The sozu binary.
    pub sozu: PathBuf,
    /// Private directory; each edge has its own below it.
    pub runtime_dir: PathBuf,
    /// How they plan.
    pub options: plan::Options,
    /// How long what is in flight may take at their end, and the memory of each in bytes, where that is said.
    pub own: (Duration, Option<u64>),
    /// How the edges log.
    pub log: LogSettings,
}

/// All running edges.
pub struct Edges {
    command: EdgeCommand,
    metrics: Metrics,
    running: BTreeMap<EdgeId, Running>,
    pages: watch::Sender<BTreeMap<EdgeId, PathBuf>>,
    /// Number of edges ever started, for directory names: names of Gateways can be too long for a socket path.
    started: u64,
}

struct Running {
    publisher: Publisher,
    address: IpAddr,
    processes: Vec<Variable>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// An edge cannot be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start edge {edge}: {source}")]
pub struct StartError {
    edge: EdgeId,
    source: std::io::Error,
}

impl Edges {
    /// No edges yet.
    pub fn new(command: EdgeCommand, metrics: Metrics) -> Self {
        Self { command, metrics, running: BTreeMap::new(), pages: watch::Sender::default(), started: 0 }
    }

    /// Sockets on which the running edges show their metrics.
    pub fn pages(&self) -> watch::Receiver<BTreeMap<EdgeId, PathBuf>> {
        self.pages.subscribe()
    }

    /// Starts an edge on an address and feeds it from `publisher`. `processes` is what its profile says to its processes.
    fn start(&mut self, id: &EdgeId, address: IpAddr, processes: Vec<Variable>, publisher: Publisher) -> Result<(), StartError> {
        self.started += 1;
        let directory = self.command.runtime_dir.join(format!("edge-{}", self.started));
        let listener = private_directory(&directory)
            .and_then(|()| UnixListener::bind(directory.join("snapshot.sock")))
            .map_err(|source| StartError { edge: id.clone(), source })?;
        self.pages.send_modify(|pages| drop(pages.insert(id.clone(), directory.join(PAGES))));
        self.metrics.edge_restarts.with_label_values(&[id.to_string()]);
        let (stop, stopped) = watch::channel(false);
        let (command, metrics) = (self.command.clone(), self.metrics.clone());
        let supervised = Supervised { id: id.clone(), command, metrics, address, processes: processes.clone(), directory };
        let server = publisher.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                () = supervised.run(stopped) => {}
                never = server.serve(listener) => match never {},
            }
        });
        self.running.insert(id.clone(), Running { publisher, address, processes, stop, task });
        Ok(())
    }
}

impl EdgeHost for Edges {
    type Error = StartError;

    async fn run(&mut self, id: &EdgeId, data: &EdgeData, epoch: u64) -> Result<Option<Publisher>, StartError> {
        let (address, processes) = (data.addresses.first().copied(), data.profile.variables());
        match (self.running.get(id), address) {
            (Some(running), Some(address)) if running.address == address && running.processes == processes => {
                return Ok(Some(running.publisher.clone()));
            }
            // Sōzu's ports move with the edge: it starts anew there.
            _ => self.stop(id).await,
        }
        let Some(address) = address else { return Ok(None) };
        let publisher = Publisher::new(epoch);
        self.start(id, address, processes, publisher.clone())?;
        Ok(Some(publisher))
    }

    /// None: its processes drain, and its ports are wanted.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }

    /// Ends an edge; returns when its processes are gone.
    async fn stop(&mut self, id: &EdgeId) {
        if let Some(running) = self.running.remove(id) {
            self.pages.send_modify(|pages| drop(pages.remove(id)));
            running.stop.send_replace(true);
            drop(running.task.await);
        }
    }

    /// Ends all edges.
    async fn stop_all(&mut self) {
        for running in self.running.values() {
            running.stop.send_replace(true);
        }
        for (_, running) in std::mem::take(&mut self.running) {
            drop(running.task.await);
        }
    }
}

struct Supervised {
    id: EdgeId,
    command: EdgeCommand,
    metrics: Metrics,
    address: IpAddr,
    processes: Vec<Variable>,
    directory: PathBuf,
}

impl Supervised {
    /// Keeps the child running until told to stop.
    async fn run(self, mut stopped: watch::Receiver<bool>) {
        let mut wait = RESTART.0;
        loop {
            match self.spawn() {
                Ok(mut child) => {
                    // Waiting would close it, and the edge ends when its input does.
                    let _input = child.stdin.take();
                    tokio::select! {
                        () = told(&mut stopped) => {
                            end(&mut child, self.command.own.0 + GRACE).await;
                            break;
                        }
                        status = child.wait() => tracing::error!(edge = %self.id, ?status, "edge ended by itself"),
                    }
                }
                Err(error) => tracing::error!(edge = %self.id, %error, "cannot start the edge"),
            }
            self.metrics.edge_restarts.with_label_values(&[self.id.to_string()]).inc();
            tokio::select! {
                () = told(&mut stopped) => break,
                () = sleep(wait) => wait = (wait * 2).min(RESTART.1),
            }
        }
        drop(std::fs::remove_dir_all(&self.directory));
    }

    fn spawn(&self) -> std::io::Result<Child> {
        let mut command = Command::new(&self.command.program);
        command.arg("edge").args(self.command.log.flags()).arg("--name").arg(self.id.to_string());
        command.arg("--address").arg(self.address.to_string());
        command.arg("--runtime-dir").arg(&self.directory);
        command.arg("--snapshot").arg(self.directory.join("snapshot.sock"));
        command.arg("--sozu").arg(&self.command.sozu);
        if self.command.options.force_hop {
            command.arg("--force-hop");
        }
        if self.command.options.force_relay {
            command.arg("--force-relay");
        }
        command.env(ALLOCATOR.0, ALLOCATOR.1);
        let (drain, memory) = self.command.own;
        command.env(DRAIN, drain.as_secs().to_string());
        if let Some(memory) = memory {
            command.env(MEMORY, memory.to_string());
        }
        command.envs(self.processes.iter().map(|(name, value)| (*name, value)));
        // The edge ends when its standard input does: nothing is left behind when this process is killed.
        command.stdin(Stdio::piped()).kill_on_drop(true).spawn()
    }
}

/// Resolves when the edge is to end, or its owner is gone.
async fn told(stopped: &mut watch::Receiver<bool>) {
    drop(stopped.wait_for(|stop| *stop).await);
}

async fn end(child: &mut Child, within: Duration) {
    if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.cast_signed()))
        && let Err(error) = kill_process(pid, Signal::TERM)
    {
        tracing::debug!(%error, "the edge is gone already");
    }
    if timeout(within, child.wait()).await.is_err() {
        drop(child.kill().await);
    }
}
