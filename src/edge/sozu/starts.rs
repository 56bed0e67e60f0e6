//! How the starts of Sōzu go. A binary that has never worked is given up after some crashes: it is the wrong one, or lacks something.
//! One that has worked is started again for ever.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

use super::{Error, SpawnSettings, output};

/// Name of the file in Sōzu's directory that says how many starts have failed, for the metrics of the supervisor.
const FAILED_STARTS: &str = "failed-starts";
/// So many failed starts in a row, the first of them this long ago at most, are enough.
const ENOUGH: (u32, Duration) = (5, Duration::from_secs(30));
/// Lines of Sōzu's last words that are quoted, at most.
const LINES: usize = 5;

/// Every start of Sōzu has failed.
#[derive(Debug, thiserror::Error)]
#[error("--sozu {}: {times} starts in a row failed, the last one because {reason}; {}{}", program.display(), super::program::HELP, quoted(said))]
pub struct GivenUp {
    program: PathBuf,
    times: u32,
    reason: String,
    /// What it printed last.
    said: Vec<String>,
}

fn quoted(said: &[String]) -> String {
    if said.is_empty() { "; it printed nothing".to_owned() } else { format!(". It printed:\n  {}", said.join("\n  ")) }
}

/// The starts of one Sōzu.
#[derive(Debug)]
pub(super) struct Starts {
    program: PathBuf,
    dir: PathBuf,
    /// Whether any Sōzu of this launcher has worked.
    proven: Arc<AtomicBool>,
    /// Starts that failed in a row, and when the first of them did.
    row: Option<(u32, Instant)>,
    /// All that have failed here, those of launchers before included.
    failed: u64,
}

impl Starts {
    /// Of a Sōzu. `proven` is shared with its siblings.
    pub(super) fn new(settings: &SpawnSettings, proven: Arc<AtomicBool>) -> Self {
        Self { program: settings.program.clone(), dir: settings.dir.clone(), proven, row: None, failed: read(&settings.dir) }
    }

    /// It works.
    pub(super) fn works(&mut self) {
        self.proven.store(true, Relaxed);
        self.row = None;
    }

    /// A start has failed.
    ///
    /// # Errors
    /// When that was enough.
    pub(super) fn fail(&mut self, error: &Error) -> Result<(), GivenUp> {
        self.failed += 1;
        if let Err(error) = write(&self.dir.join(FAILED_STARTS), self.failed) {
            tracing::debug!(%error, "cannot write how many starts of Sōzu have failed");
        }
        // What hangs is no crash: a machine may be that slow.
        if self.proven.load(Relaxed) || matches!(error, Error::NotUp(_)) {
            return Ok(());
        }
        let (times, first) = self.row.filter(|(_, first)| first.elapsed() < ENOUGH.1).unwrap_or_else(|| (0, Instant::now()));
        let times = times + 1;
        self.row = Some((times, first));
        if times < ENOUGH.0 {
            return Ok(());
        }
        let (program, said) = (self.program.clone(), output::last(&self.dir, LINES));
        Err(GivenUp { program, times, reason: error.to_string(), said })
    }
}

/// How many starts of the Sōzu with this command socket have failed, as far as its launcher has said.
pub fn failed_starts(command: &Path) -> u64 {
    command.parent().map(read).unwrap_or_default()
}

fn read(dir: &Path) -> u64 {
    std::fs::read_to_string(dir.join(FAILED_STARTS)).ok().and_then(|text| text.trim().parse().ok()).unwrap_or_default()
}

fn write(path: &Path, number: u64) -> io::Result<()> {
    // As a whole: it is read at any time.
    let beside = path.with_extension("new");
    std::fs::write(&beside, number.to_string())?;
    std::fs::rename(beside, path)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    use tokio::time::advance;

    use super::{Starts, failed_starts};
    use crate::edge::Capacity;
    use crate::edge::sozu::{Error, SpawnSettings};

    fn starts(dir: &Path, proven: &Arc<AtomicBool>) -> Starts {
        let settings = SpawnSettings {
            program: "/bin/sozu".into(),
            dir: dir.to_owned(),
            log_level: "error".to_owned(),
            budget: Capacity::default().launched(),
        };
        Starts::new(&settings, proven.clone())
    }

    fn crash() -> Error {
        Error::Ended("signal: 11".to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_binary_that_has_never_worked_is_given_up_and_one_that_has_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let proven = Arc::<AtomicBool>::default();
        let mut first = starts(dir.path(), &proven);
        for _ in 0..4 {
            first.fail(&crash()).unwrap();
            first.fail(&Error::NotUp("no worker is running".to_owned())).unwrap();
        }
        std::fs::write(dir.path().join("output.log"), "one\ntwo\n").unwrap();
        let told = first.fail(&crash()).unwrap_err().to_string();
        let expected = "--sozu /bin/sozu: 5 starts in a row failed, the last one because Sōzu ended with signal: 11; install Sōzu, or name its \
                        binary by --sozu or KAKEHI_SOZU. It printed:\n  one\n  two";
        assert_eq!(told, expected);
        assert_eq!(failed_starts(&dir.path().join("command.sock")), 9);

        let mut slow = starts(dir.path(), &proven);
        for _ in 0..20 {
            slow.fail(&crash()).unwrap();
            advance(Duration::from_secs(8)).await;
        }
        assert_eq!(slow.failed, 29, "it goes on counting");

        let (mut one, mut sibling) = (starts(dir.path(), &proven), starts(dir.path(), &proven));
        sibling.works();
        for _ in 0..20 {
            one.fail(&crash()).unwrap();
        }
    }
}
