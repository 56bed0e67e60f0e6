//! Requests that fail while routes, backends and certificates change under load. None may.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsConnector;

use super::certificates::{Authority, Leaf};
use super::load::{Stream, connect};
use super::manifests::{NATIVE, RELAYED};
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

/// Who serves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Native,
    Filtered,
    Relayed,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Filtered => "filtered",
            Self::Relayed => "relayed",
        }
    }

    fn host(self) -> &'static str {
        if self == Self::Relayed { RELAYED } else { NATIVE }
    }

    /// Names of the plain and the TLS listener.
    fn listeners(self) -> [&'static str; 2] {
        if self == Self::Relayed { ["relay", "relay-tls"] } else { ["http", "https"] }
    }
}

/// Two certificates for each host.
struct Certificates {
    native: [Leaf; 2],
    relayed: [Leaf; 2],
}

impl Certificates {
    fn new(authority: &Authority) -> Self {
        let two = |host| [authority.leaf(host), authority.leaf(host)];
        Self { native: two(NATIVE), relayed: two(RELAYED) }
    }

    fn secrets(&self, number: usize) -> String {
        manifests::secret("native", &self.native[number % 2]) + &manifests::secret("relayed", &self.relayed[number % 2])
    }
}

/// Measures and prints; whether no request failed.
pub async fn measure(settings: &Settings) -> bool {
    let backend = peers::backend().await;
    let port = backend.address.port();
    let authority = Authority::new();
    let (certificates, tls) = (Certificates::new(&authority), authority.connector());
    println!(
        "\nRequests failed under churn ({CLIENTS} clients, {PER_CONNECTION} requests a connection, no retry; {} s each)",
        settings.run.as_secs()
    );
    println!("{:<46} {:>8} {:>9} {:>7}", "", "changes", "requests", "failed");
    let mut failed = 0;
    for way in [Way::Native, Way::Filtered, Way::Relayed] {
        let rig = start(port, &certificates, way).await;
        for (name, change, secure) in churns(port, &certificates, way) {
            let tls = secure.then(|| (way.host().to_owned(), tls.clone()));
            let (changes, answered, failures) = under_load(&rig, settings.run, &*change, tls, way).await;
            println!("{:<46} {changes:>8} {answered:>9} {:>7}", format!("{}: {name}", way.name()), failures.len());
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
fn churns(port: u16, certificates: &Certificates, way: Way) -> Vec<(&'static str, Change<'_>, bool)> {
    let ips: [&[&str]; 3] = [&["127.0.0.1"], &["127.0.0.1", "127.0.0.2"], &["127.0.0.2"]];
    vec![
        (
            "other routes",
            Box::new(move |number| {
                let host = format!("o{}.bench.test", number % 7);
                ("other.yaml", manifests::route("other", (way.listeners()[0], &host), "backend", ""))
            }),
            false,
        ),
        ("the route that serves", Box::new(move |number| ("served.yaml", served(number, way))), false),
        ("its backends", Box::new(move |number| ("service.yaml", manifests::service("backend", ips[number % 3], port))), false),
        ("its certificate, HTTPS clients", Box::new(move |number| ("secret.yaml", certificates.secrets(number))), true),
    ]
}

fn served(version: usize, way: Way) -> String {
    let matches = if way == Way::Filtered { "      matches: [{ headers: [{ name: X-Filtered, value: 'yes' }] }]\n" } else { "" };
    let rule = format!("{matches}{}", manifests::version(version));
    let [plain, tls] = way.listeners();
    manifests::route("served", (plain, way.host()), "backend", &rule) + &manifests::route("served-tls", (tls, way.host()), "backend", &rule)
}

async fn start(port: u16, certificates: &Certificates, way: Way) -> Rig {
    let write = |config: &Path, ports| {
        std::fs::write(config.join("gateway.yaml"), manifests::gateway(ports) + &manifests::relaying("backend")).unwrap();
        std::fs::write(config.join("service.yaml"), manifests::service("backend", &["127.0.0.1"], port)).unwrap();
        std::fs::write(config.join("served.yaml"), served(0, way)).unwrap();
        std::fs::write(config.join("secret.yaml"), certificates.secrets(0)).unwrap();
    };
    let rig = Rig::start(write).await;
    rig.wait(plain(&rig, way), &request(way), Duration::from_secs(20), |answer| answer.status == 200).await;
    rig
}

fn plain(rig: &Rig, way: Way) -> SocketAddr {
    if way == Way::Relayed { rig.ports.relay } else { rig.ports.http }
}

fn secure(rig: &Rig, way: Way) -> SocketAddr {
    if way == Way::Relayed { rig.ports.relay_tls } else { rig.ports.https }
}

fn request(way: Way) -> Vec<u8> {
    http::get(way.host(), "/", if way == Way::Filtered { "X-Filtered: yes\r\n" } else { "" })
}

/// Changes made, requests answered with 200, and what went wrong.
async fn under_load(
    rig: &Rig,
    length: Duration,
    change: &dyn Fn(usize) -> (&'static str, String),
    tls: Option<(String, TlsConnector)>,
    way: Way,
) -> (usize, usize, Vec<String>) {
    let end = Instant::now() + length;
    let address = if tls.is_some() { secure(rig, way) } else { plain(rig, way) };
    let clients: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(client(address, tls.clone(), request(way), end))).collect();
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

async fn client(address: SocketAddr, tls: Option<(String, TlsConnector)>, request: Vec<u8>, end: Instant) -> (usize, Vec<String>) {
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

/// Whether the server has ended the idle connection: clients look before they use one again.
fn ended(stream: &mut Box<dyn Stream>) -> bool {
    let mut byte = [0];
    let mut buffer = tokio::io::ReadBuf::new(&mut byte);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    std::pin::Pin::new(stream).poll_read(&mut context, &mut buffer).is_ready()
}
