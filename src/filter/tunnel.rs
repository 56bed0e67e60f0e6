//! Connections that changed their protocol: bytes both ways until one side ends, or both are silent.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tokio::time::{Duration, Instant, sleep_until};

use super::clocked::{Clock, Clocked};
use super::counters::Gauge;
use super::upstream::Lease;

/// Joins both sides once each has changed its protocol. What is held goes with the tunnel.
pub(super) async fn join(client: OnUpgrade, backend: OnUpgrade, idle: Duration, held: (Gauge, Lease)) {
    let _held = held;
    let joined = async {
        let (client, backend) = futures::future::try_join(client, backend).await.map_err(io::Error::other)?;
        let moved = Rc::new(Cell::new(Instant::now()));
        let side = |upgraded: Upgraded| Clocked::new(TokioIo::new(upgraded), Noted(moved.clone()));
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

/// Notes when bytes came. It is of both sides, and gives up neither alone.
struct Noted(Rc<Cell<Instant>>);

impl Clock for Noted {
    fn read(&mut self) {
        self.0.set(Instant::now());
    }

    fn poll_silence(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}
