//! Making connections.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::heard::Heard;
use crate::filter::counters::{Counters, count};
use crate::filter::gathered::Gathered;
use crate::filter::load::{Budget, Inbound, Measured};
use crate::filter::settings::Limits;

/// A connection to a backend, as hyper takes it.
pub(super) type Wire = TokioIo<Measured<Gathered<Heard<TcpStream>>>>;

/// What connections are made with.
#[derive(Clone, Copy)]
pub(super) struct Dialing<'a> {
    pub(super) limits: &'a Limits,
    pub(super) counters: &'a Counters,
    pub(super) budget: &'a Arc<Budget>,
}

impl Dialing<'_> {
    pub(super) async fn dial(&self, address: SocketAddr, inbound: &Arc<Inbound>) -> Result<Wire, DialError> {
        let stream = timeout(self.limits.connect_timeout, TcpStream::connect(address)).await.map_err(|_| DialError::Timeout)??;
        stream.set_nodelay(true)?;
        count(&self.counters.connected);
        Ok(TokioIo::new(Measured::new(Gathered::new(Heard::new(stream)), inbound.clone())))
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("connection timed out")]
    Timeout,
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("handshake: {0}")]
    Handshake(#[from] hyper::Error),
    #[error("another request failed to connect")]
    Shared,
}
