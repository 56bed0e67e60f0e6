//! TLS: certificates by name, replaced without a gap, HTTP/1.1 and HTTP/2.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kakehi::edge::plan::RelayReason;
use kakehi::model::{Certificate, CertificateId, Hostname, Listener, ListenerName, PrivateKey, Protocol};
use kakehi::snapshot::{Key, Resource};
use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::build::{backend, listener, prefix, redirect, route, rule};
use crate::rig::{Answer, Rig, receive, serve};
use crate::tls_client;

/// A self-signed certificate for these names, under the name of a Secret.
pub fn certificate(secret: &str, names: &[&str]) -> (Resource, String) {
    let made = rcgen::generate_simple_self_signed(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    let pem = made.cert.pem();
    let print: String =
        sozu_command_lib::certificate::calculate_fingerprint(pem.as_bytes()).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    let certificate = Certificate {
        id: id(secret),
        chain: vec![pem],
        key: PrivateKey::new(made.signing_key.serialize_pem()),
        names: names.iter().map(ToString::to_string).collect(),
        fingerprint: print.clone(),
        not_after: i64::MAX,
    };
    (Resource::Certificate(certificate), print)
}

fn id(secret: &str) -> CertificateId {
    CertificateId { namespace: "test".to_owned(), name: secret.to_owned() }
}

pub fn https(name: &str, port: u16, hostname: &str, secrets: &[&str]) -> Resource {
    Resource::Listener(Listener {
        name: ListenerName(name.to_owned()),
        port,
        protocol: Protocol::Https,
        hostname: Hostname::parse(hostname).unwrap(),
        certificates: secrets.iter().map(|secret| id(secret)).collect(),
        certificates_by_name: false,
        tuning: Default::default(),
    })
}

pub async fn connect(at: SocketAddr, name: &str, alpn: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(at).await?;
    tls_client::connector(alpn, true).connect(ServerName::try_from(name.to_owned()).unwrap(), stream).await
}

/// The fingerprint of the certificate that a client is shown for a name.
pub async fn shown(at: SocketAddr, name: &str) -> String {
    let stream = connect(at, name, b"http/1.1").await.unwrap();
    let leaf = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", base64_lines(&leaf));
    sozu_command_lib::certificate::calculate_fingerprint(pem.as_bytes()).unwrap().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn base64_lines(der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect::<Vec<_>>().join("\n")
}

async fn get(at: SocketAddr, name: &str, target: &str) -> Answer {
    let mut stream = connect(at, name, b"http/1.1").await.unwrap();
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: {name}\r\n\r\n").as_bytes()).await.unwrap();
    receive(&mut stream).await
}

#[tokio::test]
async fn certificates_are_chosen_by_name_and_both_protocols_are_served() {
    let mut rig = Rig::start().await;
    let ((one, one_print), (wild, wild_print)) = (certificate("one", &["one.example"]), certificate("wild", &["*.wild.example"]));
    let resources = [
        https("one", 8443, "one.example", &["one"]),
        https("wild", 8443, "*.wild.example", &["wild"]),
        one,
        wild,
        backend("app", &[serve("app").await]),
        route("one", "one", &["one.example"], vec![rule(prefix("/"), "app"), redirect(prefix("/hop"))]),
        route("wild", "wild", &["*.wild.example"], vec![rule(prefix("/"), "app")]),
    ];
    assert!(rig.hold(resources).await.is_empty());
    let at = rig.at(8443);
    assert_eq!(shown(at, "one.example").await, one_print);
    assert_eq!(shown(at, "a.wild.example").await, wild_print);
    let answer = get(at, "one.example", "/x").await;
    assert_eq!((answer.by(), answer.seen("x-forwarded-proto"), answer.seen("x-forwarded-port")), ("app", vec!["https"], vec!["8443"]));
    let answer = get(at, "one.example", "/hop").await;
    assert_eq!((answer.by(), answer.seen("x-kakehi-hop"), answer.seen("x-real-ip")), ("hop", vec!["8443"], vec!["127.0.0.1"]));

    let stream = connect(at, "one.example", b"h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("https://one.example/h2?x=1").header("x-forwarded-proto", "http").body(Empty::<bytes::Bytes>::new());
    let response = sender.send_request(request.unwrap()).await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["x-served-by"]), (200, &http::HeaderValue::from_static("app")));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let seen = Answer { status: 200, head: String::new(), body: String::from_utf8_lossy(&body).into_owned() };
    assert_eq!((seen.line(), seen.seen("x-forwarded-proto")), ("GET /h2?x=1 HTTP/1.1", vec!["https"]));
}

/// While a certificate is replaced, every handshake is shown the old one or the new one, never Sōzu's built-in.
#[tokio::test]
async fn a_certificate_is_replaced_without_a_gap() {
    let mut rig = Rig::start().await;
    let at = rig.at(8443);
    let app = serve("app").await;
    let hold = |certificate: Resource| {
        let rules = vec![rule(prefix("/"), "app")];
        [https("web", 8443, "app.example", &["secret"]), backend("app", &[app]), route("r", "web", &["app.example"], rules), certificate]
    };
    let mut prints = Vec::new();
    let (first, print) = certificate("secret", &["app.example"]);
    prints.push(print);
    assert!(rig.hold(hold(first)).await.is_empty());
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let watch = tokio::spawn(async move {
        let mut seen = Vec::new();
        while stopped.try_recv().is_err() {
            seen.push(shown(at, "app.example").await);
        }
        seen
    });
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let (next, print) = certificate("secret", &["app.example"]);
        prints.push(print.clone());
        assert!(rig.hold(hold(next)).await.is_empty());
        assert_eq!(shown(at, "app.example").await, print);
    }
    stop.send(()).unwrap();
    let seen = watch.await.unwrap();
    assert!(seen.len() > 10 && seen.iter().all(|print| prints.contains(print)), "{seen:?}");
}

/// One certificate in two Secrets: on two ports Sōzu shows it, for two listeners of one port it could not tell them apart.
#[tokio::test]
async fn shared_certificates_follow_their_listeners() {
    let mut rig = Rig::start().await;
    let (Resource::Certificate(made), print) = certificate("first", &["a.example", "b.example"]) else { unreachable!() };
    let twin = Certificate { id: id("second"), ..made.clone() };
    let (first, second) = (Resource::Certificate(made), Resource::Certificate(twin));
    let a = https("a", 8443, "a.example", &["first"]);
    let b = https("b", 8443, "b.example", &["second"]);
    let other = https("other", 8444, "b.example", &["second"]);
    assert!(rig.hold([a.clone(), other.clone(), first.clone(), second.clone()]).await.is_empty());
    assert_eq!(shown(rig.at(8443), "a.example").await, print);
    assert_ne!(shown(rig.at(8443), "b.example").await, print);
    assert_eq!(shown(rig.at(8444), "b.example").await, print);
    assert!(rig.hold([a.clone(), b, other, first.clone(), second.clone()]).await.is_empty());
    let relays: Vec<_> = rig.planner.target().relays.iter().map(|(port, reason)| (port.number, reason.clone())).collect();
    assert_eq!(relays, [(8443, RelayReason::SharedCertificate)]);
    assert_eq!(shown(rig.at(8444), "b.example").await, print);
    assert!(rig.hold([a, first]).await.is_empty());
    assert_eq!(shown(rig.at(8443), "a.example").await, print);
    assert_ne!(shown(rig.at(8443), "b.example").await, print);
}

/// What Sōzu itself says of certificates that translation does not let pass: of version 1 it refuses, by the key of its Secret; of
/// a chain it reads the leaf only, and shows the rest as it is.
#[tokio::test]
async fn sozu_refuses_old_versions_and_does_not_look_at_chains() {
    let shape = |name: &str| {
        let file = |file: &str| {
            std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates").join(name).join(file))
                .unwrap()
        };
        let (certificate, key) = (file("tls.crt"), file("tls.key"));
        let chain: Vec<_> = certificate.split_inclusive("-----END CERTIFICATE-----\n").map(str::to_owned).collect();
        let print = sozu_command_lib::certificate::calculate_fingerprint(chain[0].as_bytes()).unwrap();
        let fingerprint: String = print.iter().map(|byte| format!("{byte:02x}")).collect();
        let names = vec!["app.example".to_owned()];
        Certificate { id: id("secret"), chain, key: PrivateKey::new(key), names, fingerprint, not_after: i64::MAX }
    };
    for (name, refused) in [("version1", true), ("garbage-second", false), ("chain", false)] {
        let mut rig = Rig::start().await;
        let certificate = shape(name);
        let print = certificate.fingerprint.clone();
        let refusals = rig.hold([https("web", 8443, "app.example", &["secret"]), Resource::Certificate(certificate)]).await;
        let keys: Vec<_> = refusals.into_iter().map(|refusal| refusal.key).collect();
        assert_eq!(keys, if refused { vec![Key::Certificate(id("secret"))] } else { Vec::new() }, "{name}");
        if name == "chain" {
            assert_eq!(shown(rig.at(8443), "app.example").await, print);
        }
    }
}

/// A port that turns from HTTP to HTTPS, and back, on one address.
#[tokio::test]
async fn a_port_changes_its_protocol() {
    let mut rig = Rig::start().await;
    let app = serve("app").await;
    let (certificate, print) = certificate("secret", &["app.example"]);
    let rest = || [backend("app", &[app]), route("r", "web", &["app.example"], vec![rule(prefix("/"), "app")])];
    for _ in 0..2 {
        assert!(rig.hold(rest().into_iter().chain([listener("web", 8443, "app.example")])).await.is_empty());
        assert_eq!(rig.who(8443, "app.example", "/").await, "app");
        let secure = [https("web", 8443, "app.example", &["secret"]), certificate.clone()];
        assert!(rig.hold(rest().into_iter().chain(secure)).await.is_empty());
        assert_eq!(shown(rig.at(8443), "app.example").await, print);
        assert_eq!(get(rig.at(8443), "app.example", "/").await.by(), "app");
    }
}
