//! What a process uses, as the system counts it.

use std::path::Path;
use std::sync::OnceLock;

use rustix::param::{clock_ticks_per_second, page_size};
use tracing_appender::non_blocking::ErrorCounter;

/// Lines of this process's log that were lost.
static LOST: OnceLock<ErrorCounter> = OnceLock::new();

/// Says where lost lines of the log are counted.
pub fn count_lost_lines(counter: ErrorCounter) {
    LOST.get_or_init(|| counter);
}

/// Lines of the log that this process has lost because standard error was too slow.
pub fn lost_lines() -> u64 {
    LOST.get().map_or(0, |lost| lost.dropped_lines() as u64)
}

/// What some processes use together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Seconds of CPU, in user and system mode.
    pub cpu_seconds: f64,
    /// Bytes of memory that are resident.
    pub resident_bytes: u64,
    /// Open file descriptors; 0 where they may not be counted.
    pub open_files: u64,
    /// When the oldest of them started, in seconds since the Unix epoch.
    pub started: f64,
}

impl Usage {
    /// Of this process.
    pub fn own() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// Of one process; none when it is gone, or in another container.
    pub fn of(pid: u32) -> Option<Self> {
        Self::below(Path::new("/proc"), pid)
    }

    /// Of several, as far as they are there.
    pub fn sum(pids: impl IntoIterator<Item = u32>) -> Option<Self> {
        pids.into_iter().filter_map(Self::of).reduce(|all, one| Self {
            cpu_seconds: all.cpu_seconds + one.cpu_seconds,
            resident_bytes: all.resident_bytes + one.resident_bytes,
            open_files: all.open_files + one.open_files,
            started: all.started.min(one.started),
        })
    }

    fn below(proc: &Path, pid: u32) -> Option<Self> {
        let of = proc.join(pid.to_string());
        let stat = std::fs::read_to_string(of.join("stat")).ok()?;
        // The name is in parentheses and may have anything inside. The state follows, the third field.
        let (_, rest) = stat.rsplit_once(')')?;
        let field = |number: usize| rest.split_whitespace().nth(number - 3)?.parse::<u64>().ok();
        let (user, system, start, pages) = (field(14)?, field(15)?, field(22)?, field(24)?);
        let ticks = clock_ticks_per_second() as f64;
        let booted = std::fs::read_to_string(proc.join("stat")).ok()?;
        let booted: u64 = booted.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        Some(Self {
            cpu_seconds: (user + system) as f64 / ticks,
            resident_bytes: pages * page_size() as u64,
            open_files: std::fs::read_dir(of.join("fd")).map_or(0, |entries| entries.count() as u64),
            started: booted as f64 + start as f64 / ticks,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::Usage;

    #[test]
    fn a_process_knows_what_it_uses() {
        let busy: u64 = (0..5_000_000).map(std::hint::black_box).sum();
        let usage = Usage::own().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        assert!(busy > 0 && usage.cpu_seconds < 10_000.0 && usage.resident_bytes > 1 << 20 && usage.open_files >= 3, "{usage:?}");
        assert!(usage.started > now - 3600.0 && usage.started < now + 5.0, "{usage:?} at {now}");
        let both = Usage::sum([std::process::id(), std::process::id(), u32::MAX]).unwrap();
        assert!(both.resident_bytes > usage.resident_bytes && both.started == usage.started);
        assert_eq!(Usage::of(u32::MAX), None);
    }

    #[test]
    fn a_name_with_spaces_and_parentheses_is_no_field() {
        let proc = tempfile::tempdir().unwrap();
        let of = proc.path().join("7");
        std::fs::create_dir_all(of.join("fd")).unwrap();
        let ticks = rustix::param::clock_ticks_per_second();
        let fields = format!("7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 {ticks} {ticks} 13 14 15 16 17 18 {ticks} 20 3 22");
        std::fs::write(of.join("stat"), fields).unwrap();
        std::fs::write(proc.path().join("stat"), "cpu 1 2\nbtime 100\n").unwrap();
        let usage = Usage::below(proc.path(), 7).unwrap();
        let pages = 3 * rustix::param::page_size() as u64;
        assert_eq!(usage, Usage { cpu_seconds: 2.0, resident_bytes: pages, open_files: 0, started: 101.0 });
    }
}
