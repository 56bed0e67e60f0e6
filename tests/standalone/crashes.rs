//! A sozu binary that says its version and then crashes: the start fails with a reason where none has ever worked; one that has
//! worked before is tried again for ever.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::lifecycle::{begins, children};
use super::rig::{Rig, sozu};

const RIGHT: &str = include_str!("mistakes/right.yaml");
/// It crashes as a Rust program does.
const CRASHES: &str = "#!/bin/sh
if [ \"$1\" = --version ]; then echo sozu 2.3.3; exit 0; fi
echo 'loading the configuration'
echo 'a library is missing' >&2
exit 101
";
const HELP: &str = "install Sōzu, or name its binary by --sozu or KAKEHI_SOZU";

/// A script, written by another process: one that this process has open for writing while another test forks is busy.
fn script(directory: &Path, text: &str) -> PathBuf {
    let path = directory.join("sozu");
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"printf '%s' "$1" >"$0" && chmod 755 "$0""#]).arg(&path).arg(text);
    assert!(shell.status().unwrap().success());
    path
}

fn told(sozu: &Path, reason: &str) -> String {
    format!(
        "kakehi: --sozu {}: 5 starts in a row failed, the last one because Sōzu ended with {reason}; {HELP}. It printed:\n  loading the configuration\n  a library is missing\n",
        sozu.display()
    )
}

fn run(command: &mut Command) -> Output {
    command.env_remove("KAKEHI_SOZU").stdin(Stdio::null()).output().unwrap()
}

fn kakehi(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kakehi"));
    command.args(arguments);
    command
}

#[test]
fn a_sozu_that_never_works_ends_the_start_with_what_it_said() {
    let directory = tempfile::tempdir().unwrap();
    let manifests = directory.path().join("right");
    fs::create_dir(&manifests).unwrap();
    fs::write(manifests.join("right.yaml"), RIGHT).unwrap();
    for (text, reason) in [(CRASHES.to_owned(), "exit status: 101"), (CRASHES.replace("exit 101", "kill -KILL $$"), "signal: 9 (SIGKILL)")]
    {
        let sozu = script(directory.path(), &text);
        let output = run(kakehi(&["standalone", "--admin=127.0.0.1:0", "--config-dir"]).arg(&manifests).arg("--sozu").arg(&sozu));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.ends_with(&told(&sozu, reason)), "{said}");
        assert_eq!(said.matches("starts in a row failed").count(), 1, "{said}");

        let sozus = directory.path().join(reason.replace(' ', "-"));
        let output = run(kakehi(&["launch", "--dir"]).arg(&sozus).arg("--sozu").arg(&sozu));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.ends_with(&told(&sozu, reason))), (Some(1), true), "{said}");
    }
}

/// A wrapper of the real Sōzu that crashes while a file exists.
#[test]
fn a_sozu_that_has_worked_is_tried_again_until_it_does() {
    let directory = tempfile::tempdir().unwrap();
    let broken = directory.path().join("broken");
    let text = format!(
        "#!/bin/sh\nif [ -e {} ]; then echo 'a library is missing' >&2; exit 101; fi\nexec {} \"$@\"\n",
        broken.display(),
        sozu().display()
    );
    let wrapper = script(directory.path(), &text);
    let mut rig = Rig::start(&["--sozu", &wrapper.display().to_string()], |_, _| ());
    let pids = |part: &str| -> Vec<u32> {
        children(rig.pid()).into_iter().filter(|(_, command)| begins(command, part)).map(|(pid, _)| pid).collect()
    };
    let kill = |pids: &[u32]| {
        assert!(Command::new("kill").arg("-9").args(pids.iter().map(u32::to_string)).status().unwrap().success());
    };
    let failed = || {
        let page = rig.admin("/metrics").body;
        let lines = page.lines().filter(|line| line.starts_with("kakehi_sozu_failed_starts_total{"));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    rig.eventually("both have worked for a while", || pids("sozu --config").len() == 2 && rig.log().matches("Sōzu is up").count() == 2);
    std::thread::sleep(std::time::Duration::from_secs(2));

    fs::write(&broken, "").unwrap();
    kill(&pids("sozu --config")[..1]);
    rig.eventually("it is tried again and again", || failed() >= 6.0);
    assert_eq!(rig.log().matches("Sōzu does not start; tried again").count(), 1, "{}", rig.log());
    assert_eq!(rig.get("/", &[]).status, 200, "the other one serves");

    // Their launcher gives up, and is started again.
    let all: Vec<u32> = pids("kakehi launch").into_iter().chain(pids("sozu --config")).collect();
    kill(&all);
    rig.eventually("the launcher's reason is told", || rig.log().contains("5 starts in a row failed"));
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(rig.log().matches("5 starts in a row failed").count(), 1, "{}", rig.log());
    fs::remove_file(&broken).unwrap();
    rig.eventually("it serves again", || {
        super::client::get(rig.http(), "demo.localhost", "/", &[]).is_ok_and(|answer| answer.status == 200)
    });
    rig.eventually("both are up", || rig.admin("/readyz").status == 200 && pids("sozu --config").len() == 2);
    assert!(rig.alive());
}
