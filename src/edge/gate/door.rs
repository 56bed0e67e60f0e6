//! A socket that shares a port with Sōzu's and gets the connections that are refused.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use nix::libc::sock_fprog;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::AttachReusePortCbpf;
use rustix::fs::fstat;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio::time::{Duration, sleep};

use super::program::program;
use crate::model::ClientNetwork;

/// Refused connections that wait; the kernel leaves further ones without an answer.
const WAITING: u32 = 64;
/// Pause between two of them: a client that floods a port is to cost little.
const PAUSE: Duration = Duration::from_millis(1);

/// A door that is shut for some clients.
#[derive(Debug)]
pub(super) struct Door {
    /// For whom.
    refused: Vec<ClientNetwork>,
    /// The sockets beside it. The kernel knows each by its place: when one goes, the last takes its place.
    others: BTreeSet<u32>,
    inode: u32,
    closing: JoinHandle<()>,
}

impl Door {
    /// Joins the `others` on a port, and has the kernel give it what comes from these networks.
    ///
    /// # Errors
    /// The system's. Where the sockets on that port are of another user, ours is not let in.
    pub(super) fn open(port: SocketAddr, refused: &[ClientNetwork], others: BTreeSet<u32>, count: &Arc<AtomicU64>) -> io::Result<Self> {
        let socket = if port.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(true)?;
        socket.bind(port)?;
        let listener = socket.listen(WAITING)?;
        // Until the program is there the kernel gives it a share of all connections: microseconds.
        let mut instructions = program(refused, u32::try_from(others.len()).unwrap_or(u32::MAX));
        let len = u16::try_from(instructions.len()).map_err(io::Error::other)?;
        let program = sock_fprog { len, filter: instructions.as_mut_ptr() };
        setsockopt(&listener, AttachReusePortCbpf, &program)?;
        let inode = u32::try_from(fstat(&listener)?.st_ino).map_err(io::Error::other)?;
        let closing = tokio::spawn(close(listener, count.clone()));
        Ok(Self { refused: refused.to_vec(), others, inode, closing })
    }

    /// Whether it is what it should be, when these sockets listen on the port.
    pub(super) fn is_for(&self, refused: &[ClientNetwork], listening: &BTreeSet<u32>) -> bool {
        let others = listening.iter().filter(|inode| **inode != self.inode);
        self.refused == refused && self.others.iter().eq(others)
    }

    /// Takes it away. When this resolves it is gone.
    pub(super) async fn remove(self) {
        self.closing.abort();
        if let Err(error) = self.closing.await {
            tracing::trace!(%error, "a door is gone");
        }
    }
}

/// Resets what comes.
async fn close(listener: TcpListener, count: Arc<AtomicU64>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                count.fetch_add(1, Relaxed);
                if let Err(error) = stream.set_zero_linger() {
                    tracing::debug!(%error, "a refused connection is closed, not reset");
                }
            }
            Err(error) => tracing::debug!(%error, "no refused connection"),
        }
        sleep(PAUSE).await;
    }
}
