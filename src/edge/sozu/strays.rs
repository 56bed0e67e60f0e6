//! Processes of a Sōzu that outlive what they belong to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

/// Workers end with their main process, but now and then one misses its death (seen about once in thirty kills), and would
/// share our ports for ever. They have `within` to end by themselves.
pub(super) async fn end_strays(dir: &Path, within: Duration) {
    let since = Instant::now();
    while since.elapsed() < within {
        if strays(dir).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for pid in strays(dir) {
        tracing::warn!(?pid, "a worker outlived Sōzu's main process");
        end_stray(pid);
    }
}

/// Ends a process now.
pub(super) fn end_stray(pid: Pid) {
    if let Err(error) = kill_process(pid, Signal::KILL) {
        tracing::debug!(?pid, %error, "it is gone already");
    }
}

/// Workers of processes that were started in this directory.
pub(super) fn strays(dir: &Path) -> Vec<Pid> {
    use std::os::unix::ffi::OsStrExt;
    let ours = [b"TMPDIR=", dir.as_os_str().as_bytes()].concat();
    let has = |file: PathBuf, word: &[u8]| std::fs::read(file).is_ok_and(|text| text.split(|byte| *byte == 0).any(|held| held == word));
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid
            && has(entry.path().join("cmdline"), b"worker")
            && has(entry.path().join("environ"), &ours)
        {
            found.push(pid);
        }
    }
    found
}
