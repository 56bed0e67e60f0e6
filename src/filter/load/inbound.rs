//! What backends have sent and nothing has read yet.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::budget::Budget;
use super::frames::{self, Frames};

/// What a connection to a backend takes beside what is counted.
const CONNECTION: usize = 16 * 1024;

/// Bytes of one connection that are charged because they are not read yet.
#[derive(Debug)]
pub(in crate::filter) struct Inbound {
    budget: Arc<Budget>,
    unread: AtomicUsize,
    /// More can not be unread.
    most: usize,
    /// What takes a part beside its bytes.
    beside: usize,
    /// The connection became a tunnel, which reads what comes.
    off: AtomicBool,
}

impl Inbound {
    /// Of a connection of HTTP/1.1, of which so much is read ahead at most.
    pub(in crate::filter) fn plain(budget: &Arc<Budget>, most: usize) -> Arc<Self> {
        Self::new(budget, most, 0)
    }

    /// Of a connection of HTTP/2 with this window.
    pub(in crate::filter) fn framed(budget: &Arc<Budget>, window: usize) -> Arc<Self> {
        Self::new(budget, 2 * window, frames::BESIDE)
    }

    fn new(budget: &Arc<Budget>, most: usize, beside: usize) -> Arc<Self> {
        budget.add(CONNECTION);
        let (unread, off) = (AtomicUsize::new(0), AtomicBool::new(false));
        Arc::new(Self { budget: budget.clone(), unread, most, beside, off })
    }

    fn set(&self, to: usize) {
        let from = self.unread.swap(to, Relaxed);
        if to > from {
            self.budget.add(to - from);
        } else {
            self.budget.sub(from - to);
        }
    }

    fn came(&self, bytes: usize) {
        if bytes > 0 && !self.off.load(Relaxed) {
            self.set((self.unread.load(Relaxed) + bytes).min(self.most));
        }
    }

    /// Part of a body is read.
    pub(in crate::filter) fn took(&self, bytes: usize) {
        self.set(self.unread.load(Relaxed).saturating_sub(bytes + self.beside));
    }

    /// Nothing is unread: no exchange is open.
    pub(in crate::filter) fn clear(&self) {
        self.set(0);
    }

    /// It is a tunnel from now on.
    pub(in crate::filter) fn tunnels(&self) {
        self.off.store(true, Relaxed);
        self.clear();
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        self.clear();
        self.budget.sub(CONNECTION);
    }
}

/// A backend's connection that tells what comes.
pub(in crate::filter) struct Measured<S> {
    stream: S,
    inbound: Arc<Inbound>,
    frames: Frames,
}

impl<S> Measured<S> {
    pub(in crate::filter) fn new(stream: S, inbound: Arc<Inbound>) -> Self {
        let frames = if inbound.beside > 0 { Frames::of_backend() } else { Frames::None };
        Self { stream, inbound, frames }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Measured<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if let Poll::Ready(Ok(())) = &read {
            let grown = self.frames.read(buffer.filled().get(before..).unwrap_or_default());
            self.inbound.came(grown.data);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Measured<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
