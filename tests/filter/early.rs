//! Answers that come before their request has been read: the client gets them, whatever it goes on sending.

use std::net::SocketAddr;
use std::time::Duration;

use kakehi::model::{Action, Redirect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::time::timeout;

use crate::harness::{Proxy, backend, listener, route, rule, to};
use crate::relay::connect;

const TOO_LARGE: &str = "HTTP/1.1 413 Payload Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge";

/// A backend that answers 413 to each head and closes, without reading what follows.
async fn refusing() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                until_head(&mut stream).await;
                stream.write_all(TOO_LARGE.as_bytes()).await.unwrap_or_default();
            });
        }
    });
    address
}

async fn until_head(stream: &mut TcpStream) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => seen.push(byte),
            Err(_) => return,
        }
    }
}

async fn proxy() -> Proxy {
    let elsewhere = Action::Redirect(Redirect { scheme: None, hostname: Some("b".into()), port: None, path: None, status: 302 });
    let rules =
        vec![rule("/large", Vec::new(), to("large")), rule("/moved", Vec::new(), elsewhere), rule("/empty", Vec::new(), to("empty"))];
    Proxy::start([listener(), backend("large", &[refusing().await]), backend("empty", &[]), route(rules)]).await
}

/// How clients send what is large.
#[derive(Clone, Copy, Debug)]
enum Sends {
    /// In one go, before they read anything.
    All,
    /// In pieces.
    Slowly,
}

/// What a client reads that sends so many bytes, and whether it could send all.
async fn upload(mut stream: UnixStream, target: &str, size: usize, sends: Sends) -> (String, bool) {
    let head = format!("POST {target} HTTP/1.1\r\nHost: h\r\nX-Kakehi-Hop: 8080\r\nContent-Length: {size}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let body = vec![b'x'; size];
    let sent = match sends {
        Sends::All => stream.write_all(&body).await.is_ok(),
        Sends::Slowly => {
            let mut sent = true;
            for piece in body.chunks(size / 4) {
                sent &= stream.write_all(piece).await.is_ok();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            sent
        }
    };
    let mut answer = vec![0; 4096];
    let read = timeout(Duration::from_secs(10), stream.read(&mut answer)).await.unwrap().unwrap_or(0);
    (String::from_utf8_lossy(&answer[..read]).into_owned(), sent)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_all_before_it_reads_gets_the_answer() {
    let proxy = proxy().await;
    for (target, status) in [("/large", 413), ("/moved", 302), ("/empty", 503), ("/nowhere", 404)] {
        for sends in [Sends::All, Sends::Slowly] {
            for _ in 0..5 {
                for relayed in [true, false] {
                    let stream = if relayed { connect(&proxy, 8080).await } else { proxy.connect().await };
                    let (answer, sent) = upload(stream, target, 3 << 20, sends).await;
                    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && sent, "{target} {sends:?} {relayed}: {sent} {answer:?}");
                }
            }
        }
    }
}

/// The rest of the body is no request, and the next request is one.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_serves_on_after_an_early_answer() {
    let proxy = proxy().await;
    let mut stream = proxy.connect().await;
    for _ in 0..3 {
        let head = "POST /moved HTTP/1.1\r\nHost: h\r\nX-Kakehi-Hop: 8080\r\nContent-Length: 300000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b'x'; 300_000]).await.unwrap();
        let mut answer = [0; 12];
        timeout(Duration::from_secs(10), stream.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(&answer, b"HTTP/1.1 302");
        let (mut rest, mut byte) = (Vec::new(), [0]);
        while !rest.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).await.unwrap();
            rest.push(byte[0]);
        }
    }
}

/// A client that waits for `100 Continue` is not asked for a body that is thrown away.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_to_be_asked_is_not_asked() {
    let proxy = proxy().await;
    let head = "POST /moved HTTP/1.1\r\nHost: h\r\nX-Kakehi-Hop: 8080\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let answer = proxy.raw(head.as_bytes(), Duration::from_millis(300)).await;
    assert!(answer.starts_with("HTTP/1.1 302 ") && !answer.contains("100"), "{answer}");
}

/// What is too large is refused at once, and the refusal arrives although the client goes on sending.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_large_is_refused_while_it_comes() {
    let proxy = proxy().await;
    for _ in 0..10 {
        let mut stream = connect(&proxy, 8080).await;
        let head = format!("GET /moved HTTP/1.1\r\nHost: h\r\nX-Large: {}\r\n\r\n", "x".repeat(1 << 20));
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        timeout(Duration::from_secs(5), stream.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(&answer, b"HTTP/1.1 431");
    }
}
