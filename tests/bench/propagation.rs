//! From before writing a manifest to the first correct answer of a fresh connection.

use std::time::Duration;

use tokio::time::Instant;

use super::rig::Rig;
use super::{Settings, http, manifests, peers};

/// Routes in one file of the load.
const PER_FILE: usize = 100;
/// Wanted of the 99th percentile, milliseconds.
const P99: u32 = 10;
/// Wanted of supervisor and filter proxy together, MB.
const EDGE: u32 = 30;
/// Longest wait for one change.
const LIMIT: Duration = Duration::from_secs(20);

/// Measures and prints.
pub async fn measure(settings: &Settings) {
    let backend = peers::backend().await;
    println!(
        "\nWrite of a manifest (by rename) to the first correct answer (asked for each ms), p50 / p99 / worst ms of {} tries",
        settings.tries
    );
    println!("(wanted: p99 ≤ {P99} ms; of the memory, edge and filter ≤ {EDGE} MB beside Sōzu)");
    println!("{:>7}  {:<22} {:<22} {:<14} memory, MB", "routes", "new route", "edited route", "cold load, s");
    for count in &settings.routes {
        at(*count, settings.tries, backend.address.port()).await;
    }
}

async fn at(count: usize, tries: usize, port: u16) {
    let began = Instant::now();
    let rig = Rig::start(|config, ports| {
        let base = manifests::gateway(ports)
            + &manifests::service("backend", &["127.0.0.1"], port)
            + &manifests::route("ready", ("http", "ready.bench.test"), "backend", "");
        std::fs::write(config.join("base.yaml"), base).unwrap();
        for first in (0..count).step_by(PER_FILE) {
            let routes = (first..count.min(first + PER_FILE)).map(|number| {
                let service = manifests::service(&format!("s{number}"), &["127.0.0.1"], port);
                service + &manifests::route(&format!("r{number}"), ("http", &format!("r{number}.bench.test")), &format!("s{number}"), "")
            });
            std::fs::write(config.join(format!("load-{first}.yaml")), routes.collect::<String>()).unwrap();
        }
    })
    .await;
    for host in [Some("ready.bench.test".to_owned()), count.checked_sub(1).map(|last| format!("r{last}.bench.test"))].into_iter().flatten()
    {
        rig.wait(rig.ports.http, &http::get(&host, "/", ""), Duration::from_secs(300), |answer| answer.status == 200).await;
    }
    let cold = began.elapsed();
    let new = series(&rig, tries, |number| (format!("probe-{number}"), number)).await;
    let edited = series(&rig, tries, |number| ("edited".to_owned(), number)).await;
    let memory = rig.memory();
    let of = |role| memory.get(role).copied().unwrap_or(0.0);
    println!(
        "{count:>7}  {:<22} {:<22} {:<14.1} edge + filter {:.0} ({:.0} + {:.0}), sozu {:.0}, standalone {:.0}",
        spread(new),
        spread(edited),
        cold.as_secs_f64(),
        of("edge") + of("filter"),
        of("edge"),
        of("filter"),
        of("sozu"),
        of("standalone")
    );
    rig.stop().await;
}

/// Writes one route after the other, each with its version as a response header, and waits for that header.
async fn series(rig: &Rig, tries: usize, of: impl Fn(usize) -> (String, usize)) -> Vec<Duration> {
    let mut times = Vec::new();
    for number in 0..tries {
        let (name, version) = of(number);
        let host = format!("{name}.bench.test");
        let text = manifests::route(&name, ("http", &host), "backend", &manifests::version(version));
        let (request, wanted) = (http::get(&host, "/", ""), format!("v{version}"));
        let start = Instant::now();
        rig.write(&format!("{name}.yaml"), &text);
        rig.wait(rig.ports.http, &request, LIMIT, |answer| answer.status == 200 && http::field(&answer.head, "x-version") == Some(&wanted))
            .await;
        times.push(start.elapsed());
        // The next change finds everything at rest.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    times
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |percent: usize| {
        times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    format!("{:.1} / {:.1} / {:.1}", at(50), at(99), at(100))
}
