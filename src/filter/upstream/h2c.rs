//! HTTP/2 connections with prior knowledge: a few per endpoint, chosen by open streams.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;

use futures::{FutureExt, TryFutureExt};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioTimer;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant, sleep};

use super::{Counters, DialError, Failure, Limits, RequestBody, Wire, dial};
use crate::filter::executor::Local;

/// Flow control windows: enough for 100 MB/s at 10 ms.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// The other side's settings, which are the first that it sends, are here after this time.
const SETTINGS: Duration = Duration::from_secs(1);
/// How often they are looked for until then: nothing tells when they have come.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How often an open connection with streams is asked for a sign of life, and how long it may take.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The connections to one endpoint.
pub(super) struct Shared {
    limits: Limits,
    connections: RefCell<Vec<Member>>,
    /// A connection is being made.
    dialing: Cell<bool>,
    dialed: Notify,
    /// The last attempt to make one failed, rather than being given up by who asked for it.
    refused: Cell<bool>,
    retired: Cell<bool>,
}

struct Member {
    sender: SendRequest<RequestBody>,
    open: Rc<Cell<usize>>,
    driven: Driven,
    born: Instant,
    since: Cell<Instant>,
}

/// What drives a connection, until it has ended.
type Driven = Rc<RefCell<Option<Connection<Wire, RequestBody, Local>>>>;

/// One stream's share of a connection.
pub(in crate::filter) struct Lease {
    sender: SendRequest<RequestBody>,
    open: Rc<Cell<usize>>,
    born: Instant,
    driven: Driven,
}

impl Lease {
    fn new(member: &Member) -> Self {
        member.open.set(member.open.get() + 1);
        member.since.set(Instant::now());
        let (sender, open, driven) = (member.sender.clone(), member.open.clone(), member.driven.clone());
        Self { sender, open, born: member.born, driven }
    }

    /// Whether streams may become tunnels (RFC 8441 §3). A dead connection has yet to be found out.
    pub(super) async fn takes_tunnels(&self) -> bool {
        let takes = || self.driven.borrow().as_ref().is_none_or(Connection::is_extended_connect_protocol_enabled);
        while !takes() {
            if self.born.elapsed() > SETTINGS {
                return false;
            }
            sleep(LOOK_EVERY).await;
        }
        true
    }

    /// Sends a request and waits for the head of the response.
    pub(super) fn exchange(&mut self, request: Request<RequestBody>) -> impl Future<Output = Result<Response<Incoming>, Failure>> {
        let sent = self.sender.try_send_request(request);
        let sender = &self.sender;
        sent.map_err(|mut failure| {
            let unsent = failure.take_message();
            // A backend that resets one stream has answered; a connection that is gone has not.
            Failure { error: failure.into_error(), unsent, silent: sender.is_closed() }
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.open.set(self.open.get().saturating_sub(1));
    }
}

impl Shared {
    /// None yet.
    pub(super) fn new(limits: Limits) -> Rc<Self> {
        let (connections, dialed) = (RefCell::default(), Notify::new());
        Rc::new(Self { limits, connections, dialing: Cell::new(false), dialed, refused: Cell::new(false), retired: Cell::new(false) })
    }

    /// The least used connection, with its number of open streams.
    fn least_used(&self) -> Option<(Lease, usize)> {
        let now = Instant::now();
        let mut connections = self.connections.borrow_mut();
        connections.retain(|member| !member.sender.is_closed());
        let young = connections.iter().filter(|member| now.duration_since(member.born) < self.limits.max_age);
        let member = young.min_by_key(|member| member.open.get())?;
        let open = member.open.get();
        Some((Lease::new(member), open))
    }

    /// Closes everything once its streams have ended.
    pub(super) fn retire(&self) {
        self.retired.set(true);
        self.connections.borrow_mut().clear();
    }

    /// Closes what is dead or idled too long; whether anything is left.
    pub(super) fn sweep(&self, now: Instant) -> bool {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|member| {
            let idle = member.open.get() == 0 && now.duration_since(member.since.get()) >= self.limits.idle_timeout;
            let old = member.open.get() == 0 && now.duration_since(member.born) >= self.limits.max_age;
            !member.sender.is_closed() && !idle && !old
        });
        !connections.is_empty()
    }
}

/// Ends the dialing, whatever becomes of it, and wakes those who wait for it.
struct Dialing<'a>(&'a Shared);

impl Drop for Dialing<'_> {
    fn drop(&mut self) {
        self.0.dialing.set(false);
        self.0.dialed.notify_waiters();
    }
}

/// A stream on an open connection, unless there is none, or all are well used and another one may be made.
pub(super) fn ready(shared: &Shared) -> Option<Lease> {
    let (lease, open) = shared.least_used()?;
    let full = open >= shared.limits.streams_per_connection;
    let more = !shared.dialing.get() && shared.connections.borrow().len() < shared.limits.max_h2_connections;
    (!full || !more).then_some(lease)
}

/// The same, or a stream on a new connection; and whether the connection has served before. Requests that come while the first
/// connection is being made wait for it.
///
/// # Errors
/// [`DialError`].
pub(super) async fn acquire(
    shared: &Rc<Shared>,
    address: SocketAddr,
    limits: Limits,
    counters: &Counters,
) -> Result<(Lease, bool), DialError> {
    loop {
        if let Some(lease) = ready(shared) {
            return Ok((lease, true));
        }
        if !shared.dialing.get() {
            shared.dialing.set(true);
            let dialing = Dialing(shared);
            shared.refused.set(false);
            let connected = connect(address, &limits, counters).await;
            shared.refused.set(connected.is_err());
            let member = connected?;
            let lease = Lease::new(&member);
            if !shared.retired.get() {
                shared.connections.borrow_mut().push(member);
            }
            drop(dialing);
            return Ok((lease, false));
        }
        shared.dialed.notified().await;
        if shared.refused.get() {
            return Err(DialError::Shared);
        }
    }
}

async fn connect(address: SocketAddr, limits: &Limits, counters: &Counters) -> Result<Member, DialError> {
    let io = dial(address, limits, counters).await?;
    let mut builder = Builder::new(Local);
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(limits.max_head).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT);
    let (sender, connection) = builder.handshake(io).await?;
    let driven = Rc::new(RefCell::new(Some(connection)));
    let held = driven.clone();
    tokio::task::spawn_local(async move {
        let ended = poll_fn(|cx| held.borrow_mut().as_mut().map_or(Poll::Ready(Ok(())), |connection| connection.poll_unpin(cx)));
        if let Err(error) = ended.await {
            tracing::debug!(%address, %error, "connection ended");
        }
        held.take();
    });
    let now = Instant::now();
    Ok(Member { sender, open: Rc::default(), driven, born: now, since: Cell::new(now) })
}
