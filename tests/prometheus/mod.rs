//! A real Prometheus that scrapes what a test runs: every documented series is there, and the dashboard's queries have data.

#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a process, a plain connection and a clock of its own thread")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kakehi::series::{Kind, Series};
use serde_json::Value;

/// How long until everything has data, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(90);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(250);

pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program: `PROMETHEUS`, or what `config/install-prometheus` left in the user cache.
pub fn program() -> Option<PathBuf> {
    let given = std::env::var_os("PROMETHEUS").filter(|path| !path.is_empty()).map(PathBuf::from);
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    given.or_else(|| Some(cache?.join("kakehi/prometheus/usr/bin/prometheus"))).filter(|path| path.exists())
}

impl Prometheus {
    /// One that scrapes these addresses twice a second; none where there is no such program.
    pub fn start(targets: &[SocketAddr]) -> Option<Self> {
        let Some(program) = program() else {
            eprintln!("no Prometheus here (config/install-prometheus): nothing is asked");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
        let config = serde_json::json!({
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"},
            "scrape_configs": [{"job_name": "kakehi", "static_configs": [{"targets": targets}]}],
        });
        std::fs::write(dir.path().join("prometheus.yml"), config.to_string()).unwrap();
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let child = Command::new(program)
            .arg("--config.file")
            .arg(dir.path().join("prometheus.yml"))
            .arg("--storage.tsdb.path")
            .arg(dir.path().join("data"))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Self { child, address, _dir: dir })
    }

    /// The samples that a query gives now; nothing while the server does not answer.
    fn ask(&self, query: &str) -> Option<Vec<f64>> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        write!(stream, "GET /api/v1/query?query={encoded} HTTP/1.0\r\nHost: prometheus\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let answer: Value = serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()?;
        assert!(answer["status"] == "success" || answer["errorType"] != "bad_data", "{query}: {answer}");
        let samples = answer["data"]["result"].as_array()?;
        Some(samples.iter().filter_map(|sample| sample["value"][1].as_str()?.parse().ok()).collect())
    }

    /// Waits until every query gives numbers, while `busy` keeps the scraped busy.
    pub fn answers(&self, queries: &[String], mut busy: impl FnMut()) {
        let started = Instant::now();
        let mut left: Vec<&String> = queries.iter().collect();
        while !left.is_empty() {
            busy();
            std::thread::sleep(PAUSE);
            left.retain(|query| !self.ask(query).is_some_and(|samples| samples.iter().any(|sample| !sample.is_nan())));
            assert!(started.elapsed() < PATIENCE, "without data: {left:#?}");
        }
    }
}

/// Queries that have data when a series is there.
pub fn presence(series: &[&Series]) -> Vec<String> {
    series.iter().map(|series| format!("{}{}", series.name, if series.kind == Kind::Histogram { "_count" } else { "" })).collect()
}

/// The dashboard's queries, with its variables replaced.
pub fn dashboard(wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/kakehi/files/dashboard.json");
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let targets = dashboard["panels"].as_array().unwrap().iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let queries = targets.map(|target| target["expr"].as_str().unwrap().replace("$__rate_interval", "1m").replace("$edge", ".+"));
    queries.filter(|query| wanted(query)).collect()
}

/// Whether a query is about series of the operator.
pub fn of_operator(query: &str) -> bool {
    kakehi::series::OPERATOR.iter().any(|series| query.contains(series.name))
}
