//! What the log says of a start, a change, a mistake and its repair, and of a Sōzu that was killed.

use std::process::Command;

use serde_json::Value;

use crate::lifecycle::{begins, children};
use crate::rig::Rig;

/// The lines that have been logged, each of which must be JSON.
fn lines(rig: &Rig) -> Vec<Value> {
    // The last line may not be whole yet.
    let log = rig.log();
    let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn saying<'a>(lines: &'a [Value], message: &'a str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["message"] == message).collect()
}

const MISTAKE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: mistaken, namespace: demo}
spec:
  parentRefs: [{name: web}]
  hostnames: [mistaken.localhost]
  rules: [{backendRefs: [{name: missing, port: 80}]}]
";

#[test]
fn a_start_a_change_a_mistake_and_its_repair_are_told_once_each() {
    let rig = Rig::start(&["--log-format", "json"], |_, _| {});
    let start = lines(&rig).remove(0);
    assert_eq!(start["message"], "Kakehi serves a directory");
    assert_eq!((&start["version"], &start["sozu"]), (&env!("CARGO_PKG_VERSION").into(), &kakehi::edge::sozu::VERSION.into()));
    assert_eq!(start["admin"], format!("127.0.0.1:{}", rig.ports.admin));
    assert!(start["directory"].as_str().unwrap().ends_with("config") && start["gateway_api"].is_string(), "{start}");
    rig.eventually("the change is told", || !saying(&lines(&rig), "applied").is_empty());
    let all = lines(&rig);
    let applied = saying(&all, "applied")[0];
    let listeners = format!("127.0.0.1:{} 127.0.0.1:{}", rig.ports.http, rig.ports.https);
    let mut told: Vec<&str> = applied["listeners"].as_str().unwrap().split(' ').collect();
    told.sort_unstable();
    let mut wanted: Vec<&str> = listeners.split(' ').collect();
    wanted.sort_unstable();
    assert_eq!((told, &applied["edge"], &applied["routes"]), (wanted, &"demo/web".into(), &3.into()), "{applied}");
    assert!(applied["milliseconds"].is_u64() && applied["changes"] == 1, "{applied}");

    rig.write("mistaken.yaml", MISTAKE);
    let message = "Service demo/missing does not exist";
    rig.eventually("the mistake is told", || !saying(&lines(&rig), message).is_empty());
    // Its status flips once more, when edges have it.
    rig.status("HTTPRoute/demo/mistaken.yaml", |text| text.contains("Programmed"));
    rig.write("mistaken.yaml", &MISTAKE.replace("missing", "blue"));
    rig.eventually("the repair is told", || !saying(&lines(&rig), &format!("no longer: {message}")).is_empty());
    let all = lines(&rig);
    let mistakes = saying(&all, message);
    let [mistake] = mistakes.as_slice() else { panic!("{mistakes:?}") };
    assert_eq!((&mistake["object"], &mistake["field"]), (&"HTTPRoute/demo/mistaken".into(), &"rules[0].backendRefs[0]".into()));
    assert_eq!((&mistake["reason"], &mistake["level"]), (&"BackendNotFound".into(), &"ERROR".into()));
}

#[test]
fn a_killed_sozu_is_told_as_its_recovery_is() {
    let rig = Rig::start(&["--log-format", "json"], |_, _| {});
    let up = |rig: &Rig| saying(&lines(rig), "Sōzu is up").len();
    rig.eventually("both are up", || up(&rig) == 2);
    let all = lines(&rig);
    let ended = |line: &Value| line["message"].as_str().is_some_and(|text| text.contains("ended by itself"));
    assert!(!all.iter().any(ended), "nothing ended yet");
    let (victim, _) = children(rig.pid()).into_iter().find(|(_, command)| begins(command, "sozu --config")).unwrap();
    assert!(Command::new("kill").args(["-9", &victim.to_string()]).status().unwrap().success());
    rig.eventually("the end is told", || !saying(&lines(&rig), "Sōzu ended by itself; another one is started").is_empty());
    rig.eventually("the recovery is told", || {
        let all = lines(&rig);
        !saying(&all, "Sōzu is up again").is_empty() && !saying(&all, "Sōzu is in step again").is_empty()
    });
    let all = lines(&rig);
    let again = saying(&all, "Sōzu is in step again")[0];
    assert!(again["edge"] == "demo/web" && ["a", "b"].contains(&again["sozu"].as_str().unwrap()), "{again}");
}

#[test]
fn a_mistyped_level_ends_the_start() {
    let out = Command::new(env!("CARGO_BIN_EXE_kakehi")).args(["--log", "inof", "crds"]).output().unwrap();
    let told = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(2));
    assert!(told.contains("invalid value 'inof' for '--log") && told.contains("\"inof\" is no level: error, warn"), "{told}");
}

/// A pipe that is never read is full after 64 KiB.
#[test]
fn a_standard_error_that_is_never_read_holds_up_nothing() {
    let rig = Rig::start(&["--log", "trace"], |_, _| ());
    let lost = || {
        let page = rig.admin("/metrics").body;
        let line = page.lines().find_map(|line| line.strip_prefix("kakehi_log_lines_lost_total "));
        line.map_or(0.0, |number| number.parse::<f64>().unwrap())
    };
    let deaf = rig.deaf();
    let mut edits = 0;
    while lost() == 0.0 {
        edits += 1;
        assert!(edits < 5_000, "no line is lost");
        rig.write("mistaken.yaml", &MISTAKE.replace("missing", &format!("missing-{edits}")));
    }
    rig.write("mistaken.yaml", &MISTAKE.replace("missing", "blue"));
    let served = || crate::client::get(rig.http(), "mistaken.localhost", "/", &[]).is_ok_and(|answer| answer.status == 200);
    let since = std::time::Instant::now();
    while !served() {
        assert!(since.elapsed() < crate::rig::PATIENCE, "the change is not served");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    drop(deaf);
    rig.eventually("it is told how many lines were lost", || {
        rig.log().contains("lines of this log were lost: standard error was too slow")
    });
}
