//! A request body that can be sent again: what was read of it is kept, up to a limit.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::body::{BodyError, Received, RequestBody, Upload};

/// How many bytes of a body are kept. A request with more is not sent again once they have passed.
const KEPT: usize = 256 * 1024;

/// A body and what was read of it.
pub(super) struct Tape(Rc<RefCell<Inner>>);

struct Inner {
    received: Received,
    kept: Vec<Frame<Bytes>>,
    bytes: usize,
    /// More than [`KEPT`] passed, so nothing is kept any more.
    over: bool,
    ended: bool,
    /// Only the newest reader reads.
    reader: u32,
}

/// One reading of a tape from its start.
pub(super) struct Replay {
    tape: Rc<RefCell<Inner>>,
    reader: u32,
    next: usize,
    /// How much is left, when that is known.
    left: Option<u64>,
}

impl Tape {
    pub(super) fn new(received: Received) -> Self {
        Self(Rc::new(RefCell::new(Inner { received, kept: Vec::new(), bytes: 0, over: false, ended: false, reader: 0 })))
    }

    /// The body from its start; nothing when its start is gone, or the client's side broke. Earlier readers are cut off.
    pub(super) fn rewind(&self) -> Option<RequestBody> {
        let mut inner = self.0.borrow_mut();
        if inner.over || inner.received.upload().failed.get() {
            return None;
        }
        inner.reader += 1;
        let left = inner.received.size_hint().exact().map(|left| left + inner.bytes as u64);
        Some(RequestBody::Replay(Replay { tape: self.0.clone(), reader: inner.reader, next: 0, left }))
    }
}

impl Inner {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let frame = ready!(self.received.poll(cx));
        match &frame {
            Some(Ok(frame)) => self.keep(frame),
            Some(Err(_)) => {}
            None => self.ended = true,
        }
        Poll::Ready(frame)
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        self.bytes += frame.data_ref().map_or(0, Bytes::len);
        self.over |= self.bytes > KEPT;
        if self.over {
            self.kept = Vec::new();
        } else {
            self.kept.extend(copy_of(frame));
        }
    }
}

/// The frame once more; the bytes are shared.
pub(super) fn copy_of(frame: &Frame<Bytes>) -> Option<Frame<Bytes>> {
    let data = frame.data_ref().map(|data| Frame::data(data.clone()));
    data.or_else(|| frame.trailers_ref().map(|trailers| Frame::trailers(trailers.clone())))
}

impl Replay {
    /// How the body fares.
    pub(super) fn upload(&self) -> Rc<Upload> {
        self.tape.borrow().received.upload().clone()
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut tape = self.tape.borrow_mut();
        if tape.reader != self.reader {
            return Poll::Ready(Some(Err(BodyError::Cut)));
        }
        let kept = tape.kept.get(self.next).and_then(copy_of);
        let frame = match kept {
            Some(frame) => Some(Ok(frame)),
            None => ready!(tape.poll(cx)),
        };
        self.next += 1;
        let length = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref().map(Bytes::len)).unwrap_or(0);
        self.left = self.left.map(|left| left.saturating_sub(length as u64));
        Poll::Ready(frame)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }
}
