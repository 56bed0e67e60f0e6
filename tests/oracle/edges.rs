//! A real edge: `kakehi edge` with its Sōzu and its filter proxy, fed by the snapshot stream as in production.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use kakehi::snapshot::Snapshot;
use kakehi::snapshot::publish::Publisher;
use tokio::net::UnixListener;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::client::{Answer, Client, close_gone};
use super::world::{Request, World};

/// Longest wait for an ack.
const PATIENCE: Duration = Duration::from_secs(30);

/// The sozu binary: `KAKEHI_SOZU`, else the plain build that `make sozu` keeps in the user cache.
pub fn sozu() -> PathBuf {
    if let Ok(path) = std::env::var("KAKEHI_SOZU") {
        return path.into();
    }
    let cache = std::env::var("XDG_CACHE_HOME").unwrap_or_else(|_| format!("{}/.cache", std::env::var("HOME").unwrap_or_default()));
    let path = PathBuf::from(cache).join("kakehi/sozu-2.3.3-release/bin/sozu");
    assert!(path.exists(), "no sozu binary: run `make sozu`, or set KAKEHI_SOZU");
    path
}

/// One running edge.
pub struct Edge {
    pub name: &'static str,
    /// Its listeners' address.
    pub address: Ipv4Addr,
    publisher: Publisher,
    clients: Vec<Client>,
    child: Child,
    directory: tempfile::TempDir,
}

impl Edge {
    /// Starts it on an address, with flags of its own; the ports are those that snapshots will name.
    pub async fn start(name: &'static str, address: Ipv4Addr, ports: &[u16], flags: &[&str]) -> Self {
        let private = std::fs::Permissions::from_mode(0o700);
        let directory = tempfile::Builder::new().permissions(private).tempdir().unwrap();
        let socket = directory.path().join("snapshot.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let publisher = Publisher::new(1);
        let server = publisher.clone();
        tokio::spawn(async move { server.serve(listener).await });
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_kakehi"));
        command.args(["--log", "info", "edge", "--name", "oracle/edge", "--address", &address.to_string()]);
        command.arg("--runtime-dir").arg(directory.path()).arg("--snapshot").arg(&socket).arg("--sozu").arg(sozu());
        command.args(flags);
        // The edge ends when its standard input does.
        command.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
        let clients = ports.iter().map(|port| Client::new(SocketAddr::new(address.into(), *port))).collect();
        Self { name, address, publisher, clients, child: command.spawn().unwrap(), directory }
    }

    /// Moves the edge to a snapshot and waits until it says that everything is applied.
    pub async fn apply(&mut self, snapshot: &Snapshot, world: &World) -> Result<(), String> {
        close_gone(&mut self.clients, world);
        let delta = self.publisher.current().1.diff(snapshot);
        let stamp = self.publisher.publish(&delta);
        let mut acks = self.publisher.acks();
        let acked = acks.wait_for(|ack| ack.as_ref().is_some_and(|ack| ack.stamp >= stamp));
        let refused = match timeout(PATIENCE, acked).await {
            Ok(Ok(ack)) => ack.as_ref().map(|ack| ack.refused.clone()).unwrap_or_default(),
            _ => return Err(format!("{}: no ack within {PATIENCE:?}; its log: {}", self.name, self.log())),
        };
        if refused.is_empty() { Ok(()) } else { Err(format!("{}: refused {refused:?}", self.name)) }
    }

    /// Sends a request to the port that it names.
    pub async fn ask(&mut self, request: &Request) -> Result<Answer, String> {
        let client = &mut self.clients[request.port];
        client.send(request).await.map_err(|error| format!("{}: {error}; still running: {:?}", self.name, self.child.try_wait()))
    }

    /// The end of what it logged.
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Ends it in good order.
    pub async fn stop(mut self) {
        drop(self.child.stdin.take());
        let _status = timeout(Duration::from_secs(10), self.child.wait()).await;
    }
}

/// `count` ports that are free on every one of these addresses right now, below those that the system gives to outgoing
/// connections: a listener that goes and comes back must find its port free.
pub fn common_ports(addresses: &[Ipv4Addr], count: usize) -> Vec<u16> {
    let start = 20_000 + (std::process::id() % 6_000) as u16;
    let mut ports = Vec::new();
    for port in start..32_000 {
        let free = addresses.iter().all(|address| std::net::TcpListener::bind((*address, port)).is_ok());
        if free && TAKEN.fetch_max(port, Ordering::Relaxed) < port {
            ports.push(port);
        }
        if ports.len() == count {
            return ports;
        }
    }
    panic!("no ports are free on {addresses:?}");
}

/// The highest port that this process has chosen.
static TAKEN: AtomicU16 = AtomicU16::new(0);
