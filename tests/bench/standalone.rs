//! `make bench-standalone`: what standalone mode costs and how fast it is, on this machine, beside other proxies.
//!
//! Three parts: the time from writing a manifest to the first correct answer, CPU per request, and requests that fail
//! while routes, backends and certificates churn. Loopback only, bounded in count and time. `KAKEHI_SOZU` names the sozu
//! binary; `KAKEHI_BENCH_ROUTES` (`0,1000,5000`), `KAKEHI_BENCH_TRIES` (200), `KAKEHI_BENCH_SECONDS` (3, per run) and
//! `KAKEHI_BENCH_ONLY` (`propagation`, `cpu` or `churn`) change what is measured.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a benchmark fails by panicking")]

mod churn;
mod cpu;
mod http;
mod load;
mod manifests;
mod peers;
mod propagation;
mod rig;

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
    /// The one part to measure.
    pub only: Option<String>,
}

impl Settings {
    fn from_environment() -> Self {
        let number = |name: &str, default: usize| std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default);
        let routes = std::env::var("KAKEHI_BENCH_ROUTES").unwrap_or_else(|_| "0,1000,5000".to_owned());
        Self {
            routes: routes.split(',').filter_map(|count| count.trim().parse().ok()).collect(),
            tries: number("KAKEHI_BENCH_TRIES", 200),
            run: Duration::from_secs(number("KAKEHI_BENCH_SECONDS", 3) as u64),
            only: std::env::var("KAKEHI_BENCH_ONLY").ok(),
        }
    }

    fn wants(&self, part: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only == part)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    // `cargo test --all-targets` starts this too: timing belongs to `cargo bench` alone.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let settings = Settings::from_environment();
    println!("kakehi: {}\nsozu:   {}", rig::KAKEHI, rig::sozu().display());
    if settings.wants("cpu") {
        cpu::measure(&settings).await;
    }
    let lossless = !settings.wants("churn") || churn::measure(&settings).await;
    if settings.wants("propagation") {
        propagation::measure(&settings).await;
    }
    if lossless { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
