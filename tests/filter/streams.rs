//! Bodies, trailers, HTTP/2 and tunnels: what passes must pass unchanged, as it comes.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kakehi::filter::Limits;
use kakehi::model::BackendProtocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::{Answer, PORT, Proxy, backend, backend_speaking, echo, get, listener, request, route, rule, serve_with, to};

async fn proxy_to(protocol: BackendProtocol, address: SocketAddr) -> Proxy {
    Proxy::start([listener(), backend_speaking(protocol, "s", &[address]), route(vec![rule("/", Vec::new(), to("s"))])]).await
}

/// Repeats the body and, as gRPC does, ends with trailers.
async fn grpc_like() -> SocketAddr {
    serve_with(|request: Request<Bytes>| {
        let te = request.headers().get("te").cloned();
        let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let frames = [Frame::data(request.into_body()), Frame::trailers(trailers)].map(Ok::<_, std::convert::Infallible>);
        let mut response = Response::builder().header("trailer", "grpc-status").header("x-authority", authority);
        if let Some(te) = te {
            response = response.header("x-te", te);
        }
        response.body(StreamBody::new(futures::stream::iter(frames))).unwrap()
    })
    .await
}

async fn h2_client(proxy: &Proxy) -> http2::SendRequest<Full<Bytes>> {
    let io = TokioIo::new(proxy.connect().await);
    let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn h2_request(target: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let builder = Request::builder().method("POST").uri(format!("http://h.example{target}"));
    builder.header("x-kakehi-hop", PORT.to_string()).header("te", "trailers").body(Full::new(body.into())).unwrap()
}

#[tokio::test]
async fn a_mebibyte_passes_both_ways() {
    let address = serve_with(|request: Request<Bytes>| Response::new(Full::new(request.into_body()))).await;
    let body: Bytes = (0..1 << 20_u32).map(|index| u8::try_from(index % 251).unwrap()).collect::<Vec<_>>().into();
    for protocol in [BackendProtocol::Http, BackendProtocol::H2c] {
        let proxy = proxy_to(protocol, address).await;
        let answer = proxy.send(request("POST", "/", body.clone())).await;
        assert!(answer.status == 200 && answer.body == body, "{protocol:?} from HTTP/1.1");
        let response = h2_client(&proxy).await.send_request(h2_request("/", body.clone())).await.unwrap();
        let answer = Answer::collect(response).await;
        assert!(answer.status == 200 && answer.body == body, "{protocol:?} from HTTP/2");
    }
}

#[tokio::test]
async fn a_response_is_passed_on_as_it_comes() {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel::<Bytes>();
    let receiver = std::sync::Arc::new(tokio::sync::Mutex::new(Some(receiver)));
    let address = serve_with(move |_request| {
        let mut receiver = receiver.try_lock().unwrap().take().unwrap();
        let frames =
            futures::stream::poll_fn(move |cx| receiver.poll_recv(cx)).map(|data| Ok::<_, std::convert::Infallible>(Frame::data(data)));
        Response::new(StreamBody::new(frames))
    })
    .await;
    let proxy = proxy_to(BackendProtocol::Http, address).await;
    let mut body = proxy.client().await.send_request(get("/")).await.unwrap().into_body();
    for part in ["one", "two"] {
        sender.send(Bytes::from(part)).unwrap();
        let frame = tokio::time::timeout(Duration::from_secs(5), body.frame()).await.expect("held back").unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), part);
    }
    drop(sender);
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn trailers_survive_in_every_pairing() {
    let address = grpc_like().await;
    for protocol in [BackendProtocol::Http, BackendProtocol::H2c] {
        let proxy = proxy_to(protocol, address).await;
        let response = h2_client(&proxy).await.send_request(h2_request("/", "ping")).await.unwrap();
        let from_h2 = Answer::collect(response).await;
        let mut asked = request("POST", "/", "ping");
        asked.headers_mut().insert("te", "trailers".parse().unwrap());
        let from_h1 = proxy.send(asked).await;
        for answer in [from_h2, from_h1] {
            assert_eq!(answer.text(), "ping");
            assert_eq!(answer.header("x-te"), "trailers", "{protocol:?}");
            assert_eq!(answer.trailers.unwrap()["grpc-status"], "0", "{protocol:?}");
        }
    }
}

/// A client cannot say in trailers what it may not say in the head.
#[tokio::test]
async fn trailers_of_requests_claim_nothing() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let seen = tokio::spawn(async move {
        let (mut stream, _) = socket.accept().await.unwrap();
        let mut seen = Vec::new();
        while !seen.windows(5).any(|end| end == b"0\r\nx-" || end == b"0\r\n\r\n") || !seen.ends_with(b"\r\n\r\n") {
            assert!(stream.read_buf(&mut seen).await.unwrap() > 0, "{}", seen.escape_ascii());
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        String::from_utf8(seen).unwrap()
    });
    let proxy = proxy_to(BackendProtocol::Http, address).await;
    let mut client = proxy.connect().await;
    let head = format!("POST / HTTP/1.1\r\nhost: h\r\nx-kakehi-hop: {PORT}\r\ntransfer-encoding: chunked\r\n");
    let trailers = "x-forwarded-for: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nhost: other\r\nx-sum: 1\r\n\r\n";
    let names = "trailer: x-forwarded-for, x-real-ip, host, x-sum\r\n";
    client.write_all(format!("{head}{names}\r\n1\r\na\r\n0\r\n{trailers}").as_bytes()).await.unwrap();
    let seen = tokio::time::timeout(Duration::from_secs(5), seen).await.unwrap().unwrap();
    let (_, end) = seen.split_once("\r\n0\r\n").unwrap();
    assert_eq!(end, "x-sum: 1\r\n\r\n", "{seen}");
}

#[tokio::test]
async fn an_h2c_backend_gets_the_host_as_authority() {
    let proxy = proxy_to(BackendProtocol::H2c, echo("h2").await).await;
    let answer = proxy.send(request("POST", "/x?y", "z")).await;
    assert_eq!(answer.text(), "POST http://h/x?y HTTP/2.0\ncontent-length: 1\n\nz");
}

#[tokio::test]
async fn many_streams_share_few_connections() {
    let proxy = proxy_to(BackendProtocol::H2c, echo("h2").await).await;
    let client = h2_client(&proxy).await;
    let all = (0..500).map(|number| {
        let mut client = client.clone();
        async move { Answer::collect(client.send_request(h2_request(&format!("/{number}"), "x")).await.unwrap()).await.status }
    });
    for status in futures::future::join_all(all).await {
        assert_eq!(status, 200);
    }
    let made = proxy.shared.counters.connected.load(std::sync::atomic::Ordering::Relaxed);
    assert!((1..=6).contains(&made), "{made} connections");
}

/// A backend that allows so many streams on each connection, says so after a while, and ends no answer.
async fn narrow(streams: u32, silent: Duration) -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = socket.accept().await {
            let service = hyper::service::service_fn(|_| async {
                Ok::<_, std::convert::Infallible>(Response::new(StreamBody::new(futures::stream::pending::<
                    Result<Frame<Bytes>, hyper::Error>,
                >())))
            });
            tokio::spawn(async move {
                tokio::time::sleep(silent).await;
                let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let _ = builder.max_concurrent_streams(streams).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

/// `n` answers that do not end, asked for at once.
async fn endless(proxy: &Proxy, n: usize) -> Vec<Response<hyper::body::Incoming>> {
    let client = h2_client(proxy).await;
    let all = (0..n).map(|_| {
        let mut client = client.clone();
        async move { client.send_request(h2_request("/", "x")).await.unwrap() }
    });
    tokio::time::timeout(Duration::from_secs(5), futures::future::join_all(all)).await.expect("a call waits for another one's end")
}

#[tokio::test]
async fn a_backend_of_few_streams_gets_more_connections() {
    for (streams, connections) in [(1, 40), (2, 20), (30, 2)] {
        for silent in [Duration::ZERO, Duration::from_millis(60 / connections)] {
            let proxy = proxy_to(BackendProtocol::H2c, narrow(streams, silent).await).await;
            let one = endless(&proxy, 1).await;
            let others = endless(&proxy, 39).await;
            for answer in one.iter().chain(&others) {
                assert_eq!(answer.status(), 200, "{streams} after {silent:?}");
            }
            let made = proxy.shared.counters.connected.load(std::sync::atomic::Ordering::Relaxed);
            assert_eq!(made, connections, "{streams} after {silent:?}");
        }
    }
}

#[tokio::test]
async fn a_backend_that_says_no_settings_is_passed_over() {
    let limits = Limits { connect_timeout: Duration::from_millis(200), ..Limits::default() };
    let backends = [narrow(100, Duration::from_secs(3600)).await, narrow(100, Duration::ZERO).await];
    let resources = [listener(), backend_speaking(BackendProtocol::H2c, "s", &backends), route(vec![rule("/", Vec::new(), to("s"))])];
    let proxy = Proxy::start_with(limits, resources).await;
    let client = h2_client(&proxy).await;
    let all = (0..40).map(|_| {
        let mut client = client.clone();
        async move { tokio::time::timeout(Duration::from_secs(2), client.send_request(h2_request("/", "x"))).await.is_ok() }
    });
    let answered = futures::future::join_all(all).await.into_iter().filter(|answered| *answered).count();
    // The one that had the connection made waits for the answer.
    assert!(answered >= 38, "{answered}");
}

#[tokio::test]
async fn a_websocket_passes() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = socket.accept().await {
            tokio::spawn(async move {
                let mut web = tokio_tungstenite::accept_async(stream).await.unwrap();
                while let Some(Ok(message)) = web.next().await {
                    if message.is_close() || web.send(message).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    let proxy = Proxy::start([listener(), backend("s", &[address]), route(vec![rule("/ws", Vec::new(), to("s"))])]).await;
    let mut asked = tokio_tungstenite::tungstenite::client::IntoClientRequest::into_client_request("ws://h/ws").unwrap();
    asked.headers_mut().insert("x-kakehi-hop", PORT.into());
    let (mut web, response) = tokio_tungstenite::client_async(asked, proxy.connect().await).await.unwrap();
    assert_eq!(response.status(), 101);
    for text in ["hello", &"x".repeat(200_000)] {
        web.send(text.into()).await.unwrap();
        assert_eq!(web.next().await.unwrap().unwrap().into_text().unwrap(), text);
    }
    assert_eq!(proxy.shared.counters.active.load(std::sync::atomic::Ordering::Relaxed), 1, "a tunnel is active");
    web.close(None).await.unwrap();
    drop(web);
    for _ in 0..100 {
        if proxy.shared.counters.active.load(std::sync::atomic::Ordering::Relaxed) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the tunnel did not end");
}
