//! Connections of relayed ports: Sōzu passes on what it does not read, and says first who connected where.

#[cfg(fuzzing)]
pub mod fuzzing;
mod proxy;
mod silent;
mod tls;

use std::io;
use std::rc::Rc;
use std::sync::atomic::AtomicU64;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

pub(super) use tls::Tls;

use self::silent::First;
use super::clocked::Clocked;
use super::counters::count;
use super::hygiene::Connection;
use super::load::{Meter, TLS_BUFFER};
use super::serve::Worker;
use crate::model::Protocol;

/// What a relayed connection is known to be.
#[derive(Debug)]
pub(super) struct Link {
    /// What it says of all its requests: who made it, as far as the connection tells, and where it connected to.
    pub(super) connection: Connection,
    /// The listener's port.
    pub(super) port: u16,
    /// With TLS, the name that the client asked for, lower-case; empty when it named none.
    pub(super) tls: Option<Box<str>>,
}

/// A handshake that counts as failed unless it ends well: it may break, and it may be given up.
struct Handshake<'a>(Option<&'a AtomicU64>);

impl Drop for Handshake<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|failures| count(failures));
    }
}

/// A connection, with or without TLS.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

/// Any connection.
pub(super) type Stream = Box<dyn Duplex>;

/// Learns where a connection belongs, and ends its TLS.
///
/// # Errors
/// The stream's, a header that Sōzu does not write, none by a load balancer where one must be, a port without listener or certificate, a failed handshake, no time
/// left.
pub(super) async fn open(worker: &Worker, mut stream: Stream, meter: &Meter) -> io::Result<(Stream, Rc<Link>)> {
    let opened = async {
        let ends = proxy::read(&mut stream).await?;
        worker.wait_until_ready().await.map_err(|_| io::Error::other("no snapshot yet"))?;
        let port = ends.server.port();
        let (protocol, trust) = {
            let table = worker.shared.table();
            let listener = table.any_listener(port).ok_or_else(|| io::Error::other("a port without listener"))?;
            (listener.protocol, listener.tuning.client_address.clone())
        };
        let proxied = trust.as_ref().is_some_and(|trust| trust.proxy_protocol);
        let named = if proxied { proxy::read_client(&mut stream).await? } else { None };
        let client = named.unwrap_or(ends.client.ip());
        // A trusted proxy has the connections of many clients.
        let trusted = trust.is_some_and(|trust| trust.trusted.includes(client));
        let shared = &worker.shared;
        if !trusted && !meter.belongs_to(client, &shared.addresses, shared.limits.connections_per_address) {
            count(&shared.counters.refused_by_address);
            return Err(io::Error::other("too many connections of one address"));
        }
        let link = |tls: Option<Box<str>>| {
            let connection = Connection::new(client, ends.server, tls.is_some());
            Rc::new(Link { connection, port, tls })
        };
        let awaited = |stream| Box::new(Clocked::new(stream, First::within(worker.shared.limits.client_head_timeout))) as Stream;
        if protocol == Protocol::Http {
            return Ok((awaited(stream), link(None)));
        }
        let config = worker.shared.tls(port).ok_or_else(|| io::Error::other("a port without certificate"))?;
        let mut handshake = Handshake(Some(&shared.counters.tls_failures));
        let mut stream = TlsAcceptor::from(config).accept(stream).await?;
        handshake.0 = None;
        stream.get_mut().1.set_buffer_limit(Some(TLS_BUFFER));
        let name = stream.get_ref().1.server_name().unwrap_or_default().to_ascii_lowercase();
        Ok((awaited(Box::new(stream)), link(Some(name.into()))))
    };
    timeout(worker.shared.limits.open_timeout, opened).await?
}
