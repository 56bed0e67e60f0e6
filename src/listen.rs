//! Ports of our own: for probes, metrics, snapshots.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use rustix::io::Errno;
use rustix::net::sockopt::set_ipv6_v6only;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::time::{Duration, sleep};

/// Connections that may wait to be taken.
const WAITING: u32 = 1024;
/// Pause after a failed accept: the process has no free file descriptor, most likely, and has to close others first.
const PAUSE: Duration = Duration::from_millis(50);

/// A listening socket of ours.
pub trait Accept: Send + Sync {
    /// Its connections.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Takes one connection, with the address of its peer where that has one.
    ///
    /// # Errors
    /// The system's.
    fn take(&self) -> impl Future<Output = io::Result<(Self::Stream, Option<SocketAddr>)>> + Send;
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn take(&self) -> io::Result<(TcpStream, Option<SocketAddr>)> {
        self.accept().await.map(|(stream, peer)| (stream, Some(peer)))
    }
}

impl Accept for UnixListener {
    type Stream = UnixStream;

    async fn take(&self) -> io::Result<(UnixStream, Option<SocketAddr>)> {
        self.accept().await.map(|(stream, _)| (stream, None))
    }
}

/// The next connection of a listening socket. An accept that fails is logged and tried again: no failure ends a port.
/// Cancelling it loses no connection.
pub async fn next<L: Accept>(listener: &L, port: &str) -> (L::Stream, Option<SocketAddr>) {
    let mut told = false;
    loop {
        match listener.take().await {
            Ok(taken) => return taken,
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(port, %error, "cannot accept connections; trying again");
                }
                sleep(PAUSE).await;
            }
        }
    }
}

/// Listens on an address. `[::]` is every address of the machine, its IPv4 addresses too, and `0.0.0.0` on a machine
/// without IPv6.
///
/// # Errors
/// The system's.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    match open(address) {
        Err(error) if is_everywhere(address) && has_no_ipv6(&error) => open((Ipv4Addr::UNSPECIFIED, address.port()).into()),
        opened => opened,
    }
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if is_everywhere(address) {
        set_ipv6_v6only(&socket, false)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING)
}

fn is_everywhere(address: SocketAddr) -> bool {
    address.is_ipv6() && address.ip().is_unspecified()
}

/// Whether an error says that the machine has no IPv6.
fn has_no_ipv6(error: &io::Error) -> bool {
    let codes = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use rustix::io::Errno;
    use tokio::io::DuplexStream;
    use tokio::net::TcpStream;

    use super::{Accept, has_no_ipv6, listen, next};

    /// Fails some times before a connection comes.
    struct Exhausted(AtomicU32);

    impl Accept for Exhausted {
        type Stream = DuplexStream;

        async fn take(&self) -> io::Result<(DuplexStream, Option<SocketAddr>)> {
            match self.0.fetch_sub(1, Relaxed) {
                0 => Ok((tokio::io::duplex(1).0, None)),
                _ => Err(Errno::MFILE.into()),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_port_outlives_a_want_of_descriptors() {
        let (_stream, peer) = next(&Exhausted(AtomicU32::new(1000)), "test").await;
        assert_eq!(peer, None);
    }

    #[tokio::test]
    async fn everywhere_is_both_families() {
        let listener = listen((Ipv6Addr::UNSPECIFIED, 0).into()).unwrap();
        let port = listener.local_addr().unwrap().port();
        for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            let (made, taken) = tokio::join!(TcpStream::connect((ip, port)), listener.accept());
            made.unwrap();
            assert_eq!(taken.unwrap().1.ip().to_canonical(), ip);
        }
        let taken = listen(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)).unwrap_err();
        assert!(taken.kind() == io::ErrorKind::AddrInUse && !has_no_ipv6(&taken), "another port would not do: {taken}");
    }

    #[tokio::test]
    async fn one_address_is_one_address() {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.is_err());
    }

    #[test]
    fn a_machine_without_ipv6_says_so() {
        assert!(has_no_ipv6(&Errno::AFNOSUPPORT.into()) && has_no_ipv6(&Errno::ADDRNOTAVAIL.into()));
    }
}
