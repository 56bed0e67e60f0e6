//! Whether the processes of an edge take part in serving: each is probed once a second, through the path that requests take.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, atomic::AtomicBool};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// How often a process is probed, and how long the answer may take.
pub(super) const PROBE: Duration = Duration::from_secs(1);
/// So many probes without an answer make an edge not ready: others may be better.
pub(super) const SUSPECT: u32 = 2;
/// So many make the process one to replace.
pub(super) const LOST: u32 = 5;
/// So many, when it computes all the while: it may be taking in a large configuration.
pub(super) const BUSY: u32 = 20;

/// The processes that are probed, as metrics and logs name them.
pub(super) const SOZU: &str = "sozu";
pub(super) const WORKER: &str = "sozu-worker";
pub(super) const FILTER: &str = "filter";

/// What is known of one process.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    misses: AtomicU32,
    hangs: AtomicU64,
    told: AtomicBool,
}

/// What is known of all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Pulses {
    /// Sōzu's main process, of each twin.
    pub sozu: [Arc<Pulse>; 2],
    /// The workers of both.
    pub worker: Arc<Pulse>,
    /// The filter proxy.
    pub filter: Arc<Pulse>,
}

impl Pulse {
    /// Notes a probe of the process called `name`; how many in a row went without an answer.
    pub(super) fn note(&self, answered: bool, name: &str) -> u32 {
        if answered {
            self.misses.store(0, Relaxed);
            if self.told.swap(false, Relaxed) {
                tracing::info!(process = name, "answers again");
            }
            return 0;
        }
        let misses = self.misses.fetch_add(1, Relaxed).saturating_add(1);
        if misses == SUSPECT {
            self.told.store(true, Relaxed);
            tracing::warn!(process = name, misses, "does not answer");
        }
        if misses == LOST {
            self.hangs.fetch_add(1, Relaxed);
        }
        misses
    }

    /// A new process takes the place of the one before.
    pub(super) fn renew(&self) {
        self.misses.store(0, Relaxed);
    }

    /// The process is gone. One that was suspect hung, and was ended by another process of ours, which had waited for longer.
    pub(super) fn gone(&self) {
        if (SUSPECT..LOST).contains(&self.misses.swap(0, Relaxed)) {
            self.hangs.fetch_add(1, Relaxed);
        }
    }

    /// How many probes in a row went without an answer.
    pub(super) fn misses(&self) -> u32 {
        self.misses.load(Relaxed)
    }

    /// Whether requests may be sent its way.
    pub(super) fn is_well(&self) -> bool {
        self.misses.load(Relaxed) < SUSPECT
    }

    /// How often it was found hanging.
    pub(super) fn hangs(&self) -> u64 {
        self.hangs.load(Relaxed)
    }
}

impl Pulses {
    /// How often processes hung, by name.
    pub(super) fn hangs(&self) -> [(&'static str, u64); 3] {
        let mains = self.sozu.iter().map(|pulse| pulse.hangs()).sum();
        [(SOZU, mains), (WORKER, self.worker.hangs()), (FILTER, self.filter.hangs())]
    }
}

/// Nanoseconds for which a process has run; none when it is gone, or the system does not say.
pub(super) fn ran(pid: i32) -> Option<u64> {
    let path = PathBuf::from(format!("/proc/{pid}/schedstat"));
    std::fs::read_to_string(path).ok()?.split_whitespace().next()?.parse().ok()
}

/// Ends a process that hangs. It takes nothing that could wake it, so only the kernel can.
pub(super) fn kill(pid: i32, name: &str) {
    tracing::error!(process = name, pid, "hangs; killed, to be replaced");
    if let Some(id) = Pid::from_raw(pid)
        && let Err(error) = kill_process(id, Signal::KILL)
    {
        tracing::debug!(pid, %error, "it is gone already");
    }
}

#[cfg(test)]
mod tests {
    use super::{LOST, Pulse, SUSPECT, ran};

    #[test]
    fn two_misses_are_suspect_and_five_are_a_hang_once() {
        let pulse = Pulse::default();
        assert_eq!(pulse.note(false, "x"), 1);
        assert!(pulse.is_well());
        for misses in SUSPECT..=LOST + 2 {
            assert_eq!(pulse.note(false, "x"), misses);
            assert!(!pulse.is_well());
        }
        assert_eq!(pulse.hangs(), 1);
        assert_eq!(pulse.note(true, "x"), 0);
        assert!(pulse.is_well());
        pulse.gone();
        assert_eq!(pulse.hangs(), 1, "it answered until it went");
        for _ in 0..SUSPECT {
            pulse.note(false, "x");
        }
        pulse.gone();
        assert_eq!(pulse.hangs(), 2);
    }

    #[test]
    fn a_process_that_computes_is_seen_to() {
        let own = i32::try_from(std::process::id()).unwrap();
        let before = ran(own).unwrap();
        let mut sum = 0_u64;
        while ran(own) == Some(before) {
            sum = sum.wrapping_add(1);
        }
        assert!(ran(own).unwrap() > before && sum < u64::MAX);
        assert_eq!(ran(i32::MAX), None);
    }
}
