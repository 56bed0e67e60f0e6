//! Load at saturation: of HTTP/1.1 from a thread of our own, of HTTP/2 from h2load.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::http;

/// Requests that are under way at a time, each on a connection of its own with HTTP/1.1.
pub const CONCURRENCY: usize = 64;
/// Of HTTP/2 this many go over one connection.
const STREAMS: usize = 4;

/// A request that takes so much longer than the run has failed.
const LATE: Duration = Duration::from_secs(5);

/// What a run counted.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    pub answered: u64,
    pub failed: u64,
    /// How one of them failed.
    pub example: Option<String>,
    /// Kept connections that the server closed between two requests, without a word before.
    pub closed: u64,
    /// Length of the run.
    pub elapsed: Duration,
}

/// Requests over HTTP/1.1.
#[derive(Clone)]
pub struct Http1 {
    pub address: SocketAddr,
    /// Server name and client, with TLS.
    pub tls: Option<(String, TlsConnector)>,
    /// Head and body.
    pub request: Vec<u8>,
    /// Every request comes on a connection of its own.
    pub fresh: bool,
}

impl Counted {
    fn fail(&mut self, how: String) {
        self.failed += 1;
        self.example.get_or_insert(how);
    }
}

/// A stream of either kind.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Http1 {
    /// Sends it over and over for `length`.
    pub async fn run(self, length: Duration) -> Counted {
        let generator = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(self.all(length))
        });
        tokio::task::spawn_blocking(move || generator.join().unwrap()).await.unwrap()
    }

    async fn all(&self, length: Duration) -> Counted {
        let start = Instant::now();
        let late = |_| Counted { failed: 1, example: Some("no answer".to_owned()), ..Counted::default() };
        let clients = (0..CONCURRENCY).map(async |_| timeout(length + LATE, self.one(start + length)).await.unwrap_or_else(late));
        let mut total = futures::future::join_all(clients).await.into_iter().fold(Counted::default(), |mut total, counted| {
            total.answered += counted.answered;
            total.failed += counted.failed;
            total.example = total.example.or(counted.example);
            total.closed += counted.closed;
            total
        });
        total.elapsed = start.elapsed();
        total
    }

    async fn one(&self, end: Instant) -> Counted {
        let mut counted = Counted::default();
        let mut received = Vec::new();
        while Instant::now() < end {
            let mut stream = match connect(self.address, self.tls.as_ref()).await {
                Ok(stream) => stream,
                Err(error) => {
                    counted.fail(format!("connect: {error}"));
                    continue;
                }
            };
            let before = counted.answered;
            while Instant::now() < end {
                match http::exchange(&mut stream, &self.request, &mut received).await {
                    Ok(answer) if answer.status == 200 => counted.answered += 1,
                    Ok(answer) => {
                        counted.fail(format!("status {}", answer.status));
                        break;
                    }
                    Err(_) if counted.answered > before && received.is_empty() => {
                        counted.closed += 1;
                        break;
                    }
                    Err(error) => {
                        counted.fail(error.to_string());
                        break;
                    }
                }
                if self.fresh {
                    break;
                }
            }
        }
        counted
    }
}

/// A connection, with TLS when a server name is given.
pub async fn connect(address: SocketAddr, tls: Option<&(String, TlsConnector)>) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(match tls {
        Some((name, tls)) => Box::new(tls.connect(name.clone().try_into().map_err(io::Error::other)?, stream).await?),
        None => Box::new(stream),
    })
}

/// Requests over HTTP/2, with TLS or with prior knowledge.
#[derive(Clone)]
pub struct Http2 {
    pub address: SocketAddr,
    pub tls: bool,
    pub host: String,
    pub path: String,
    /// Makes it a POST.
    pub body: Option<Vec<u8>>,
    /// Header lines.
    pub headers: Vec<String>,
}

impl Http2 {
    /// Has h2load send it over and over for `length`, in seconds.
    ///
    /// # Errors
    /// When h2load is not there or says nothing that is understood.
    pub async fn run(self, length: Duration) -> io::Result<Counted> {
        let (clients, scheme) = (CONCURRENCY / STREAMS, if self.tls { "https" } else { "http" });
        let mut command = Command::new("h2load");
        command.args(["-t1", "-c", &clients.to_string(), "-m", &STREAMS.to_string(), "-D", &length.as_secs().to_string()]);
        command.arg(format!("--connect-to={}", self.address));
        for line in &self.headers {
            command.args(["-H", line]);
        }
        let mut file = tempfile::NamedTempFile::new()?;
        if let Some(body) = &self.body {
            file.write_all(body)?;
            command.arg("-d").arg(file.path());
        }
        let start = Instant::now();
        let output = command.arg(format!("{scheme}://{}{}", self.host, self.path)).stdin(Stdio::null()).output().await?;
        let text = String::from_utf8_lossy(&output.stdout);
        let example = || Some(text.lines().find(|line| line.starts_with("status codes")).unwrap_or_default().to_owned());
        let counted =
            counted(&text).map(|(answered, failed)| Counted { answered, failed, example: example(), closed: 0, elapsed: start.elapsed() });
        counted.ok_or_else(|| io::Error::other(format!("h2load says: {text}{}", String::from_utf8_lossy(&output.stderr))))
    }
}

/// What h2load says: answers of class 2xx, and requests that were answered with others or failed.
fn counted(text: &str) -> Option<(u64, u64)> {
    let line = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
    let number = |line: &str, word: &str| -> Option<u64> {
        let part = line.split(',').find(|part| part.ends_with(word))?;
        part.split_whitespace().next()?.parse().ok()
    };
    let (requests, codes) = (line("requests: ")?, line("status codes: ")?);
    let others: Option<u64> = ["3xx", "4xx", "5xx"].iter().map(|class| number(codes, class)).sum();
    Some((number(codes, "2xx")?, others? + number(requests, "errored")?))
}
