//! `make bench-chaos`: what clients notice when a process of standalone mode is killed, stopped, or told to end.
//!
//! A failure is inherent when its request was sent before the process was gone: that process held the connection, or the request
//! behind it; a worker of Sōzu goes with its main process. The generator decides that, from its own clock and from the process
//! table. All other failures are ours. The table shows both, and the seconds from the fault to the last request that failed.
//! Loopback only, bounded in count and time.
//! `KAKEHI_BENCH_ROWS` picks rows by parts of their names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a benchmark fails by panicking")]
#![allow(dead_code, reason = "the benchmarks share their rooms")]

mod certificates;
mod faults;
mod flights;
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
    println!("kakehi: {}\nsozu:   {}", rig::kakehi().display(), rig::sozu().display());
    println!("{:<34} {:>8} {:>8} {:>8} {:>8}", "", "requests", "inherent", "ours", "seconds");
    let faults = faults::measure().await;
    let flights = flights::measure().await;
    if faults && flights { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
