//! The two unix sockets by which Sōzu reaches the filter proxy: one for requests, one for connections.
//!
//! A process that outlives the filter proxy holds them, so that connections queue while it is replaced: the supervisor where it
//! starts Sōzu itself; else the launcher, which outlives the supervisor too and hands them to each that comes. A supervisor offers
//! them in turn to the launcher that replaces a dead one, so that the filter proxy serves on by the same sockets.

use std::convert::Infallible;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener as Listening;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::fstat;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::trouble::Trouble;

/// Where the launcher hands them over, beside them.
const HAND_OVER: &str = "sockets.sock";
/// Where a supervisor offers those that it has to the next launcher.
const OFFER: &str = "offer.sock";
/// A supervisor that is alive hands them over within this.
const OFFERED: Duration = Duration::from_millis(500);
/// Pause before a hand-over that failed is tried again.
const PAUSE: Duration = Duration::from_millis(50);
/// A launcher that was started just now hands them over within this.
const USUAL: Duration = Duration::from_secs(2);
/// What comes with the sockets: the size of the buffers of the Sōzus that use them.
type Word = [u8; 8];

/// Paths of the sockets in the directory of the Sōzus that use them: for requests, for connections.
pub(super) fn paths(dir: &Path) -> [PathBuf; 2] {
    ["hop.sock", "relay.sock"].map(|name| dir.join(name))
}

/// A listening unix socket in place of whatever was left there. It listens before it gets its name, so that who connects meanwhile
/// reaches the one before or this one.
///
/// # Errors
/// The system's.
pub fn bind(path: &Path) -> io::Result<Listening> {
    let beside = path.with_extension("new");
    if let Err(error) = std::fs::remove_file(&beside) {
        tracing::trace!(path = %path.display(), %error, "nothing left behind");
    }
    let socket = Listening::bind(&beside)?;
    std::fs::rename(&beside, path)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The open sockets.
pub(super) struct Sockets {
    sockets: [OwnedFd; 2],
    /// Bytes of a buffer of the Sōzus that use them.
    buffer_bytes: u64,
}

impl Sockets {
    /// Opens them in this directory, for Sōzus with such buffers.
    ///
    /// # Errors
    /// The first path that cannot be listened on, and why.
    pub(super) fn open(dir: &Path, buffer_bytes: u64) -> Result<Self, (PathBuf, io::Error)> {
        let [hop, relay] = paths(dir).map(|path| bind(&path).map(OwnedFd::from).map_err(|error| (path, error)));
        Ok(Self { sockets: [hop?, relay?], buffer_bytes })
    }

    /// Those that a supervisor has of a launcher before, for Sōzus with such buffers; else new ones.
    ///
    /// # Errors
    /// The first path that cannot be listened on, and why.
    pub(super) async fn take_over(dir: &Path, buffer_bytes: u64) -> Result<Self, (PathBuf, io::Error)> {
        match timeout(OFFERED, ask(&dir.join(OFFER))).await {
            Ok(Ok(lease)) if lease.buffer_bytes == buffer_bytes => Ok(Self { sockets: lease.sockets, buffer_bytes }),
            other => {
                tracing::debug!(?other, "opening the filter proxy's sockets");
                Self::open(dir, buffer_bytes)
            }
        }
    }

    /// Copies, for a child to inherit.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn copies(&self) -> io::Result<[OwnedFd; 2]> {
        let [hop, relay] = &self.sockets;
        Ok([hop.try_clone()?, relay.try_clone()?])
    }

    /// Hands them to each supervisor that connects to a socket beside them, for ever. Only this user can: it is in his directory.
    ///
    /// # Errors
    /// When that socket cannot be listened on.
    pub(super) async fn hand_over(&self, dir: &Path) -> io::Result<Infallible> {
        self.hand_over_at(&dir.join(HAND_OVER)).await
    }

    async fn hand_over_at(&self, path: &Path) -> io::Result<Infallible> {
        let listener = UnixListener::from_std(bind(path)?)?;
        // The end of its connection tells the other side that whoever queues for it is gone.
        let mut connections = JoinSet::new();
        loop {
            let handed = tokio::select! {
                handed = self.hand_to_next(&listener) => handed,
                Some(_) = connections.join_next() => continue,
            };
            match handed {
                Ok(mut stream) => drop(connections.spawn(async move { until_end(&mut stream).await })),
                Err(error) => {
                    tracing::warn!(%error, "the filter proxy's sockets were not handed over");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn hand_to_next(&self, listener: &UnixListener) -> io::Result<UnixStream> {
        let (stream, _) = listener.accept().await?;
        let sockets = self.sockets.each_ref().map(AsFd::as_fd);
        stream.async_io(Interest::WRITABLE, || send(&stream, &sockets, self.buffer_bytes)).await?;
        Ok(stream)
    }
}

/// Who holds the sockets.
pub(super) enum Holder {
    /// This process.
    Here(Sockets),
    /// The launcher of the Sōzus in this directory.
    Launcher(PathBuf),
}

/// Sockets for a child, and the life of their holder.
#[derive(Debug)]
pub(super) struct Lease {
    /// For requests, and for connections.
    pub sockets: [OwnedFd; 2],
    /// Bytes of a buffer of the Sōzus that use them.
    pub buffer_bytes: u64,
    holder: Option<UnixStream>,
}

impl Holder {
    /// Sockets for a child; waits for the launcher.
    pub(super) async fn lease(&self) -> Lease {
        let (mut trouble, since) = (Trouble::default(), Instant::now());
        loop {
            let leased = match self {
                Self::Here(here) => here.copies().map(|sockets| Lease { sockets, buffer_bytes: here.buffer_bytes, holder: None }),
                Self::Launcher(dir) => ask(&dir.join(HAND_OVER)).await,
            };
            match leased {
                Ok(lease) => return lease,
                Err(error) => {
                    // At a start the launcher is hardly there yet.
                    if since.elapsed() > USUAL && trouble.begins(&error) {
                        tracing::warn!(%error, "waiting for the filter proxy's sockets");
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

impl Lease {
    /// Whether connections queue at the same sockets, for the same Sōzus.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let file = |socket: &OwnedFd| fstat(socket).ok().map(|stat| (stat.st_dev, stat.st_ino));
        let same = |(one, two): (&OwnedFd, &OwnedFd)| file(one).is_some_and(|file_of_one| file(two) == Some(file_of_one));
        self.buffer_bytes == other.buffer_bytes && self.sockets.iter().zip(&other.sockets).all(same)
    }

    /// Offers the sockets to the launcher that replaces the one that they are of, for as long as this is polled.
    pub(super) fn offer(&self, holder: &Holder) -> impl Future<Output = Infallible> + use<> {
        let [hop, relay] = &self.sockets;
        let copies = hop.try_clone().and_then(|hop| Ok([hop, relay.try_clone()?]));
        let buffer_bytes = self.buffer_bytes;
        let path = match holder {
            Holder::Here(_) => None,
            Holder::Launcher(dir) => Some(dir.join(OFFER)),
        };
        async move {
            if let Some(path) = path {
                let offered = async { Sockets { sockets: copies?, buffer_bytes }.hand_over_at(&path).await };
                let error = offered.await.map_or_else(|error| error, |never| match never {});
                tracing::warn!(%error, "the filter proxy's sockets are not offered to the next launcher");
            }
            std::future::pending().await
        }
    }

    /// Waits until connections no longer queue at these sockets: their holder is gone, and the next one has others.
    pub(super) async fn lost(&mut self) {
        match &mut self.holder {
            Some(stream) => until_end(stream).await,
            None => std::future::pending().await,
        }
    }
}

async fn until_end(stream: &mut UnixStream) {
    let mut nothing = [0; 1];
    while matches!(stream.read(&mut nothing).await, Ok(read) if read > 0) {}
}

async fn ask(path: &Path) -> io::Result<Lease> {
    let stream = UnixStream::connect(path).await?;
    let (sockets, buffer_bytes) = stream.async_io(Interest::READABLE, || receive(&stream)).await?;
    Ok(Lease { sockets, buffer_bytes, holder: Some(stream) })
}

fn send(stream: impl AsFd, sockets: &[BorrowedFd<'_>; 2], buffer_bytes: u64) -> io::Result<()> {
    let word: Word = buffer_bytes.to_be_bytes();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut message = SendAncillaryBuffer::new(&mut space);
    message.push(SendAncillaryMessage::ScmRights(sockets));
    sendmsg(stream, &[IoSlice::new(&word)], &mut message, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive(stream: impl AsFd) -> io::Result<([OwnedFd; 2], u64)> {
    let mut word = Word::default();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut message = RecvAncillaryBuffer::new(&mut space);
    recvmsg(stream, &mut [IoSliceMut::new(&mut word)], &mut message, RecvFlags::CMSG_CLOEXEC)?;
    let rights = message.drain().filter_map(|part| if let RecvAncillaryMessage::ScmRights(rights) = part { Some(rights) } else { None });
    let sockets: Vec<OwnedFd> = rights.flatten().collect();
    let sockets = sockets.try_into().map_err(|_| io::Error::other("no two sockets came"))?;
    Ok((sockets, u64::from_be_bytes(word)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream as Stream;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::{Holder, Listening, Sockets, paths};

    #[tokio::test]
    async fn connections_queue_at_handed_over_sockets_until_their_holder_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let holder = Holder::Launcher(dir.path().to_owned());
        // Nobody is there yet: whoever asks waits.
        assert!(timeout(Duration::from_millis(20), holder.lease()).await.is_err());
        let (sockets, of_launcher) = (Sockets::open(dir.path(), 70_000).unwrap(), dir.path().to_owned());
        let launcher = tokio::spawn(async move { sockets.hand_over(&of_launcher).await });
        let [hop, relay] = paths(dir.path());
        drop(holder.lease().await);
        // While nobody has them but the launcher.
        let waiting = [Stream::connect(hop).unwrap(), Stream::connect(relay).unwrap()];
        let mut lease = holder.lease().await;
        assert_eq!(lease.buffer_bytes, 70_000);
        for (socket, client) in lease.sockets.each_ref().into_iter().zip(waiting) {
            let (served, _) = Listening::from(socket.try_clone().unwrap()).accept().unwrap();
            drop(served);
            assert_eq!(std::io::Read::read(&mut &client, &mut [0; 8]).unwrap(), 0, "it was accepted, and closed");
        }
        assert!(timeout(Duration::from_millis(20), lease.lost()).await.is_err());
        launcher.abort();
        timeout(Duration::from_secs(5), lease.lost()).await.expect("the end is noticed");
    }

    #[tokio::test]
    async fn a_launcher_takes_the_sockets_that_a_supervisor_has_of_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let (of, holder) = (dir.path().to_owned(), Holder::Launcher(dir.path().to_owned()));
        let launch = |bytes: u64| {
            let of = of.clone();
            tokio::spawn(async move { Sockets::take_over(&of, bytes).await.unwrap().hand_over(&of).await })
        };
        let first = launch(70_000);
        let mut lease = holder.lease().await;
        let offered = tokio::spawn(lease.offer(&holder));
        while !of.join("offer.sock").exists() {
            tokio::task::yield_now().await;
        }
        first.abort();
        lease.lost().await;
        let second = launch(70_000);
        let again = holder.lease().await;
        assert!(again.is_like(&lease) && lease.is_like(&again));
        second.abort();
        assert!(first.await.is_err() && second.await.is_err());
        // Other buffers are of other Sōzus.
        let third = launch(20_000);
        let mut other = holder.lease().await;
        assert!(!other.is_like(&lease));
        third.abort();
        other.lost().await;
        // A supervisor that hangs, or is gone, keeps no launcher from starting.
        offered.abort();
        assert!(offered.await.is_err());
        let hangs = Listening::bind(of.join("hangs.sock")).unwrap();
        std::fs::rename(of.join("hangs.sock"), of.join("offer.sock")).unwrap();
        let fourth = launch(70_000);
        let last = timeout(Duration::from_secs(5), holder.lease()).await.expect("it does not wait for ever");
        assert!(!last.is_like(&lease));
        drop(hangs);
        fourth.abort();
    }
}
