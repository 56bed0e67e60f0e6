//! A real Sōzu with backends, a hop and a client, all on loopback.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use kakehi::edge::Capacity;
use kakehi::edge::plan::{Options, Planner, Target};
use kakehi::edge::sozu::{Kin, Maker, Silence, Sozu, SpawnSettings, Wire};
use kakehi::snapshot::publish::Publisher;
use kakehi::snapshot::wire::Refusal;
use kakehi::snapshot::{Resource, Snapshot};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};

/// The binary under test.
pub fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("KAKEHI_SOZU") {
        return path.into();
    }
    let cache =
        std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let path = cache.expect("HOME is set").join("kakehi/sozu-2.3.3-release/bin/sozu");
    assert!(path.is_file(), "no Sōzu at {}: run `make sozu`, or name one in KAKEHI_SOZU", path.display());
    path
}

/// A control plane of this epoch, for edges that read `snapshot.sock` in a directory. It has published nothing yet.
pub fn control_plane(dir: &Path, epoch: u64) -> Publisher {
    let publisher = Publisher::new(epoch);
    let socket = UnixListener::bind(dir.join("snapshot.sock")).unwrap();
    let server = publisher.clone();
    tokio::spawn(async move { server.serve(socket).await });
    publisher
}

/// A directory for a test's edges. When it goes, so does every Sōzu that was started in it and is still there: a launcher or an edge
/// that a test kills cannot end its own.
pub struct Directory(tempfile::TempDir);

impl Directory {
    /// A new one.
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let place = [b"TMPDIR=", self.0.path().as_os_str().as_encoded_bytes()].concat();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid.filter(|_| environment.split(|byte| *byte == 0).any(|word| word.starts_with(&place))) {
                let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

/// A Sōzu without a twin.
pub fn alone() -> Kin {
    Kin::family(1, false).remove(0)
}

/// A loopback address of its own for every caller: no port of it is anybody's.
pub fn address() -> IpAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    IpAddr::from([127, 64 | high & 63, low, NEXT.fetch_add(1, Ordering::Relaxed)])
}

pub struct Rig {
    pub sozu: Sozu,
    pub planner: Planner,
    pub dir: Directory,
    address: IpAddr,
}

impl Rig {
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Self {
        Self::on(options, Silence::default()).await
    }

    /// One with other clocks.
    pub async fn on(options: Options, silence: Silence) -> Self {
        if std::env::var_os("KAKEHI_TEST_LOG").is_some() {
            drop(tracing_subscriber::fmt().with_test_writer().try_init());
        }
        let dir = Directory::new();
        let hop = dir.path().join("hop.sock");
        serve_unix(&hop, "hop");
        let address = address();
        let wire = Wire { address, hop, relay: dir.path().join("relay.sock"), silence };
        let settings = SpawnSettings {
            program: program(),
            dir: dir.path().to_owned(),
            log_level: "error".to_owned(),
            budget: Capacity::default().launched(),
        };
        let sozu = Sozu::start(Maker::Spawn(settings), wire, alone()).await.unwrap();
        Self { sozu, planner: Planner::new(options), dir, address }
    }

    /// Starts over on the address of another.
    pub async fn move_to(&mut self, other: &Self) {
        let settings = SpawnSettings {
            program: program(),
            dir: self.dir.path().to_owned(),
            log_level: "error".to_owned(),
            budget: Capacity::default().launched(),
        };
        let [hop, relay] = ["hop.sock", "relay.sock"].map(|name| self.dir.path().join(name));
        let wire = Wire { address: other.address, hop, relay, silence: Silence::default() };
        self.sozu = Sozu::start(Maker::Spawn(settings), wire, alone()).await.unwrap();
        self.address = other.address;
    }

    /// Where its listeners of a port are.
    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.address, port)
    }

    /// One GET on a connection of its own.
    pub async fn get(&self, port: u16, host: &str, target: &str) -> Answer {
        get(self.at(port), host, target).await
    }

    /// Who answers a GET, or the status of Sōzu's own answer.
    pub async fn who(&self, port: u16, host: &str, target: &str) -> String {
        self.get(port, host, target).await.who()
    }

    /// Who answers a request without headers but Host.
    pub async fn who_takes(&self, port: u16, method: &str, host: &str, target: &str) -> String {
        send(self.at(port), &format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await.who()
    }

    /// Makes these the whole snapshot.
    pub async fn hold(&mut self, resources: impl IntoIterator<Item = Resource>) -> Vec<Refusal> {
        let target = Snapshot::from_resources(resources);
        let delta = self.planner.snapshot().diff(&target);
        self.planner.apply(&delta);
        let refusals = self.sozu.apply(self.planner.target()).await.unwrap();
        let pid = self.sozu.pid();
        self.sozu.audit(self.planner.target()).await.unwrap();
        assert_eq!(self.sozu.pid(), pid, "Sōzu holds something else than was applied");
        refusals
    }
}

/// What Sōzu must hold for these resources.
pub fn plan(resources: impl IntoIterator<Item = Resource>) -> Target {
    let mut planner = Planner::new(Options::default());
    planner.apply(&Snapshot::from_resources(resources).as_delta());
    planner.target().clone()
}

/// Answers every request with 200, its name, and the request's head as body; keeps connections.
async fn answer<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, name: &str) {
    let mut held = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let end = loop {
            if let Some(at) = held.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            match stream.read(&mut buffer).await {
                Ok(read) if read > 0 => held.extend_from_slice(&buffer[..read]),
                _ => return,
            }
        };
        let head: Vec<u8> = held.drain(..end).collect();
        let text = format!("HTTP/1.1 200 OK\r\nx-served-by: {name}\r\nx-old: one\r\nx-old: two\r\ncontent-length: {}\r\n\r\n", head.len());
        if stream.write_all(&[text.as_bytes(), &head].concat()).await.is_err() {
            return;
        }
    }
}

/// A backend; its port.
pub async fn serve(name: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, name));
        }
    });
    port
}

fn serve_unix(path: &Path, name: &'static str) {
    serve_hop(UnixListener::bind(path).unwrap(), name);
}

/// The hop's side, played.
pub fn serve_hop(listener: UnixListener, name: &'static str) {
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, name));
        }
    });
}

/// An answer as the client saw it.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    /// For an answer of ours: the request's head as the backend saw it.
    pub body: String,
}

impl Answer {
    /// Who answered; empty when Sōzu did.
    pub fn by(&self) -> &str {
        values(&self.head, "x-served-by").first().copied().unwrap_or_default()
    }

    /// Who answered, or the status of Sōzu's own answer.
    pub fn who(&self) -> String {
        if self.by().is_empty() { self.status.to_string() } else { self.by().to_owned() }
    }

    /// The values of a response header.
    pub fn header(&self, name: &str) -> Vec<&str> {
        values(&self.head, name)
    }

    /// The values of a request header as the backend saw them.
    pub fn seen(&self, name: &str) -> Vec<&str> {
        values(&self.body, name)
    }

    /// The request line as the backend saw it.
    pub fn line(&self) -> &str {
        self.body.lines().next().unwrap_or_default()
    }
}

fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let pairs = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    pairs.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
}

/// One GET on a connection of its own.
pub async fn get(at: SocketAddr, host: &str, target: &str) -> Answer {
    send(at, &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await
}

/// Twins share ports, and one takes a change some milliseconds before the other: what answers so often in a row is there.
const IN_A_ROW: usize = 8;

/// Waits until this backend answers, through whatever is in its way.
pub async fn until(at: SocketAddr, host: &str, target: &str, by: &str) {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let answered = async {
        let mut in_a_row = 0;
        while in_a_row < IN_A_ROW {
            in_a_row = if try_send(at, &request).await.is_ok_and(|answer| answer.by() == by) { in_a_row + 1 } else { 0 };
            if in_a_row == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), answered).await.unwrap_or_else(|_| panic!("{by} does not answer {target}"));
}

/// One request on a connection of its own.
pub async fn send(at: SocketAddr, request: &str) -> Answer {
    try_send(at, request).await.unwrap_or_else(|error| panic!("{request:?}: {error}"))
}

/// One request on a connection of its own, whatever becomes of it.
pub async fn try_send(at: SocketAddr, request: &str) -> std::io::Result<Answer> {
    let exchange = async {
        let mut stream = TcpStream::connect(at).await?;
        stream.write_all(request.as_bytes()).await?;
        Ok(receive(&mut stream).await)
    };
    tokio::time::timeout(Duration::from_secs(5), exchange).await?
}

/// Reads one answer with a content-length, or until the end.
pub async fn receive<S: AsyncRead + Unpin>(stream: &mut S) -> Answer {
    let mut held = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(at) = held.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&held[..at]).into_owned();
            let length = values(&head, "content-length").first().and_then(|text| text.parse::<usize>().ok());
            let body = &held[at + 4..];
            if length.is_some_and(|length| body.len() >= length) {
                let status = head.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or_default();
                return Answer { status, body: String::from_utf8_lossy(body).into_owned(), head };
            }
        }
        match stream.read(&mut buffer).await {
            Ok(read) if read > 0 => held.extend_from_slice(&buffer[..read]),
            _ => {
                let text = String::from_utf8_lossy(&held).into_owned();
                let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
                let status = head.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or_default();
                return Answer { status, head: head.to_owned(), body: body.to_owned() };
            }
        }
    }
}
