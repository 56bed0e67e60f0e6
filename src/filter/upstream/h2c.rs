//! HTTP/2 connections with prior knowledge: a few per endpoint, chosen by open streams.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use futures::{FutureExt, TryFutureExt};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioTimer;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant, sleep, timeout};

use super::{DialError, Dialing, Failure, Inbound, Limits, RequestBody, Wire};
use crate::filter::executor::Local;

/// Flow control windows: enough for 25 MB/s of one answer at 10 ms, and for answers that wait for their clients beside others.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Bytes of one request that may wait to be written.
const SEND_BUFFER: usize = 64 << 10;

/// How long a request for a tunnel waits for the other side's settings.
const SETTINGS: Duration = Duration::from_secs(1);
/// How often they are looked for, which come first (RFC 9113 §3.4): nothing tells when they have.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// The number of streams that a connection allows until the other side's settings have come: none that they can say, having
/// 32 bits, and not the greatest, which means that they say none.
const UNTOLD: usize = usize::MAX - 1;

/// How often an open connection with streams is asked for a sign of life, and how long it may take.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The connections to one endpoint.
pub(super) struct Shared {
    limits: Limits,
    connections: RefCell<Vec<Member>>,
    /// A connection is being made, or its settings have yet to come.
    dialing: Cell<bool>,
    dialed: Notify,
    /// The last attempt to make one failed, rather than being given up by who asked for it.
    refused: Cell<bool>,
    retired: Cell<bool>,
}

struct Member {
    sender: SendRequest<RequestBody>,
    open: Rc<Cell<usize>>,
    inbound: Arc<Inbound>,
    driven: Driven,
    born: Instant,
    since: Cell<Instant>,
}

/// Room on a connection.
enum Room {
    /// For more.
    Ample,
    /// For more, but another connection would do better.
    Little,
    /// The other side allows no more.
    None,
}

/// What drives a connection, until it has ended.
type Driven = Rc<RefCell<Option<Connection<Wire, RequestBody, Local>>>>;

/// One stream's share of a connection.
pub(in crate::filter) struct Lease {
    sender: SendRequest<RequestBody>,
    open: Rc<Cell<usize>>,
    inbound: Arc<Inbound>,
    driven: Driven,
}

impl Member {
    /// Open streams that the other side certainly allows: before it has spoken, the one that asked for the connection.
    fn most(&self) -> usize {
        let allowed = self.driven.borrow().as_ref().map(Connection::current_max_send_streams);
        allowed.filter(|allowed| *allowed != UNTOLD).unwrap_or_default().max(1)
    }

    fn room(&self, limits: &Limits) -> Room {
        match self.open.get() {
            open if open >= self.most() => Room::None,
            open if open >= limits.streams_per_connection => Room::Little,
            _ => Room::Ample,
        }
    }
}

/// Waits for the other side's settings; whether they come before the connection's end.
async fn told(driven: &Driven) -> bool {
    loop {
        let allowed = driven.borrow().as_ref().map(Connection::current_max_send_streams);
        if allowed != Some(UNTOLD) {
            return allowed.is_some();
        }
        sleep(LOOK_EVERY).await;
    }
}

impl Lease {
    /// What came and was not read yet.
    pub(super) fn inbound(&self) -> &Arc<Inbound> {
        &self.inbound
    }

    fn new(member: &Member) -> Self {
        member.open.set(member.open.get() + 1);
        member.since.set(Instant::now());
        let (sender, inbound) = (member.sender.clone(), member.inbound.clone());
        Self { sender, open: member.open.clone(), inbound, driven: member.driven.clone() }
    }

    /// Whether streams may become tunnels (RFC 8441 §3). A dead connection has yet to be found out.
    pub(super) async fn takes_tunnels(&self) -> bool {
        let _ = timeout(SETTINGS, told(&self.driven)).await;
        self.driven.borrow().as_ref().is_none_or(Connection::is_extended_connect_protocol_enabled)
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
        if self.open.get() == 0 {
            self.inbound.clear();
        }
    }
}

impl Shared {
    /// None yet.
    pub(super) fn new(limits: Limits) -> Rc<Self> {
        let (connections, dialed) = (RefCell::default(), Notify::new());
        Rc::new(Self { limits, connections, dialing: Cell::new(false), dialed, refused: Cell::new(false), retired: Cell::new(false) })
    }

    /// The least used connection that has room, else the least used, with its room.
    fn least_used(&self) -> Option<(Lease, Room)> {
        let now = Instant::now();
        let mut connections = self.connections.borrow_mut();
        connections.retain(|member| !member.sender.is_closed());
        let young = connections.iter().filter(|member| now.duration_since(member.born) < self.limits.max_age);
        let member = young.min_by_key(|member| (member.open.get() >= member.most(), member.open.get()))?;
        let room = member.room(&self.limits);
        Some((Lease::new(member), room))
    }

    /// Whether one more connection may be made: where each takes fewer streams, there may be more of them.
    fn may_grow(&self) -> bool {
        let streams = |member: &Member| member.most().min(self.limits.streams_per_connection);
        let all: usize = self.connections.borrow().iter().map(streams).sum();
        all < self.limits.streams_per_connection.saturating_mul(self.limits.max_h2_connections)
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
struct Ends(Rc<Shared>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.dialing.set(false);
        self.0.dialed.notify_waiters();
    }
}

/// A stream on an open connection, unless there is none with room and another one may be made.
pub(super) fn ready(shared: &Shared) -> Option<Lease> {
    let (lease, room) = shared.least_used()?;
    let ready = match room {
        Room::Ample => true,
        Room::Little => shared.dialing.get() || !shared.may_grow(),
        Room::None => !shared.dialing.get() && !shared.may_grow(),
    };
    ready.then_some(lease)
}

/// The same, or a stream on a new connection; and whether the connection has served before. Requests that find no room while
/// a connection is being made wait until it is, and the other side has said how many streams it allows.
///
/// # Errors
/// [`DialError`].
pub(super) async fn acquire(shared: &Rc<Shared>, address: SocketAddr, dialing: Dialing<'_>) -> Result<(Lease, bool), DialError> {
    loop {
        if let Some(lease) = ready(shared) {
            return Ok((lease, true));
        }
        if !shared.dialing.get() {
            shared.dialing.set(true);
            let ends = Ends(shared.clone());
            shared.refused.set(false);
            let connected = connect(address, dialing).await;
            shared.refused.set(connected.is_err());
            let member = connected?;
            let lease = Lease::new(&member);
            settle(ends, member.driven.clone(), dialing.limits.connect_timeout);
            if !shared.retired.get() {
                shared.connections.borrow_mut().push(member);
            }
            return Ok((lease, false));
        }
        shared.dialed.notified().await;
        if shared.refused.get() {
            return Err(DialError::Shared);
        }
    }
}

/// Ends the dialing when the settings have come. To those who wait, an endpoint that does not send them refuses connections.
fn settle(ends: Ends, driven: Driven, patience: Duration) {
    tokio::task::spawn_local(async move {
        let told = timeout(patience, told(&driven)).await;
        ends.0.refused.set(!told.unwrap_or(false));
    });
}

async fn connect(address: SocketAddr, dialing: Dialing<'_>) -> Result<Member, DialError> {
    let limits = dialing.limits;
    let inbound = Inbound::framed(dialing.budget, CONNECTION_WINDOW as usize);
    let io = dialing.dial(address, &inbound).await?;
    let mut builder = Builder::new(Local);
    builder
        .timer(TokioTimer::new())
        .initial_max_send_streams(UNTOLD)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(u32::try_from(limits.max_answer_head).unwrap_or(u32::MAX))
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
    Ok(Member { sender, open: Rc::default(), inbound, driven, born: now, since: Cell::new(now) })
}
