//! Clients that leave: those that say only that they send no more, those that are gone, and those that are sent away.
//!
//! Two streams look after that. [`Patient`] is read by HTTP, above TLS; [`Watched`] is the socket itself, below everything, and
//! is asked also while HTTP reads nothing because a backend takes nothing of an upload.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Duration, Instant, Sleep, sleep};

use super::drain::{BYTES, SILENCE, TIME};
use super::load::Meter;

/// How long a client that sends no more is still served while nothing of an answer is written: nothing tells such a client from
/// one that is gone.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the socket of a client with an open request is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// What a socket says whose other side takes nothing more.
const GONE: PollFlags = PollFlags::HUP.union(PollFlags::ERR);
/// How a connection of HTTP/2 begins, and no other.
const PREFACE: &[u8] = b"PRI";

/// What a connection's streams and its requests know of each other.
#[derive(Clone, Default)]
pub(super) struct Tie(Arc<AtomicBool>);

impl Tie {
    /// The connection becomes a tunnel, of which every byte and each end is passed on as it comes.
    pub(super) fn tunnels(&self) {
        self.0.store(true, Relaxed);
    }

    fn is_tunnel(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// A stream whose end is told late: a client of HTTP/1.1 may end its side and wait for its answer.
pub(super) struct Patient<S> {
    stream: S,
    meter: Arc<Meter>,
    tie: Tie,
    /// What is read are frames of HTTP/2, which ends by GOAWAY; none until something was read.
    framed: Option<bool>,
    /// The client sends no more; until then it is served.
    ended: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S, meter: Arc<Meter>, tie: Tie) -> Self {
        Self { stream, meter, tie, framed: None, ended: None }
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let waits = self.framed == Some(false) && self.meter.open() > 0 && !self.tie.is_tunnel();
        if !waits {
            return Poll::Ready(());
        }
        self.ended.get_or_insert_with(|| Box::pin(sleep(PATIENCE))).as_mut().poll(cx)
    }

    fn wrote(&mut self, written: &Poll<io::Result<usize>>) {
        if let (Some(ended), Poll::Ready(Ok(1..))) = (&mut self.ended, written) {
            ended.as_mut().reset(Instant::now() + PATIENCE);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let own = self.get_mut();
        if own.ended.is_some() {
            return own.poll_ended(cx).map(Ok);
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut own.stream).poll_read(cx, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        if !read.is_empty() {
            own.framed.get_or_insert_with(|| read.starts_with(PREFACE));
        } else if buffer.remaining() > 0 {
            return own.poll_ended(cx).map(Ok);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(&written);
        written
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.wrote(&written);
        written
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

/// A socket that is looked at while requests are open, and read to its end when it is closed.
pub(super) struct Watched<S> {
    stream: S,
    meter: Arc<Meter>,
    tie: Tie,
    /// When to look.
    look: Option<Pin<Box<Sleep>>>,
    /// When bytes moved last.
    moved: Instant,
    /// The client's end was read.
    ended: bool,
    /// It is closed, and what still comes is thrown away.
    rest: Option<Box<Rest>>,
}

struct Rest {
    bytes: usize,
    silence: Pin<Box<Sleep>>,
    until: Instant,
}

impl<S: AsFd> Watched<S> {
    pub(super) fn new(stream: S, meter: Arc<Meter>, tie: Tie) -> Self {
        Self { stream, meter, tie, look: None, moved: Instant::now(), ended: false, rest: None }
    }

    /// What the system says of the socket.
    fn told(&self) -> PollFlags {
        let nothing = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut sockets = [PollFd::new(&self.stream, PollFlags::RDHUP)];
        match poll(&mut sockets, Some(&nothing)) {
            Ok(_) => sockets.iter().fold(PollFlags::empty(), |told, socket| told | socket.revents()),
            Err(_) => PollFlags::empty(),
        }
    }

    /// Whether the client is gone: it has reset the connection, or has ended it and nothing moves.
    fn is_gone(&self) -> bool {
        let told = self.told();
        told.intersects(GONE) || (told.contains(PollFlags::RDHUP) && self.moved.elapsed() >= PATIENCE)
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.meter.open() > 0 && !self.tie.is_tunnel() {
            ready!(self.look.get_or_insert_with(|| Box::pin(sleep(LOOK))).as_mut().poll(cx));
            self.look = None;
            if self.is_gone() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    fn moves<T>(&mut self, moved: &Poll<io::Result<T>>) {
        if matches!(moved, Poll::Ready(Ok(_))) {
            self.moved = Instant::now();
        }
    }
}

impl<S: AsyncRead + AsFd + Unpin> Watched<S> {
    /// Reads on what comes after the end, within bounds.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Self { stream, rest, .. } = self;
        let rest = rest.get_or_insert_with(|| {
            let (silence, until) = (Box::pin(sleep(SILENCE)), Instant::now() + TIME);
            Box::new(Rest { bytes: BYTES, silence, until })
        });
        let mut room = [std::mem::MaybeUninit::uninit(); 8192];
        for _ in 0..16 {
            let mut buffer = ReadBuf::uninit(&mut room);
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    let (now, read) = (Instant::now(), buffer.filled().len());
                    rest.bytes = rest.bytes.saturating_sub(read);
                    if rest.bytes == 0 || now >= rest.until {
                        return Poll::Ready(());
                    }
                    rest.silence.as_mut().reset((now + SILENCE).min(rest.until));
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return rest.silence.as_mut().poll(cx),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + AsFd + Unpin> AsyncRead for Watched<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let own = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut own.stream).poll_read(cx, buffer);
        if read.is_ready() && buffer.filled().len() == before {
            own.ended = true;
            // A unix socket says more than that no more comes.
            if own.meter.open() > 0 && !own.tie.is_tunnel() && own.told().intersects(GONE) {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            return read;
        }
        own.moves(&read);
        read
    }
}

impl<S: AsyncRead + AsyncWrite + AsFd + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.moves(&written);
        written
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.moves(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// HTTP flushes whenever it is awake, also while it neither reads nor writes.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let own = self.get_mut();
        if own.rest.is_none() {
            ready!(Pin::new(&mut own.stream).poll_shutdown(cx))?;
        }
        if own.ended || own.tie.is_tunnel() {
            return Poll::Ready(Ok(()));
        }
        own.poll_rest(cx).map(Ok)
    }
}
