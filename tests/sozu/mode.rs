//! Ports that change their mode while connections are open, and are opened.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures::channel::mpsc;
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kakehi::model::{Backend, BackendProtocol, Kind, Match, PathMatch};
use kakehi::snapshot::{Resource, Snapshot};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::build::{backend, backend_id, listener, prefix, redirect, route, rule};
use crate::pod::{edge, launch, ready};
use crate::rig::{Directory, address, control_plane, receive, serve};
use crate::tls::{certificate, connect, https};

const HOST: &str = "app.example";
/// What Sōzu decides alone, and what the filter decides.
const TARGETS: [(&str, u16); 2] = [("/", 200), ("/moved", 302)];

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

async fn open(at: SocketAddr, tls: bool) -> std::io::Result<Box<dyn Stream>> {
    Ok(match tls {
        true => Box::new(connect(at, HOST, b"http/1.1").await?),
        false => Box::new(TcpStream::connect(at).await?),
    })
}

/// What became of requests.
struct Load {
    kept: bool,
    sent: usize,
    failed: Vec<String>,
}

/// Requests on one connection, or each on one of its own, until the end.
async fn http1(at: SocketAddr, tls: bool, kept: bool, end: watch::Receiver<bool>) -> Load {
    let (mut sent, mut failed) = (0, Vec::new());
    let mut held = None;
    while !*end.borrow() {
        for (target, status) in TARGETS {
            let exchange = async {
                let mut stream = match held.take() {
                    Some(stream) => stream,
                    None => open(at, tls).await?,
                };
                stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).await?;
                let answer = receive(&mut stream).await;
                std::io::Result::Ok((answer, stream))
            };
            let exchanged = timeout(Duration::from_secs(5), exchange).await;
            sent += 1;
            match exchanged {
                Ok(Ok((answer, stream))) if answer.status == status && answer.header("connection").is_empty() => {
                    held = kept.then_some(stream);
                }
                Ok(Ok((answer, _))) => failed.push(format!("{at} kept: {kept}, request {sent}: {target} {answer:?}")),
                other => failed.push(format!("{at} kept: {kept}, request {sent}: {target} {:?}", other.map(|other| other.map(drop)))),
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
    Load { kept, sent, failed }
}

/// The same over HTTP/2 on one connection.
async fn http2(at: SocketAddr, end: watch::Receiver<bool>) -> Load {
    let (mut sent, mut failed) = (0, Vec::new());
    let stream = TokioIo::new(connect(at, HOST, b"h2").await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    while !*end.borrow() {
        for (target, status) in TARGETS {
            let request = http::Request::get(format!("https://{HOST}{target}")).body(Empty::<bytes::Bytes>::new()).unwrap();
            sent += 1;
            let answer = match timeout(Duration::from_secs(5), sender.send_request(request)).await {
                Ok(Ok(response)) => {
                    let status = response.status().as_u16();
                    response.into_body().collect().await.map(|_| status).map_err(|error| error.to_string())
                }
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("no answer".to_owned()),
            };
            if answer != Ok(status) {
                failed.push(format!("{at} HTTP/2, request {sent}: {target} {answer:?}"));
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
    Load { kept: true, sent, failed }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_connections_are_served_on_through_changes_of_mode() {
    let dir = Directory::new();
    let (publisher, at) = (control_plane(dir.path(), 1), address());
    let health = SocketAddr::new(at, 8081);
    let (_launcher, _edge) = (launch(dir.path()), edge(dir.path(), health));

    let rules = || vec![rule(prefix("/"), "app"), redirect(prefix("/moved"))];
    let (secret, wide) = (certificate("secret", &[HOST]).0, certificate("wide", &["*.example"]).0);
    let native = [
        listener("web", 8080, "*"),
        https("secure", 8443, HOST, &["secret"]),
        secret,
        backend("app", &[serve("app").await]),
        route("r", "web", &["*"], rules()),
        route("t", "secure", &[HOST], rules()),
    ];
    // A backend that speaks HTTP/2, and hostnames of listeners that cover one another.
    let more = [
        Resource::Backend(Backend::new(backend_id("h2c"), BackendProtocol::H2c, Vec::new())),
        route("s", "web", &["grpc.example"], vec![rule(prefix("/"), "h2c")]),
        https("wide", 8443, "*.example", &["wide"]),
        wide,
    ];
    let (native, relayed) = (Snapshot::from_resources(native.clone()), Snapshot::from_resources(native.into_iter().chain(more)));
    publisher.publish(&native.as_delta());
    ready(health, 200).await;

    let (end, ended) = watch::channel(false);
    let mut loads = JoinSet::new();
    let (plain, secure) = (SocketAddr::new(at, 8080), SocketAddr::new(at, 8443));
    for _ in 0..4 {
        for (at, tls, kept) in [(plain, false, true), (plain, false, false), (secure, true, true), (secure, true, false)] {
            loads.spawn(http1(at, tls, kept, ended.clone()));
        }
        loads.spawn(http2(secure, ended.clone()));
    }
    for (from, to) in [(&native, &relayed), (&relayed, &native), (&native, &relayed), (&relayed, &native)] {
        sleep(Duration::from_millis(400)).await;
        let stamp = publisher.publish(&from.diff(to));
        let mut acks = publisher.acks();
        let wait = acks.wait_for(|ack| ack.as_ref().is_some_and(|ack| ack.stamp >= stamp && ack.refused.is_empty()));
        timeout(Duration::from_secs(10), wait).await.expect("an ack in time").unwrap();
    }
    sleep(Duration::from_millis(400)).await;
    end.send_replace(true);
    let all = loads.join_all().await;
    let count = |kept| {
        let failed: Vec<&String> = all.iter().filter(|load| load.kept == kept).flat_map(|load| &load.failed).collect();
        (failed.len(), all.iter().filter(|load| load.kept == kept).map(|load| load.sent).sum::<usize>(), failed)
    };
    let (kept, fresh) = (count(true), count(false));
    println!("failed: {} of {} on kept connections, {} of {} on new ones", kept.0, kept.1, fresh.0, fresh.1);
    assert_eq!(kept.0, 0, "of {}: {:#?}", kept.1, kept.2);
    // Those that wait in the queue of a socket which Sōzu closes are reset.
    assert!(fresh.0 * 50 < fresh.1, "{} of {}: {:#?}", fresh.0, fresh.1, fresh.2);
}

/// Repeats over HTTP/2 what it is told, as it comes.
async fn repeating() -> Resource {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = backend("calls", &[socket.local_addr().unwrap().port()]);
    tokio::spawn(async move {
        while let Ok((stream, _)) = socket.accept().await {
            let service = hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| async {
                Ok::<_, Infallible>(http::Response::new(request.into_body()))
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(async move { server.serve_connection(TokioIo::new(stream), service).await });
        }
    });
    own
}

/// A bidirectional gRPC stream comes by a relayed port, whose only GRPCRoute then goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_outlives_the_relay_that_it_came_by() {
    let dir = Directory::new();
    let (publisher, at) = (control_plane(dir.path(), 1), address());
    let health = SocketAddr::new(at, 8081);
    let (_launcher, _edge) = (launch(dir.path()), edge(dir.path(), health));

    let pages = route("r", "web", &["*"], vec![rule(prefix("/"), "app")]);
    let native = [listener("web", 8080, "*"), backend("app", &[serve("app").await]), pages];
    let mut calls = route("calls", "web", &["*"], vec![rule(every_call(), "calls")]);
    if let Resource::Route(route) = &mut calls {
        route.id.kind = Kind::GrpcRoute;
    }
    let more = [repeating().await, calls];
    let (native, relayed) = (Snapshot::from_resources(native.clone()), Snapshot::from_resources(native.into_iter().chain(more)));
    publisher.publish(&relayed.as_delta());
    ready(health, 200).await;

    let at = SocketAddr::new(at, 8080);
    let stream = TokioIo::new(TcpStream::connect(at).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let (said, heard) = mpsc::unbounded::<Result<Frame<Bytes>, Infallible>>();
    let request = http::Request::post(format!("http://{HOST}/a.B/C")).header("content-type", "application/grpc");
    let answer = timeout(Duration::from_secs(5), sender.send_request(request.body(StreamBody::new(heard)).unwrap())).await;
    let mut answer = answer.unwrap().unwrap().into_body();
    let mut exchange = async |word: String| {
        said.unbounded_send(Ok(Frame::data(Bytes::from(word.clone())))).unwrap();
        let frame = timeout(Duration::from_secs(5), answer.frame()).await.expect("an echo in time");
        assert_eq!(frame.expect("the stream goes on").unwrap().into_data().unwrap(), word.as_bytes());
    };
    exchange("relayed".to_owned()).await;

    let stamp = publisher.publish(&relayed.diff(&native));
    let mut acks = publisher.acks();
    let wait = acks.wait_for(|ack| ack.as_ref().is_some_and(|ack| ack.stamp >= stamp && ack.refused.is_empty()));
    timeout(Duration::from_secs(10), wait).await.expect("an ack in time").unwrap();
    for number in 0..50 {
        exchange(format!("native {number}")).await;
        sleep(Duration::from_millis(100)).await;
    }
    drop(said);
    let rest = timeout(Duration::from_secs(5), answer.collect()).await.expect("an end in time").expect("an orderly end");
    assert!(rest.to_bytes().is_empty());
    // The port is native again: Sōzu takes no HTTP/2 without TLS.
    let stream = TokioIo::new(TcpStream::connect(at).await.unwrap());
    let opened = hyper::client::conn::http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), stream).await;
    let (mut sender, connection) = opened.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get(format!("http://{HOST}/")).body(Empty::<Bytes>::new()).unwrap();
    assert!(!matches!(timeout(Duration::from_secs(5), sender.send_request(request)).await, Ok(Ok(_))), "the port is relayed still");
}

fn every_call() -> Match {
    Match { path: PathMatch::Call { service: None, method: None }, method: Some("POST".into()), headers: Vec::new(), query: Vec::new() }
}
