//! Relayed ports: connections as clients make them, behind the PROXY header that Sōzu writes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::Request;
use http_body_util::{Empty, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kakehi::filter::Limits;
use kakehi::model::{
    Action, BackendProtocol, BackendRef, BackendTarget, Certificate, CertificateId, Filter, HeaderEdit, Hostname, Kind, Listener,
    ListenerName, Match, Mirror, PathMatch, PrivateKey, Protocol, Route, Rule,
};
use kakehi::snapshot::Resource;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio_rustls::client::TlsStream;

use crate::harness::{Answer, PORT, Proxy, backend, backend_id, backend_speaking, echo, listener, route, route_on, rule, serve_with, to};
use crate::tls_client;

const TLS_PORT: u16 = 8443;

/// What Sōzu writes before the client's bytes.
fn header(port: u16) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\x7f\0\0\x01\x30\x39".to_vec();
    bytes.extend(port.to_be_bytes());
    bytes
}

pub async fn connect(proxy: &Proxy, port: u16) -> UnixStream {
    proxy.client().await;
    let mut stream = UnixStream::connect(proxy.socket.with_file_name("relay")).await.unwrap();
    stream.write_all(&header(port)).await.unwrap();
    stream
}

async fn plain(protocol: BackendProtocol, address: SocketAddr) -> Proxy {
    Proxy::start([listener(), backend_speaking(protocol, "s", &[address]), route(vec![rule("/", Vec::new(), to("s"))])]).await
}

fn request(target: &str) -> Request<Full<Bytes>> {
    Request::get(target).header("x-kakehi-hop", "1").header("x-real-ip", "6.6.6.6").body(Full::default()).unwrap()
}

#[tokio::test]
async fn both_versions_of_http_come_in_and_go_out() {
    for (protocol, version) in [(BackendProtocol::Http, "HTTP/1.1"), (BackendProtocol::H2c, "HTTP/2.0")] {
        let proxy = plain(protocol, echo("s").await).await;
        let (mut h2, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(connect(&proxy, PORT).await)).await.unwrap();
        tokio::spawn(connection);
        let (mut h1, connection) = http1::handshake(TokioIo::new(connect(&proxy, PORT).await)).await.unwrap();
        tokio::spawn(connection);
        let mut by_h1 = request("/x");
        by_h1.headers_mut().insert("host", "h".parse().unwrap());
        for answer in [h2.send_request(request("http://h/x")).await.unwrap(), h1.send_request(by_h1).await.unwrap()] {
            let answer = Answer::collect(answer).await;
            let text = answer.text();
            assert!(answer.status == 200 && text.lines().next().unwrap().ends_with(version), "{text}");
            for line in ["x-forwarded-for: 192.0.2.1", "x-forwarded-port: 8080", "x-forwarded-proto: http", "x-real-ip: 192.0.2.1"] {
                assert!(text.lines().any(|own| own == line), "{line}: {text}");
            }
            assert!(!text.contains("x-kakehi-hop") && !text.contains("6.6.6.6"), "{text}");
        }
    }
}

/// `GRPCRouteRule`: a call that no rule takes is Unimplemented, one without endpoints is Unavailable, both by HTTP 200.
#[tokio::test]
async fn calls_are_answered_in_grpcs_own_words() {
    let resources = [listener(), backend_speaking(BackendProtocol::H2c, "s", &[]), route(vec![rule("/shop.Cart", Vec::new(), to("s"))])];
    let proxy = Proxy::start(resources).await;
    let (mut h2, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(connect(&proxy, PORT).await)).await.unwrap();
    tokio::spawn(connection);
    for (path, call, code) in [("/shop.Cart/Add", 14, 503), ("/shop.Other/Add", 12, 404)] {
        let mut plain = request(&format!("http://h{path}"));
        *plain.method_mut() = http::Method::POST;
        let mut of_grpc = plain.clone();
        of_grpc.headers_mut().insert("content-type", "application/grpc+proto".parse().unwrap());
        let answer = h2.send_request(of_grpc).await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["grpc-status"].to_str().unwrap()),
            (200, call.to_string().as_str()),
            "{path}"
        );
        assert_eq!(h2.send_request(plain).await.unwrap().status().as_u16(), code, "{path}");
    }
}

/// On a host that a GRPCRoute and an HTTPRoute share, the content type parts calls from pages.
#[tokio::test]
async fn what_is_no_call_does_not_reach_a_grpc_backend() {
    let calls = calls(Vec::new(), to("calls"));
    let pages = route_on("pages", "http", vec![rule("/", Vec::new(), to("pages"))]);
    let backends = [backend("calls", &[echo("calls").await]), backend("pages", &[echo("pages").await])];
    let proxy = Proxy::start([listener(), calls, pages].into_iter().chain(backends).collect::<Vec<_>>()).await;
    let (mut h2, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(connect(&proxy, PORT).await)).await.unwrap();
    tokio::spawn(connection);
    for (kind, backend) in [
        ("application/grpc", "calls"),
        ("application/grpc+proto", "calls"),
        ("application/x-www-form-urlencoded", "pages"),
        ("application/grpc-web", "pages"),
    ] {
        let mut post = request("http://h/shop.Cart/Add");
        *post.method_mut() = http::Method::POST;
        post.headers_mut().insert("content-type", kind.parse().unwrap());
        assert_eq!(h2.send_request(post).await.unwrap().headers()["x-backend"], backend, "{kind}");
    }
}

/// The filters that a GRPCRoute may have, of the rule and of its reference.
#[tokio::test]
async fn filters_of_calls_and_of_their_backends() {
    let set = |name: &str| HeaderEdit { set: vec![(name.into(), "yes".into())], ..HeaderEdit::default() };
    let mirror = |name: &str| Filter::Mirror(Mirror { backend: backend_id(name), numerator: 1, denominator: 1 });
    let filters = |of: &str| {
        vec![Filter::RequestHeaders(set(&format!("x-{of}-asked"))), Filter::ResponseHeaders(set(&format!("x-{of}-said"))), mirror(of)]
    };
    let target = BackendTarget::Service(backend_id("calls"));
    let action = Action::Forward(vec![BackendRef { weight: 1, target, filters: filters("ref") }]);
    let copies = Arc::new(AtomicU64::new(0));
    let counted = copies.clone();
    let mirrors = serve_with(move |request: Request<Bytes>| {
        counted.fetch_add(u64::from(request.uri().path() == "/shop.Cart/Add"), Relaxed);
        http::Response::new(Full::<Bytes>::default())
    });
    let mirrors = mirrors.await;
    let backends = [backend("calls", &[echo("calls").await]), backend("rule", &[mirrors]), backend("ref", &[mirrors])];
    let proxy = Proxy::start([listener(), calls(filters("rule"), action)].into_iter().chain(backends).collect::<Vec<_>>()).await;
    let (mut h2, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(connect(&proxy, PORT).await)).await.unwrap();
    tokio::spawn(connection);
    let mut call = request("http://h/shop.Cart/Add");
    *call.method_mut() = http::Method::POST;
    call.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    let answer = Answer::collect(h2.send_request(call).await.unwrap()).await;
    for of in ["rule", "ref"] {
        assert_eq!(answer.header(&format!("x-{of}-said")), "yes", "{of}");
        assert!(answer.text().contains(&format!("x-{of}-asked: yes")), "{}", answer.text());
    }
    for _ in 0..200 {
        if copies.load(Relaxed) == 2 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} of 2 copies", copies.load(Relaxed));
}

fn calls(filters: Vec<Filter>, action: Action) -> Resource {
    let mut calls = route_on("calls", "http", vec![Rule { matches: vec![every_call()], ..rule("/", filters, action) }]);
    if let Resource::Route(route) = &mut calls {
        route.id.kind = Kind::GrpcRoute;
    }
    calls
}

fn every_call() -> Match {
    Match { path: PathMatch::Call { service: None, method: None }, method: Some("POST".into()), headers: Vec::new(), query: Vec::new() }
}

#[tokio::test]
async fn a_connection_without_sozus_header_gets_no_answer() {
    let proxy = plain(BackendProtocol::Http, echo("s").await).await;
    let unknown = header(9);
    for start in [&b"GET / HTTP/1.1\r\nhost: h\r\n\r\n"[..], &unknown] {
        proxy.client().await;
        let mut stream = UnixStream::connect(proxy.socket.with_file_name("relay")).await.unwrap();
        stream.write_all(start).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap_or_default();
        let mut answer = Vec::new();
        // A reset is an end too.
        stream.read_to_end(&mut answer).await.unwrap_or_default();
        assert_eq!(answer, b"");
    }
}

#[tokio::test]
async fn a_websocket_comes_by_either_version_of_http() {
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
    let proxy = plain(BackendProtocol::Http, address).await;
    let (mut web, _) = tokio_tungstenite::client_async("ws://h/ws", connect(&proxy, PORT).await).await.unwrap();
    web.send("one".into()).await.unwrap();
    assert_eq!(web.next().await.unwrap().unwrap().into_text().unwrap(), "one");

    let (mut h2, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(connect(&proxy, PORT).await)).await.unwrap();
    tokio::spawn(connection);
    // The server's settings allow extended CONNECT; they come with the first answer at the latest.
    Answer::collect(h2.send_request(request("http://h/").map(|_| Empty::<Bytes>::new())).await.unwrap()).await;
    let asked = Request::connect("http://h/ws").header("sec-websocket-version", "13");
    let asked = asked.extension(hyper::ext::Protocol::from_static("websocket")).body(Empty::<Bytes>::new()).unwrap();
    let mut answer = h2.send_request(asked).await.unwrap();
    assert_eq!(answer.status(), 200);
    let upgraded = TokioIo::new(hyper::upgrade::on(&mut answer).await.unwrap());
    let role = tokio_tungstenite::tungstenite::protocol::Role::Client;
    let mut web = tokio_tungstenite::WebSocketStream::from_raw_socket(upgraded, role, None).await;
    web.send("two".into()).await.unwrap();
    assert_eq!(web.next().await.unwrap().unwrap().into_text().unwrap(), "two");
}

/// A TLS connection; an empty name sends none.
async fn secure(proxy: &Proxy, name: &str) -> std::io::Result<TlsStream<UnixStream>> {
    let connector = tls_client::connector(b"h2", !name.is_empty());
    let name = if name.is_empty() { "unnamed" } else { name };
    connector.connect(ServerName::try_from(name.to_owned()).unwrap(), connect(proxy, TLS_PORT).await).await
}

/// The certificate that a client is shown for a name.
async fn shown(proxy: &Proxy, name: &str) -> Option<CertificateDer<'static>> {
    let stream = secure(proxy, name).await.ok()?;
    Some(stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned())
}

/// Status and body of a request for `host` over a connection for `name`.
async fn ask(proxy: &Proxy, name: &str, host: &str) -> (u16, String) {
    let stream = secure(proxy, name).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let answer = Answer::collect(sender.send_request(request(&format!("https://{host}/"))).await.unwrap()).await;
    (answer.status.as_u16(), answer.header("x-backend").to_owned())
}

/// A Secret with a self-signed certificate, and the certificate.
fn secret(name: &str, hosts: &[&str]) -> (Resource, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(hosts.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    let certificate = Certificate {
        id: id(name),
        chain: vec![made.cert.pem()],
        key: PrivateKey::new(made.signing_key.serialize_pem()),
        names: hosts.iter().map(ToString::to_string).collect(),
        fingerprint: name.to_owned(),
        not_after: i64::MAX,
    };
    (Resource::Certificate(certificate), made.cert.der().clone())
}

fn id(name: &str) -> CertificateId {
    CertificateId { namespace: "n".to_owned(), name: name.to_owned() }
}

fn https(name: &str, hostname: &str, secrets: &[&str]) -> Resource {
    Resource::Listener(Listener {
        name: ListenerName(name.to_owned()),
        port: TLS_PORT,
        protocol: Protocol::Https,
        hostname: Hostname::parse(hostname).unwrap(),
        certificates: secrets.iter().map(|secret| id(secret)).collect(),
        certificates_by_name: false,
        tuning: Default::default(),
    })
}

/// A route that says by which listener it is reached.
async fn saying(name: &'static str, hostname: &str) -> [Resource; 2] {
    let rules: Vec<Rule> = vec![rule("/", Vec::new(), to(name))];
    let Resource::Route(mut route) = route_on(name, name, rules) else { unreachable!() };
    let hostname = Hostname::parse(hostname).unwrap();
    route.attachments[0].hostnames = vec![(Hostname::Any, hostname)];
    let route: Route = route;
    [Resource::Route(route), backend(name, &[echo(name).await])]
}

#[tokio::test]
async fn certificates_are_chosen_by_listener_and_misdirected_requests_are_refused() {
    let secrets = [("one", &["one.example"][..]), ("wild", &["*.wild.example", "a.b.wild.example"]), ("any", &["any.example"])];
    let [one, wild, any] = secrets.map(|(name, hosts)| secret(name, hosts));
    let listeners = [https("one", "one.example", &["one"]), https("wild", "*.wild.example", &["wild"]), https("any", "*", &["any"])];
    let mut resources = vec![one.0.clone(), wild.0.clone(), any.0.clone()];
    resources.extend(listeners);
    for (name, hostname) in [("one", "one.example"), ("wild", "*.wild.example"), ("any", "any.example")] {
        resources.extend(saying(name, hostname).await);
    }
    let proxy = Proxy::start(resources.clone()).await;
    for (name, certificate) in [
        ("one.example", &one.1),
        ("ONE.example", &one.1),
        ("x.wild.example", &wild.1),
        ("a.b.wild.example", &wild.1),
        ("any.example", &any.1),
        ("strange.example", &any.1),
        ("", &any.1),
    ] {
        assert_eq!(shown(&proxy, name).await.as_ref(), Some(certificate), "{name}");
    }
    for (name, host, status, by) in [
        ("one.example", "one.example", 200, "one"),
        ("one.example", "one.example:8443", 200, "one"),
        ("x.wild.example", "y.wild.example", 200, "wild"),
        ("a.b.wild.example", "a.b.wild.example", 200, "wild"),
        ("any.example", "any.example", 200, "any"),
        ("", "any.example", 200, "any"),
        ("any.example", "strange.example", 404, ""),
        ("one.example", "x.wild.example", 421, ""),
        ("x.wild.example", "one.example", 421, ""),
        ("one.example", "strange.example", 421, ""),
        ("any.example", "one.example", 421, ""),
        ("", "one.example", 421, ""),
    ] {
        assert_eq!(ask(&proxy, name, host).await, (status, by.to_owned()), "{host} by way of {name:?}");
    }

    // A certificate is replaced, and one that is none is refused without harm to the others.
    let (new, print) = secret("one", &["one.example"]);
    resources[0] = new;
    let Resource::Certificate(broken) = &mut resources[1] else { unreachable!() };
    broken.key = PrivateKey::new("nonsense");
    let ack = proxy.publish(resources).await;
    assert_eq!(ack.refused.iter().map(|refusal| refusal.key.to_string()).collect::<Vec<_>>().len(), 1, "{ack:?}");
    assert_eq!(shown(&proxy, "one.example").await, Some(print));
    assert_eq!(shown(&proxy, "any.example").await, Some(any.1));
    assert_eq!(shown(&proxy, "x.wild.example").await, None);
}

#[tokio::test]
async fn without_a_listener_for_any_host_strangers_are_turned_away() {
    let [one, two] = [("one", "one.example"), ("two", "two.example")].map(|(name, host)| secret(name, &[host]));
    let mut resources = vec![one.0, two.0, https("one", "one.example", &["one"])];
    resources.extend(saying("one", "one.example").await);
    let proxy = Proxy::start(resources.clone()).await;
    assert_eq!(shown(&proxy, "").await, Some(one.1), "the only listener's");
    assert_eq!(ask(&proxy, "", "one.example").await, (200, "one".to_owned()));
    assert_eq!(shown(&proxy, "strange.example").await, None);
    resources.push(https("two", "two.example", &["two"]));
    proxy.publish(resources).await;
    assert_eq!(shown(&proxy, "").await, None);
    assert_eq!(shown(&proxy, "two.example").await, Some(two.1));
    assert_eq!(ask(&proxy, "one.example", "two.example").await.0, 421);
    assert_eq!(ask(&proxy, "one.example", "strange.example").await.0, 404);
}

/// Neither plainly nor after a handshake: Sōzu would keep such connections for hours.
#[tokio::test]
async fn a_client_that_says_nothing_is_not_waited_for() {
    let (secret, _) = secret("one", &["one.example"]);
    let resources = [listener(), secret, https("one", "one.example", &["one"])];
    let limits = Limits { client_head_timeout: Duration::from_millis(200), ..Limits::default() };
    let proxy = Proxy::start_with(limits, resources).await;
    let (mut plain, mut tls) = (connect(&proxy, PORT).await, secure(&proxy, "one.example").await.unwrap());
    let mut end = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), async {
        plain.read_to_end(&mut end).await.unwrap_or_default();
        // Not everybody says goodbye in TLS.
        tls.read_to_end(&mut end).await.unwrap_or_default();
    })
    .await
    .expect("both are closed");
    assert_eq!(end, b"");
}

/// Certificates of an IngressClass's listener are of many owners: each for the names that it is offered for, whatever else it is
/// valid for, and for nobody without a name.
#[tokio::test]
async fn certificates_that_come_with_routes_are_shown_by_their_own_names_alone() {
    let offered = |secret: (Resource, CertificateDer<'static>), names: &[&str]| {
        let Resource::Certificate(certificate) = secret.0 else { unreachable!() };
        let names = names.iter().map(ToString::to_string).collect();
        (Resource::Certificate(Certificate { names, ..certificate }), secret.1)
    };
    let wide = offered(secret("wide", &["shop.example", "*.wild.example", "bank.example"]), &["shop.example", "*.wild.example"]);
    let bank = offered(secret("bank", &["bank.example"]), &["bank.example", "own.wild.example"]);
    let Resource::Certificate(original) = &bank.0 else { unreachable!() };
    // The same certificate in another Secret is the same certificate.
    let copy = Certificate { id: id("copy"), names: vec!["more.example".to_owned()], ..original.clone() };
    let Resource::Listener(listener) = https("https", "*", &["wide", "bank", "copy"]) else { unreachable!() };
    let listener = Listener { certificates_by_name: true, ..listener };
    let mut resources = vec![wide.0.clone(), bank.0.clone(), Resource::Certificate(copy), Resource::Listener(listener)];
    resources.extend(saying("https", "*").await);
    let proxy = Proxy::start(resources).await;
    for (name, certificate) in [
        ("shop.example", Some(&wide.1)),
        ("a.wild.example", Some(&wide.1)),
        ("own.wild.example", Some(&bank.1)),
        ("bank.example", Some(&bank.1)),
        ("BANK.example", Some(&bank.1)),
        ("more.example", Some(&bank.1)),
        ("b.a.wild.example", None),
        ("wild.example", None),
        ("strange.example", None),
        ("", None),
    ] {
        assert_eq!(shown(&proxy, name).await.as_ref(), certificate, "{name}");
    }
    for (name, host, status) in [
        ("shop.example", "shop.example", 200),
        ("shop.example", "b.wild.example", 200),
        ("a.wild.example", "shop.example:8443", 200),
        ("own.wild.example", "bank.example", 200),
        ("bank.example", "more.example", 200),
        ("shop.example", "bank.example", 421),
        ("bank.example", "a.wild.example", 421),
        ("shop.example", "strange.example", 421),
        ("shop.example", "b.a.wild.example", 421),
    ] {
        let by = if status == 200 { "https" } else { "" };
        assert_eq!(ask(&proxy, name, host).await, (status, by.to_owned()), "{host} by way of {name:?}");
    }
}
