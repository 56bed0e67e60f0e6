//! WebSockets: by HTTP/1.1 in every stage, by HTTP/2 where it is spoken with extended CONNECT (RFC 8441).

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper::ext::Protocol;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::backends::{listen, routed, serve_http};
use crate::rig::Rig;
use crate::stage::{Duplex, Stage, connect, host};

/// A text, and one of several frames' size, come back.
async fn echoes(mut socket: WebSocketStream<impl Duplex>) {
    for text in ["hello", &"x".repeat(300_000)] {
        socket.send(text.into()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap(), text);
    }
    socket.close(None).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
}

/// A WebSocket by HTTP/1.1.
async fn open(rig: &Rig, secure: bool, path: &str) -> WebSocketStream<Box<dyn Duplex>> {
    let stream = connect(rig, secure, &["http/1.1"]).await;
    let (socket, response) = tokio_tungstenite::client_async(format!("ws://{}{path}", host(secure)), stream).await.unwrap();
    assert_eq!(response.status(), 101);
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_passes_in_every_stage() {
    for stage in Stage::ALL {
        let rig = stage.start(&[]);
        for secure in [false, true] {
            echoes(open(&rig, secure, "/ws").await).await;
        }
    }
}

/// A backend that takes WebSockets over HTTP/2 only, and says no to those under `/h2/no`.
async fn over_h2() -> SocketAddr {
    listen(|stream| {
        serve_http(
            stream,
            service_fn(|mut request: Request<hyper::body::Incoming>| async move {
                let asked = request.extensions().get::<Protocol>().is_some_and(|protocol| protocol.as_str() == "websocket");
                let mut response = Response::new(Empty::<Bytes>::new());
                if request.method() != Method::CONNECT || !asked || request.headers().contains_key("sec-websocket-key") {
                    *response.status_mut() = StatusCode::BAD_REQUEST;
                } else if request.uri().path() == "/h2/no" {
                    *response.status_mut() = StatusCode::FORBIDDEN;
                } else {
                    tokio::spawn(async move {
                        let stream = TokioIo::new(hyper::upgrade::on(&mut request).await.unwrap());
                        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
                        while let Some(Ok(message)) = socket.next().await {
                            if !message.is_close() && socket.send(message).await.is_err() {
                                return;
                            }
                        }
                    });
                }
                Ok::<_, Infallible>(response)
            }),
        )
    })
    .await
}

/// A client of HTTP/2, and whether it may open tunnels.
async fn h2(rig: &Rig, secure: bool) -> (http2::SendRequest<Empty<Bytes>>, bool) {
    let stream = TokioIo::new(connect(rig, secure, &["h2"]).await);
    let (mut sender, mut connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let uri = format!("http://{}/", host(secure));
    let asked = sender.send_request(Request::get(uri).body(Empty::new()).unwrap());
    // The settings of the server come before its first answer.
    let answer = tokio::select! {
        answer = asked => answer.unwrap(),
        ended = &mut connection => panic!("{ended:?}"),
    };
    let tunnels = connection.is_extended_connect_protocol_enabled();
    tokio::spawn(connection);
    assert_eq!(answer.into_body().collect().await.unwrap().trailers(), None);
    (sender, tunnels)
}

fn extended(secure: bool, path: &str) -> Request<Empty<Bytes>> {
    let request = Request::connect(format!("http://{}{path}", host(secure))).header("sec-websocket-version", "13");
    request.extension(Protocol::from_static("websocket")).body(Empty::new()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn on_relayed_ports_either_version_of_http_opens_a_websocket_over_either() {
    let rig = Stage::Relay.start(&[routed("h2", over_h2().await, Some("kubernetes.io/h2c"))]);
    for secure in [false, true] {
        echoes(open(&rig, secure, "/h2/ws").await).await;
        let (mut sender, tunnels) = h2(&rig, secure).await;
        assert!(tunnels, "no extended CONNECT");
        // `/ws` is the quickstart's backend, which has WebSockets by HTTP/1.1.
        for path in ["/ws", "/h2/ws"] {
            let mut answer = sender.send_request(extended(secure, path)).await.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
            let stream = TokioIo::new(hyper::upgrade::on(&mut answer).await.unwrap());
            echoes(WebSocketStream::from_raw_socket(stream, Role::Client, None).await).await;
        }
        // What is no tunnel must not look like one: a refusal, a page, and a protocol that has no such form.
        for (path, status) in [("/h2/no", 403), ("/", 502), ("/missing", if secure { 502 } else { 500 })] {
            assert_eq!(sender.send_request(extended(secure, path)).await.unwrap().status(), status, "{path}");
        }
        let mut other = extended(secure, "/ws");
        other.extensions_mut().insert(Protocol::from_static("connect-udp"));
        assert_eq!(sender.send_request(other).await.unwrap().status(), 405);
    }
}

/// Sōzu does not offer extended CONNECT, and takes one all the same for a malformed request.
#[tokio::test(flavor = "multi_thread")]
async fn where_sozu_reads_http2_it_offers_no_websockets_over_it() {
    let rig = Stage::Native.start(&[]);
    let (mut sender, tunnels) = h2(&rig, true).await;
    assert!(!tunnels);
    let refused = sender.send_request(extended(true, "/ws")).await.unwrap_err();
    let reset = refused.source().and_then(|source| source.downcast_ref::<h2::Error>()).and_then(h2::Error::reason);
    assert_eq!(reset, Some(h2::Reason::PROTOCOL_ERROR), "{refused:?}");
    let page = Request::get("https://one.localhost/").body(Empty::new()).unwrap();
    assert_eq!(sender.send_request(page).await.unwrap().status(), 200, "the connection serves on");
}
