//! How many connections one client address may have on ports that Sōzu reads itself.
//!
//! Sōzu counts a connection for its address only once it has sent a whole request head, so one address that drips heads could
//! take all of them. The kernel knows who is connected. While an address has too many, a socket of ours joins Sōzu's on the port,
//! with a program by which the kernel gives it the new connections of that address; they are reset. What the address has already
//! stays with Sōzu.

mod census;
mod door;
mod program;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::watch;
use tokio::time::{Duration, Instant, MissedTickBehavior, interval};

use crate::model::ClientNetwork;
use crate::trouble::Trouble;
use door::Door;

/// How often it is looked how many sockets there are.
const LOOK: Duration = Duration::from_millis(100);
/// How often clients are counted when there are enough for one to have too many, however few have come since.
const COUNT: Duration = Duration::from_secs(1);

/// The ports, and how many connections one address may have on all of them together; 0 is no bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Guarded {
    /// Ports on which Sōzu speaks HTTP.
    pub(super) ports: Vec<SocketAddr>,
    /// Connections of one address.
    pub(super) most: u32,
}

/// What is told of it.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// Addresses that have too many connections.
    pub(super) addresses: AtomicU64,
    /// Connections that were refused because of that.
    pub(super) connections: Arc<AtomicU64>,
}

/// Guards ports for ever.
pub(super) async fn keep(guarded: watch::Receiver<Guarded>, refusals: Arc<Refusals>) -> Infallible {
    let mut gate = Gate { doors: HashMap::new(), refused: Vec::new(), counted: None, refusals };
    let (mut look, mut trouble) = (interval(LOOK), Trouble::default());
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let guarded = guarded.borrow().clone();
        match gate.look(guarded).await {
            Ok(()) if trouble.ends() => tracing::info!("connections of one client address are bounded again"),
            Ok(()) => {}
            Err(error) => {
                if trouble.begins(&error) {
                    tracing::warn!(%error, "connections of one client address are not bounded");
                }
                gate.open().await;
            }
        }
    }
}

struct Gate {
    doors: HashMap<SocketAddr, Door>,
    /// Who has too many connections.
    refused: Vec<ClientNetwork>,
    /// When clients were last counted, and how many sockets must be in use before one of them can have too many.
    counted: Option<(Instant, u32)>,
    refusals: Arc<Refusals>,
}

impl Gate {
    async fn look(&mut self, Guarded { ports, most }: Guarded) -> io::Result<()> {
        if most == 0 || ports.is_empty() {
            self.open().await;
            return Ok(());
        }
        let in_use = census::in_use(Path::new("/"));
        if in_use < most && self.doors.is_empty() {
            self.open().await;
            return Ok(());
        }
        if self.counted.is_none_or(|(at, enough)| in_use >= enough || at.elapsed() >= COUNT) {
            let asked = ports.clone();
            let clients = tokio::task::spawn_blocking(move || census::clients(&asked)).await.map_err(io::Error::other)??;
            let (refused, largest) = too_many(&clients, &self.refused, most);
            self.counted = Some((Instant::now(), in_use.saturating_add(most.saturating_sub(largest).max(1))));
            if refused.len() != self.refused.len() {
                tracing::warn!(addresses = refused.len(), most, "new connections of addresses that have too many are refused");
            }
            self.refusals.addresses.store(refused.len() as u64, Relaxed);
            self.refused = refused;
        }
        if self.refused.is_empty() {
            self.remove_doors().await
        } else {
            self.shut(&ports).await?
        }
        Ok(())
    }

    /// Lets everyone in.
    async fn open(&mut self) {
        self.remove_doors().await;
        self.refused.clear();
        self.counted = None;
        self.refusals.addresses.store(0, Relaxed);
    }

    async fn remove_doors(&mut self) {
        for (_, door) in self.doors.drain() {
            door.remove().await;
        }
    }

    /// Refuses on all ports who has too many connections.
    async fn shut(&mut self, ports: &[SocketAddr]) -> io::Result<()> {
        let mut listening = census::listening(ports)?;
        let mut stale: Vec<_> = self.doors.keys().copied().collect();
        stale.retain(|port| {
            let standing = listening.get(port).zip(self.doors.get(port));
            !standing.is_some_and(|(listening, door)| door.is_for(&self.refused, listening))
        });
        for door in stale.iter().filter_map(|port| self.doors.remove(port)).collect::<Vec<_>>() {
            door.remove().await;
        }
        if !stale.is_empty() {
            listening = census::listening(ports)?;
        }
        for port in ports.iter().filter(|port| !self.doors.contains_key(port)).copied().collect::<Vec<_>>() {
            // Without another socket every client would come to this one.
            let Some(others) = listening.remove(&port) else { continue };
            let door = Door::open(port, &self.refused, others, &self.refusals.connections)?;
            self.doors.insert(port, door);
        }
        Ok(())
    }
}

/// Who has too many connections, those with the most of them first where there are too many to name, and the largest number of the
/// others. A client that was refused is let in again when an eighth of what is allowed is free.
fn too_many(clients: &HashMap<ClientNetwork, u32>, refused: &[ClientNetwork], most: u32) -> (Vec<ClientNetwork>, u32) {
    let again = most - most / 8;
    let is_refused = |network: &ClientNetwork, connections: u32| connections >= most || (connections >= again && refused.contains(network));
    let mut found: Vec<_> = clients.iter().map(|(network, connections)| (*connections, *network)).collect();
    found.retain(|(connections, network)| is_refused(network, *connections));
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.truncate(program::MOST);
    let mut refused: Vec<_> = found.into_iter().map(|(_, network)| network).collect();
    refused.sort_unstable();
    let largest = clients.iter().filter(|(network, _)| !refused.contains(network)).map(|(_, connections)| *connections).max();
    (refused, largest.unwrap_or(0))
}
