//! `make bench-limits`: what an edge holds, and what happens beyond. Counts and megabytes, no times.
//!
//! Standalone mode with a budget of 2 GiB, half for Sōzu and half for the filter proxy, as a pod's containers have by default.
//! Loopback only; clients have addresses of 127.0.0.0/8 as sources, so that they are told apart. `KAKEHI_BENCH_ROWS` picks rows by
//! parts of their names; `KAKEHI_BENCH_CONNECTIONS` (10500) says how many connections are opened.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a benchmark fails by panicking")]
#![allow(dead_code, reason = "the benchmarks share their rooms")]

mod certificates;
mod hoard;
mod http;
mod manifests;
mod rig;
mod stand;

use std::process::ExitCode;

/// Whether a row is wanted.
pub fn wants(row: &str) -> bool {
    let rows = std::env::var("KAKEHI_BENCH_ROWS").unwrap_or_default();
    rows.is_empty() || rows.split(',').any(|word| row.contains(word.trim()))
}

#[tokio::main]
async fn main() -> ExitCode {
    // `cargo test --all-targets` starts this too.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    kakehi::edge::raise_files();
    println!("kakehi: {}\nsozu:   {}", rig::kakehi().display(), rig::sozu().display());
    hoard::measure().await;
    ExitCode::SUCCESS
}
