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
use super::load::Flight;
use super::upstream::Lease;

/// Joins both sides once each has changed its protocol. What is held goes with the tunnel.
pub(super) async fn join(client: OnUpgrade, backend: OnUpgrade, idle: Duration, held: (Flight, Lease)) {
    let (flight, lease) = held;
    lease.tunnels();
    let joined = async {
        let (client, backend) = futures::future::try_join(client, backend).await.map_err(io::Error::other)?;
        let moved = Rc::new(Cell::new(Instant::now()));
        let (meter, inbound) = (flight.meter().clone(), lease.inbound().clone());
        let passed: [Passed; 2] = [Box::new(move |bytes| meter.passed(bytes)), Box::new(move |bytes| inbound.took(bytes))];
        let side = |upgraded: Upgraded, passed| Clocked::new(TokioIo::new(upgraded), Noted { moved: moved.clone(), passed });
        let [of_client, of_backend] = passed;
        let (mut client, mut backend) = (side(client, of_client), side(backend, of_backend));
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

/// Told what has been read of one side.
type Passed = Box<dyn Fn(usize)>;

/// Notes when bytes came. It is of both sides, and gives up neither alone.
struct Noted {
    moved: Rc<Cell<Instant>>,
    passed: Passed,
}

impl Clock for Noted {
    fn read(&mut self, bytes: usize) {
        self.moved.set(Instant::now());
        (self.passed)(bytes);
    }

    fn poll_silence(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}
