//! `make bench-standalone`: what standalone mode costs and how fast it is, on this machine, beside other proxies.
//!
//! Three parts: CPU per request (the rows of `rows.rs`), requests that fail while routes, backends and certificates `churn`,
//! and the time from writing a manifest to the first correct answer with the memory that so many routes take
//! (`propagation`). Loopback only, bounded in count and time. `KAKEHI_BENCH_ROWS` (all) holds parts of names of rows and
//! stages, such as `keep-alive,relay,churn`; `KAKEHI_BENCH_SECONDS` (3) is the length of one run under load,
//! `KAKEHI_BENCH_ROUTES` (`0,1000,5000`) and `KAKEHI_BENCH_TRIES` (200) belong to propagation; `KAKEHI_SOZU` names the sozu
//! binary, `KAKEHI_BENCH_BINARY` another kakehi to compare with. With `KAKEHI_BENCH_PROFILE` the filter proxy is looked into instead (`profile`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a benchmark fails by panicking")]
#![allow(dead_code, reason = "the benchmarks share their rooms")]

mod certificates;
mod churn;
mod configs;
mod cpu;
mod http;
mod load;
mod manifests;
mod peers;
mod profile;
mod propagation;
mod rig;
mod rows;

use std::process::ExitCode;
use std::time::Duration;

/// What to measure, and how much.
pub struct Settings {
    /// Numbers of routes to measure propagation at.
    pub routes: Vec<usize>,
    /// Changes per figure.
    pub tries: usize,
    /// Length of one run under load.
    pub run: Duration,
    /// What to measure, by parts of names; everything when empty.
    pub rows: Vec<String>,
}

impl Settings {
    fn from_environment() -> Self {
        let number = |name: &str, default: usize| std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default);
        let words = |name: &str, default: &str| -> Vec<String> {
            let value = std::env::var(name).unwrap_or_else(|_| default.to_owned());
            value.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect()
        };
        Self {
            routes: words("KAKEHI_BENCH_ROUTES", "0,1000,5000").iter().filter_map(|count| count.parse().ok()).collect(),
            tries: number("KAKEHI_BENCH_TRIES", 200),
            run: Duration::from_secs(number("KAKEHI_BENCH_SECONDS", 3) as u64),
            rows: words("KAKEHI_BENCH_ROWS", ""),
        }
    }

    /// Whether a row is wanted, for one stage of those that it has.
    fn wants(&self, row: &str, stage: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|word| row.contains(word.as_str()) || stage.contains(word.as_str()))
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    // `cargo test --all-targets` starts this too: timing belongs to `cargo bench` alone.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let settings = Settings::from_environment();
    println!("kakehi: {}\nsozu:   {}", rig::kakehi().display(), rig::sozu().display());
    if std::env::var_os("KAKEHI_BENCH_PROFILE").is_some() {
        profile::measure(&settings).await;
        return ExitCode::SUCCESS;
    }
    cpu::measure(&settings).await;
    let lossless = !settings.wants("churn", "") || churn::measure(&settings).await;
    if settings.wants("propagation", "") {
        propagation::measure(&settings).await;
    }
    if lossless { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
