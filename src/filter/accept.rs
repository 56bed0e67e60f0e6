//! Connections from Sōzu.

use std::io;
use std::rc::Rc;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::time::{Duration, sleep, timeout};

use super::counters::Gauge;
use super::executor::Local;
use super::serve::{Worker, serve};
use super::settings::{Limits, Listen};

/// Pause after a failed accept: out of file descriptors, most likely.
const PAUSE: Duration = Duration::from_millis(50);

/// A listening socket, before it belongs to a runtime.
#[derive(Debug)]
pub(super) enum Socket {
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
    pub(super) fn open(listen: &Listen) -> io::Result<Self> {
        let socket = match listen {
            Listen::Inherited => {
                let inherited = listenfd::ListenFd::from_env().take_unix_listener(0)?;
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
    pub(super) fn try_clone(&self) -> io::Result<Self> {
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

/// Serves until `stop` says so, then lets requests end for at most `drain`.
///
/// # Errors
/// When the socket does not work at all; failed accepts are retried.
pub(super) async fn run(worker: Rc<Worker>, socket: Socket, mut stop: watch::Receiver<bool>, drain: Duration) -> io::Result<()> {
    let acceptor = socket.acceptor()?;
    let builder = Rc::new(builder(&worker.shared.limits));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = acceptor.accept(&worker, &builder, &graceful) => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        if let Err(error) = accepted {
            tracing::warn!(%error, "accept failed");
            sleep(PAUSE).await;
        }
    }
    drop(acceptor);
    if timeout(drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were cut off at the end of the drain");
    }
    Ok(())
}

impl Acceptor {
    async fn accept(&self, worker: &Rc<Worker>, builder: &Rc<auto::Builder<Local>>, graceful: &GracefulShutdown) -> io::Result<()> {
        match self {
            Self::Unix(listener) => spawn(listener.accept().await?.0, worker, builder, graceful),
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                spawn(stream, worker, builder, graceful);
            }
        }
        Ok(())
    }
}

fn spawn<S>(stream: S, worker: &Rc<Worker>, builder: &Rc<auto::Builder<Local>>, graceful: &GracefulShutdown)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let open = Gauge::new(&worker.shared.counters, |counters| &counters.connections);
    let service = {
        let worker = worker.clone();
        service_fn(move |request| serve(worker.clone(), request))
    };
    let (watcher, builder) = (graceful.watcher(), builder.clone());
    tokio::task::spawn_local(async move {
        let _open = open;
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "connection ended");
        }
    });
}

/// HTTP/1.1 and HTTP/2 with prior knowledge, with every limit set.
fn builder(limits: &Limits) -> auto::Builder<Local> {
    let mut builder = auto::Builder::new(Local);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_headers(limits.max_fields)
        .max_buf_size(limits.max_head);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams)
        .max_pending_accept_reset_streams(limits.max_pending_resets)
        .max_header_list_size(u32::try_from(limits.max_head).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.head_timeout);
    builder
}
