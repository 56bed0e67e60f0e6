//! Kakehi in standalone mode as a user runs it, and the processes' CPU time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::http;

/// The kakehi binary: `KAKEHI_BENCH_BINARY`, else that of this build. The latter is built with what tests alone ask of some
/// crates (tokio's clocks that can be paused), which the binary that is shipped has not.
pub fn kakehi() -> PathBuf {
    std::env::var_os("KAKEHI_BENCH_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_kakehi").into(), PathBuf::from)
}

/// The sozu binary: `KAKEHI_SOZU`, else the cached build with LTO, else the cached plain one.
pub fn sozu() -> PathBuf {
    if let Ok(path) = std::env::var("KAKEHI_SOZU") {
        return path.into();
    }
    let cache = std::env::var("XDG_CACHE_HOME").unwrap_or_else(|_| format!("{}/.cache", std::env::var("HOME").unwrap_or_default()));
    let built = |profile: &str| PathBuf::from(format!("{cache}/kakehi/sozu-2.3.3-{profile}/bin/sozu"));
    let found = [built("lto"), built("release")].into_iter().find(|path| path.exists());
    found.expect("no sozu binary: run `make sozu-lto`, or set KAKEHI_SOZU")
}

/// Pause between two looks for an answer: to ask without pause would take the CPU that a change needs.
const POLL: Duration = Duration::from_micros(500);

/// A running standalone mode with its manifests.
pub struct Rig {
    child: Child,
    directory: tempfile::TempDir,
    /// Where its listeners are.
    pub ports: Ports,
    /// Where its admin port is.
    pub admin: SocketAddr,
}

/// Addresses of the listeners of `manifests::gateway`.
#[derive(Clone, Copy)]
pub struct Ports {
    pub http: SocketAddr,
    pub https: SocketAddr,
    pub relay: SocketAddr,
    pub relay_tls: SocketAddr,
}

impl Rig {
    /// Starts it on manifests that `write` puts into a directory.
    pub async fn start(write: impl FnOnce(&Path, Ports)) -> Self {
        Self::with(&[], write).await
    }

    /// The same with more flags.
    pub async fn with(flags: &[&str], write: impl FnOnce(&Path, Ports)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("config");
        std::fs::create_dir(&config).unwrap();
        std::fs::create_dir(directory.path().join("spool")).unwrap();
        let (admin, ports) = (free_port(), Ports { http: free_port(), https: free_port(), relay: free_port(), relay_tls: free_port() });
        write(&config, ports);
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let child = Command::new(kakehi())
            .args(["--log", "warn", "standalone", "--address", "127.0.0.1", "--admin", &admin.to_string()])
            .arg("--config-dir")
            .arg(&config)
            .arg("--status-dir")
            .arg(directory.path().join("status"))
            .arg("--sozu")
            .arg(sozu())
            .args(flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, directory, ports, admin }
    }

    /// Writes a manifest the way careful tools do: beside the directory, then renamed into it.
    pub fn write(&self, name: &str, text: &str) {
        let spool = self.directory.path().join("spool").join(name);
        std::fs::write(&spool, text).unwrap();
        std::fs::rename(spool, self.directory.path().join("config").join(name)).unwrap();
    }

    /// Polls an address with fresh connections until an answer satisfies `right`.
    pub async fn wait(&self, address: SocketAddr, request: &[u8], limit: Duration, right: impl Fn(&http::Answer) -> bool) {
        let end = Instant::now() + limit;
        let mut received = Vec::new();
        while Instant::now() < end {
            if let Ok(mut stream) = TcpStream::connect(address).await {
                match http::exchange(&mut stream, request, &mut received).await {
                    Ok(answer) if right(&answer) => return,
                    _ => {}
                }
            }
            tokio::time::sleep(POLL).await;
        }
        let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        panic!("no right answer within {limit:?}; the log says:\n{log}");
    }

    /// CPU time that all its processes have used, dead ones not counted.
    pub fn cpu(&self) -> Duration {
        cpu_of_tree(self.child.id().unwrap())
    }

    /// CPU time that its processes have used, by what they are.
    pub fn cpu_by_role(&self) -> BTreeMap<&'static str, Duration> {
        let mut used = BTreeMap::new();
        for pid in tree(self.child.id().unwrap()) {
            *used.entry(role(pid)).or_default() += stat(pid).map_or(Duration::ZERO, |(_, ticks)| Duration::from_millis(ticks * 10));
        }
        used
    }

    /// The processes of that role, a parent before its children: of Sōzu the main process and its workers.
    pub fn pids_of(&self, wanted: &str) -> Vec<u32> {
        tree(self.child.id().unwrap()).into_iter().filter(|pid| role(*pid) == wanted).collect()
    }

    /// A process of that role.
    pub fn pid_of(&self, wanted: &str) -> Option<u32> {
        tree(self.child.id().unwrap()).into_iter().find(|pid| role(*pid) == wanted)
    }

    /// What its processes hold, in MB by what they are: their part of shared pages counted (PSS).
    pub fn memory(&self) -> BTreeMap<&'static str, f64> {
        let mut memory = BTreeMap::new();
        for pid in tree(self.child.id().unwrap()) {
            let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            let kib = rollup.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
            *memory.entry(role(pid)).or_default() += kib.unwrap_or(0.0) / 1024.0;
        }
        memory
    }

    /// Ends it, so that its children end in good order.
    pub async fn stop(mut self) {
        if let Some(pid) = self.child.id().and_then(|id| rustix::process::Pid::from_raw(id as i32)) {
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _status = tokio::time::timeout(Duration::from_secs(25), self.child.wait()).await;
    }
}

/// A loopback address that nobody listens on right now, with a port below those of outgoing connections, so that none of
/// them takes it meanwhile.
pub fn free_port() -> SocketAddr {
    let next = || SocketAddr::from(([127, 0, 0, 1], NEXT.fetch_add(1, Ordering::Relaxed)));
    std::iter::repeat_with(next).take(10_000).find(|address| std::net::TcpListener::bind(address).is_ok()).expect("a free port")
}

static NEXT: AtomicU16 = AtomicU16::new(15_000);

/// CPU time of a process and all its descendants.
pub fn cpu_of_tree(root: u32) -> Duration {
    // Clock ticks of /proc are 1/100 s on every Linux that Rust supports.
    tree(root).into_iter().filter_map(stat).map(|(_, ticks)| Duration::from_millis(ticks * 10)).sum()
}

fn tree(root: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let pids: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok())).collect();
    let parents: BTreeMap<u32, u32> = pids.iter().filter_map(|pid| stat(*pid).map(|(parent, _)| (*pid, parent))).collect();
    let mut found = vec![root];
    let mut at = 0;
    while at < found.len() {
        let parent = found[at];
        found.extend(parents.iter().filter(|(_, known)| **known == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found
}

/// What a process of ours is.
fn role(pid: u32) -> &'static str {
    let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let role = ["standalone", "launch", "edge", "filter"].into_iter().find(|role| line.split('\0').any(|word| word == *role));
    role.unwrap_or("sozu")
}

/// Parent and user plus system ticks of a process.
fn stat(pid: u32) -> Option<(u32, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<_> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some((fields.get(1)?.parse().ok()?, fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?))
}
