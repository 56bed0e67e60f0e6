//! Listeners with certificates on one HTTPS port: random sets, and every pair of server name and `Host`. A naive reading of
//! Gateway API (listener isolation, misdirected requests), the port as the plan has it (Sōzu's own where it can be) and the
//! same port relayed do the same, and `kakehi trace` says so.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use kakehi::edge::plan::{Options, explain};
use kakehi::model::{EdgeId, Protocol};
use kakehi::snapshot::Snapshot;
use kakehi::trace::{Answer as Traced, Request as Asked, trace};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

use super::backend::Backends;
use super::edges::{Edge, common_ports};
use super::manifest::{self, GATEWAY, NAMESPACE, Place};
use super::pipeline::Pipeline;
use super::random::Random;
use super::run::{self, Plan};
use super::tls_client::connector;
use super::world::{BackendRef, Parent, Route, Rule, Service, World};

const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 3)];
const PATIENCE: Duration = Duration::from_secs(15);
/// Hostnames of listeners; the empty one is none.
const PATTERNS: [&str; 7] = ["", "a.x.test", "b.x.test", "*.x.test", "*.test", "c.y.test", "*.a.x.test"];
/// Such that Sōzu can tell the listeners apart by certificates.
const APART: [&str; 5] = ["a.x.test", "b.x.test", "*.y.test", "*.a.x.test", "*.b.x.test"];
/// Hosts that clients ask for.
const HOSTS: [&str; 6] = ["a.x.test", "b.x.test", "d.a.x.test", "c.y.test", "x.test", "elsewhere.example"];

/// A listener with its certificate, and one route that only it has.
#[derive(Clone, Debug)]
struct Listener {
    hostname: &'static str,
    /// Names of its certificate.
    names: Vec<String>,
    /// Hostname of its route; empty: every host of the listener.
    host: &'static str,
}

/// What a client meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Met {
    /// No TLS connection.
    Closed,
    /// A status of the edge's own.
    Status(u16),
    /// The route of this listener.
    Route(usize),
}

fn generate(seed: u64) -> Vec<Listener> {
    let mut random = Random::new(seed);
    let (count, apart) = (random.between(1, 4), random.chance(60));
    let patterns = random.some(if apart { &APART } else { &PATTERNS }, count);
    let listener = |hostname: &&'static str| {
        let own = if hostname.is_empty() { "fallback.test" } else { hostname };
        let mut names = vec![own.to_owned()];
        if !apart && random.chance(15) {
            names.push((*random.pick(&PATTERNS[1..])).to_owned());
        }
        let within: Vec<&'static str> = HOSTS.into_iter().filter(|host| covers(hostname, host)).collect();
        let host = if within.is_empty() || random.chance(50) { "" } else { *random.pick(&within) };
        Listener { hostname, names, host }
    };
    patterns.iter().map(listener).collect()
}

/// "`*.example.com` matches any host with one or more labels before the suffix."
fn covers(hostname: &str, host: &str) -> bool {
    match hostname.strip_prefix('*') {
        _ if hostname.is_empty() => true,
        Some(suffix) => host.ends_with(suffix),
        None => hostname == host,
    }
}

/// "The most specific match": exact names, then longer suffixes.
fn owner(listeners: &[Listener], host: &str) -> Option<usize> {
    let covering = listeners.iter().enumerate().filter(|(_, listener)| covers(listener.hostname, host));
    let specificity = |hostname: &str| (!hostname.is_empty() && !hostname.starts_with('*'), hostname.len());
    covering.max_by_key(|(_, listener)| specificity(listener.hostname)).map(|(at, _)| at)
}

/// The listener whose connection a client gets: without a server name the one without hostname, or the only one.
fn connection(listeners: &[Listener], name: Option<&str>) -> Option<usize> {
    match name {
        Some(name) => owner(listeners, name),
        None => listeners.iter().position(|listener| listener.hostname.is_empty()).or((listeners.len() == 1).then_some(0)),
    }
}

/// What a client is to meet by the words of Gateway API.
fn decide(listeners: &[Listener], name: Option<&str>, host: &str) -> Met {
    let Some(made_for) = connection(listeners, name) else { return Met::Closed };
    match owner(listeners, host) {
        None => Met::Status(404),
        // The connection of the only listener is for every host when its client named none.
        Some(wanted) if wanted != made_for => Met::Status(421),
        Some(wanted) if listeners[wanted].host.is_empty() || listeners[wanted].host == host => Met::Route(wanted),
        Some(_) => Met::Status(404),
    }
}

/// In a certificate a wildcard stands for one label.
fn certifies(names: &[String], host: &str) -> bool {
    let wild = host.split_once('.').map(|(_, suffix)| format!("*.{suffix}"));
    names.iter().any(|name| *name == host || Some(name) == wild.as_ref())
}

/// What else Sōzu does where it ends TLS itself: it drops clients without a server name, shows a certificate of its own for
/// names that none of its certificates has, and answers 421 for every host that the certificate shown does not name.
fn natively(listeners: &[Listener], name: Option<&str>, host: &str) -> Vec<Met> {
    let Some(name) = name else { return vec![Met::Closed] };
    let shown = connection(listeners, Some(name)).filter(|at| certifies(&listeners[*at].names, name));
    let named = shown.is_some_and(|at| certifies(&listeners[at].names, host));
    match shown {
        _ if name != host && !named => vec![Met::Status(421)],
        None if connection(listeners, Some(name)).is_none() => vec![Met::Status(404)],
        _ => vec![decide(listeners, Some(name), host)],
    }
}

/// The manifests; certificates come with them.
struct Manifests {
    objects: Vec<Value>,
    certificates: Vec<CertificateDer<'static>>,
}

fn manifests(listeners: &[Listener], place: Place) -> Manifests {
    let secret = |at: usize| format!("s{at}");
    let spec = listeners.iter().enumerate().map(|(at, listener)| {
        manifest::tidy(json!({"name": format!("l{at}"), "port": place.ports[0], "protocol": "HTTPS",
            "hostname": Some(listener.hostname).filter(|name| !name.is_empty()),
            "tls": {"certificateRefs": [{"name": secret(at)}]}}))
    });
    let mut objects = manifest::gateway(spec.collect()).to_vec();
    let mut certificates = Vec::new();
    for (at, listener) in listeners.iter().enumerate() {
        let made = rcgen::generate_simple_self_signed(listener.names.clone()).unwrap();
        certificates.push(CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap());
        objects.push(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret(at), "namespace": NAMESPACE},
            "type": "kubernetes.io/tls", "stringData": {"tls.crt": made.cert.pem(), "tls.key": made.signing_key.serialize_pem()}}));
        let backend = BackendRef { service: Service::Live(at), weight: None, request_headers: None };
        let route = Route {
            namespace: NAMESPACE.to_owned(),
            name: format!("r{at}"),
            created: 1_700_000_000,
            parents: vec![Parent { section: Some(format!("l{at}")), port: None }],
            hostnames: Some(listener.host).filter(|host| !host.is_empty()).into_iter().map(str::to_owned).collect(),
            rules: vec![Rule { backends: vec![backend], ..Rule::default() }],
        };
        objects.push(manifest::route(&route, place));
    }
    objects.extend(manifest::services((0..listeners.len()).map(|at| (NAMESPACE.to_owned(), Some(at))).collect(), place));
    Manifests { objects, certificates }
}

/// What a client meets, and which certificate it is shown.
async fn ask(at: SocketAddr, name: Option<&str>, host: &str) -> (Met, Option<CertificateDer<'static>>) {
    let stream = TcpStream::connect(at).await.unwrap();
    let server = ServerName::try_from(name.unwrap_or("unnamed").to_owned()).unwrap();
    let Ok(mut stream) = connector(b"http/1.1", name.is_some()).connect(server, stream).await else { return (Met::Closed, None) };
    let shown = stream.get_ref().1.peer_certificates().map(|chain| chain[0].clone().into_owned());
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // Not everybody says goodbye in TLS.
    stream.read_to_end(&mut answer).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    let field = text.split("\r\n").find_map(|line| line.strip_prefix("x-oracle-backend:"));
    let status = text.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default();
    let met = field.map_or(Met::Status(status), |number| Met::Route(number.trim().parse().unwrap()));
    (met, shown)
}

/// What `kakehi trace` says.
fn traced(snapshot: &Snapshot, options: Options, port: u16, name: Option<&str>, host: &str) -> Met {
    let mut request = Asked::parse(&format!("https://{}:{port}/", name.unwrap_or("unnamed")), "GET", &[format!("Host: {host}")]).unwrap();
    assert_eq!(request.protocol, Protocol::Https);
    request.server_name = name.map(str::to_owned);
    match trace(snapshot, options, &request).answer {
        Traced::Closed { .. } | Traced::Unreachable { .. } => Met::Closed,
        Traced::Status { status, .. } => Met::Status(status),
        Traced::Redirect { status, .. } | Traced::Preflight { status, .. } => Met::Status(status),
        Traced::Forward { shares } => Met::Route(shares[0].backend.as_ref().unwrap().service[1..].parse().unwrap()),
    }
}

/// One edge, and whether its port is relayed.
struct Side<'a> {
    edge: &'a Edge,
    options: Options,
    relayed: bool,
}

/// What an edge does wrong with one set.
async fn wrong(side: &Side<'_>, listeners: &[Listener], made: &Manifests, snapshot: &Snapshot, port: u16) -> Option<String> {
    let address = SocketAddr::new(side.edge.address.into(), port);
    for name in HOSTS.iter().copied().map(Some).chain([None]) {
        for host in HOSTS {
            let expected = if side.relayed { vec![decide(listeners, name, host)] } else { natively(listeners, name, host) };
            let (met, shown) = timeout(PATIENCE, ask(address, name, host)).await.unwrap();
            let said = traced(snapshot, side.options, port, name, host);
            let whose = shown.as_ref().and_then(|shown| made.certificates.iter().position(|own| own == shown));
            let due = connection(listeners, name);
            // Of a listener's certificate that does not name the host, and of hosts that nobody has, Sōzu shows its own.
            let rightly = whose == due || !side.relayed && (name.is_none() || whose.is_none());
            if !expected.contains(&met) || said != met || !rightly {
                return Some(format!(
                    "{} (relayed: {}), server name {name:?}, Host {host}: expected {expected:?}, met {met:?}, trace says {said:?}; shown the certificate of {whose:?}, due {due:?}",
                    side.edge.name, side.relayed
                ));
            }
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oracle_sozus_tls_and_relayed_tls_keep_listeners_apart() {
    let plan = Plan::from_environment();
    let ports = common_ports(&ADDRESSES, 1);
    let backends = Backends::start().await;
    let mut edges =
        [Edge::start("plan", ADDRESSES[0], &ports, &[]).await, Edge::start("relay", ADDRESSES[1], &ports, &["--force-relay"]).await];
    let place = Place { ports: &ports, backend_port: backends.port };
    let (mut pipeline, mut reports, mut modes) = (Pipeline::new(), Vec::new(), BTreeMap::new());
    // Every pair takes a handshake: fewer sets are asked than of plain ports.
    for seed in plan.seeds().take((plan.sets as usize).div_ceil(4)) {
        let listeners = generate(seed);
        let made = manifests(&listeners, place);
        let snapshot = pipeline.hold_objects(&made.objects, &EdgeId::of_gateway(NAMESPACE, GATEWAY));
        for (edge, force_relay) in edges.iter_mut().zip([false, true]) {
            let options = Options { force_relay, ..Options::default() };
            let relayed = !explain::explain(&snapshot, &options).relays.is_empty();
            *modes.entry(relayed).or_insert(0) += 1;
            let found = match edge.apply(&snapshot, &World::default()).await {
                Ok(()) => wrong(&Side { edge, options, relayed }, &listeners, &made, &snapshot, ports[0]).await,
                Err(error) => Some(error),
            };
            reports.extend(found.map(|found| format!("KAKEHI_ORACLE_SEED={seed} KAKEHI_ORACLE_SETS=1\n{listeners:#?}\n{found}")));
        }
        if reports.len() >= run::ENOUGH {
            break;
        }
    }
    let [own, relay] = edges;
    tokio::join!(own.stop(), relay.stop());
    println!("ports by whether they were relayed: {modes:?}");
    run::conclude(&reports);
    assert!(plan.sets < 40 || modes.len() == 2, "both ways were tried: {modes:?}");
}
