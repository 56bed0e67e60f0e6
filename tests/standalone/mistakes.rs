//! What people get wrong in manifests. `mistakes/told.txt` has for each mistake what `kakehi check` prints and what the status of the
//! object says, or how an object without conditions is told; `mistakes/logged.txt` what a running instance logs, and what its report has.
//! `KAKEHI_BLESS=1` writes both anew.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use kakehi::store::kinds::{self, Told};
use serde_json::Value;

use super::rig::{Rig, free_port, replace_ports};

/// What is right: a Gateway, a Service with an endpoint, and classes of ours.
const RIGHT: &str = include_str!("mistakes/right.yaml");
/// Each mistake is a document of its own, with its name and the file that it is written to before it: `### NAME FILE`.
const MISTAKES: &str = include_str!("mistakes/mistakes.yaml");
/// At least so many kinds of mistakes are told.
const LEAST: usize = 40;
/// What is told only where a process is slow.
const SLOW: &[&str] = &["the filter proxy has not taken a change yet", "waiting for Sōzu"];
/// When the texts are written anew, everything about a mistake is told within this.
const REST: Duration = Duration::from_secs(2);

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

fn golden(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/standalone/mistakes").join(file)
}

/// Compares with the golden text, or writes it anew.
fn compare(file: &str, found: &str) {
    if std::env::var_os("KAKEHI_BLESS").is_some() {
        return fs::write(golden(file), found).unwrap();
    }
    assert_eq!(found, fs::read_to_string(golden(file)).unwrap(), "`KAKEHI_BLESS=1` accepts it");
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

/// The conditions of an object, but those that wait for an edge.
fn conditions(object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut of = |place: &str, holder: &Value| {
        for condition in holder["conditions"].as_array().into_iter().flatten() {
            let field = |name: &str| condition[name].as_str().unwrap();
            if field("reason") != "Pending" {
                found.push(format!("{place}{}={} {}: {}", field("type"), field("status"), field("reason"), field("message")));
            }
        }
    };
    let status = &object["status"];
    of("", status);
    for listener in status["listeners"].as_array().into_iter().flatten() {
        of(&format!("listener {} ", listener["name"].as_str().unwrap()), listener);
    }
    for parent in status["parents"].as_array().into_iter().flatten() {
        of(&format!("parent {} ", parent["parentRef"]["name"].as_str().unwrap()), parent);
    }
    found
}

/// How the status of an object tells what is wrong with it, or what else tells it.
fn stated(object: &str, refused: bool, statuses: &[Value]) -> Vec<String> {
    let (kind, rest) = object.split_once('/').unwrap();
    let is = |value: &&Value| {
        let (namespace, name) = (value["metadata"]["namespace"].as_str(), value["metadata"]["name"].as_str().unwrap());
        value["kind"] == kind && rest == namespace.map_or(name.to_owned(), |namespace| format!("{namespace}/{name}"))
    };
    let conditions = statuses.iter().find(is).map(conditions).unwrap_or_default();
    match kinds::table().find(|row| row.kind.name() == kind).map(|row| row.told) {
        _ if !conditions.is_empty() => conditions,
        _ if refused => vec!["none: the manifest is refused, on a cluster by the API server".to_owned()],
        Some(Told::Conditions) => vec!["none: no object of ours; the log, the report and `check` tell it".to_owned()],
        Some(Told::Events) => vec!["none: on a cluster an Event tells it".to_owned()],
        Some(Told::Elsewhere) => vec!["none: the objects that name it tell it".to_owned()],
        None => panic!("{object} is of no kind"),
    }
}

/// Objects of which something is told, and whether their manifests are refused.
fn objects(lines: &[String], page: &Value) -> BTreeMap<String, bool> {
    let word =
        |line: &String| line.split_whitespace().nth(1).filter(|word| word.contains('/')).map(|word| word.trim_end_matches(':').to_owned());
    let refused = page["refused"].as_array().into_iter().flatten().filter(|refusal| refusal["severity"] == "Error");
    let refused: Vec<_> = refused.filter_map(|refusal| refusal["object"].as_str()).collect();
    lines.iter().filter_map(word).map(|object| (object.clone(), refused.contains(&object.as_str()))).collect()
}

#[test]
fn every_mistake_is_told_by_check_and_status_in_these_words() {
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
        lines.iter().for_each(|line| writeln!(found, "check {line}").unwrap());
        let translated = Command::new(env!("CARGO_BIN_EXE_kakehi")).arg("translate").arg(directory.path()).output().unwrap().stdout;
        let page: Value = serde_saphyr::from_str(std::str::from_utf8(&translated).unwrap()).unwrap();
        let statuses = page["objects"].as_array().unwrap();
        for (object, refused) in objects(&lines, &page) {
            stated(&object, refused, statuses).iter().for_each(|line| writeln!(found, "status {object} {line}").unwrap());
        }
    }
    assert!(mistakes().len() >= LEAST, "{} mistakes", mistakes().len());
    compare("told.txt", &found);
}

/// The lines of a golden text that begin with a word, by mistake.
fn known(file: &str, word: &str) -> BTreeMap<String, Vec<String>> {
    let golden = fs::read_to_string(golden(file)).unwrap();
    let of = |part: &str| {
        let (head, lines) = part.split_once('\n').unwrap();
        let lines = lines.lines().filter_map(|line| line.strip_prefix(word)).map(str::to_owned).collect();
        (head.split(": exit").next().unwrap().to_owned(), lines)
    };
    golden.split("# ").skip(1).map(of).collect()
}

/// What the log and the report of an instance say of a mistake, as the golden text has it.
fn running(rig: &Rig, before: usize, messages: &[String]) -> String {
    let mut lines = Vec::new();
    let log = rig.log();
    for line in log[before..].rsplit_once('\n').map_or("", |(whole, _)| whole).lines() {
        let line = quickstart(line, rig).split_once(' ').unwrap().1.trim_start().to_owned();
        let told = messages.iter().any(|message| line.contains(message)) && !line.contains("no longer: ");
        if !SLOW.iter().any(|slow| line.contains(slow)) && (told || line.starts_with("ERROR") || line.starts_with("WARN")) {
            lines.push(format!("log {line}"));
        }
    }
    let page: Value = serde_json::from_str(&rig.admin("/debug/report").body).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for refusal in page["refused"].as_array().into_iter().flatten() {
        let [file, severity, message] = ["file", "severity", "message"].map(|field| text(&refusal[field]));
        lines.push(format!("report {severity} {file}:{} {}: {message}", refusal["line"], text(&refusal["object"])));
    }
    for object in page["objects"].as_array().into_iter().flatten() {
        for finding in object["findings"].as_array().unwrap() {
            let [at, severity, reason, message] = ["at", "severity", "reason", "message"].map(|field| text(&finding[field]));
            lines.push(quickstart(&format!("report {severity} {} {at}: {reason}: {message}", text(&object["object"])), rig));
        }
    }
    lines.sort();
    lines.join("\n") + "\n"
}

/// With the ports of the quickstart.
fn quickstart(text: &str, rig: &Rig) -> String {
    let ports = [(rig.ports.http, "8080"), (rig.ports.https, "8443"), (rig.ports.blue, "9101"), (rig.ports.green, "9102")];
    ports.iter().fold(text.to_owned(), |text, (here, there)| text.replace(&here.to_string(), there))
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
    let (checked, stated, logged) = (known("told.txt", "check "), known("told.txt", "status "), golden_parts());
    let (blesses, mut found) = (std::env::var_os("KAKEHI_BLESS").is_some(), String::new());
    for Mistake { name, file, text } in mistakes() {
        let messages: Vec<String> = checked[name].iter().map(|line| message(line)).collect();
        let before = rig.log().len();
        rig.write(file, text);
        if blesses {
            std::thread::sleep(REST);
        } else {
            let wanted = &logged[name];
            rig.eventually(&format!("{name}: {wanted}"), || running(&rig, before, &messages) == *wanted);
        }
        for line in &stated[name] {
            stays(&rig, line);
        }
        assert_eq!(rig.get("/", &[]).status, 200, "{name}");
        assert!(rig.alive(), "{name}: {}", rig.log());
        write!(found, "# {name}\n{}", running(&rig, before, &messages)).unwrap();
        rig.remove(file);
        rig.eventually(&format!("{name} is forgotten"), || !rig.admin("/debug/report").body.contains("mistake"));
    }
    assert!(!rig.log().contains("panicked"), "{}", rig.log());
    compare("logged.txt", &found);
}

/// What of a line of `check` the log and the report have too.
fn message(line: &str) -> String {
    let mark = [": error: ", ": warning: ", ": note: "].iter().find_map(|mark| line.split_once(mark));
    mark.unwrap().1.to_owned()
}

fn golden_parts() -> BTreeMap<String, String> {
    let golden = fs::read_to_string(golden("logged.txt")).unwrap_or_default();
    let parts = golden.split("# ").skip(1).map(|part| part.split_once('\n').unwrap());
    parts.map(|(name, lines)| (name.to_owned(), lines.to_owned())).collect()
}

/// The status of a running instance says what `kakehi translate` says before anything is served.
fn stays(rig: &Rig, line: &str) {
    let (object, rest) = line.split_once(' ').unwrap();
    if rest.starts_with("none: ") {
        return;
    }
    let file = format!("{object}.yaml");
    rig.status(&file, |text| {
        let object: Value = serde_saphyr::from_str(text).unwrap_or_default();
        conditions(&object).iter().any(|condition| quickstart(condition, rig) == rest)
    });
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
