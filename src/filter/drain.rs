//! What a client goes on sending after its answer. Closed on, it would lose the answer: a system that gets bytes for a closed
//! socket resets the connection, and the client's system throws away what it has not read yet.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Duration, timeout};

use super::load::Meter;

/// How much is read on and thrown away, for how long, and how long nothing may come. Then the connection is closed, or the
/// stream is reset.
pub(super) const BYTES: usize = 64 << 20;
pub(super) const TIME: Duration = Duration::from_secs(30);
pub(super) const SILENCE: Duration = Duration::from_secs(5);

/// The body of a request. What is left of it when it is dropped is read on.
pub(super) struct Upload {
    incoming: Option<Incoming>,
    meter: Arc<Meter>,
    /// The client waits to be told before it sends anything, and was not.
    awaited: bool,
}

impl Upload {
    /// What comes by a connection; `expects` says that the client waits for `100 Continue`.
    pub(super) fn new(incoming: Incoming, meter: Arc<Meter>, expects: bool) -> Self {
        Self { incoming: Some(incoming), meter, awaited: expects }
    }

    /// The connection.
    pub(super) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.awaited = false;
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let frame = ready!(std::pin::Pin::new(incoming).poll_frame(cx));
        if matches!(frame, Some(Err(_))) {
            self.incoming = None;
        }
        Poll::Ready(frame)
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let rest = self.incoming.take().filter(|incoming| !incoming.is_end_stream() && !self.awaited);
        if let Some(incoming) = rest {
            tokio::task::spawn_local(read_on(incoming, self.meter.clone()));
        }
    }
}

async fn read_on(mut incoming: Incoming, meter: Arc<Meter>) {
    let mut left = BYTES;
    let rest = async {
        while let Ok(Some(Ok(frame))) = timeout(SILENCE, incoming.frame()).await {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            meter.passed(bytes);
            let Some(fewer) = left.checked_sub(bytes) else { return };
            left = fewer;
        }
    };
    timeout(TIME, rest).await.unwrap_or_default();
}
