//! Who is connected to some ports, as the kernel knows it (`sock_diag(7)`).

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr as NetlinkAddress};

use crate::model::ClientNetwork;

/// The kernel fills at most so much at a time.
const CHUNK: usize = 64 * 1024;

/// Sockets that listen, by port. Each is named by its inode.
pub(super) type Listening = HashMap<SocketAddr, BTreeSet<u32>>;

/// Counts the connections of each client over all these ports. Takes about a microsecond for each connection.
///
/// # Errors
/// The system's.
pub(super) fn clients(ports: &[SocketAddr]) -> io::Result<HashMap<ClientNetwork, u32>> {
    let mut clients = HashMap::new();
    look(ports, &(StateFlags::ESTABLISHED | StateFlags::CLOSE_WAIT), |port, found| {
        if port.ip().is_unspecified() || found.socket_id.source_address == port.ip() {
            *clients.entry(ClientNetwork::from(found.socket_id.destination_address)).or_default() += 1;
        }
    })?;
    Ok(clients)
}

/// Looks which sockets listen on these ports.
///
/// # Errors
/// The system's.
pub(super) fn listening(ports: &[SocketAddr]) -> io::Result<Listening> {
    let mut listening = Listening::new();
    look(ports, &StateFlags::LISTEN, |port, found| {
        if found.socket_id.source_address == port.ip() {
            listening.entry(port).or_default().insert(found.inode);
        }
    })?;
    Ok(listening)
}

fn look(ports: &[SocketAddr], states: &StateFlags, mut each: impl FnMut(SocketAddr, &InetResponseHeader)) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&NetlinkAddress::new(0, 0))?;
    for port in ports {
        // A socket for all addresses of IPv6 takes clients of IPv4 too, and all of its connections are of its own family.
        let family = if port.is_ipv4() { AF_INET } else { AF_INET6 };
        ask(&socket, family, port.port(), states.clone())?;
        read(&socket, |found| each(*port, found))?;
    }
    Ok(())
}

fn ask(socket: &Socket, family: u8, port: u16, states: StateFlags) -> io::Result<()> {
    let wanted = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states,
        socket_id: SocketId { source_port: port, ..if family == AF_INET { SocketId::new_v4() } else { SocketId::new_v6() } },
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(SockDiagMessage::InetRequest(wanted)));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0).map(drop)
}

fn read(socket: &Socket, mut each: impl FnMut(&InetResponseHeader)) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(CHUNK);
    loop {
        buffer.clear();
        socket.recv(&mut buffer, 0)?;
        let mut rest = buffer.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest).map_err(io::Error::other)?;
            match message.payload {
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => each(&response.header),
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                _ => {}
            }
            // Messages are aligned to four bytes.
            let length = usize::try_from(message.header.length).unwrap_or(usize::MAX).max(4).saturating_add(3) / 4 * 4;
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

/// TCP sockets in use, of all ports and both directions: no client can have more connections. Cheap, unlike a count.
pub(super) fn in_use(root: &Path) -> u32 {
    let read = |file: &str| std::fs::read_to_string(root.join("proc/self/net").join(file)).unwrap_or_default();
    number(&read("sockstat"), "TCP:") + number(&read("sockstat6"), "TCP6:")
}

fn number(text: &str, family: &str) -> u32 {
    let line = text.lines().find_map(|line| line.strip_prefix(family)).unwrap_or_default();
    line.trim().strip_prefix("inuse ").and_then(|rest| rest.split(' ').next()?.parse().ok()).unwrap_or(0)
}
