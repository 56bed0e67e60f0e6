//! Connections to backends that answer before they have read a request, and close.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::sockopt::set_socket_linger;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Duration, Instant, Sleep, sleep};

/// How long the answer may be silent once nothing more can be written.
const SILENCE: Duration = Duration::from_secs(1);

/// A stream whose broken writes are told only when nothing more is read: the answer is worth more than the error. Closed while
/// the backend takes nothing it is reset, as the system would otherwise keep it, and what waits to be written, for minutes.
pub(super) struct Heard<S: AsFd> {
    stream: S,
    broken: Option<Broken>,
    /// The backend takes nothing.
    blocked: bool,
    /// Nothing more can be read.
    ended: bool,
}

struct Broken {
    error: io::ErrorKind,
    silence: Pin<Box<Sleep>>,
}

impl<S: AsFd> Heard<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, broken: None, blocked: false, ended: false }
    }

    fn check<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.blocked = written.is_pending();
        match written {
            Poll::Ready(Err(error)) => {
                self.broken = Some(Broken { error: error.kind(), silence: Box::pin(sleep(SILENCE)) });
                self.poll_told(cx)
            }
            other => other,
        }
    }

    fn poll_told<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let Some(broken) = &mut self.broken else { return Poll::Pending };
        if !self.ended {
            ready!(broken.silence.as_mut().poll(cx));
        }
        Poll::Ready(Err(broken.error.into()))
    }
}

impl<S: AsFd> Drop for Heard<S> {
    fn drop(&mut self) {
        if self.blocked {
            // It fails for a connection that is broken already.
            set_socket_linger(&self.stream, Some(Duration::ZERO)).unwrap_or_default();
        }
    }
}

impl<S: AsyncRead + AsFd + Unpin> AsyncRead for Heard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.ended |= buffer.filled().len() == before;
            if let Some(broken) = &mut self.broken {
                broken.silence.as_mut().reset(Instant::now() + SILENCE);
            }
        }
        read
    }
}

impl<S: AsyncWrite + AsFd + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.broken.is_some() {
            return self.poll_told(cx);
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.check(cx, written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.broken.is_some() {
            return self.poll_told(cx);
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.check(cx, written)
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
