//! Connections from Sōzu: those that carry its requests, and those that it relays.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use http::{Request, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use listenfd::ListenFd;
use tokio::io::BufReader;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep, sleep_until, timeout};

use super::counters::count;
use super::executor::Local;
use super::gathered::Gathered;
use super::leaving::{Patient, Tie, Watched};
use super::load::{CONNECTION_WINDOW, Meter, Metered, STREAM_WINDOW, Side};
use super::origin::{Origin, Way};
use super::relay::{self, Duplex, Stream};
use super::serve::{Worker, serve};
use super::settings::{Limits, Listen, Settings};

/// Pause after a failed accept: out of file descriptors, most likely.
const PAUSE: Duration = Duration::from_millis(50);

/// Bytes that are read ahead: most request heads, and less than hyper and TLS ask for themselves.
const AHEAD: usize = 2048;

/// Bytes of one answer over HTTP/2 that may wait to be written.
const SEND_BUFFER: usize = 64 * 1024;

/// How often a drain is looked at, and how long nothing must have been open, a quarter of the drain at most: Sōzu may still hand over requests of connections that its
/// clients keep.
const LOOK: Duration = Duration::from_millis(20);
const QUIET: Duration = Duration::from_secs(3);

/// How long the first request of a connection is waited for that is to end.
const FIRST: Duration = Duration::from_secs(1);

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

/// How far a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It serves.
    Serving,
    /// It serves what comes, and lets every connection end with its next answer.
    Draining,
    /// The same for connections that are open; what comes is left to the process that has the same sockets next.
    Leaving,
    /// It ends at once.
    Ending,
}

/// Serves until `phase` says that it is to drain or leave, then for at most `drain`. While it drains, what Sōzu hands over until
/// it has ended itself is served too.
///
/// # Errors
/// When a socket does not work at all; failed accepts are retried.
pub(super) async fn run(worker: Rc<Worker>, sockets: Sockets, phase: watch::Receiver<Phase>, drain: Duration) -> io::Result<()> {
    let (hop, relay) = (sockets.hop.acceptor()?, sockets.relay.map(Socket::acceptor).transpose()?);
    let limits = worker.shared.limits;
    let requests = Rc::new(builder(&limits.over_the_hop(), limits.head_timeout));
    let relayed = || async {
        match &relay {
            Some(relay) => relay.accept().await,
            None => std::future::pending().await,
        }
    };
    let mut drained = pin!(drained(&worker, phase.clone(), drain));
    let (mut leaves, mut takes) = (phase.clone(), true);
    loop {
        let accepted = tokio::select! {
            biased;
            () = reached(&mut leaves, Phase::Leaving), if takes => {
                takes = false;
                continue;
            }
            () = drained.as_mut() => return Ok(()),
            accepted = hop.accept(), if takes => accepted.map(|accepted| {
                let Some(meter) = worker.clients.admit(Side::Hop) else { return };
                let tie = Tie::default();
                let (stream, origin) = (accepted.stream(&meter, &tie), Origin { meter, way: Way::Hop });
                let opened = Opened { stream, tie, origin, builder: requests.clone() };
                tokio::task::spawn_local(serve_connection(worker.clone(), opened, phase.clone()));
            }),
            accepted = relayed(), if takes => accepted.map(|accepted| {
                let Some(meter) = worker.clients.admit(Side::Client) else { return };
                tokio::task::spawn_local(serve_relayed(worker.clone(), accepted, meter, phase.clone()));
            }),
        };
        if let Err(error) = accepted {
            // An idle client may have the descriptor that is missing.
            let evicted = worker.clients.evict();
            tracing::warn!(%error, evicted, "accept failed");
            sleep(PAUSE).await;
        }
    }
}

/// Resolves in this phase; never without any that could come.
async fn reached(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    if phase.wait_for(|phase| *phase == wanted).await.is_err() {
        std::future::pending().await
    }
}

/// Resolves when a drain is over: nothing is open and nothing comes, or the time is up.
async fn drained(worker: &Worker, mut phase: watch::Receiver<Phase>, drain: Duration) {
    if phase.wait_for(|phase| *phase != Phase::Serving).await.is_err() {
        return;
    }
    let deadline = Instant::now() + drain;
    let quiet = QUIET.min(drain / 4);
    let mut busy_at = Instant::now();
    loop {
        let over = tokio::select! {
            _ = phase.wait_for(|phase| *phase == Phase::Ending) => true,
            () = sleep_until(deadline) => true,
            () = sleep(LOOK) => false,
        };
        let busy = worker.clients.busy();
        if over && busy > 0 {
            worker.shared.counters.closed_by_drain.fetch_add(busy as u64, Relaxed);
            tracing::warn!(connections = busy, "connections were cut off at the end of the drain");
        }
        if busy > 0 {
            busy_at = Instant::now();
        }
        if over || busy_at.elapsed() >= quiet {
            return;
        }
    }
}

/// A connection that has just come.
enum Accepted {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Acceptor {
    async fn accept(&self) -> io::Result<Accepted> {
        Ok(match self {
            Self::Unix(listener) => Accepted::Unix(listener.accept().await?.0),
            Self::Tcp(listener) => {
                let (accepted, _) = listener.accept().await?;
                accepted.set_nodelay(true)?;
                Accepted::Tcp(accepted)
            }
        })
    }
}

impl Accepted {
    fn stream(self, meter: &Arc<Meter>, tie: &Tie) -> Stream {
        match self {
            Self::Unix(socket) => ahead(Watched::new(socket, meter.clone(), tie.clone())),
            Self::Tcp(socket) => ahead(Watched::new(socket, meter.clone(), tie.clone())),
        }
    }
}

/// A connection that is read ahead of where little is asked for: the PROXY protocol, and the version of HTTP.
fn ahead(socket: impl Duplex + 'static) -> Stream {
    Box::new(BufReader::with_capacity(AHEAD, Gathered::new(socket)))
}

/// A connection that is ready for requests.
struct Opened {
    stream: Stream,
    tie: Tie,
    origin: Origin,
    builder: Rc<auto::Builder<Local>>,
}

async fn serve_relayed(worker: Rc<Worker>, accepted: Accepted, meter: Arc<Meter>, phase: watch::Receiver<Phase>) {
    let tie = Tie::default();
    let stream = accepted.stream(&meter, &tie);
    let opened = tokio::select! {
        opened = relay::open(&worker, stream, &meter) => opened,
        () = poll_fn(|cx| meter.poll_closed(cx)) => return,
    };
    match opened {
        Ok((stream, link)) => {
            let limits = worker.shared.given.over(&worker.shared.limits);
            let builder = Rc::new(builder(&limits, limits.client_head_timeout));
            let origin = Origin { meter, way: Way::Relay(link) };
            serve_connection(worker, Opened { stream, tie, origin, builder }, phase).await;
        }
        Err(error) => tracing::debug!(%error, "no relayed connection"),
    }
}

async fn serve_connection(worker: Rc<Worker>, opened: Opened, phase: watch::Receiver<Phase>) {
    let Opened { stream, tie, origin, builder } = opened;
    let meter = origin.meter.clone();
    let tls = matches!(&origin.way, Way::Relay(link) if link.tls.is_some());
    let stream = Patient::new(stream, meter.clone(), tie.clone());
    let stream = TokioIo::new(Metered::new(stream, meter.clone(), tls));
    let own = worker.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        if request.headers().contains_key(header::UPGRADE) {
            request.extensions_mut().insert(tie.clone());
        }
        serve(own.clone(), origin.clone(), request)
    });
    let mut connection = pin!(builder.serve_connection_with_upgrades(stream, service).into_owned());
    let mut closed = pin!(poll_fn(|cx| meter.poll_closed(cx)));
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = closed.as_mut() => return,
        () = parting(&worker, &meter, phase) => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                biased;
                ended = connection.as_mut() => ended,
                () = closed => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// Resolves when a connection is to end with its next answer: the process drains, or it is old. A client that has just
/// connected gets an answer; Sōzu hears of it with an answer only, as it may be sending a request on any idle connection.
async fn parting(worker: &Worker, meter: &Meter, mut phase: watch::Receiver<Phase>) {
    let age = worker.shared.given.max_age().filter(|_| meter.side() == Side::Client);
    let old = async {
        match age {
            // Clients that came together do not go together.
            Some(age) => sleep(age.mul_f64(rand::random_range(0.9..1.1))).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = phase.wait_for(|phase| *phase != Phase::Serving) => {}
        () = old => count(&worker.shared.counters.closed_by_age),
    }
    let asked = poll_fn(|cx| meter.poll_asked(cx));
    match meter.side() {
        Side::Client => timeout(FIRST, asked).await.unwrap_or_default(),
        Side::Hop => asked.await,
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
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(u32::try_from(limits.max_head).unwrap_or(u32::MAX))
        .keep_alive_interval(head_timeout)
        .enable_connect_protocol();
    builder
}
