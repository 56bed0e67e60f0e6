//! `make bench-tenants`: what any megabyte of manifests costs the control plane. Each kind is read, translated and planned in a
//! process of its own, beside a neighbour whose change follows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a benchmark fails by panicking")]

mod megabytes;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use kakehi::api::{Change, Object};
use kakehi::edge::plan::{Options, Planner};
use kakehi::store::directory::{Directory, Loaded, Settings};
use kakehi::translate::{self, EdgeChange, Now, Translator};
use megabytes::{ALL, Bad};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Seconds and megabytes that none may exceed.
const MOST: (f64, f64) = (2.0, 150.0);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, directory] = &arguments[..]
        && flag == "--measure"
    {
        measure(Path::new(directory));
        return ExitCode::SUCCESS;
    }
    // `cargo test --all-targets` starts this too.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let rows = std::env::var("KAKEHI_BENCH_ROWS").unwrap_or_default();
    let wanted = |bad: &&Bad| rows.is_empty() || rows.split(',').any(|row| bad.name.contains(row.trim()));
    println!(
        "{:46} {:>8} {:>7} {:>9} {:>7} {:>6} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "", "bytes", "read s", "transl. s", "plan s", "MB", "plan MB", "next ms", "accepted", "refused", "served"
    );
    let over: Vec<_> = ALL.iter().filter(wanted).filter(|bad| !row(bad)).collect();
    for bad in &over {
        println!("over {} s or {} MB: {}", MOST.0, MOST.1, bad.name);
    }
    if over.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints one row; whether it is within bounds.
fn row(bad: &Bad) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let text = bad.text();
    std::fs::write(directory.path().join("a-world.yaml"), megabytes::world()).unwrap();
    std::fs::write(directory.path().join("b-tenant.yaml"), &text).unwrap();
    let program = std::env::current_exe().unwrap();
    let child = Command::new("timeout")
        .arg("120")
        .arg(program)
        .arg("--measure")
        .arg(directory.path())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output();
    let printed = String::from_utf8(child.unwrap().stdout).unwrap();
    let figures: Vec<f64> = printed.split_whitespace().map(|word| word.parse().unwrap()).collect();
    let [read, translated, planned, memory, plan_memory, next, accepted, refused, served] = figures[..] else {
        println!("{:46} {:>9} did not end well: {printed}", bad.name, text.len());
        return false;
    };
    println!(
        "{:46} {:>8} {read:>7.2} {translated:>9.2} {planned:>7.2} {memory:>6.0} {plan_memory:>8.0} {next:>8.1} {accepted:>8} {refused:>8} {served:>8}",
        bad.name,
        text.len()
    );
    read + translated <= MOST.0 && memory <= MOST.1
}

/// Prints seconds to read, to translate and to plan; megabytes before the plan and with it; milliseconds of a neighbour's change;
/// how many objects were accepted and manifests refused, and how many resources edges have. Seconds are those of the CPU: what
/// else the machine does is not what a tenant costs.
fn measure(directory: &Path) {
    let start = spent();
    let Loaded { objects, refusals, .. } = Directory::open(Settings::new(directory)).unwrap().load().unwrap();
    let read = spent();
    let accepted = objects.len();
    let mut translator = Translator::new(translate::Settings::default());
    let changes = objects.into_iter().map(|object| Change { id: object.id(), old: None, new: Some(object) });
    let changes = translator.apply(changes, Now::from_unix(1_796_083_200));
    let translated = spent();
    let memory = peak();
    let served: usize = translator.edges().map(|(_, edge)| edge.snapshot.len()).sum();
    let mut planners = Vec::new();
    for change in changes.edges.into_values() {
        if let EdgeChange::Set { delta, edge } = change {
            let mut planner = Planner::new(Options::default());
            planner.follow(&delta, edge.snapshot);
            planners.push(planner);
        }
    }
    let planned = spent();
    let plan_memory = peak();
    let object = Object::from_value(kakehi::model::Kind::HttpRoute, megabytes::neighbour("/other")).unwrap();
    let again = spent();
    translator.apply([Change { id: object.id(), old: None, new: Some(object) }], Now::from_unix(1_796_083_200));
    let next = (spent() - again) * 1000.0;
    let (read, translated, planned) = (read - start, translated - read, planned - translated);
    println!("{read} {translated} {planned} {memory} {plan_memory} {next} {accepted} {} {served}", refusals.len());
}

/// Seconds that this thread ran: it does all that is measured, for there are few files.
fn spent() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// The most memory that this process had, in megabytes.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}
