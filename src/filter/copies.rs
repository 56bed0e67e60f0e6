//! Copies of a request body for mirrors. They take what passes by, at their own pace; one that lags too far behind is cut
//! off, so that the request itself never waits for it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::body::{BodyError, Upload};
use super::replay::copy_of;

/// How many bytes a copy may lag behind.
const LAG: usize = 256 * 1024;

/// What passed by and was not taken yet.
#[derive(Default)]
struct Queue {
    frames: VecDeque<Frame<Bytes>>,
    bytes: usize,
    /// Nothing more comes; whether that was the whole body.
    ended: Option<bool>,
    waker: Option<Waker>,
}

impl Queue {
    fn end(&mut self, whole: bool) {
        if self.ended.is_none() {
            self.ended = Some(whole);
            self.waker.take().into_iter().for_each(Waker::wake);
        }
    }
}

/// The side that hears of every frame. Dropped before the end of the body it breaks the copy.
pub(super) struct Feed(Rc<RefCell<Queue>>);

impl Feed {
    /// A frame passes by.
    pub(super) fn push(&self, frame: &Frame<Bytes>) {
        let mut queue = self.0.borrow_mut();
        if queue.ended.is_some() {
            return;
        }
        let Some(copy) = copy_of(frame) else { return };
        queue.bytes += frame.data_ref().map_or(0, Bytes::len);
        if queue.bytes > LAG {
            queue.frames.clear();
            queue.end(false);
        } else {
            queue.frames.push_back(copy);
            queue.waker.take().into_iter().for_each(Waker::wake);
        }
    }

    /// The body has ended.
    pub(super) fn finish(&self) {
        self.0.borrow_mut().end(true);
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.0.borrow_mut().end(false);
    }
}

/// A copy of a body.
pub(super) struct Copy {
    queue: Rc<RefCell<Queue>>,
    /// How much is left, when that is known.
    left: Option<u64>,
    upload: Rc<Upload>,
}

/// A copy of a body of this length, and who feeds it.
pub(super) fn copy(length: Option<u64>) -> (Feed, Copy) {
    let queue = Rc::new(RefCell::new(Queue::default()));
    (Feed(queue.clone()), Copy { queue, left: length, upload: Rc::default() })
}

impl Copy {
    /// How it fares.
    pub(super) fn upload(&self) -> &Rc<Upload> {
        &self.upload
    }
}

impl Body for Copy {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut queue = self.queue.borrow_mut();
        let Some(frame) = queue.frames.pop_front() else {
            return match queue.ended {
                Some(true) => Poll::Ready(None),
                Some(false) => {
                    self.upload.failed.set(true);
                    Poll::Ready(Some(Err(BodyError::Cut)))
                }
                None => {
                    queue.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
        };
        let length = frame.data_ref().map_or(0, Bytes::len);
        queue.bytes -= length;
        drop(queue);
        self.left = self.left.map(|left| left.saturating_sub(length as u64));
        self.upload.touch();
        Poll::Ready(Some(Ok(frame)))
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::FutureExt;
    use http_body::{Body, Frame};
    use http_body_util::BodyExt;

    use super::{LAG, copy};

    #[tokio::test]
    async fn a_copy_is_whole_and_tells_its_length() {
        let (feed, copy) = copy(Some(4));
        assert_eq!(copy.size_hint().exact(), Some(4));
        for part in ["ab", "cd"] {
            feed.push(&Frame::data(Bytes::from(part)));
        }
        feed.finish();
        drop(feed);
        assert_eq!(copy.collect().await.unwrap().to_bytes(), "abcd");
    }

    #[tokio::test]
    async fn a_copy_that_lags_too_far_behind_is_cut_off() {
        let (feed, mut copy) = copy(None);
        let part = Bytes::from(vec![0; LAG / 2]);
        feed.push(&Frame::data(part.clone()));
        assert!(copy.frame().await.unwrap().is_ok());
        for _ in 0..3 {
            feed.push(&Frame::data(part.clone()));
        }
        feed.finish();
        assert!(copy.collect().await.is_err(), "it must not look whole");
    }

    #[tokio::test]
    async fn a_copy_of_a_broken_body_is_broken() {
        let (feed, mut copy) = copy(None);
        feed.push(&Frame::data(Bytes::from("a")));
        assert!(copy.frame().await.unwrap().is_ok());
        assert!(copy.frame().now_or_never().is_none());
        drop(feed);
        assert!(copy.frame().await.unwrap().is_err());
    }
}
