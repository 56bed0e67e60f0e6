//! A small backend that says what reached it: HTTP/1.1, HTTP/2 with prior knowledge, and WebSocket echo.
//!
//! `cargo run --example echo -- --listen 127.0.0.1:9001=blue --listen 127.0.0.1:9002=green`
//!
//! Every path answers 200 with JSON (name, path, method, proto, host, headers, body), except `/ws` (WebSocket echo) and
//! `/status/NNN`. Query parameters: `delay=MS` before the answer, `size=N` for a body of N bytes, `drip=MS` to spread
//! the body over that time. A request header `X-Echo-Set-Header: name: value` comes back as a response header.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use futures::{SinkExt, StreamExt};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

/// Largest body that `size=` gives: 64 MiB.
const MAX_SIZE: usize = 64 << 20;
/// Longest `delay=` and `drip=`: one minute.
const MAX_WAIT: u64 = 60_000;
/// Pieces of a dripping body.
const DRIPS: u64 = 10;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// An echo backend.
#[derive(Parser)]
struct Arguments {
    /// Address to listen on and the name to answer with; may be repeated.
    #[arg(long = "listen", env = "ECHO_LISTEN", value_delimiter = ',', default_value = "127.0.0.1:9001=echo")]
    listens: Vec<Listen>,
}

#[derive(Clone)]
struct Listen {
    address: SocketAddr,
    name: Arc<str>,
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, name) = text.split_once('=').unwrap_or((text, "echo"));
        let address = address.parse().map_err(|error| format!("{address:?}: {error}"))?;
        Ok(Self { address, name: name.into() })
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut servers = tokio::task::JoinSet::new();
    for Listen { address, name } in Arguments::parse().listens {
        let listener = TcpListener::bind(address).await.map_err(|error| anyhow::anyhow!("{address}: {error}"))?;
        servers.spawn(accept(listener, name));
    }
    while let Some(ended) = servers.join_next().await {
        ended?;
    }
    Ok(())
}

async fn accept(listener: TcpListener, name: Arc<str>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(serve(stream, name.clone()))),
            // Out of descriptors: wait until some connection ends.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn serve(stream: TcpStream, name: Arc<str>) {
    // Without it small answers wait for the peer's delayed ack; an error means that the peer is gone already.
    let _gone = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(request, name.clone()));
    let builder = auto::Builder::new(TokioExecutor::new());
    // How a client ends its connection is its own business.
    let _ended = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, name: Arc<str>) -> Result<Response<Body>, hyper::Error> {
    if request.uri().path() == "/ws" {
        return Ok(web_socket(request));
    }
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    if let Some(delay) = number(&head, "delay") {
        tokio::time::sleep(Duration::from_millis(delay.min(MAX_WAIT))).await;
    }
    let status = head.uri.path().strip_prefix("/status/").and_then(|code| code.parse().ok()).unwrap_or(StatusCode::OK);
    let (content_type, content) = match number(&head, "size") {
        Some(size) => ("application/octet-stream", sized(size)),
        None => ("application/json", describe(&head, &name, &body)),
    };
    let mut response = Response::new(content_body(content, number(&head, "drip")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    for wanted in head.headers.get_all("x-echo-set-header") {
        if let Some((name, value)) = header_of(wanted) {
            headers.append(name, value);
        }
    }
    Ok(response)
}

/// What arrived, as JSON. Headers are pairs in order of arrival; lines of one name stand together.
fn describe(head: &http::request::Parts, name: &str, body: &Bytes) -> Bytes {
    let headers: Vec<_> = head.headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()))).collect();
    let host = match head.uri.authority() {
        Some(authority) => authority.to_string(),
        None => head.headers.get(header::HOST).map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned()).unwrap_or_default(),
    };
    let path = match head.version {
        // The target of HTTP/2 is made of pseudo-headers: only the path is one on the wire.
        Version::HTTP_2 => head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        _ => head.uri.to_string(),
    };
    let mut text = serde_json::json!({
        "name": name,
        "path": path,
        "method": head.method.as_str(),
        "proto": format!("{:?}", head.version),
        "host": host,
        "headers": headers,
        "body": body.len(),
    })
    .to_string();
    text.push('\n');
    text.into()
}

fn number(head: &http::request::Parts, name: &str) -> Option<u64> {
    let parameters = head.uri.query()?.split('&');
    parameters.filter_map(|parameter| parameter.split_once('=')).find(|(key, _)| *key == name)?.1.parse().ok()
}

fn sized(size: u64) -> Bytes {
    vec![b'x'; usize::try_from(size).unwrap_or(MAX_SIZE).min(MAX_SIZE)].into()
}

fn content_body(content: Bytes, drip: Option<u64>) -> Body {
    let Some(drip) = drip else { return Full::new(content).boxed_unsync() };
    let pause = Duration::from_millis(drip.min(MAX_WAIT) / DRIPS);
    let piece = content.len().div_ceil(DRIPS as usize).max(1);
    let pieces = futures::stream::unfold(content, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(pause).await;
        let next = rest.split_to(piece.min(rest.len()));
        Some((Ok(Frame::data(next)), rest))
    });
    StreamBody::new(pieces).boxed_unsync()
}

/// Reads `name: value`.
fn header_of(text: &HeaderValue) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = text.to_str().ok()?.split_once(':')?;
    Some((name.trim().parse().ok()?, value.trim().parse().ok()?))
}

/// Accepts a WebSocket and sends every message back.
fn web_socket(mut request: Request<Incoming>) -> Response<Body> {
    let mut response = Response::new(content_body(Bytes::new(), None));
    let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY).cloned() else {
        *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
        return response;
    };
    tokio::spawn(async move {
        if let Ok(upgraded) = hyper::upgrade::on(&mut request).await {
            echo_messages(upgraded).await;
        }
    });
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = derive_accept_key(key.as_bytes()).parse() {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

async fn echo_messages(upgraded: Upgraded) {
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    while let Some(Ok(message)) = socket.next().await {
        let data = message.is_text() || message.is_binary();
        if data && socket.send(message).await.is_err() {
            return;
        }
    }
}
