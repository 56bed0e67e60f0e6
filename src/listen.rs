//! Ports of our own: for probes, metrics, snapshots.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use rustix::io::Errno;
use rustix::net::sockopt::set_ipv6_v6only;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that may wait to be taken.
const WAITING: u32 = 1024;

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

    use rustix::io::Errno;
    use tokio::net::TcpStream;

    use super::{has_no_ipv6, listen};

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
