//! Probes the Sōzus of an edge: each main process by its command socket, the workers through a port that they serve together.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use futures::future::join_all;
use sozu_command_lib::proto::command::ListenerType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::access::NUDGE;
use super::query::{active, workers};
use super::{Socket, SocketError};
use crate::edge::pulse::{BUSY, LOST, PROBE, Pulse, Pulses, SOZU, WORKER, kill, ran};

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

/// A Sōzu that is probed.
#[derive(Clone, Debug)]
pub(in crate::edge) struct Watched {
    /// Its command socket.
    pub command: PathBuf,
    /// Process id of its main process; none where another process ends what hangs.
    pub main: watch::Receiver<Option<i32>>,
}

/// Probes the Sōzus of an edge once a second, for ever. Where the process ids of their main processes are given, what hangs is
/// killed: a worker is replaced by its main process, and this one by who started it.
pub(in crate::edge) async fn watch(sozus: Vec<Watched>, pulses: &Pulses) -> Infallible {
    let twins = sozus.into_iter().map(|watched| Twin { watched, socket: None, parts: Parts::default() }).collect();
    let mut watch = Watch { twins, ran: HashMap::new() };
    let mut look = interval(PROBE);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        join_all(watch.twins.iter_mut().zip(&pulses.sozu).map(|(twin, pulse)| twin.main(pulse))).await;
        watch.mains(pulses);
        watch.workers(pulses).await;
    }
}

struct Watch {
    twins: Vec<Twin>,
    /// How processes run.
    ran: HashMap<i32, Run>,
}

struct Twin {
    watched: Watched,
    socket: Option<Socket>,
    parts: Parts,
}

/// How a process runs.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    /// For how long it had run at the last look.
    ran: Option<u64>,
    /// At how many looks in a row it had not run on.
    still: u32,
    /// For how long it ran between the last two looks.
    busy: u64,
}

impl Twin {
    fn pid(&self) -> Option<i32> {
        *self.watched.main.borrow()
    }

    /// Whether its main process answers.
    async fn main(&mut self, pulse: &Pulse) {
        let asked = timeout(PROBE, async {
            let mut socket = match self.socket.take() {
                Some(socket) => socket,
                None => Socket::connect(&self.watched.command).await?,
            };
            let parts = parts(&mut socket).await?;
            Ok::<_, SocketError>((socket, parts))
        });
        match asked.await {
            Ok(Ok((socket, parts))) => {
                self.socket = Some(socket);
                self.parts = parts;
                pulse.note(true, SOZU);
            }
            // No process listens there: Sōzu starts, and what starts it knows. Its workers went with it.
            Ok(Err(SocketError::Io(error))) => {
                tracing::debug!(%error, "Sōzu does not say what it serves");
                self.parts = Parts::default();
                pulse.gone();
            }
            Ok(Err(_)) | Err(_) => drop(pulse.note(false, SOZU)),
        }
    }
}

impl Watch {
    /// Ends main processes that hang.
    fn mains(&mut self, pulses: &Pulses) {
        let mains: Vec<Option<i32>> = self.twins.iter().map(Twin::pid).collect();
        let workers: Vec<i32> = self.twins.iter().flat_map(|twin| twin.parts.workers.iter().copied()).collect();
        self.ran.retain(|pid, _| workers.contains(pid) || mains.contains(&Some(*pid)));
        mains.iter().flatten().chain(&workers).for_each(|pid| self.observe(*pid));
        for (main, pulse) in mains.into_iter().zip(&pulses.sozu) {
            if let Some(main) = main
                && (pulse.misses() >= BUSY || (pulse.misses() >= LOST && self.is_still(main)))
            {
                kill(main, SOZU);
                pulse.renew();
            }
        }
    }

    /// Probes the workers together, for the kernel chooses which of them gets a connection, and ends those that hang.
    async fn workers(&mut self, pulses: &Pulses) {
        let Some(port) = self.twins.iter().find_map(|twin| twin.parts.port) else { return pulses.worker.renew() };
        let workers: Vec<i32> = self.twins.iter().flat_map(|twin| twin.parts.workers.iter().copied()).collect();
        let tries = if workers.len() > 1 { workers.len() * TRIES } else { 1 };
        let answered = join_all((0..tries).map(|_| touch(port))).await.into_iter().all(|answered| answered);
        let misses = pulses.worker.note(answered, WORKER);
        if self.twins.iter().all(|twin| twin.pid().is_none()) {
            return;
        }
        for worker in self.hanging(workers, misses) {
            kill(worker, WORKER);
            pulses.worker.renew();
        }
    }

    /// The workers to replace after so many misses. Those of Sōzu wake once a second at least, so one that does not run on is
    /// stopped; one that does may be taking in a large configuration, and is given up late.
    fn hanging(&self, workers: Vec<i32>, misses: u32) -> Vec<i32> {
        let (still, running): (Vec<_>, Vec<_>) = workers.into_iter().partition(|worker| self.is_still(*worker));
        match misses {
            LOST.. if !still.is_empty() => still,
            BUSY.. => running.into_iter().max_by_key(|worker| self.ran.get(worker).map_or(0, |run| run.busy)).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// Looks whether a process runs on.
    fn observe(&mut self, pid: i32) {
        let (now, before) = (ran(pid), self.ran.get(&pid).copied().unwrap_or_default());
        let busy = now.unwrap_or_default().saturating_sub(before.ran.unwrap_or_default());
        self.ran.insert(pid, Run { ran: now, still: if before.ran == now { before.still + 1 } else { 0 }, busy });
    }

    /// Whether a process has not run for as long as a hang takes.
    fn is_still(&self, pid: i32) -> bool {
        self.ran.get(&pid).is_some_and(|run| run.still + 1 >= LOST)
    }
}

async fn parts(socket: &mut Socket) -> Result<Parts, SocketError> {
    let workers = workers(socket, PROBE).await?;
    let first = active(socket, PROBE).await?.into_iter().next();
    let port = first.map(|(address, kind)| Port { address: reachable(address), http: kind == ListenerType::Http });
    Ok(Parts { workers, port })
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{BUSY, LOST, Run, Watch};

    /// Of twins that share a port the one that hangs is ended, not the one that answers.
    #[test]
    fn the_worker_that_stands_still_is_ended_and_late_the_one_that_computes() {
        let run = |still, busy| Run { ran: Some(9), still, busy };
        let watch = |runs: [Run; 2]| Watch { twins: Vec::new(), ran: HashMap::from_iter([1, 2].into_iter().zip(runs)) };
        let stopped = watch([run(0, 5), run(LOST, 0)]);
        assert_eq!(stopped.hanging(vec![1, 2], LOST - 1), [0; 0]);
        assert_eq!(stopped.hanging(vec![1, 2], LOST), [2]);
        let busy = watch([run(0, 900_000_000), run(0, 5)]);
        assert_eq!(busy.hanging(vec![1, 2], BUSY - 1), [0; 0]);
        assert_eq!(busy.hanging(vec![1, 2], BUSY), [1]);
    }
}
