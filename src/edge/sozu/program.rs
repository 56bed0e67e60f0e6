//! Whether the sozu binary can be used, looked at before anything is started with it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// It says its version within this.
const PATIENCE: Duration = Duration::from_secs(10);
/// Characters of an answer that are quoted, at most.
const QUOTED: usize = 80;
/// What helps in every case.
pub(super) const HELP: &str = "install Sōzu, or name its binary by --sozu or KAKEHI_SOZU";

/// Why a binary cannot be used as Sōzu.
#[derive(Debug, thiserror::Error)]
#[error("--sozu {}: {problem}; {HELP}", program.display())]
pub struct Unusable {
    program: PathBuf,
    problem: Problem,
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("no directory of PATH has this program")]
    NotInPath,
    #[error("this file does not exist")]
    Missing,
    #[error("this file is not executable")]
    NotExecutable,
    #[error("it cannot be run: {0}")]
    NotRun(io::Error),
    #[error("with --version it ended with {0}")]
    Ended(ExitStatus),
    #[error("with --version it did not end within {} s", PATIENCE.as_secs())]
    Silent,
    #[error("with --version it said {0:?}, so it is no Sōzu")]
    Other(String),
}

/// Has the binary say its version, as one that is missing, broken or something else does not.
///
/// # Errors
/// Why it cannot be used.
pub async fn check(program: &Path) -> Result<(), Unusable> {
    let unusable = |problem| Unusable { program: program.to_owned(), problem };
    let mut command = Command::new(program);
    command.arg("--version").env_remove("RUST_LOG").stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.map_err(|_| unusable(Problem::Silent))?;
    let output = output.map_err(|error| {
        unusable(match error.kind() {
            io::ErrorKind::NotFound if program.components().count() == 1 => Problem::NotInPath,
            io::ErrorKind::NotFound if !program.exists() => Problem::Missing,
            io::ErrorKind::PermissionDenied => Problem::NotExecutable,
            _ => Problem::NotRun(error),
        })
    })?;
    let said = String::from_utf8_lossy(&output.stdout);
    match output.status.success() {
        false => Err(unusable(Problem::Ended(output.status))),
        true if said.starts_with("sozu ") => Ok(()),
        true => Err(unusable(Problem::Other(said.lines().next().unwrap_or_default().chars().take(QUOTED).collect()))),
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use super::check;

    /// A script, written by another process: one that this process has open for writing while another test forks is busy.
    fn script(directory: &Path, name: &str, text: &str, mode: &str) -> PathBuf {
        let path = directory.join(name);
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"printf '%s' "$1" >"$0" && chmod "$2" "$0""#]).arg(&path).args([text, mode]);
        assert!(shell.status().unwrap().success());
        path
    }

    #[tokio::test]
    async fn what_is_no_sozu_is_told_with_the_flag_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for (program, problem) in [
            (PathBuf::from("sozu-that-is-nowhere"), "no directory of PATH has this program"),
            (at("missing"), "this file does not exist"),
            (script(directory.path(), "plain", "#!/bin/sh\n", "644"), "this file is not executable"),
            (script(directory.path(), "crashing", "#!/bin/sh\nexit 3\n", "755"), "with --version it ended with exit status: 3"),
            (
                script(directory.path(), "other", "#!/bin/sh\necho nginx 1.29\n", "755"),
                "with --version it said \"nginx 1.29\", so it is no Sōzu",
            ),
        ] {
            let told = check(&program).await.unwrap_err().to_string();
            let expected = format!("--sozu {}: {problem}; install Sōzu, or name its binary by --sozu or KAKEHI_SOZU", program.display());
            assert_eq!(told, expected);
        }
        let sozu = script(directory.path(), "sozu", "#!/bin/sh\necho sozu 2.3.3\n", "755");
        check(&sozu).await.unwrap();
    }
}
