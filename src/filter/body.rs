//! Message bodies, passed on frame by frame and never collected.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::copies::{self, Copy, Feed};
use super::counters::{Observed, count};
use super::drain;
use super::hygiene;
use super::load::{Flight, Meter};
use super::replay::Replay;
use super::upstream::Lease;

/// Why a body ends before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// The other side broke.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    /// A copy lagged too far behind, or what it was a copy of broke.
    #[error("the copy ends before its end")]
    Cut,
    /// The answer takes longer than its rule allows.
    #[error("the answer takes too long")]
    Late,
}

/// A request body on its way to a backend.
pub(super) enum RequestBody {
    /// None.
    Empty,
    /// What the client sends.
    Stream(Received),
    /// A copy of it for a mirror.
    Copy(Copy),
    /// The same in a way that it can be read again.
    Replay(Replay),
}

/// A body as the client sends it.
pub(super) struct Received {
    incoming: drain::Upload,
    upload: Rc<Upload>,
    /// Who gets copies.
    feeds: Vec<Feed>,
}

/// How a request body fares, for who waits for the response.
pub(super) struct Upload {
    /// The client's side broke.
    pub(super) failed: Cell<bool>,
    /// When it last moved.
    pub(super) moved: Cell<Instant>,
    /// Its bytes so far.
    pub(super) bytes: Cell<u64>,
}

impl Default for Upload {
    fn default() -> Self {
        Self { failed: Cell::new(false), moved: Cell::new(Instant::now()), bytes: Cell::new(0) }
    }
}

impl Upload {
    /// It moves.
    pub(super) fn touch(&self) {
        self.moved.set(Instant::now());
    }
}

impl RequestBody {
    /// What comes by a connection; `expects` says that the client waits for `100 Continue` before it sends it.
    pub(super) fn new(incoming: Incoming, meter: &Arc<Meter>, expects: bool) -> Self {
        if incoming.is_end_stream() {
            return Self::Empty;
        }
        let incoming = drain::Upload::new(incoming, meter.clone(), expects);
        Self::Stream(Received { incoming, upload: Rc::default(), feeds: Vec::new() })
    }

    /// Whether the length is not known beforehand.
    pub(super) fn is_streamed(&self) -> bool {
        !matches!(self, Self::Empty) && self.size_hint().exact().is_none()
    }

    /// How it fares; nothing without a body.
    pub(super) fn upload(&self) -> Option<Rc<Upload>> {
        match self {
            Self::Empty => None,
            Self::Stream(received) => Some(received.upload.clone()),
            Self::Copy(copy) => Some(copy.upload().clone()),
            Self::Replay(replay) => Some(replay.upload()),
        }
    }

    /// A copy that follows this body as it is read.
    pub(super) fn copy(&mut self) -> Self {
        match self {
            Self::Empty | Self::Copy(_) | Self::Replay(_) => Self::Empty,
            Self::Stream(received) => {
                let (feed, copy) = copies::copy(received.incoming.size_hint().exact());
                received.feeds.push(feed);
                Self::Copy(copy)
            }
        }
    }
}

impl Received {
    /// How the body fares.
    pub(super) fn upload(&self) -> &Rc<Upload> {
        &self.upload
    }

    /// What is left of it.
    pub(super) fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut frame = ready!(self.incoming.poll_frame(cx));
        if let Some(Ok(frame)) = &mut frame {
            if let Some(trailers) = frame.trailers_mut() {
                hygiene::clean_trailers(trailers);
            } else if let Some(data) = frame.data_mut() {
                self.upload.bytes.set(self.upload.bytes.get() + data.len() as u64);
                *data = self.incoming.meter().uploaded(std::mem::take(data));
            }
        }
        self.upload.touch();
        match &frame {
            Some(Ok(frame)) => self.feeds.iter().for_each(|feed| feed.push(frame)),
            Some(Err(_)) => self.upload.failed.set(true),
            None => {}
        }
        // A body of known length is not asked again after its last byte.
        let whole = frame.as_ref().is_none_or(|frame| frame.is_ok() && self.incoming.is_end_stream());
        if whole {
            self.feeds.drain(..).for_each(|feed| feed.finish());
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Stream(received) => received.poll(cx),
            Self::Copy(copy) => Pin::new(copy).poll_frame(cx),
            Self::Replay(replay) => replay.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Stream(received) => received.incoming.is_end_stream(),
            Self::Copy(copy) => copy.is_end_stream(),
            Self::Replay(replay) => replay.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Stream(received) => received.incoming.size_hint(),
            Self::Copy(copy) => copy.size_hint(),
            Self::Replay(replay) => replay.size_hint(),
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
    flight: Flight,
    observed: Option<Box<Observed>>,
    /// When it must have ended.
    end: Option<Pin<Box<Sleep>>>,
}

impl Streamed {
    /// A body whose connection `lease` gives back, cut off at `end`.
    pub(super) fn new(incoming: Incoming, lease: Lease, flight: Flight, end: Option<Instant>) -> Self {
        let end = end.map(|end| Box::pin(sleep_until(end)));
        let mut streamed = Self { incoming, lease: Some(lease), flight, observed: None, end };
        streamed.finish_if_ended();
        streamed
    }

    /// Has the request counted at the body's end.
    pub(super) fn observe(&mut self, observed: Observed) {
        self.observed = self.lease.is_some().then(|| Box::new(observed));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(end) = &mut self.end
            && end.as_mut().poll(cx).is_ready()
        {
            if self.lease.take().is_some() {
                count(&self.flight.counters().timeouts);
            }
            return Poll::Ready(Some(Err(BodyError::Late)));
        }
        ready!(self.flight.poll_room(cx));
        let mut frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        if let Some(Ok(frame)) = &mut frame
            && let Some(data) = frame.data_mut()
        {
            self.lease.iter().for_each(|lease| lease.took(data.len()));
            self.observed.iter_mut().for_each(|observed| observed.sent += data.len() as u64);
            *data = self.flight.answered(std::mem::take(data));
        }
        match &frame {
            Some(Ok(_)) => self.finish_if_ended(),
            Some(Err(_)) => drop(self.lease.take()),
            None => self.finish(),
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)))
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
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Text(text) if text.is_empty() => Poll::Ready(None),
            Self::Text(text) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(text))))),
            Self::Stream(streamed) => streamed.poll(cx),
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
