//! Probes a Sōzu: its main process by its command socket, its workers through a port that they serve.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use futures::future::join_all;
use sozu_command_lib::proto::command::request::RequestType;
use sozu_command_lib::proto::command::response_content::ContentType;
use sozu_command_lib::proto::command::{ListWorkers, ListenerType, RunState};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::access::NUDGE;
use super::query::active;
use super::{Socket, SocketError};
use crate::edge::pulse::{BUSY, LOST, PROBE, Pulses, SOZU, WORKER, kill, ran};

/// Connections of one probe, for each worker, where there are several: the kernel chooses who gets which.
const TRIES: usize = 4;

/// What a Sōzu says of itself.
#[derive(Debug, Default)]
struct Parts {
    workers: Vec<i32>,
    /// A port that is served.
    port: Option<Port>,
}

#[derive(Clone, Copy, Debug)]
struct Port {
    address: SocketAddr,
    /// It speaks HTTP without TLS.
    http: bool,
}

/// Probes the Sōzu behind a command socket once a second, for ever. With `main`, the process id of its main process, what hangs is
/// killed: a worker is replaced by its main process, and this one by who started it. Without it another process does that.
pub(in crate::edge) async fn watch(command: &Path, main: impl Fn() -> Option<i32>, pulses: &Pulses) -> Infallible {
    let mut watch = Watch { socket: None, parts: Parts::default(), ran: HashMap::new() };
    let mut look = interval(PROBE);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        watch.main(command, main(), pulses).await;
        watch.ran.retain(|pid, _| watch.parts.workers.contains(pid) || main() == Some(*pid));
        watch.workers(main().is_some(), pulses).await;
    }
}

struct Watch {
    socket: Option<Socket>,
    parts: Parts,
    /// For how long processes had run at the last look, and at how many looks in a row they had not run on.
    ran: HashMap<i32, (Option<u64>, u32)>,
}

impl Watch {
    async fn main(&mut self, command: &Path, main: Option<i32>, pulses: &Pulses) {
        if let Some(main) = main {
            self.observe(main);
        }
        let asked = timeout(PROBE, async {
            let mut socket = match self.socket.take() {
                Some(socket) => socket,
                None => Socket::connect(command).await?,
            };
            let parts = parts(&mut socket).await?;
            Ok::<_, SocketError>((socket, parts))
        });
        match asked.await {
            Ok(Ok((socket, parts))) => {
                self.socket = Some(socket);
                self.parts = parts;
                pulses.sozu.note(true, SOZU);
            }
            // No process listens there: Sōzu starts, and what starts it knows.
            Ok(Err(SocketError::Io(error))) => tracing::debug!(%error, "Sōzu does not say what it serves"),
            Ok(Err(_)) | Err(_) => {
                let misses = pulses.sozu.note(false, SOZU);
                if let Some(main) = main
                    && self.is_lost(main, misses)
                {
                    kill(main, SOZU);
                    pulses.sozu.renew();
                }
            }
        }
    }

    async fn workers(&mut self, kills: bool, pulses: &Pulses) {
        let Some(port) = self.parts.port else { return pulses.worker.renew() };
        let workers = self.parts.workers.clone();
        let tries = if workers.len() > 1 { workers.len() * TRIES } else { 1 };
        let answered = join_all((0..tries).map(|_| touch(port))).await.into_iter().all(|answered| answered);
        let misses = pulses.worker.note(answered, WORKER);
        workers.iter().for_each(|worker| self.observe(*worker));
        if kills && misses >= LOST {
            for worker in workers {
                if self.is_lost(worker, misses) {
                    kill(worker, WORKER);
                    pulses.worker.renew();
                }
            }
        }
    }

    /// Looks whether a process runs on.
    fn observe(&mut self, pid: i32) {
        let now = ran(pid);
        let (before, still) = self.ran.get(&pid).copied().unwrap_or_default();
        self.ran.insert(pid, (now, if before == now { still + 1 } else { 0 }));
    }

    /// Whether a process is to be replaced that has not answered so often. Those of Sōzu wake once a second at least, so one that
    /// does not run on is stopped; one that does may be taking in a large configuration.
    fn is_lost(&self, pid: i32, misses: u32) -> bool {
        let still = self.ran.get(&pid).map_or(0, |(_, still)| *still);
        misses >= BUSY || (misses >= LOST && still + 1 >= LOST)
    }
}

async fn parts(socket: &mut Socket) -> Result<Parts, SocketError> {
    let listed = socket.request(RequestType::ListWorkers(ListWorkers {}), PROBE).await?.content;
    let mut found = Parts::default();
    if let Some(ContentType::Workers(workers)) = listed {
        found.workers = workers.vec.iter().filter(|worker| worker.run_state() == RunState::Running).map(|worker| worker.pid).collect();
    }
    let first = active(socket, PROBE).await?.into_iter().next();
    found.port = first.map(|(address, kind)| Port { address: reachable(address), http: kind == ListenerType::Http });
    Ok(found)
}

/// A listener's address, as one can connect to it from this machine.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), address.port()),
        _ => address,
    }
}

/// Whether a worker shows that it reads what comes by a port. On a port for HTTP it is a request that Sōzu refuses itself and that
/// is not counted. On another one it is no TLS and no HTTP: closing the connection is an answer too.
async fn touch(port: Port) -> bool {
    let request = format!("GET {NUDGE} HTTP/1.1\r\nHost: no host\r\nConnection: close\r\n\r\n");
    let asked = async {
        let mut stream = TcpStream::connect(port.address).await?;
        stream.write_all(if port.http { request.as_bytes() } else { b"\0\0\0\0\0\r\n\r\n" }).await?;
        stream.read(&mut [0; 64]).await.map(drop)
    };
    match timeout(PROBE, asked).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => error.kind() == std::io::ErrorKind::ConnectionReset,
        Err(_) => false,
    }
}
