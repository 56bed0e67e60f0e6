//! The proxy's own clocks, in virtual time: a paused runtime goes on to the next timer as soon as nobody can do anything else.

mod load;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Duration, Instant, sleep};

use crate::filter::accept::{self, Phase, Sockets};
use crate::filter::executor::Local;
use crate::filter::serve::Worker;
use crate::filter::{Limits, Listen, Settings, Shared};
use crate::model::{
    Action, Attachment, Backend, BackendId, BackendProtocol, BackendRef, BackendTarget, Endpoint, Filter, Hostname, Kind, Listener,
    ListenerName, Match, Mirror, ObjectId, PathMatch, Protocol, Retry, Route, Rule, Timeouts, Tuning,
};
use crate::snapshot::{Resource, Snapshot};

/// A proxy on this runtime, whose one rule has these filters and leads to backend `s`.
struct Proxy {
    socket: std::path::PathBuf,
    shared: Arc<Shared>,
    _stop: watch::Sender<Phase>,
    _dir: tempfile::TempDir,
}

impl Proxy {
    fn start(filters: &[Filter], backends: &[(&str, SocketAddr)]) -> Self {
        Self::serving(Kind::HttpRoute, filters, backends)
    }

    /// The same with a route of this kind.
    fn serving(kind: Kind, filters: &[Filter], backends: &[(&str, SocketAddr)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("hop");
        let (listen, drain) = (Listen::Unix(socket.clone()), Duration::ZERO);
        let relay = Some(Listen::Unix(dir.path().join("relay")));
        let settings = Settings { snapshot: dir.path().join("snapshot"), listen, relay, report: None, workers: 1, drain };
        let sockets = Sockets::open(&settings).unwrap();
        let shared = Shared::new(Limits::default());
        shared.apply(&Snapshot::from_resources(resources(kind, filters, backends)).as_delta());
        shared.open();
        let worker = Rc::new(Worker::new(shared.clone(), true));
        spawn_local(crate::filter::run::upkeep(worker.clone()));
        let (stop, stopped) = watch::channel(Phase::Serving);
        spawn_local(accept::run(worker, sockets, stopped, drain));
        Self { socket, shared, _stop: stop, _dir: dir }
    }

    async fn connect(&self, head: &str) -> UnixStream {
        let mut stream = UnixStream::connect(&self.socket).await.unwrap();
        let head = format!("{head}\r\nHost: h\r\nX-Kakehi-Hop: 8080\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    /// The answer to a `GET`, and how many seconds it took to its last byte.
    async fn get(&self) -> (String, u64) {
        let start = Instant::now();
        let mut stream = self.connect("GET / HTTP/1.1\r\nConnection: close").await;
        let mut text = Vec::new();
        stream.read_to_end(&mut text).await.unwrap();
        (String::from_utf8(text).unwrap(), start.elapsed().as_secs())
    }
}

fn id(name: &str) -> BackendId {
    BackendId { namespace: "n".into(), service: name.into(), port: 80 }
}

fn resources(kind: Kind, filters: &[Filter], backends: &[(&str, SocketAddr)]) -> Vec<Resource> {
    let name = ListenerName("http".into());
    let listener = Listener {
        name: name.clone(),
        port: 8080,
        protocol: Protocol::Http,
        hostname: Hostname::Any,
        certificates: Vec::new(),
        certificates_by_name: false,
        tuning: Tuning::default(),
    };
    let matched = Match { path: PathMatch::Prefix("/".into()), method: None, headers: Vec::new(), query: Vec::new() };
    let reference = BackendRef { weight: 1, target: BackendTarget::Service(id("s")), filters: Vec::new() };
    let (matches, action) = (vec![matched], Action::Forward(vec![reference]));
    let rule = Rule { name: None, host: None, fallback: false, matches, filters: filters.to_vec(), action };
    let attachments = vec![Attachment { listener: name, hostnames: vec![(Hostname::Any, Hostname::Any)] }];
    let route = Route { id: ObjectId::new(kind, "n", "r"), created: 0, file: None, attachments, rules: vec![rule], written: Vec::new() };
    let backend = |(name, at): &(&str, SocketAddr)| {
        let endpoints = vec![Endpoint { ip: at.ip(), port: at.port() }];
        Resource::Backend(Backend::new(id(name), BackendProtocol::Http, endpoints))
    };
    backends.iter().map(backend).chain([Resource::Listener(listener), Resource::Route(route)]).collect()
}

/// A backend that notes when each connection came and treats it so.
async fn backend<F: Future<Output = ()> + 'static>(treat: fn(TcpStream) -> F) -> (SocketAddr, Rc<RefCell<Vec<Instant>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, times) = (listener.local_addr().unwrap(), Rc::<RefCell<Vec<Instant>>>::default());
    let noted = times.clone();
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            noted.borrow_mut().push(Instant::now());
            spawn_local(treat(stream));
        }
    });
    (address, times)
}

/// Reads for ever.
async fn silent(mut stream: TcpStream) {
    while let Ok(1..) = stream.read(&mut [0; 4096]).await {}
}

/// Reads until a byte `!` and answers.
async fn patient(mut stream: TcpStream) {
    while let Ok(byte) = stream.read_u8().await {
        if byte == b'!' {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap_or_default();
        }
    }
}

async fn head(stream: &mut TcpStream) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        seen.push(stream.read_u8().await.unwrap());
    }
}

/// Begins an answer that it never ends.
async fn endless(mut stream: TcpStream) {
    head(&mut stream).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegun").await.unwrap();
    silent(stream).await;
}

async fn prompt(mut stream: TcpStream) {
    head(&mut stream).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    silent(stream).await;
}

/// Answers by HTTP/2 after an hour.
async fn hourly(stream: TcpStream) {
    let answer = service_fn(|_: http::Request<hyper::body::Incoming>| async {
        sleep(Duration::from_secs(3600)).await;
        Ok::<_, std::convert::Infallible>(http::Response::new(String::from("at last")))
    });
    http2::Builder::new(Local).serve_connection(TokioIo::new(stream), answer).await.unwrap_or_default();
}

/// Changes its protocol and sends every byte back.
async fn tunnel(mut stream: TcpStream) {
    head(&mut stream).await;
    stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n").await.unwrap();
    let (mut read, mut write) = stream.split();
    tokio::io::copy(&mut read, &mut write).await.unwrap_or_default();
}

fn timeouts(request: Option<u64>, backend: Option<u64>) -> Filter {
    Filter::Timeouts(Timeouts { request: request.map(|seconds| seconds * 1000), backend: backend.map(|seconds| seconds * 1000) })
}

#[tokio::test(start_paused = true)]
async fn a_silent_backend_is_given_up_when_the_rule_says_so() {
    let retry = Filter::Retry(Retry { codes: Vec::new(), attempts: 2, backoff: 10_000 });
    // What the rule says, the seconds until 504, and how often the backend is asked. Pauses are up to half longer than declared.
    let table = [
        (vec![], 170..=170, 1),
        (vec![timeouts(Some(40), None)], 40..=40, 1),
        (vec![timeouts(None, Some(90))], 90..=90, 1),
        (vec![timeouts(Some(100), Some(90))], 90..=90, 1),
        (vec![retry.clone(), timeouts(None, Some(5))], 45..=60, 3),
        (vec![retry.clone(), timeouts(Some(30), Some(5))], 30..=30, 2),
        (vec![retry, timeouts(Some(3), Some(5))], 3..=3, 1),
    ];
    let checked = async {
        for (filters, seconds, asked) in table {
            let (address, times) = backend(silent).await;
            let (answer, took) = Proxy::start(&filters, &[("s", address)]).get().await;
            assert!(answer.starts_with("HTTP/1.1 504 ") && seconds.contains(&took), "{filters:?}: {took} s, {answer}");
            assert_eq!(times.borrow().len(), asked, "{filters:?}: {times:?}");
        }
    };
    LocalSet::new().run_until(checked).await;
}

#[tokio::test(start_paused = true)]
async fn pauses_between_attempts_double() {
    let checked = async {
        let (address, times) = backend(silent).await;
        let retry = Filter::Retry(Retry { codes: Vec::new(), attempts: 3, backoff: 100 });
        Proxy::start(&[retry, timeouts(None, Some(1))], &[("s", address)]).get().await;
        let times = times.borrow();
        let pauses: Vec<_> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_millis() - 1000).collect();
        let bounds = [100..=151, 200..=301, 400..=601];
        assert!(pauses.len() == 3 && pauses.iter().zip(&bounds).all(|(pause, bound)| bound.contains(pause)), "{pauses:?}");
    };
    LocalSet::new().run_until(checked).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_end_is_cut_off_in_time() {
    let checked = async {
        let (address, _) = backend(endless).await;
        let proxy = Proxy::start(&[timeouts(Some(40), None)], &[("s", address)]);
        let (answer, took) = proxy.get().await;
        assert!(answer.ends_with("begun") && took == 40, "{took} s, {answer}");
        assert_eq!(proxy.shared.counters.timeouts.load(Relaxed), 1);
    };
    LocalSet::new().run_until(checked).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_may_be_silent_for_as_long_as_its_client_likes() {
    let checked = async {
        let (address, times) = backend(hourly).await;
        let (answer, took) = Proxy::serving(Kind::GrpcRoute, &[], &[("s", address)]).get().await;
        assert!(answer.ends_with("at last") && took == 3600, "{took} s, {answer}");
        assert_eq!(times.borrow().len(), 1);
    };
    LocalSet::new().run_until(checked).await;
}

/// The usual patience counts from the last byte of the request.
#[tokio::test(start_paused = true)]
async fn an_upload_may_take_its_time() {
    let checked = async {
        let (address, _) = backend(patient).await;
        let proxy = Proxy::start(&[], &[("s", address)]);
        let mut stream = proxy.connect("POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: 20").await;
        let start = Instant::now();
        for byte in b"...................!" {
            sleep(Duration::from_secs(169)).await;
            stream.write_all(&[*byte]).await.unwrap();
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && start.elapsed().as_secs() == 20 * 169, "{answer}");

        let mut stream = proxy.connect("POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: 20").await;
        let start = Instant::now();
        let mut answer = [0; 13];
        stream.read_exact(&mut answer).await.unwrap();
        assert!(answer == *b"HTTP/1.1 504 " && start.elapsed().as_secs() == 170, "{:?} {answer:?}", start.elapsed());
        // The rest of the upload might still come.
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 175);
    };
    LocalSet::new().run_until(checked).await;
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_ends_after_an_hour_of_silence() {
    let checked = async {
        let (address, _) = backend(tunnel).await;
        let proxy = Proxy::start(&[timeouts(Some(5), None)], &[("s", address)]);
        let mut stream = proxy.connect("GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: foo").await;
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            seen.push(stream.read_u8().await.unwrap());
        }
        for _ in 0..5 {
            sleep(Duration::from_secs(59 * 60)).await;
            stream.write_all(b"x").await.unwrap();
            assert_eq!(stream.read_u8().await.unwrap(), b'x');
        }
        let last = Instant::now();
        assert!(stream.read_u8().await.is_err() && last.elapsed().as_secs() == 3600, "{:?}", last.elapsed());
        assert_eq!(proxy.shared.counters.active.load(Relaxed), 0);
    };
    LocalSet::new().run_until(checked).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_mirror_is_waited_for_by_nobody_and_not_for_ever() {
    let checked = async {
        let ((main, _), (mirror, times)) = (backend(prompt).await, backend(silent).await);
        let copied = Filter::Mirror(Mirror { backend: id("mirror"), numerator: 1, denominator: 1 });
        let proxy = Proxy::start(&[copied], &[("s", main), ("mirror", mirror)]);
        let (answer, took) = proxy.get().await;
        assert!(answer.ends_with("ok") && took == 0, "{took} s, {answer}");
        let counters = &proxy.shared.counters;
        sleep(Duration::from_secs(169)).await;
        assert_eq!((counters.mirroring.load(Relaxed), counters.mirror_errors.load(Relaxed)), (1, 0));
        sleep(Duration::from_secs(2)).await;
        assert_eq!((counters.mirroring.load(Relaxed), counters.mirror_errors.load(Relaxed)), (0, 1));
        assert_eq!(times.borrow().len(), 1);
    };
    LocalSet::new().run_until(checked).await;
}
