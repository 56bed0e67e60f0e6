//! A stop: what is open ends by itself or at the deadline, what comes is served, and every answer says that it is the last.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use crate::harness::{Proxy, backend, listener, route, rule, to};
use crate::load::client;
use crate::script::{OK, Script, Step};

const SLOW: Step = Step::Answer(700, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
const MOMENT: Duration = Duration::from_millis(200);

async fn proxy() -> (Proxy, Script) {
    let (slow, fast) = (Script::start(&[SLOW]).await, Script::start(&[OK]).await);
    let tunnel = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tunnel.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tunnel.accept().await {
            tokio::spawn(async move {
                head(&mut stream).await;
                stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n").await.unwrap();
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await.unwrap_or_default();
            });
        }
    });
    let rules = ["slow", "fast", "tunnel"].map(|name| rule(&format!("/{name}"), Vec::new(), to(name)));
    let backends = [("slow", slow.address), ("fast", fast.address), ("tunnel", address)];
    let resources = backends.iter().map(|(name, address)| backend(name, &[*address]));
    (Proxy::start(resources.chain([listener(), route(rules.into())])).await, slow)
}

async fn head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => text.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(text).unwrap().to_lowercase()
}

async fn send(stream: &mut UnixStream, path: &str, more: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nX-Kakehi-Hop: 8080\r\n{more}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
}

async fn is_closed(stream: &mut UnixStream) -> bool {
    matches!(timeout(MOMENT, stream.read_u8()).await, Ok(Err(_)))
}

#[tokio::test]
async fn a_tunnel_has_the_whole_drain_and_no_more() {
    let (mut proxy, _slow) = proxy().await;
    let mut tunnel = proxy.connect().await;
    send(&mut tunnel, "/tunnel", "Connection: upgrade\r\nUpgrade: foo\r\n").await;
    assert!(head(&mut tunnel).await.starts_with("http/1.1 101 "));
    let start = Instant::now();
    proxy.stop();
    for _ in 0..3 {
        sleep(Duration::from_millis(500)).await;
        tunnel.write_all(b"x").await.unwrap();
        assert_eq!(tunnel.read_u8().await.unwrap(), b'x');
    }
    assert!(tunnel.read_u8().await.is_err());
    assert!((1.9..4.0).contains(&start.elapsed().as_secs_f64()), "{:?}", start.elapsed());
    assert_eq!(proxy.shared.counters.closed_by_drain.load(Relaxed), 1);
}

#[tokio::test]
async fn answers_say_that_they_are_the_last_and_idle_clients_are_closed() {
    let (mut proxy, slow) = proxy().await;
    let [mut idle, mut busy] = [client(&proxy, [192, 0, 2, 1]).await, client(&proxy, [192, 0, 2, 2]).await];
    let mut hop = proxy.connect().await;
    for stream in [&mut idle, &mut hop] {
        send(stream, "/fast", "").await;
        assert!(!head(stream).await.contains("connection: close"));
        assert_eq!(stream.read_u16().await.unwrap(), u16::from_be_bytes(*b"ok"));
    }
    send(&mut busy, "/slow", "").await;
    slow.wait_for(1).await;
    proxy.stop();
    assert!(is_closed(&mut idle).await);
    assert!(!is_closed(&mut hop).await, "Sōzu may be sending a request on it");
    // What comes is served.
    let mut late = client(&proxy, [192, 0, 2, 3]).await;
    send(&mut late, "/fast", "").await;
    let answer = head(&mut late).await;
    assert!(answer.starts_with("http/1.1 200 ") && answer.contains("connection: close"), "{answer}");
    send(&mut hop, "/slow", "").await;
    for stream in [&mut hop, &mut busy] {
        let answer = head(stream).await;
        assert!(answer.starts_with("http/1.1 200 ") && answer.contains("connection: close"), "{answer}");
        assert_eq!(stream.read_u16().await.unwrap(), u16::from_be_bytes(*b"ok"));
        assert!(is_closed(stream).await);
    }
    drop(late);
    assert_eq!(proxy.shared.counters.closed_by_drain.load(Relaxed), 0);
}

#[tokio::test]
async fn http2_is_told_and_its_streams_end() {
    let (mut proxy, slow) = proxy().await;
    let io = TokioIo::new(client(&proxy, [192, 0, 2, 1]).await);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let driven = tokio::spawn(connection);
    let request = |path: &str| Request::get(format!("http://h{path}")).body(Empty::<bytes::Bytes>::new()).unwrap();
    let open = tokio::spawn(sender.send_request(request("/slow")));
    slow.wait_for(1).await;
    proxy.stop();
    sleep(MOMENT).await;
    assert!(sender.send_request(request("/fast")).await.is_err(), "no new streams");
    let answer = open.await.unwrap().unwrap();
    assert_eq!((answer.status().as_u16(), answer.into_body().collect().await.unwrap().to_bytes().as_ref()), (200, &b"ok"[..]));
    timeout(Duration::from_secs(1), driven).await.expect("the connection ends").unwrap().unwrap();
}

#[tokio::test]
async fn with_nothing_open_it_ends_at_once() {
    let (mut proxy, _slow) = proxy().await;
    assert_eq!(proxy.get("/fast").await.status, 200);
    let start = Instant::now();
    proxy.stop();
    drop(proxy);
    assert!(start.elapsed() < Duration::from_millis(1500), "{:?}", start.elapsed());
}
