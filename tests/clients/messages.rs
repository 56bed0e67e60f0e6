//! Messages that test a proxy's framing: trailers, `100 Continue`, large heads, in every stage.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::backends::{listen, routed};
use crate::rig::Rig;
use crate::stage::{Duplex, Stage, connect, host};

/// Reads until the text ends so, or the peer closes.
async fn until(stream: &mut (impl tokio::io::AsyncRead + Unpin + ?Sized), end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        match timeout(Duration::from_secs(15), stream.read_u8()).await {
            Ok(Ok(byte)) => text.push(byte.to_ascii_lowercase()),
            Ok(Err(_)) | Err(_) => break,
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// A backend that waits for the last chunk and its trailers, and answers with what it saw and trailers of its own.
async fn trailing(mut stream: TcpStream) {
    let head = until(&mut stream, "\r\n\r\n").await;
    let body = until(&mut stream, "0\r\n").await;
    let trailers = until(&mut stream, "\r\n").await;
    let trailers = if trailers == "\r\n" { String::new() } else { trailers + &until(&mut stream, "\r\n").await };
    let saw = format!("{head}{body}{trailers}").replace("\r\n", "|");
    let answer = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n{:x}\r\n{saw}\r\n0\r\nX-Sum: 42\r\n\r\n",
        saw.len()
    );
    stream.write_all(answer.as_bytes()).await.unwrap_or_default();
}

async fn send(rig: &Rig, secure: bool, request: &str) -> Box<dyn Duplex> {
    let mut stream = connect(rig, secure, &["http/1.1"]).await;
    stream.write_all(request.replace("HOST", host(secure)).as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_pass_both_ways() {
    let manifests = [routed("trailing", listen(trailing).await, None)];
    for stage in Stage::ALL {
        let rig = stage.start(&manifests);
        for secure in [false, true] {
            let request = "POST /trailing HTTP/1.1\r\nHost: HOST\r\nTE: trailers\r\nConnection: TE\r\nTransfer-Encoding: chunked\r\n\
                           Trailer: X-Check\r\n\r\n4\r\nbody\r\n0\r\nX-Check: 7\r\n\r\n";
            let mut stream = send(&rig, secure, request).await;
            let answer = until(&mut *stream, "x-sum: 42\r\n\r\n").await;
            for part in [
                "http/1.1 200 ",
                "trailer: x-sum",
                "|te: trailers|",
                "|trailer: x-check|",
                "|4|body|0|x-check: 7|",
                "\r\n0\r\nx-sum: 42\r\n",
            ] {
                assert!(answer.contains(part), "{stage:?} {secure}: no {part:?} in {answer}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_of_http2_become_those_of_http1_and_back() {
    let manifests = [routed("trailing", listen(trailing).await, None)];
    for stage in Stage::ALL {
        let rig = stage.start(&manifests);
        let stream = TokioIo::new(connect(&rig, true, &["h2"]).await);
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        let trailers = HeaderMap::from_iter([(HeaderName::from_static("x-check"), HeaderValue::from_static("7"))]);
        let frames = [Frame::data(Bytes::from_static(b"body")), Frame::trailers(trailers)].map(Ok::<_, std::convert::Infallible>);
        let request = Request::post(format!("https://{}/trailing", host(true))).header("te", "trailers").header("trailer", "x-check");
        let request = request.body(StreamBody::new(futures::stream::iter(frames))).unwrap();
        let answer = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap();
        let sum = answer.trailers().and_then(|trailers| trailers.get("x-sum")).cloned();
        let saw = String::from_utf8(answer.to_bytes().to_vec()).unwrap();
        assert!(saw.contains("|te: trailers|") && saw.contains("|4|body|0|x-check: 7|"), "{stage:?}: {saw}");
        assert_eq!(sum.unwrap(), "42", "{stage:?}: {saw}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_100_continue_gets_it() {
    for stage in Stage::ALL {
        let rig = stage.start(&[]);
        for secure in [false, true] {
            let request = "POST /x HTTP/1.1\r\nHost: HOST\r\nExpect: 100-continue\r\nContent-Length: 4\r\nConnection: close\r\n\r\n";
            let mut stream = send(&rig, secure, request).await;
            let interim = until(&mut *stream, "\r\n\r\n").await;
            assert!(interim.starts_with("http/1.1 100 "), "{stage:?} {secure}: {interim}");
            stream.write_all(b"body").await.unwrap();
            let answer = until(&mut *stream, "}\n").await;
            assert!(answer.contains("http/1.1 200 ") && answer.contains("\"body\":4"), "{stage:?} {secure}: {answer}");
        }
    }
}

/// Where Sōzu reads requests its buffers bound a head, and it waits for 10 s before it says so.
#[tokio::test(flavor = "multi_thread")]
async fn large_heads_pass_up_to_what_is_documented() {
    for stage in Stage::ALL {
        let rig = stage.start(&[]);
        let refused = if stage == Stage::Native { (80_000, "http/1.1 408 ") } else { (40_000, "http/1.1 431 ") };
        let ask = async |secure: bool, size: usize| {
            let request = format!("GET /x HTTP/1.1\r\nHost: HOST\r\nX-Large: {}\r\nConnection: close\r\n\r\n", "x".repeat(size));
            until(&mut *send(&rig, secure, &request).await, "\r\n\r\n").await
        };
        for secure in [false, true] {
            for size in [15_000, 20_000, 30_000] {
                let answer = ask(secure, size).await;
                assert!(answer.starts_with("http/1.1 200 "), "{stage:?} {secure} {size}: {answer}");
            }
        }
        let (plain, tls) = tokio::join!(ask(false, refused.0), ask(true, refused.0));
        for answer in [plain, tls] {
            assert!(answer.starts_with(refused.1), "{stage:?}: {answer}");
        }
    }
}

/// Answers with a head of as many cookies of 1 KB as the path ends with.
async fn cookies(mut stream: TcpStream) {
    let head = until(&mut stream, "\r\n\r\n").await;
    let count = head.split(' ').nth(1).and_then(|path| path.rsplit('/').next()?.parse().ok()).unwrap_or(0);
    let lines = format!("Set-Cookie: c={}\r\n", "x".repeat(1010)).repeat(count);
    let answer = format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 2\r\nConnection: close\r\n\r\nok");
    stream.write_all(answer.as_bytes()).await.unwrap_or_default();
}

/// What the filter reads and Sōzu behind it could not pass on is refused at once; what Sōzu reads alone it has no answer for.
#[tokio::test(flavor = "multi_thread")]
async fn large_heads_of_answers_pass_up_to_64_kb_and_are_refused_at_once_beyond() {
    let manifests = [routed("cookies", listen(cookies).await, None)];
    for stage in Stage::ALL {
        let rig = stage.start(&manifests);
        for secure in [false, true] {
            let ask = async |count: usize| {
                let request = format!("GET /cookies/{count} HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n");
                let end = if count > 64 { "\r\n\r\n" } else { "\r\n\r\nok" };
                let answer = until(&mut *send(&rig, secure, &request).await, end).await;
                (answer.split(' ').nth(1).unwrap_or_default().to_owned(), answer.matches("set-cookie").count())
            };
            for count in [14, 20, 61] {
                assert_eq!(ask(count).await, ("200".to_owned(), count), "{stage:?} {secure}");
            }
            if stage != Stage::Native {
                let asked =
                    timeout(Duration::from_secs(5), ask(75)).await.unwrap_or_else(|_| panic!("{stage:?} {secure}: not refused at once"));
                assert_eq!(asked, ("502".to_owned(), 0), "{stage:?} {secure}");
            }
        }
    }
}
