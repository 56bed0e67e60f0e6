//! Message bodies, passed on frame by frame and never collected.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::counters::{Gauge, Observed};
use super::upstream::Lease;

/// A request body on its way to a backend.
pub(super) enum RequestBody {
    /// None.
    Empty,
    /// What the client sends.
    Stream(Incoming, Rc<Upload>),
}

/// How a request body fares, for who waits for the response.
pub(super) struct Upload {
    /// The client's side broke.
    pub(super) failed: Cell<bool>,
    /// When it last moved.
    pub(super) moved: Cell<Instant>,
}

impl RequestBody {
    /// Whether the length is not known beforehand.
    pub(super) fn is_streamed(&self) -> bool {
        match self {
            Self::Empty => false,
            Self::Stream(incoming, _) => incoming.size_hint().exact().is_none(),
        }
    }

    /// How it fares; nothing without a body.
    pub(super) fn upload(&self) -> Option<Rc<Upload>> {
        match self {
            Self::Empty => None,
            Self::Stream(_, upload) => Some(upload.clone()),
        }
    }
}

impl From<Incoming> for RequestBody {
    fn from(incoming: Incoming) -> Self {
        if incoming.is_end_stream() {
            return Self::Empty;
        }
        Self::Stream(incoming, Rc::new(Upload { failed: Cell::new(false), moved: Cell::new(Instant::now()) }))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self::Stream(incoming, upload) = self.get_mut() else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(incoming).poll_frame(cx));
        upload.moved.set(Instant::now());
        if let Some(Err(_)) = &frame {
            upload.failed.set(true);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Stream(incoming, _) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Stream(incoming, _) => incoming.size_hint(),
        }
    }
}

/// A response body on its way to the client.
pub(super) enum ResponseBody {
    /// Our own text.
    Text(Bytes),
    /// What a backend sends.
    Stream(Streamed),
}

/// A backend's body with the connection that it comes by, which goes back to the pool when the body has ended, and only
/// then.
pub(super) struct Streamed {
    incoming: Incoming,
    lease: Option<Lease>,
    _active: Gauge,
    observed: Option<Observed>,
}

impl Streamed {
    /// A body whose connection `lease` gives back.
    pub(super) fn new(incoming: Incoming, lease: Lease, active: Gauge) -> Self {
        let mut streamed = Self { incoming, lease: Some(lease), _active: active, observed: None };
        streamed.finish_if_ended();
        streamed
    }

    /// Has the request counted at the body's end.
    pub(super) fn observe(&mut self, observed: Observed) {
        self.observed = Some(observed).filter(|_| self.lease.is_some());
    }

    fn finish_if_ended(&mut self) {
        if self.incoming.is_end_stream() {
            self.finish();
        }
    }

    fn finish(&mut self) {
        drop(self.observed.take());
        if let Some(lease) = self.lease.take() {
            lease.finish();
        }
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        self.finish_if_ended();
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Text(text) if text.is_empty() => Poll::Ready(None),
            Self::Text(text) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(text))))),
            Self::Stream(streamed) => {
                let frame = ready!(Pin::new(&mut streamed.incoming).poll_frame(cx));
                match &frame {
                    Some(Ok(_)) => streamed.finish_if_ended(),
                    Some(Err(_)) => drop(streamed.lease.take()),
                    None => streamed.finish(),
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Stream(streamed) => streamed.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => SizeHint::with_exact(text.len() as u64),
            Self::Stream(streamed) => streamed.incoming.size_hint(),
        }
    }
}
