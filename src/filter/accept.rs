//! Connections from Sōzu: those that carry its requests, and those that it relays.

use std::io;
use std::rc::Rc;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use listenfd::ListenFd;
use tokio::io::BufReader;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::time::{Duration, sleep, timeout};

use super::counters::Gauge;
use super::executor::Local;
use super::gathered::Gathered;
use super::relay::{self, Duplex, Stream};
use super::serve::{Origin, Worker, serve};
use super::settings::{Limits, Listen, Settings};

/// Pause after a failed accept: out of file descriptors, most likely.
const PAUSE: Duration = Duration::from_millis(50);

/// Bytes that are read ahead: most request heads, and less than hyper and TLS ask for themselves.
const AHEAD: usize = 2048;

/// A listening socket, before it belongs to a runtime.
#[derive(Debug)]
enum Socket {
    Unix(std::os::unix::net::UnixListener),
    Tcp(std::net::TcpListener),
}

enum Acceptor {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Socket {
    /// Opens the listening socket.
    ///
    /// # Errors
    /// When nothing was inherited, or the system refuses.
    fn open(listen: &Listen, inherited: &mut ListenFd) -> io::Result<Self> {
        let socket = match listen {
            Listen::Inherited(number) => {
                let inherited = inherited.take_unix_listener(*number)?;
                Self::Unix(inherited.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no inherited socket"))?)
            }
            Listen::Unix(path) => {
                match std::fs::remove_file(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    Ok(()) | Err(_) => {}
                }
                Self::Unix(std::os::unix::net::UnixListener::bind(path)?)
            }
            Listen::Tcp(address) => Self::Tcp(std::net::TcpListener::bind(address)?),
        };
        match &socket {
            Self::Unix(socket) => socket.set_nonblocking(true)?,
            Self::Tcp(socket) => socket.set_nonblocking(true)?,
        }
        Ok(socket)
    }

    /// The same socket for another worker.
    ///
    /// # Errors
    /// The system's.
    fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Unix(socket) => Self::Unix(socket.try_clone()?),
            Self::Tcp(socket) => Self::Tcp(socket.try_clone()?),
        })
    }

    fn acceptor(self) -> io::Result<Acceptor> {
        Ok(match self {
            Self::Unix(socket) => Acceptor::Unix(UnixListener::from_std(socket)?),
            Self::Tcp(socket) => Acceptor::Tcp(TcpListener::from_std(socket)?),
        })
    }
}

/// Where connections come in.
pub(super) struct Sockets {
    /// Those that carry requests which Sōzu has read.
    hop: Socket,
    /// Those that Sōzu relays.
    relay: Option<Socket>,
}

impl Sockets {
    /// Opens them.
    ///
    /// # Errors
    /// When what should be inherited was not, or the system refuses.
    pub(super) fn open(settings: &Settings) -> io::Result<Self> {
        // The environment says only once what was inherited.
        let mut inherited = ListenFd::from_env();
        let hop = Socket::open(&settings.listen, &mut inherited)?;
        Ok(Self { hop, relay: settings.relay.as_ref().map(|relay| Socket::open(relay, &mut inherited)).transpose()? })
    }

    /// The same sockets for another worker.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        let relay = self.relay.as_ref().map(Socket::try_clone).transpose()?;
        Ok(Self { hop: self.hop.try_clone()?, relay })
    }
}

/// Serves until `stop` says so, then lets requests end for at most `drain`.
///
/// # Errors
/// When a socket does not work at all; failed accepts are retried.
pub(super) async fn run(worker: Rc<Worker>, sockets: Sockets, mut stop: watch::Receiver<bool>, drain: Duration) -> io::Result<()> {
    let (hop, relay) = (sockets.hop.acceptor()?, sockets.relay.map(Socket::acceptor).transpose()?);
    let limits = worker.shared.limits;
    let requests = Rc::new(builder(&limits, limits.head_timeout));
    let graceful = GracefulShutdown::new();
    let relayed = || async {
        match &relay {
            Some(relay) => relay.accept().await,
            None => std::future::pending().await,
        }
    };
    loop {
        let accepted = tokio::select! {
            accepted = hop.accept() => accepted.map(|stream| {
                tokio::task::spawn_local(serve_connection(worker.clone(), stream, Origin::Hop, requests.clone(), graceful.watcher()));
            }),
            accepted = relayed() => accepted.map(|stream| {
                tokio::task::spawn_local(serve_relayed(worker.clone(), stream, graceful.watcher()));
            }),
            _ = stop.wait_for(|stop| *stop) => break,
        };
        if let Err(error) = accepted {
            tracing::warn!(%error, "accept failed");
            sleep(PAUSE).await;
        }
    }
    drop((hop, relay));
    if timeout(drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were cut off at the end of the drain");
    }
    Ok(())
}

impl Acceptor {
    async fn accept(&self) -> io::Result<Stream> {
        Ok(match self {
            Self::Unix(listener) => stream(listener.accept().await?.0),
            Self::Tcp(listener) => {
                let (accepted, _) = listener.accept().await?;
                accepted.set_nodelay(true)?;
                stream(accepted)
            }
        })
    }
}

/// A connection that is read ahead of where little is asked for: the PROXY protocol, and the version of HTTP.
fn stream(accepted: impl Duplex + 'static) -> Stream {
    Box::new(BufReader::with_capacity(AHEAD, Gathered::new(accepted)))
}

async fn serve_relayed(worker: Rc<Worker>, stream: Stream, watcher: Watcher) {
    match relay::open(&worker, stream).await {
        Ok((stream, link)) => {
            let limits = worker.shared.given.over(&worker.shared.limits);
            let builder = Rc::new(builder(&limits, limits.client_head_timeout));
            serve_connection(worker, stream, Origin::Relay(link), builder, watcher).await;
        }
        Err(error) => tracing::debug!(%error, "no relayed connection"),
    }
}

async fn serve_connection(worker: Rc<Worker>, stream: Stream, origin: Origin, builder: Rc<auto::Builder<Local>>, watcher: Watcher) {
    let _open = Gauge::new(&worker.shared.counters, |counters| &counters.connections);
    let service = service_fn(move |request| serve(worker.clone(), origin.clone(), request));
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "connection ended");
    }
}

/// HTTP/1.1 and HTTP/2 with prior knowledge, with every limit set.
fn builder(limits: &Limits, head_timeout: Duration) -> auto::Builder<Local> {
    let mut builder = auto::Builder::new(Local);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(head_timeout).max_headers(limits.max_fields).max_buf_size(limits.max_head);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams)
        .max_pending_accept_reset_streams(limits.max_pending_resets)
        .max_header_list_size(u32::try_from(limits.max_head).unwrap_or(u32::MAX))
        .keep_alive_interval(head_timeout)
        .enable_connect_protocol();
    builder
}
