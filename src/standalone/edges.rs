//! Edges on this machine: for each a launcher of its Sōzus and a supervisor, which is fed by its publisher over a unix socket.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::processes::{Fate, Supervised};
use crate::access_log::AccessLogSettings;
use crate::api::Variable;
use crate::controller::EdgeHost;
use crate::edge::{PAGES, bind, plan, private_directory};
use crate::model::EdgeId;
use crate::observe::metrics::Metrics;
use crate::settings::LogSettings;
use crate::snapshot::publish::Publisher;
use crate::translate::EdgeData;

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
    /// How they log requests.
    pub access_log: AccessLogSettings,
}

/// All running edges.
pub struct Edges {
    command: EdgeCommand,
    metrics: Metrics,
    running: BTreeMap<EdgeId, Running>,
    pages: watch::Sender<BTreeMap<EdgeId, PathBuf>>,
    fate: Fate,
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
#[error("{}: {source}", path.display())]
pub struct StartError {
    path: PathBuf,
    source: io::Error,
}

impl Edges {
    /// No edges yet.
    pub fn new(command: EdgeCommand, metrics: Metrics) -> Self {
        Self { command, metrics, running: BTreeMap::new(), pages: watch::Sender::default(), fate: Fate::new(), started: 0 }
    }

    /// Sockets on which the running edges show their metrics.
    pub fn pages(&self) -> watch::Receiver<BTreeMap<EdgeId, PathBuf>> {
        self.pages.subscribe()
    }

    /// Why no edge will ever serve, once that is known.
    pub fn hopeless(&self) -> watch::Receiver<Option<String>> {
        self.fate.hopeless.subscribe()
    }

    /// Starts an edge on an address and feeds it from `publisher`. `processes` is what its profile says to its processes.
    fn start(&mut self, id: &EdgeId, address: IpAddr, processes: Vec<Variable>, publisher: Publisher) -> Result<(), StartError> {
        let directory = self.command.runtime_dir.join(format!("edge-{}", self.started + 1));
        let listener = private_directory(&directory)
            .and_then(|()| UnixListener::from_std(bind(&directory.join("snapshot.sock"))?))
            .map_err(|source| StartError { path: directory.clone(), source })?;
        self.started += 1;
        self.pages.send_modify(|pages| drop(pages.insert(id.clone(), directory.join(PAGES))));
        self.metrics.edge_restarts.with_label_values(&[id.to_string()]);
        let (stop, stopped) = watch::channel(false);
        let (command, metrics) = (self.command.clone(), self.metrics.clone());
        let supervised =
            Supervised { id: id.clone(), command, metrics, address, processes: processes.clone(), directory, fate: self.fate.clone() };
        let (server, mut acks, served) = (publisher.clone(), publisher.acks(), self.fate.served.clone());
        let notes = async move {
            if acks.wait_for(Option::is_some).await.is_ok() {
                served.send_replace(true);
            }
            std::future::pending::<Infallible>().await
        };
        let task = tokio::spawn(async move {
            tokio::select! {
                () = supervised.run(stopped) => {}
                never = server.serve(listener) => match never {},
                never = notes => match never {},
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
