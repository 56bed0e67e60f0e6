//! Streams with a clock on what is read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A clock on what is read.
pub(super) trait Clock: Unpin {
    /// So many bytes came; none: the end, or an error.
    fn read(&mut self, bytes: usize);

    /// Nothing is there to be read. Ready when that is given up.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// A stream that is read by a clock, and written as if there were none.
pub(super) struct Clocked<S, C> {
    stream: S,
    clock: C,
}

impl<S, C> Clocked<S, C> {
    pub(super) fn new(stream: S, clock: C) -> Self {
        Self { stream, clock }
    }
}

impl<S: AsyncRead + Unpin, C: Clock> AsyncRead for Clocked<S, C> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.clock.read(buffer.filled().len() - before);
        } else if self.clock.poll_silence(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin, C: Unpin> AsyncWrite for Clocked<S, C> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
