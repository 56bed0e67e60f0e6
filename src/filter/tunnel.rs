//! Connections that changed their protocol: bytes both ways until one side ends, or both are silent.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::time::{Duration, Instant, sleep_until};

use super::counters::Gauge;
use super::upstream::Lease;

/// Joins both sides once each has changed its protocol. What is held goes with the tunnel.
pub(super) async fn join(client: OnUpgrade, backend: OnUpgrade, idle: Duration, held: (Gauge, Lease)) {
    let _held = held;
    let joined = async {
        let (client, backend) = futures::future::try_join(client, backend).await.map_err(io::Error::other)?;
        let moved = Rc::new(Cell::new(Instant::now()));
        let side = |upgraded: Upgraded| Side { stream: TokioIo::new(upgraded), moved: moved.clone() };
        let (mut client, mut backend) = (side(client), side(backend));
        tokio::select! {
            copied = copy_bidirectional(&mut client, &mut backend) => copied.map(drop),
            () = silence(&moved, idle) => Err(io::ErrorKind::TimedOut.into()),
        }
    };
    if let Err(error) = joined.await {
        tracing::debug!(%error, "tunnel ended");
    }
}

/// Resolves when nothing has moved for `idle`.
async fn silence(moved: &Cell<Instant>, idle: Duration) {
    let mut until = moved.get() + idle;
    while Instant::now() < until {
        sleep_until(until).await;
        until = moved.get() + idle;
    }
}

/// One side, which notes when bytes come from it.
struct Side {
    stream: TokioIo<Upgraded>,
    moved: Rc<Cell<Instant>>,
}

impl AsyncRead for Side {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.moved.set(Instant::now());
        }
        read
    }
}

impl AsyncWrite for Side {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
