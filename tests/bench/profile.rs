//! `make bench-profile`: where the CPU time of the filter proxy goes, for the rows and stages that it takes part in.
//!
//! Each is run three times: as it is, for the cost per request of filter and Sōzu; then watched by `perf stat`, for the system
//! calls per request; then by `perf record`, for the shares of kernel, libraries and crates. Only the filter is watched. Without
//! perf, or without the right to use it, the first figures remain. What was inlined counts for the crate of its caller.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use super::Settings;
use super::cpu::World;
use super::rows::{Load, ROWS, Stage};

/// System calls that are told apart; the rest is counted as one.
const CALLS: [&str; 21] = [
    "recvfrom",
    "read",
    "readv",
    "recvmsg",
    "sendto",
    "write",
    "writev",
    "sendmsg",
    "epoll_wait",
    "epoll_ctl",
    "accept4",
    "connect",
    "socket",
    "setsockopt",
    "getsockopt",
    "shutdown",
    "close",
    "futex",
    "madvise",
    "mmap",
    "munmap",
];
/// Those that are also counted by how often they had to be asked again.
const TRIED: [&str; 7] = ["recvfrom", "read", "sendto", "write", "writev", "accept4", "connect"];
/// Time until perf has attached itself.
const ATTACH: Duration = Duration::from_secs(2);
/// How many functions are named.
const NAMED: usize = 25;

/// Measures and prints what is wanted.
pub async fn measure(settings: &Settings) {
    let world = World::start().await;
    for row in ROWS {
        for stage in row.stages.iter().map(|(stage, _)| *stage).filter(|stage| *stage != Stage::Native) {
            if settings.wants(row.name, stage.name()) {
                println!("\n{} {}", row.name, stage.name());
                let load = row.ours(stage, world.rig.ports, &world.authority);
                if let Err(error) = one(&world, &load, settings.run).await {
                    println!("  {error}");
                }
            }
        }
    }
    world.rig.stop().await;
}

async fn one(world: &World, load: &Load, length: Duration) -> io::Result<()> {
    // Connections and memory as they stay.
    answered(load, length / 3).await?;
    let before = world.rig.cpu_by_role();
    let requests = answered(load, length).await?;
    let used = world.rig.cpu_by_role();
    let cost = |role: &str| {
        let of = |all: &BTreeMap<&'static str, Duration>| all.get(role).copied().unwrap_or_default();
        (of(&used) - of(&before)).as_secs_f64() * 1e6 / requests
    };
    let filter = cost("filter");
    println!("  {filter:.1} µs of the filter and {:.1} µs of Sōzu per request, {requests} requests", cost("sozu"));
    let pid = world.rig.pid_of("filter").ok_or_else(|| io::Error::other("no filter"))?;
    let directory = tempfile::tempdir()?;
    calls(pid, load, length, &directory.path().join("stat")).await?;
    shares(pid, load, length, &directory.path().join("record"), filter).await
}

async fn answered(load: &Load, length: Duration) -> io::Result<f64> {
    let counted = load.clone().run(length).await?;
    if counted.failed > 0 || counted.answered == 0 {
        return Err(io::Error::other(format!("{} requests failed: {}", counted.failed, counted.example.unwrap_or_default())));
    }
    Ok(counted.answered as f64)
}

/// Runs the load while perf watches, and returns how many requests were answered.
async fn watched(arguments: &[&str], pid: u32, load: &Load, length: Duration) -> io::Result<f64> {
    let mut perf = Command::new("perf");
    perf.args(arguments).args(["-p", &pid.to_string()]);
    let perf = perf.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn();
    let mut perf = perf.map_err(|error| io::Error::other(format!("perf is left out: {error}")))?;
    tokio::time::sleep(ATTACH).await;
    if perf.try_wait()?.is_some() {
        return Err(io::Error::other(format!("perf is left out: {}", said(perf).await)));
    }
    let requests = answered(load, length).await?;
    if let Some(pid) = perf.id().and_then(|id| rustix::process::Pid::from_raw(id as i32)) {
        rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
    }
    perf.wait().await?;
    Ok(requests)
}

async fn said(perf: Child) -> String {
    let said = perf.wait_with_output().await.map(|output| String::from_utf8_lossy(&output.stderr).into_owned());
    said.unwrap_or_default().lines().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned()
}

/// Prints system calls per request.
async fn calls(pid: u32, load: &Load, length: Duration, file: &Path) -> io::Result<()> {
    let file = file.to_string_lossy();
    let mut arguments = vec!["stat", "-x", ";", "-o", &file, "-e", "raw_syscalls:sys_enter"];
    let events: Vec<String> = CALLS.iter().map(|call| format!("syscalls:sys_enter_{call}")).collect();
    arguments.extend(events.iter().flat_map(|event| ["-e", event]));
    let again: Vec<String> = TRIED.iter().map(|call| format!("syscalls:sys_exit_{call}")).collect();
    arguments.extend(again.iter().flat_map(|event| ["-e", event, "--filter", "ret < 0"]));
    let requests = watched(&arguments, pid, load, length).await?;
    let text = std::fs::read_to_string(&*file)?;
    let counts: BTreeMap<&str, f64> = text
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(';');
            let count = fields.next()?.parse::<f64>().ok()?;
            Some((fields.nth(1)?, count / requests))
        })
        .collect();
    let of = |event: String| counts.get(event.as_str()).copied().unwrap_or(0.0);
    let mut told: Vec<(f64, String)> = CALLS
        .iter()
        .map(|call| {
            let (all, failed) = (of(format!("syscalls:sys_enter_{call}")), of(format!("syscalls:sys_exit_{call}")));
            (all, if failed >= 0.005 { format!("{call} {all:.2} ({failed:.2} in vain)") } else { format!("{call} {all:.2}") })
        })
        .collect();
    let all = of("raw_syscalls:sys_enter".to_owned());
    let rest = all - told.iter().map(|(count, _)| count).sum::<f64>();
    told.push((rest, format!("others {rest:.2}")));
    told.retain(|(count, _)| *count >= 0.005);
    told.sort_by(|a, b| b.0.total_cmp(&a.0));
    println!("  {all:.2} system calls per request: {}", told.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(", "));
    Ok(())
}

/// Prints where the time goes; `cost` is that of a request, in microseconds.
async fn shares(pid: u32, load: &Load, length: Duration, file: &Path, cost: f64) -> io::Result<()> {
    let file = file.to_string_lossy();
    watched(&["record", "-q", "-e", "cpu-clock", "-F", "1999", "-o", &file], pid, load, length).await?;
    let mut report = Command::new("perf");
    report.args(["report", "-i", &file, "--stdio", "--no-children", "-t", "|", "-F", "overhead,dso,symbol"]);
    let output = report.stdin(Stdio::null()).output().await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (mut places, mut functions) = (BTreeMap::<String, f64>::new(), Vec::new());
    for line in text.lines() {
        let mut fields = line.splitn(3, '|').map(str::trim);
        let (Some(share), Some(object), Some(symbol)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let Some(share) = share.strip_suffix('%').and_then(|share| share.parse::<f64>().ok()) else { continue };
        let symbol = symbol.get(3..).unwrap_or_default().trim();
        *places.entry(place(object, symbol)).or_default() += share;
        functions.push((share, symbol));
    }
    let mut places: Vec<(String, f64)> = places.into_iter().filter(|(_, share)| *share >= 0.5).collect();
    places.sort_by(|a, b| b.1.total_cmp(&a.1));
    for (name, share) in places {
        println!("  {share:>5.1} % {:>6.2} µs  {name}", cost * share / 100.0);
    }
    println!("  of it, by function:");
    functions.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (share, symbol) in functions.into_iter().take(NAMED) {
        println!("  {share:>5.1} %  {}", symbol.chars().take(120).collect::<String>());
    }
    Ok(())
}

/// Kernel, a library, or the crate of a function of ours.
fn place(object: &str, symbol: &str) -> String {
    if object.starts_with('[') {
        return if object.contains("kernel") { "kernel".to_owned() } else { object.to_owned() };
    }
    if object != "kakehi" {
        return object.to_owned();
    }
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut rest = symbol.trim_start_matches(|letter: char| !is_name(letter));
    for word in ["mut ", "dyn ", "const "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    match rest.split_once("::") {
        Some((name, _)) if name.chars().all(is_name) => format!("kakehi: {name}"),
        _ if symbol.starts_with("mi_") || symbol.starts_with("_mi_") => "kakehi: mimalloc".to_owned(),
        _ => "kakehi: no crate told".to_owned(),
    }
}
