//! The screens of a first visit: start, edit, mistake, repair, stop. `first-visit/` has each as the terminal shows it;
//! `KAKEHI_BLESS=1` writes them anew.
//!
//! Placeholders: TIME, PID and MS for what differs each time, VERSION for our own. Ports and paths are those of the quickstart. Lines
//! are in alphabetical order after the first, as processes write side by side. Of the status lines of an object the last one stays, if it
//! says something else than on the screen before: how often a status flips in between is a matter of time.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::rig::{PATIENCE, Rig};

/// What is told only where a process is slow.
const SLOW: &[&str] = &["the filter proxy has not taken a change yet", "the filter proxy takes changes again", "waiting for Sōzu"];
/// When a screen is written anew, so long nothing may be added to it.
const REST: Duration = Duration::from_secs(3);

/// A visit, and how much of the log was on screens already.
struct Visit {
    rig: Rig,
    seen: usize,
    /// The status lines that were shown last.
    statuses: BTreeMap<String, String>,
}

fn golden(screen: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/standalone/first-visit/{screen}.txt"))
}

impl Visit {
    /// What was done, and what the terminal shows since.
    fn screen(&self, done: &str) -> (String, BTreeMap<String, String>) {
        let log = self.rig.log();
        let whole = log[self.seen..].rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().map(|line| self.known(line)).filter(|line| !SLOW.iter().any(|slow| line.contains(slow)));
        let (mut statuses, mut others) = (BTreeMap::new(), Vec::new());
        for line in lines {
            match line.split_once(" status object=").and_then(|(_, rest)| rest.split(' ').next()) {
                Some(object) => drop(statuses.insert(object.to_owned(), line)),
                None => others.push(line),
            }
        }
        statuses.retain(|object, line| self.statuses.get(object) != Some(line));
        others.extend(statuses.values().cloned());
        let first = usize::from(self.seen == 0).min(others.len());
        others[first..].sort();
        (format!("$ {done}\n{}\n", others.join("\n")), statuses)
    }

    /// A line as every run of the quickstart has it.
    fn known(&self, line: &str) -> String {
        let ports = self.rig.ports;
        let pairs = [("8080", ports.http), ("8443", ports.https), ("9101", ports.blue), ("9102", ports.green), ("9901", ports.admin)];
        let line = pairs.iter().fold(line.to_owned(), |line, (to, from)| line.replace(&format!(":{from}"), &format!(":{to}")));
        let line = line.replace(&self.rig.config().display().to_string(), "config/standalone");
        let line = line.replace(&format!("version=\"{}\"", env!("CARGO_PKG_VERSION")), "version=\"VERSION\"");
        let words = line.split(' ').map(|word| match word.split_once('=') {
            Some(("pid", _)) => "pid=PID",
            Some(("milliseconds", _)) => "milliseconds=MS",
            _ if word.len() > 20 && word.starts_with("20") && word.ends_with('Z') => "TIME",
            _ => word,
        });
        words.collect::<Vec<_>>().join(" ")
    }

    /// Has the terminal show what it is to show, and nothing else.
    fn shows(&mut self, screen: &str, done: &str, also: &str) {
        let path = golden(screen);
        let now = |visit: &Self| visit.screen(done).0 + also;
        if std::env::var_os("KAKEHI_BLESS").is_some() {
            let mut before = String::new();
            while before != now(self) {
                before = now(self);
                std::thread::sleep(REST);
            }
            fs::write(path, before).unwrap();
        } else {
            let wanted = fs::read_to_string(&path).unwrap_or_default();
            let mut waited = Duration::ZERO;
            while now(self) != wanted {
                assert!(waited < PATIENCE, "{screen}: `KAKEHI_BLESS=1` accepts\n{}", now(self));
                std::thread::sleep(Duration::from_millis(50));
                waited += Duration::from_millis(50);
            }
        }
        let statuses = self.screen(done).1;
        self.statuses.extend(statuses);
        let log = self.rig.log();
        self.seen = log.rfind('\n').map_or(0, |end| end + 1);
    }
}

#[test]
fn the_terminal_shows_what_a_first_visitor_is_to_see() {
    let rig = Rig::start(&[], |_, _| ());
    let mut visit = Visit { rig, seen: 0, statuses: BTreeMap::new() };
    visit.shows("1-start", "kakehi standalone --config-dir config/standalone --sozu sozu", "");

    let routes = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/standalone/routes.yaml")).unwrap();
    let edited = routes.replace("value: /old", "value: /older");
    visit.rig.write("routes.yaml", &edited);
    visit.shows("2-edit", "sed -i 's,value: /old,value: /older,' config/standalone/routes.yaml", "");
    assert_eq!(visit.rig.get("/older", &[]).status, 301);

    let mistaken = edited.replace("hostnames: [demo", "hostname: [demo");
    visit.rig.write("routes.yaml", &mistaken);
    let check = Command::new(env!("CARGO_BIN_EXE_kakehi")).arg("check").arg(visit.rig.config()).output().unwrap();
    let checked = [check.stdout, check.stderr].map(|text| visit.known(&String::from_utf8(text).unwrap())).concat();
    let checked = format!("$ kakehi check config/standalone; echo $?\n{checked}{}\n", check.status.code().unwrap());
    visit.shows("3-mistake", "sed -i s,hostnames:,hostname:, config/standalone/routes.yaml", &checked);
    assert_eq!(visit.rig.get("/older", &[]).status, 301, "the last good one stays in force");

    visit.rig.write("routes.yaml", &edited);
    visit.shows("4-repair", "sed -i s,hostname:,hostnames:, config/standalone/routes.yaml", "");

    assert!(visit.rig.terminate());
    let code = format!("$ echo $?\n{}\n", visit.rig.exit().unwrap());
    visit.shows("5-stop", "kill %1", &code);
}
