//! Sending a request as its rule says: for how long.

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::body::RequestBody;
use super::counters::count;
use super::filters::Filters;
use super::upstream::{Lease, Pool, UpstreamError};
use crate::model::Backend;

/// The answer of a backend.
pub(super) struct Answered {
    pub(super) response: Response<Incoming>,
    /// The connection that it comes by.
    pub(super) lease: Lease,
    /// When its last byte must be here.
    pub(super) end: Option<Instant>,
}

/// Sends a request that came at `start` to a backend.
///
/// # Errors
/// [`UpstreamError`]; [`UpstreamError::Timeout`] when the rule's time is up.
pub(super) async fn send(
    pool: &Pool,
    backend: &Backend,
    request: Request<RequestBody>,
    rule: &Filters,
    start: Instant,
) -> Result<Answered, UpstreamError> {
    let timeouts = &rule.timeouts;
    let end = timeouts.end_of_attempt(Instant::now(), timeouts.end(start));
    let sending = pool.send(backend, request, timeouts.patience());
    let sent = match end {
        None => sending.await,
        Some(end) => timeout_at(end, sending).await.unwrap_or_else(|_| {
            count(pool.timeouts());
            Err(UpstreamError::Timeout)
        }),
    };
    let (response, lease) = sent?;
    Ok(Answered { response, lease, end })
}
