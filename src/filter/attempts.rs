//! Sending a request as its rule says: for how long, and how often.

use std::net::IpAddr;
use std::pin::{Pin, pin};

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::{Duration, Instant, sleep, timeout, timeout_at};

use super::body::RequestBody;
use super::counters::count;
use super::filters::{Filters, Retry};
use super::mirror::discard;
use super::replay::Tape;
use super::upstream::{Lease, Pool, Terms, UpstreamError};
use crate::model::Backend;

/// How long the rest of an answer that is not taken may take, so that its connection can serve again.
const REST: Duration = Duration::from_secs(1);

/// The answer of a backend.
pub(super) struct Answered {
    pub(super) response: Response<Incoming>,
    /// The connection that it comes by.
    pub(super) lease: Lease,
    /// When its last byte must be here.
    pub(super) end: Option<Instant>,
}

/// Gives up at `end`. It takes the work where it is pinned: taken by value, its size would count several times.
async fn bounded<T>(
    pool: &Pool,
    end: Option<Instant>,
    work: Pin<&mut impl Future<Output = Result<T, UpstreamError>>>,
) -> Result<T, UpstreamError> {
    match end {
        None => work.await,
        Some(end) => timeout_at(end, work).await.unwrap_or_else(|_| {
            count(pool.timeouts());
            Err(UpstreamError::Timeout)
        }),
    }
}

/// Where a request goes, and what its rule says.
pub(super) struct Route<'a> {
    pub(super) pool: &'a Pool,
    pub(super) backend: &'a Backend,
    /// Whose request it is.
    pub(super) client: Option<IpAddr>,
    pub(super) rule: &'a Filters,
    /// When its time is up.
    pub(super) end: Option<Instant>,
}

impl Route<'_> {
    /// Sends a request.
    ///
    /// # Errors
    /// [`UpstreamError`]; [`UpstreamError::Timeout`] when the rule's time is up.
    pub(super) async fn send(&self, request: Request<RequestBody>) -> Result<Answered, UpstreamError> {
        match &self.rule.retry {
            None => self.once(request).await,
            // What few rules need shall not make the state of every request larger.
            Some(retry) => bounded(self.pool, self.end, Box::pin(self.repeat(request, retry)).as_mut()).await,
        }
    }

    async fn once(&self, request: Request<RequestBody>) -> Result<Answered, UpstreamError> {
        let timeouts = &self.rule.timeouts;
        let end = timeouts.end_of_attempt(Instant::now(), self.end);
        let terms = Terms { patience: timeouts.patience(), replays: self.rule.retry.is_none(), client: self.client };
        let sent = pin!(self.pool.send(self.backend, request, terms));
        let (response, lease) = bounded(self.pool, end, sent).await?;
        Ok(Answered { response, lease, end })
    }

    /// The last answer is taken whatever it is.
    async fn repeat(&self, request: Request<RequestBody>, retry: &Retry) -> Result<Answered, UpstreamError> {
        let (parts, body) = request.into_parts();
        let tape = match body {
            RequestBody::Stream(received) => Some(Tape::new(received)),
            RequestBody::Empty | RequestBody::Copy(_) | RequestBody::Replay(_) => None,
        };
        let rewound = || tape.as_ref().map_or(Some(RequestBody::Empty), Tape::rewind);
        let mut body = rewound().ok_or(UpstreamError::RequestBody)?;
        let mut before = 0;
        loop {
            let sent = self.once(Request::from_parts(parts.clone(), body)).await;
            let failed = match &sent {
                Ok(answered) => retry.refuses(answered.response.status()),
                Err(error) => error.is_passing(),
            };
            if !failed || before >= retry.attempts {
                return sent;
            }
            let Some(again) = rewound() else { return sent };
            if let Ok(Answered { response, lease, .. }) = sent {
                tokio::task::spawn_local(async move { timeout(REST, discard(response.into_body(), lease)).await.unwrap_or_default() });
            }
            count(self.pool.retries());
            sleep(retry.pause(before)).await;
            (body, before) = (again, before + 1);
        }
    }
}
