//! CPU per request: user and system time of all processes of a proxy, over the requests it answered in that time.

use std::time::Duration;

use super::Settings;
use super::certificates::Authority;
use super::load::Counted;
use super::manifests::{self, NATIVE, RELAYED};
use super::peers::{self, Backends, Server};
use super::rig::{Ports, Rig};
use super::rows::{HOP, Load, OF_SOZU, ROWS, Row, Stage};

/// Interleaved rounds; the median counts.
const ROUNDS: usize = 3;
/// Longest wait until everything serves.
const UP: Duration = Duration::from_secs(20);

/// One thing to measure: how it is asked, and what its processes have used so far.
struct Subject<'a> {
    name: String,
    load: Load,
    cpu: Box<dyn Fn() -> Duration + 'a>,
    /// At most this multiple of what Envoy costs.
    limit: Option<f64>,
    /// Microseconds per request and requests per second of each round.
    rounds: Vec<(f64, f64)>,
}

/// Everything that is asked.
pub struct World {
    pub authority: Authority,
    pub rig: Rig,
    proxies: Vec<Server>,
    _backend: Server,
}

/// Measures and prints the rows that are wanted.
pub async fn measure(settings: &Settings) {
    let rows: Vec<_> = ROWS.iter().filter(|row| row.stages.iter().any(|(stage, _)| settings.wants(row.name, stage.name()))).collect();
    if rows.is_empty() {
        return;
    }
    let world = World::start().await;
    println!(
        "\nCPU per request: µs of user and system time; {} requests at a time, median of {ROUNDS} interleaved runs of {} s",
        super::load::CONCURRENCY,
        settings.run.as_secs()
    );
    println!("{:<22} {:<8} {:>8} {:>9} {:>8} {:>8}  {:<9}", "", "", "µs", "req/s", "× envoy", "× sozu", "wanted");
    let mut missed = Vec::new();
    for row in rows {
        let mut subjects = world.subjects(row, settings);
        for _ in 0..ROUNDS {
            for subject in &mut subjects {
                subject.run(settings.run).await.unwrap_or_else(|reason| println!("{:<22} {:<8} {reason}", row.name, subject.name));
            }
        }
        subjects.retain(|subject| !subject.rounds.is_empty());
        missed.extend(print(row, &subjects));
    }
    match missed.as_slice() {
        [] => println!("Every figure that is laid down is met."),
        missed => println!("Missed: {}", missed.join("; ")),
    }
    world.rig.stop().await;
}

impl World {
    /// Starts all of it.
    pub async fn start() -> Self {
        let (backend, upload, authority) = (peers::backend().await, peers::upload(), Authority::new());
        let backends = Backends { plain: backend.address, grpc: backend.second, upload };
        let leaf = authority.leaf(NATIVE);
        let proxies = peers::proxies(backends, &leaf).await;
        let relayed = manifests::secret("relayed", &authority.leaf(RELAYED));
        let rig = Rig::start(|config, ports| {
            std::fs::write(config.join("all.yaml"), objects(ports, backends) + &manifests::secret("native", &leaf) + &relayed).unwrap();
        })
        .await;
        let world = Self { authority, rig, proxies, _backend: backend };
        let kept = &ROWS[0];
        for (stage, _) in kept.stages {
            let Load::Http1(load) = kept.ours(*stage, world.rig.ports, &world.authority) else { unreachable!("HTTP/1.1") };
            world.rig.wait(load.address, &load.request, UP, |answer| answer.status == 200).await;
        }
        world
    }

    fn subjects(&self, row: &Row, settings: &Settings) -> Vec<Subject<'_>> {
        let stages = row.stages.iter().filter(|(stage, _)| settings.wants(row.name, stage.name()));
        let ours = stages.map(|(stage, limit)| Subject {
            name: stage.name().to_owned(),
            load: row.ours(*stage, self.rig.ports, &self.authority),
            cpu: Box::new(|| self.rig.cpu()),
            limit: *limit,
            rounds: Vec::new(),
        });
        let peers = self.proxies.iter().filter(|proxy| row.peers.contains(&proxy.name)).map(|proxy| Subject {
            name: proxy.name.to_owned(),
            load: row.peer(proxy, &self.authority),
            cpu: Box::new(|| proxy.cpu()),
            limit: None,
            rounds: Vec::new(),
        });
        ours.chain(peers).collect()
    }
}

/// Per host a route for everything and one for uploads.
fn objects(ports: Ports, backends: Backends) -> String {
    let header = "headers: [{ name: X-Filtered, value: 'yes' }]";
    let hosts = [
        ("native", ("http", NATIVE), ""),
        ("native-tls", ("https", NATIVE), ""),
        ("hop", ("http", HOP), header),
        ("relay", ("relay", RELAYED), ""),
        ("relay-tls", ("relay-tls", RELAYED), ""),
    ];
    let routes = hosts.into_iter().map(|(name, place, more)| {
        let rule = |path| format!("      matches: [{{ path: {{ type: PathPrefix, value: {path} }}, {more} }}]\n");
        manifests::route(name, place, "plain", &rule("/")) + &manifests::route(&format!("{name}-upload"), place, "upload", &rule("/upload"))
    });
    let service = |name, backend: std::net::SocketAddr| manifests::service(name, &["127.0.0.1"], backend.port());
    let services = service("plain", backends.plain) + &service("upload", backends.upload) + &service("grpc", backends.grpc);
    manifests::gateway(ports) + &services + &routes.collect::<String>() + &manifests::relaying("grpc")
}

impl Subject<'_> {
    /// One round.
    async fn run(&mut self, length: Duration) -> Result<(), String> {
        let before = (self.cpu)();
        let counted = self.load.clone().run(length).await.map_err(|error| error.to_string())?;
        let used = (self.cpu)() - before;
        let Counted { answered, failed, example, closed, elapsed } = counted;
        if failed > 0 || answered == 0 {
            return Err(format!("{failed} requests failed, {answered} were answered: {}", example.unwrap_or_default()));
        }
        if closed > 0 {
            println!("{}: it closed {closed} kept connections, after {answered} answers", self.name);
        }
        let answered = answered as f64;
        self.rounds.push((used.as_secs_f64() * 1e6 / answered, answered / elapsed.as_secs_f64()));
        Ok(())
    }

    fn cost(&self) -> f64 {
        median(self.rounds.iter().map(|round| round.0).collect())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Prints a row; the limits that it misses.
fn print(row: &Row, subjects: &[Subject<'_>]) -> Vec<String> {
    let of = |subject: &Subject<'_>, name: &str| {
        let other = subjects.iter().find(|other| other.name == name)?;
        Some(subject.cost() / other.cost())
    };
    let number = |ratio: Option<f64>| ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}"));
    let mut missed = Vec::new();
    for subject in subjects {
        let (envoy, sozu) = (of(subject, "envoy"), of(subject, "sozu"));
        let native = subject.name == Stage::Native.name();
        let mut limits = subject.limit.map(|limit| ("envoy", envoy, limit)).into_iter().collect::<Vec<_>>();
        limits.extend((native && subject.limit.is_some()).then_some(("sozu", sozu, OF_SOZU)));
        let wanted = limits.iter().map(|(name, _, limit)| format!("{limit} × {name}")).collect::<Vec<_>>().join(", ");
        let rate = median(subject.rounds.iter().map(|round| round.1).collect());
        println!(
            "{:<22} {:<8} {:>8.1} {:>9.0} {:>8} {:>8}  {wanted}",
            row.name,
            subject.name,
            subject.cost(),
            rate,
            number(envoy),
            number(sozu)
        );
        let over =
            limits.into_iter().filter_map(|(name, ratio, limit)| ratio.filter(|ratio| *ratio > limit).map(|ratio| (name, ratio, limit)));
        missed.extend(over.map(|(name, ratio, limit)| format!("{} {}: {ratio:.2} × {name}, wanted {limit}", row.name, subject.name)));
    }
    missed
}
