//! HTTP/1.1 connections with keep-alive.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use futures::TryFutureExt;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use tokio::task::AbortHandle;
use tokio::time::{Duration, Instant, timeout};

use super::{DialError, Dialing, Failure, Inbound, Limits, RequestBody};

/// How long a connection may take from the end of a response until it can serve again: an upload that the backend did
/// not wait for may still be on its way.
const SETTLE: Duration = Duration::from_secs(1);

/// Connections to one endpoint that are not in use; the one used last is taken first.
pub(super) struct Idle {
    limits: Limits,
    parked: RefCell<Vec<Parked>>,
    retired: Cell<bool>,
}

struct Parked {
    sender: SendRequest<RequestBody>,
    driver: Driver,
    inbound: Arc<Inbound>,
    born: Instant,
    since: Instant,
}

/// A connection in use.
pub(in crate::filter) struct Lease {
    home: Rc<Idle>,
    sender: SendRequest<RequestBody>,
    driver: Driver,
    inbound: Arc<Inbound>,
    born: Instant,
}

/// What drives a connection. It ends with this, also in the middle of a request that the backend does not read; a connection
/// that became a tunnel is its own by then.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Idle {
    /// None yet.
    pub(super) fn new(limits: Limits) -> Rc<Self> {
        Rc::new(Self { limits, parked: RefCell::default(), retired: Cell::new(false) })
    }

    /// A connection that can serve now.
    pub(super) fn take(self: &Rc<Self>) -> Option<Lease> {
        let now = Instant::now();
        let mut parked = self.parked.borrow_mut();
        while let Some(connection) = parked.pop() {
            if connection.sender.is_ready() && connection.is_young(now, &self.limits) {
                let Parked { sender, driver, inbound, born, .. } = connection;
                return Some(Lease { home: self.clone(), sender, driver, inbound, born });
            }
        }
        None
    }

    /// Closes everything.
    pub(super) fn close(&self) {
        self.parked.borrow_mut().clear();
    }

    /// Closes everything, now and later.
    pub(super) fn retire(&self) {
        self.retired.set(true);
        self.parked.borrow_mut().clear();
    }

    /// Closes what is dead or too old; whether anything is left.
    pub(super) fn sweep(&self, now: Instant) -> bool {
        let mut parked = self.parked.borrow_mut();
        parked.retain(|connection| !connection.sender.is_closed() && connection.is_young(now, &self.limits));
        !parked.is_empty()
    }

    fn park(&self, connection: Parked) {
        let mut parked = self.parked.borrow_mut();
        if !self.retired.get() && parked.len() < self.limits.max_idle {
            parked.push(connection);
        }
    }
}

impl Parked {
    fn is_young(&self, now: Instant, limits: &Limits) -> bool {
        now.duration_since(self.since) < limits.idle_timeout && now.duration_since(self.born) < limits.max_age
    }
}

impl Lease {
    /// What came and was not read yet.
    pub(super) fn inbound(&self) -> &Arc<Inbound> {
        &self.inbound
    }

    /// Sends a request and waits for the head of the response.
    pub(super) fn exchange(&mut self, request: Request<RequestBody>) -> impl Future<Output = Result<Response<Incoming>, Failure>> {
        self.sender.try_send_request(request).map_err(|mut failure| {
            let unsent = failure.take_message();
            let error = failure.into_error();
            // What came and could not be read is an answer, if a bad one.
            let silent = !error.is_parse();
            Failure { error, unsent, silent }
        })
    }

    /// Gives the connection back as soon as it can serve again.
    pub(super) fn finish(self) {
        let Self { home, mut sender, driver, inbound, born } = self;
        inbound.clear();
        if sender.is_closed() {
            return;
        }
        if sender.is_ready() {
            home.park(Parked { sender, driver, inbound, born, since: Instant::now() });
            return;
        }
        tokio::task::spawn_local(async move {
            if let Ok(Ok(())) = timeout(SETTLE, sender.ready()).await {
                home.park(Parked { sender, driver, inbound, born, since: Instant::now() });
            }
        });
    }
}

/// A new connection.
///
/// # Errors
/// [`DialError`].
pub(super) async fn connect(home: &Rc<Idle>, address: SocketAddr, dialing: Dialing<'_>) -> Result<Lease, DialError> {
    let limits = dialing.limits;
    let inbound = Inbound::plain(dialing.budget, 2 * limits.max_answer_head);
    let io = dialing.dial(address, &inbound).await?;
    let (sender, connection) = Builder::new().max_buf_size(limits.max_answer_head).max_headers(limits.max_fields).handshake(io).await?;
    let driver = tokio::task::spawn_local(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%address, %error, "connection ended");
        }
    });
    Ok(Lease { home: home.clone(), sender, driver: Driver(driver.abort_handle()), inbound, born: Instant::now() })
}
