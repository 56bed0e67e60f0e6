//! Requests that fail while routes, backends and certificates change under load. None may.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsConnector;

use super::rig::Rig;
use super::{Settings, http, manifests, peers};

/// Clients that share the load.
const CLIENTS: usize = 32;
/// Requests on one connection before a client opens the next.
const PER_CONNECTION: usize = 20;
/// Pause of a client between requests.
const PACE: Duration = Duration::from_millis(4);
/// Pause between changes.
const CHANGE: Duration = Duration::from_millis(25);
const HOST: &str = "served.bench.test";

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Two certificates of one authority for the served host, as (certificate, key) in PEM.
struct Certificates {
    authority: CertificateDer<'static>,
    leaves: [(String, String); 2],
}

impl Certificates {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap().der().clone();
        let issuer = Issuer::new(params, key);
        let leaf = || {
            let key = KeyPair::generate().unwrap();
            let certificate = CertificateParams::new(vec![HOST.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
            (certificate.pem(), key.serialize_pem())
        };
        Self { authority, leaves: [leaf(), leaf()] }
    }

    fn secret(&self, number: usize) -> String {
        let (certificate, key) = &self.leaves[number % 2];
        manifests::secret("cert", certificate, key)
    }
}

/// Measures and prints; whether no request failed.
pub async fn measure(settings: &Settings) -> bool {
    let backend = peers::backend().await;
    let port = backend.address.port();
    let certificates = Certificates::new();
    let mut roots = RootCertStore::empty();
    roots.add(certificates.authority.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let tls = TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
    println!(
        "\nRequests failed under churn ({CLIENTS} clients, {PER_CONNECTION} requests a connection, no retry; {} s each)",
        settings.run.as_secs()
    );
    println!("{:<46} {:>8} {:>9} {:>7}", "", "changes", "requests", "failed");
    let mut failed = 0;
    for filtered in [false, true] {
        let rig = start(port, &certificates, filtered).await;
        let stage = if filtered { "filtered" } else { "native" };
        for (name, change, tls) in churns(port, &certificates, filtered, &tls) {
            let (changes, answered, failures) = under_load(&rig, settings.run, &*change, tls, filtered).await;
            println!("{:<46} {changes:>8} {answered:>9} {:>7}", format!("{stage}: {name}"), failures.len());
            failed += failures.len();
            for failure in failures.iter().take(5) {
                println!("    {failure}");
            }
        }
        rig.stop().await;
    }
    failed == 0
}

type Change<'a> = Box<dyn Fn(usize) -> (&'static str, String) + 'a>;

/// What changes, and whether the clients speak TLS.
fn churns<'a>(
    port: u16,
    certificates: &'a Certificates,
    filtered: bool,
    tls: &TlsConnector,
) -> Vec<(&'static str, Change<'a>, Option<TlsConnector>)> {
    let ips: [&[&str]; 3] = [&["127.0.0.1"], &["127.0.0.1", "127.0.0.2"], &["127.0.0.2"]];
    vec![
        (
            "other routes",
            Box::new(move |number| ("other.yaml", manifests::route("other", &format!("o{}.bench.test", number % 7), "backend", ""))),
            None,
        ),
        ("the route that serves", Box::new(move |number| ("served.yaml", served(number, filtered))), None),
        ("its backends", Box::new(move |number| ("service.yaml", manifests::service("backend", ips[number % 3], port))), None),
        ("its certificate, HTTPS clients", Box::new(move |number| ("secret.yaml", certificates.secret(number))), Some(tls.clone())),
    ]
}

fn served(version: usize, filtered: bool) -> String {
    let matches = if filtered { "      matches: [{ headers: [{ name: X-Filtered, value: 'yes' }] }]\n" } else { "" };
    manifests::route("served", HOST, "backend", &format!("{matches}{}", manifests::version(version)))
}

async fn start(port: u16, certificates: &Certificates, filtered: bool) -> Rig {
    let write = |config: &Path, http_port, https_port| {
        std::fs::write(config.join("gateway.yaml"), manifests::gateway(http_port, https_port)).unwrap();
        std::fs::write(config.join("service.yaml"), manifests::service("backend", &["127.0.0.1"], port)).unwrap();
        std::fs::write(config.join("served.yaml"), served(0, filtered)).unwrap();
        std::fs::write(config.join("secret.yaml"), certificates.secret(0)).unwrap();
    };
    let rig = Rig::start(write).await;
    rig.wait(&request(filtered), Duration::from_secs(20), |answer| answer.status == 200).await;
    rig
}

fn request(filtered: bool) -> Vec<u8> {
    http::get(HOST, "/", if filtered { "X-Filtered: yes\r\n" } else { "" })
}

/// Changes made, requests answered with 200, and what went wrong.
async fn under_load(
    rig: &Rig,
    length: Duration,
    change: &dyn Fn(usize) -> (&'static str, String),
    tls: Option<TlsConnector>,
    filtered: bool,
) -> (usize, usize, Vec<String>) {
    let end = Instant::now() + length;
    let address = if tls.is_some() { rig.https } else { rig.http };
    let clients: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(client(address, tls.clone(), request(filtered), end))).collect();
    let mut changes = 0;
    while Instant::now() < end {
        changes += 1;
        let (file, text) = change(changes);
        rig.write(file, &text);
        sleep(CHANGE).await;
    }
    let (mut answered, mut failures) = (0, Vec::new());
    for client in clients {
        let (count, failed) = client.await.unwrap();
        answered += count;
        failures.extend(failed);
    }
    (changes, answered, failures)
}

async fn client(address: SocketAddr, tls: Option<TlsConnector>, request: Vec<u8>, end: Instant) -> (usize, Vec<String>) {
    let (mut answered, mut failures, mut received) = (0, Vec::new(), Vec::new());
    while Instant::now() < end {
        let mut stream = match connect(address, tls.as_ref()).await {
            Ok(stream) => stream,
            Err(error) => {
                failures.push(format!("connect: {error}"));
                continue;
            }
        };
        for _ in 0..PER_CONNECTION {
            match http::exchange(&mut stream, &request, &mut received).await {
                Ok(answer) if answer.status == 200 => {
                    answered += 1;
                    sleep(PACE).await;
                    if !answer.reusable || ended(&mut stream) {
                        break;
                    }
                }
                Ok(answer) => {
                    failures.push(format!("status {}", answer.status));
                    break;
                }
                Err(error) => {
                    failures.push(format!("exchange: {error}"));
                    break;
                }
            }
        }
    }
    (answered, failures)
}

async fn connect(address: SocketAddr, tls: Option<&TlsConnector>) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(match tls {
        Some(tls) => Box::new(tls.connect(ServerName::try_from(HOST).unwrap(), stream).await?),
        None => Box::new(stream),
    })
}

/// Whether the server has ended the idle connection: clients look before they use one again.
fn ended(stream: &mut Box<dyn Stream>) -> bool {
    let mut byte = [0];
    let mut buffer = tokio::io::ReadBuf::new(&mut byte);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    std::pin::Pin::new(stream).poll_read(&mut context, &mut buffer).is_ready()
}
