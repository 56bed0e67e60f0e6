//! What people get wrong in manifests: `kakehi check` tells each mistake with file and line, and a running instance says the same in its
//! log and its report. `mistakes/told.txt` has the exact words; `KAKEHI_BLESS=1`
//! writes it anew.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::rig::{Rig, free_port, replace_ports};

/// What is right: a Gateway, a Service with an endpoint, and classes of ours.
const RIGHT: &str = include_str!("mistakes/right.yaml");
/// Each mistake is a document of its own, with its name and the file that it is written to before it: `### NAME FILE`.
const MISTAKES: &str = include_str!("mistakes/mistakes.yaml");
/// At least so many kinds of mistakes are told.
const LEAST: usize = 40;

struct Mistake {
    name: &'static str,
    file: &'static str,
    text: &'static str,
}

fn mistakes() -> Vec<Mistake> {
    let parts = MISTAKES.split("### ").skip(1);
    let mistake = |part: &'static str| {
        let (head, text) = part.split_once('\n').unwrap();
        let (name, file) = head.rsplit_once(' ').unwrap();
        Mistake { name, file, text }
    };
    parts.map(mistake).collect()
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/standalone/mistakes/told.txt")
}

fn check(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kakehi")).arg("check").arg(directory).args(arguments).output().unwrap()
}

/// What `kakehi check` prints of a directory, without the directory, and how it exits.
fn told(directory: &Path) -> (Vec<String>, i32) {
    let output = check(directory, &[]);
    let printed = String::from_utf8(output.stdout).unwrap().replace(&format!("{}/", directory.display()), "");
    (printed.lines().map(str::to_owned).collect(), output.status.code().unwrap())
}

#[test]
fn every_mistake_is_told_by_check_in_these_words() {
    let mut found = String::new();
    for Mistake { name, file, text } in mistakes() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("right.yaml"), RIGHT).unwrap();
        assert_eq!(told(directory.path()), (Vec::new(), 0), "the rest is right");
        fs::write(directory.path().join(file), text).unwrap();
        let (lines, code) = told(directory.path());
        assert!(!lines.is_empty(), "{name}: nothing is told");
        assert_eq!(lines.iter().any(|line| line.contains(": error: ")), code == 1, "{name}: exit {code} of {lines:?}");
        writeln!(found, "# {name}: exit {code}").unwrap();
        lines.iter().for_each(|line| writeln!(found, "{line}").unwrap());
    }
    assert!(mistakes().len() >= LEAST, "{} mistakes", mistakes().len());
    if std::env::var_os("KAKEHI_BLESS").is_some() {
        return fs::write(golden(), found).unwrap();
    }
    assert_eq!(found, fs::read_to_string(golden()).unwrap(), "`KAKEHI_BLESS=1` accepts it");
}

/// Of each mistake by its name: the messages that `check` has.
fn messages() -> BTreeMap<String, Vec<String>> {
    let golden = fs::read_to_string(golden()).unwrap();
    let mut messages = BTreeMap::new();
    for part in golden.split("# ").skip(1) {
        let (head, lines) = part.split_once('\n').unwrap();
        let message =
            |line: &str| [": error: ", ": warning: ", ": note: "].iter().find_map(|mark| Some(line.split_once(mark)?.1.to_owned()));
        messages.insert(head.rsplit_once(": exit").unwrap().0.to_owned(), lines.lines().filter_map(message).collect());
    }
    messages
}

#[test]
fn every_mistake_is_told_by_a_running_instance_and_hurts_nobody_else() {
    let [first, second] = [free_port(), free_port()].map(|port| port.to_string());
    let ports = ["--ingress-http-port", first.as_str(), "--ingress-https-port", second.as_str()];
    let mut rig = Rig::start(&ports, |config, ports| {
        for entry in fs::read_dir(config).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        fs::write(config.join("right.yaml"), replace_ports(RIGHT, ports)).unwrap();
    });
    rig.eventually("what is right is served", || rig.get("/", &[]).status == 200);
    let messages = messages();
    for Mistake { name, file, text } in mistakes() {
        let before = rig.log().len();
        rig.write(file, text);
        for message in &messages[name] {
            let message = replace_ports(message, rig.ports);
            rig.eventually(&format!("{name} is in the log and in the report: {message}"), || {
                let report = rig.admin("/debug/report").body;
                let in_report = serde_json::from_str::<Value>(&report).is_ok_and(|report| holds(&report, &message));
                in_report && rig.log()[before..].contains(&message)
            });
        }
        assert_eq!(rig.get("/", &[]).status, 200, "{name}");
        assert!(rig.alive(), "{name}: {}", rig.log());
        rig.remove(file);
        rig.eventually(&format!("{name} is forgotten"), || !rig.admin("/debug/report").body.contains("mistake"));
    }
    assert!(!rig.log().contains("panicked"), "{}", rig.log());
}

/// Whether a text of the report ends with the message; of a manifest it begins with the field.
fn holds(value: &Value, message: &str) -> bool {
    match value {
        Value::String(text) => text.contains(message),
        Value::Array(items) => items.iter().any(|item| holds(item, message)),
        Value::Object(fields) => fields.values().any(|value| holds(value, message)),
        _ => false,
    }
}

#[test]
fn check_says_the_same_to_programs() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("right.yaml"), RIGHT).unwrap();
    let typo = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: mistake, namespace: demo}\nspec:\n  parentRefs:\n  - name: web\n  - name: wbe\n";
    fs::write(directory.path().join("typo.yaml"), typo).unwrap();
    let file = directory.path().join("typo.yaml").display().to_string();

    let output = check(directory.path(), &["--output", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let page: Value = serde_json::from_slice(&output.stdout).unwrap();
    let problem = serde_json::json!({
        "file": file, "line": 7, "object": "HTTPRoute/demo/mistake", "field": "spec.parentRefs[1]", "severity": "Error",
        "reason": "NotFound", "message": "no Gateway demo/wbe; Gateways: demo/web",
    });
    assert_eq!(page, serde_json::json!({"version": 1, "errors": 1, "warnings": 0, "problems": [problem]}));

    let output = check(directory.path(), &["--output", "sarif"]);
    assert_eq!(output.status.code(), Some(1));
    let page: Value = serde_json::from_slice(&output.stdout).unwrap();
    let result = &page["runs"][0]["results"][0];
    assert_eq!((&result["ruleId"], &result["level"]), (&"NotFound".into(), &"error".into()));
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!((&place["artifactLocation"]["uri"], &place["region"]["startLine"]), (&file.into(), &7.into()));

    // A warning alone is no failure, unless it is to be one.
    fs::write(directory.path().join("typo.yaml"), typo.replace("\n  - name: wbe", "").replace("name: mistake", "name: fine")).unwrap();
    assert_eq!(told(directory.path()), (Vec::new(), 0));
    fs::write(
        directory.path().join("class.yaml"),
        "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: nginx}\nspec: {controller: k8s.io/ingress-nginx}\n",
    )
    .unwrap();
    assert_eq!(check(directory.path(), &[]).status.code(), Some(0));
    assert_eq!(check(directory.path(), &["--strict"]).status.code(), Some(1));
}

#[test]
fn translate_prints_the_same_each_time() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/standalone");
    let translate = || Command::new(env!("CARGO_BIN_EXE_kakehi")).arg("translate").arg(&config).output().unwrap().stdout;
    let first = translate();
    // Times of conditions have a second.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    assert!(!first.is_empty() && first == translate());
}
