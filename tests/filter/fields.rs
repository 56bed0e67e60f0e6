//! Fields of heads: how many, how large, and what becomes of those of HTTP/2 in HTTP/1.1.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kakehi::filter::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Answer, PORT, Proxy, backend, echo, listener, request, route, rule, to};
use crate::relay::connect;
use crate::script::{OK, Script, Step};

async fn relayed(proxy: &Proxy) -> http2::SendRequest<Full<Bytes>> {
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(connect(proxy, PORT).await)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn echoing() -> Proxy {
    Proxy::start([listener(), backend("s", &[echo("s").await]), route(vec![rule("/", Vec::new(), to("s"))])]).await
}

#[tokio::test]
async fn cookies_of_http2_are_one_line_for_a_backend_of_http1() {
    let proxy = echoing().await;
    let asked = Request::get("http://h/").header("cookie", "session=abc").header("cookie", "csrf=xyz").body(Full::default()).unwrap();
    let answer = Answer::collect(relayed(&proxy).await.send_request(asked).await.unwrap()).await;
    let cookies: Vec<&str> = answer.text().lines().filter(|line| line.starts_with("cookie")).collect();
    assert_eq!(cookies, ["cookie: session=abc; csrf=xyz"]);
}

#[tokio::test]
async fn two_hundred_and_fifty_six_fields_pass_and_more_are_refused() {
    let many = |count: usize| {
        let mut asked = Request::get("http://h/p");
        for index in 1..count {
            asked = asked.header(format!("x-{index}"), "1");
        }
        asked.body(Full::<Bytes>::default()).unwrap()
    };
    let script = Script::start(&[OK]).await;
    let proxy = Proxy::start([listener(), backend("s", &[script.address]), route(vec![rule("/", Vec::new(), to("s"))])]).await;
    let mut h2 = relayed(&proxy).await;
    let (h1, connection) = hyper::client::conn::http1::handshake(TokioIo::new(connect(&proxy, PORT).await)).await.unwrap();
    tokio::spawn(connection);
    let mut h1 = h1;
    // With `host` there are as many as said.
    let mut by_h1 = many(256);
    by_h1.headers_mut().insert("host", "h".parse().unwrap());
    assert_eq!(h1.send_request(by_h1).await.unwrap().status(), 200);
    assert_eq!(h2.send_request(many(257)).await.unwrap().status(), 200);
    assert_eq!(h2.send_request(many(258)).await.unwrap().status(), 431);
    let mut by_h1 = many(257);
    by_h1.headers_mut().insert("host", "h".parse().unwrap());
    assert_eq!(h1.send_request(by_h1).await.unwrap().status(), 431);
    // Sōzu's own fields do not count.
    let mut by_hop = request("GET", "/p", "");
    for index in 0..266 {
        by_hop.headers_mut().insert(http::HeaderName::try_from(format!("x-{index}")).unwrap(), "1".parse().unwrap());
    }
    assert_eq!(proxy.send(by_hop).await.status, 200);
}

#[tokio::test]
async fn answers_of_many_and_large_fields_pass() {
    let cookies = format!("Set-Cookie: {}\r\n", "x".repeat(230)).repeat(250);
    let text: &'static str = format!("HTTP/1.1 200 OK\r\n{cookies}Content-Length: 2\r\n\r\nok").leak();
    let script = Script::start(vec![Step::Answer(0, text)].leak()).await;
    let proxy = Proxy::start([listener(), backend("s", &[script.address]), route(vec![rule("/", Vec::new(), to("s"))])]).await;
    let answer = proxy.raw(b"GET / HTTP/1.1\r\nHost: h\r\nX-Kakehi-Hop: 8080\r\n\r\n", Duration::from_millis(500)).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok"), "{answer}");
    assert_eq!(answer.to_lowercase().matches("set-cookie: ").count(), 250);
}

/// By hop the head must fit into a buffer of the Sōzu that waits for it.
#[tokio::test]
async fn an_answer_that_sozu_cannot_pass_on_is_refused_at_once() {
    let answer = |bytes: usize| -> &'static str {
        format!("HTTP/1.1 200 OK\r\nX-Large: {}\r\nContent-Length: 2\r\n\r\nok", "x".repeat(bytes)).leak()
    };
    for (bytes, by_hop, by_relay) in [(13_000, "200", "200"), (15_000, "502", "200"), (80_000, "502", "502")] {
        let script = Script::start(vec![Step::Answer(0, answer(bytes))].leak()).await;
        let limits = Limits { sozu_buffer: 16_393, ..Limits::default() };
        let resources = [listener(), backend("s", &[script.address]), route(vec![rule("/", Vec::new(), to("s"))])];
        let proxy = Proxy::start_with(limits, resources).await;
        let head = "GET / HTTP/1.1\r\nHost: h\r\n";
        let answer = proxy.raw(format!("{head}X-Kakehi-Hop: 8080\r\n\r\n").as_bytes(), Duration::from_millis(300)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {by_hop} ")), "{bytes}: {answer}");
        let mut relayed = connect(&proxy, PORT).await;
        relayed.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        relayed.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {by_relay} ")), "{bytes}: {answer}");
    }
}
