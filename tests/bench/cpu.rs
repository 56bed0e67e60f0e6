//! CPU per request: user and system time of all processes of a proxy, over the requests it served in that time.

use std::net::SocketAddr;
use std::time::Duration;

use super::rig::Rig;
use super::{Settings, http, load, manifests, peers};

/// Interleaved rounds; the median counts.
const ROUNDS: usize = 3;

/// One thing to measure: where its requests go, and what its processes have used so far.
struct Subject<'a> {
    name: String,
    address: SocketAddr,
    request: Vec<u8>,
    cpu: Box<dyn Fn() -> Duration + 'a>,
    runs: Vec<(f64, f64)>,
}

/// Measures and prints.
pub async fn measure(settings: &Settings) {
    let backend = peers::backend().await;
    let proxies = peers::proxies(backend.address).await;
    let port = backend.address.port();
    let rig = Rig::start(|config, http_port, https_port| {
        let native = manifests::route("native", "native.bench.test", "backend", "");
        let rule = "      matches: [{ path: { type: PathPrefix, value: / }, headers: [{ name: X-Filtered, value: 'yes' }] }]\n";
        let filtered = manifests::route("filtered", "filtered.bench.test", "backend", rule);
        let text = manifests::gateway(http_port, https_port) + &manifests::service("backend", &["127.0.0.1"], port) + &native + &filtered;
        std::fs::write(config.join("all.yaml"), text).unwrap();
    })
    .await;
    let native = http::get("native.bench.test", "/", "");
    let filtered = http::get("filtered.bench.test", "/", "X-Filtered: yes\r\n");
    for request in [&native, &filtered] {
        rig.wait(request, Duration::from_secs(20), |answer| answer.status == 200).await;
    }
    let subject = |name: &str, address, request: &Vec<u8>| Subject {
        name: name.to_owned(),
        address,
        request: request.clone(),
        cpu: Box::new(|| Duration::ZERO),
        runs: Vec::new(),
    };
    let mut subjects = vec![
        Subject { cpu: Box::new(|| rig.cpu()), ..subject("kakehi, native route", rig.http, &native) },
        Subject { cpu: Box::new(|| rig.cpu()), ..subject("kakehi, filtered route", rig.http, &filtered) },
    ];
    for proxy in &proxies {
        subjects.push(Subject { cpu: Box::new(|| proxy.cpu()), ..subject(proxy.name, proxy.address, &native) });
    }
    for _ in 0..ROUNDS {
        for subject in &mut subjects {
            let before = (subject.cpu)();
            let counted = load::run(subject.address, subject.request.clone(), settings.run).await;
            let used = (subject.cpu)() - before;
            assert_eq!(counted.failed, 0, "{}: requests failed", subject.name);
            let answered = counted.answered as f64;
            subject.runs.push((used.as_secs_f64() * 1e6 / answered, answered / counted.elapsed.as_secs_f64()));
        }
    }
    print(&subjects, settings);
    drop(subjects);
    rig.stop().await;
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn print(subjects: &[Subject<'_>], settings: &Settings) {
    let cost = |subject: &Subject<'_>| median(subject.runs.iter().map(|run| run.0).collect());
    let named = |name: &str| subjects.iter().find(|subject| subject.name == name).map(cost);
    println!(
        "\nCPU per request (HTTP/1.1, 64 kept connections at saturation, 64-byte body; median of {ROUNDS} interleaved runs of {} s)",
        settings.run.as_secs()
    );
    println!("{:<24} {:>8} {:>10} {:>9} {:>10} {:>9}", "", "µs", "req/s", "× nginx", "× haproxy", "× envoy");
    for subject in subjects {
        let ratio = |other: Option<f64>| other.map_or("–".to_owned(), |other| format!("{:.2}", cost(subject) / other));
        let rate = median(subject.runs.iter().map(|run| run.1).collect());
        println!(
            "{:<24} {:>8.1} {:>10.0} {:>9} {:>10} {:>9}",
            subject.name,
            cost(subject),
            rate,
            ratio(named("nginx")),
            ratio(named("haproxy")),
            ratio(named("envoy"))
        );
    }
}
