//! Connections to backends: one pool per worker, owned by its thread.

mod affinity;
mod dial;
mod h1;
mod h2c;
mod heard;
mod lease;
mod room;
mod rotation;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::time::{Duration, Instant, sleep_until};

use self::dial::{DialError, Dialing, Wire};
use self::lease::Kind;
pub(super) use self::lease::Lease;
use self::room::Room;
pub(super) use self::room::Waiting;
use self::rotation::Rotation;
use super::body::{RequestBody, Upload};
use super::counters::{Counters, count};
use super::filters::Patience;
use super::load::{Budget, Inbound};
use super::settings::Limits;
use super::shared::{Given, Shared};
use crate::model::{Backend, BackendProtocol, Endpoint};

/// How long an endpoint that refused a connection is asked last.
const COOL_DOWN: Duration = Duration::from_secs(5);

/// How often one request may be sent again.
const REPLAYS: usize = 3;

/// Why there is no response from a backend.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The backend has no endpoint.
    #[error("no endpoint")]
    NoEndpoint,
    /// No endpoint that was tried accepted a connection.
    #[error("no endpoint accepts connections")]
    Connect,
    /// The endpoints have too many requests open, and too many that wait.
    #[error("too many requests")]
    Full,
    /// The exchange broke before a response head, or what came was no HTTP.
    #[error("broken exchange: {0}")]
    Broken(hyper::Error),
    /// No response head in time.
    #[error("no response in time")]
    Timeout,
    /// The client's own body broke.
    #[error("broken request body")]
    RequestBody,
    /// The backend speaks HTTP/2 without extended CONNECT (RFC 8441), so it takes no WebSockets.
    #[error("no tunnels over HTTP/2")]
    NoTunnels,
}

impl UpstreamError {
    /// Whether the same request may fare better a moment later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Connect | Self::Broken(_) | Self::Timeout | Self::Full => true,
            Self::NoEndpoint | Self::RequestBody | Self::NoTunnels => false,
        }
    }

    /// The status that the client gets: what Envoy answers, and Sōzu for the same backend (503 when nobody accepts).
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoEndpoint | Self::Connect | Self::Full => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken(_) => StatusCode::BAD_GATEWAY,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::RequestBody => StatusCode::BAD_REQUEST,
            Self::NoTunnels => StatusCode::NOT_IMPLEMENTED,
        }
    }
}

/// All connections of one worker.
pub(super) struct Pool {
    limits: Limits,
    given: Arc<Given>,
    counters: Arc<Counters>,
    budget: Arc<Budget>,
    slots: RefCell<HashMap<(Endpoint, BackendProtocol), Rc<Slot>>>,
}

/// The connections to one endpoint.
struct Slot {
    address: SocketAddr,
    connections: Connections,
    /// How many exchanges it may have.
    room: Room,
    /// Until when it is asked last, because it refused a connection.
    down: Cell<Option<Instant>>,
}

enum Connections {
    H1(Rc<h1::Idle>),
    H2(Rc<h2c::Shared>),
}

/// How a request is sent.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    /// How long the backend may be silent.
    pub(super) patience: Patience,
    /// Whether a fresh connection that ends without an answer is a reason to send the request again; a rule with retries
    /// counts those itself.
    pub(super) replays: bool,
    /// The client, for backends with session affinity.
    pub(super) client: Option<IpAddr>,
}

impl Terms {
    /// Those of copies for mirrors: each goes to a single endpoint (`HTTPRequestMirrorFilter.backendRef`).
    pub(super) const OF_COPIES: Self = Self { patience: Patience::Usual, replays: false, client: None };
}

/// A failed exchange.
struct Failure {
    error: hyper::Error,
    /// The request, when it was never written.
    unsent: Option<Request<RequestBody>>,
    /// The connection ended without a sign of the response.
    silent: bool,
}

impl Pool {
    /// An empty pool.
    pub(super) fn new(shared: &Shared) -> Self {
        let (given, counters, budget) = (shared.given.clone(), shared.counters.clone(), shared.budget.clone());
        Self { limits: shared.limits, given, counters, budget, slots: RefCell::default() }
    }

    /// Sends a request to one endpoint of `backend`, chosen evenly at random or by the client's address, and returns the
    /// response with the lease of its connection.
    ///
    /// An endpoint that does not accept is replaced by another one. A request that a dying connection swallowed is sent
    /// again when nothing of it was written, or when it is idempotent and has no body: on a fresh connection if the dead
    /// one had served before, else to another endpoint; never after a response head. With [`Patience::Unlimited`] it is
    /// the caller who gives up.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub(super) async fn send(
        &self,
        backend: &Backend,
        mut request: Request<RequestBody>,
        terms: Terms,
    ) -> Result<(Response<Incoming>, Lease), UpstreamError> {
        if backend.endpoints.is_empty() {
            return Err(UpstreamError::NoEndpoint);
        }
        let upload = request.body().upload();
        let (mut broken, mut replays, mut full) = (None, 0, false);
        for slot in Rotation::new(self, backend, terms.client).take(self.limits.connect_attempts) {
            let mut reused = true;
            while reused {
                let Some(taken) = slot.room.take(&self.limits).await else {
                    full = true;
                    break;
                };
                let kind = match slot.ready(broken.is_some()) {
                    Some(kind) => kind,
                    None => {
                        let Ok(acquired) = self.acquire(&slot).await else { break };
                        reused = acquired.1;
                        acquired.0
                    }
                };
                let mut lease = Lease { kind, _taken: taken };
                if *request.method() == Method::CONNECT && !lease.takes_tunnels().await {
                    return Err(UpstreamError::NoTunnels);
                }
                let copy = if replays < REPLAYS && (reused || terms.replays) { copy_of(&request) } else { None };
                let sent = {
                    let exchange = pin!(lease.exchange(request));
                    self.wait(exchange, upload.as_deref(), terms.patience).await?
                };
                let failure = match sent {
                    Ok(response) => return Ok((response, lease)),
                    Err(failure) => failure,
                };
                if upload.as_deref().is_some_and(|upload| upload.failed.get()) {
                    return Err(UpstreamError::RequestBody);
                }
                replays += 1;
                let again = failure.unsent.filter(|_| replays <= REPLAYS).or(copy.filter(|_| failure.silent));
                let Some(again) = again else {
                    count(&self.counters.upstream_errors);
                    return Err(UpstreamError::Broken(failure.error));
                };
                count(&self.counters.replays);
                (request, broken) = (again, Some(failure.error));
            }
        }
        if let Some(error) = broken {
            count(&self.counters.upstream_errors);
            return Err(UpstreamError::Broken(error));
        }
        if full {
            count(&self.counters.shed_by_backend);
            return Err(UpstreamError::Full);
        }
        Err(UpstreamError::Connect)
    }

    /// Counts exchanges that took too long.
    pub(super) fn timeouts(&self) -> &AtomicU64 {
        &self.counters.timeouts
    }

    /// Counts requests sent again because a rule says so.
    pub(super) fn retries(&self) -> &AtomicU64 {
        &self.counters.retries
    }

    /// Closes what idles towards endpoints that are gone.
    pub(super) fn retire(&self, endpoints: &[Endpoint]) {
        let mut slots = self.slots.borrow_mut();
        for endpoint in endpoints {
            for protocol in [BackendProtocol::Http, BackendProtocol::H2c] {
                if let Some(slot) = slots.remove(&(*endpoint, protocol)) {
                    slot.retire();
                }
            }
        }
    }

    /// Closes what is not in use: too much is held.
    pub(super) fn close_idle(&self) {
        for slot in self.slots.borrow().values() {
            if let Connections::H1(idle) = &slot.connections {
                idle.close();
            }
        }
    }

    /// Closes what idled too long, and forgets endpoints without connections.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        self.slots.borrow_mut().retain(|_, slot| {
            let used = match &slot.connections {
                Connections::H1(idle) => idle.sweep(now),
                Connections::H2(shared) => shared.sweep(now),
            };
            used || Rc::strong_count(slot) > 1 || slot.down.get().is_some_and(|until| until > now)
        });
    }

    fn slot(&self, endpoint: Endpoint, protocol: BackendProtocol) -> Rc<Slot> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.entry((endpoint, protocol)).or_insert_with(|| {
            let connections = match protocol {
                BackendProtocol::Http => Connections::H1(h1::Idle::new(self.limits)),
                BackendProtocol::H2c => Connections::H2(h2c::Shared::new(self.limits)),
            };
            let (address, room) = (SocketAddr::new(endpoint.ip, endpoint.port), Room::new(self.limits.max_exchanges));
            Rc::new(Slot { address, connections, room, down: Cell::new(None) })
        });
        slot.clone()
    }

    /// A connection, and whether it has served before. What makes one is boxed: few requests need it, and the state of all
    /// would be larger.
    async fn acquire(&self, slot: &Slot) -> Result<(Kind, bool), ()> {
        let acquired = match &slot.connections {
            Connections::H1(idle) => {
                let limits = self.given.over(&self.limits);
                let connected = Box::pin(h1::connect(idle, slot.address, self.dialing(&limits))).await;
                connected.map(|lease| (Kind::H1(lease), false))
            }
            Connections::H2(shared) => {
                let limits = self.given.over(&self.limits);
                let acquired = Box::pin(h2c::acquire(shared, slot.address, self.dialing(&limits))).await;
                acquired.map(|(lease, reused)| (Kind::H2(lease), reused))
            }
        };
        slot.down.set(acquired.is_err().then(|| Instant::now() + COOL_DOWN));
        match acquired {
            Ok(_) => self.counters.unreached.answers(slot.address),
            Err(_) => self.counters.unreached.fails(slot.address, Instant::now()),
        }
        acquired.map_err(|error| {
            count(&self.counters.connect_errors);
            tracing::debug!(address = %slot.address, %error, "no connection");
        })
    }

    fn dialing<'a>(&'a self, limits: &'a Limits) -> Dialing<'a> {
        Dialing { limits, counters: &self.counters, budget: &self.budget }
    }

    /// Waits for the head of the response for as long as `patience` lets the backend be silent.
    async fn wait(
        &self,
        mut exchange: Pin<&mut impl Future<Output = Result<Response<Incoming>, Failure>>>,
        upload: Option<&Upload>,
        patience: Patience,
    ) -> Result<Result<Response<Incoming>, Failure>, UpstreamError> {
        if patience == Patience::Unlimited {
            return Ok(exchange.await);
        }
        let mut deadline = Instant::now() + self.limits.response_timeout;
        loop {
            tokio::select! {
                biased;
                exchanged = exchange.as_mut() => return Ok(exchanged),
                () = sleep_until(deadline) => {
                    let moved = upload.map_or(deadline, |upload| upload.moved.get() + self.limits.response_timeout);
                    if moved <= deadline {
                        count(&self.counters.timeouts);
                        return Err(UpstreamError::Timeout);
                    }
                    deadline = moved;
                }
            }
        }
    }
}

impl Slot {
    /// A connection that has served before and can serve now. `fresh` wants none, as far as each request has its own.
    fn ready(&self, fresh: bool) -> Option<Kind> {
        match &self.connections {
            Connections::H1(_) if fresh => None,
            Connections::H1(idle) => idle.take().map(Kind::H1),
            Connections::H2(shared) => {
                let lease = h2c::ready(shared)?;
                self.down.set(None);
                Some(Kind::H2(lease))
            }
        }
    }

    fn retire(&self) {
        match &self.connections {
            Connections::H1(idle) => idle.retire(),
            Connections::H2(shared) => shared.retire(),
        }
    }
}

/// The head once more, when sending it twice does no harm.
fn copy_of(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let idempotent = [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE].contains(request.method());
    if !idempotent || !matches!(request.body(), RequestBody::Empty) {
        return None;
    }
    let mut copy = Request::new(RequestBody::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}
