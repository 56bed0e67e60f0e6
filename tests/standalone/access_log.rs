//! The access log as a user sees it: one format for what Sōzu answers alone, for the hop and for relayed ports.

use serde_json::Value;

use crate::client;
use crate::rig::Rig;

/// The lines that name this path, as JSON.
fn lines(rig: &Rig, path: &str) -> Vec<Value> {
    let log = rig.log();
    let all = log.lines().filter(|line| line.starts_with("{\"time\"")).map(|line| serde_json::from_str::<Value>(line).expect(line));
    all.filter(|line| line["path"] == path).collect()
}

#[test]
fn both_stages_log_a_request_once_and_alike() {
    let rig = Rig::start(&["--access-log", "json"], |_, _| {});
    // `/` is Sōzu's alone, `/split` is decided by the filter proxy.
    rig.eventually("both stages serve", || rig.get("/native", &[]).status == 200 && rig.get("/split", &[]).status == 200);
    let ask = |target: &str, agent: &str| {
        let headers = [("user-agent", agent), ("authorization", "Bearer hidden"), ("x-request-id", "id-1")];
        rig.get(target, &headers).status
    };
    let nasty = "a\"b\\c {\"status\":500}";
    for _ in 0..3 {
        assert_eq!(ask("/native/one?token=hidden", nasty), 200);
        assert_eq!(ask("/split/one?token=hidden", nasty), 200);
    }
    assert_eq!(client::get(rig.http(), "nobody.localhost", "/nobody", &[]).unwrap().status, 404);
    let paths = ["/native/one", "/split/one", "/nobody"];
    rig.eventually("Sōzu's record is read to its end", || paths.map(|path| lines(&rig, path).len()) == [3, 3, 1]);
    let (native, filtered) = (lines(&rig, "/native/one").remove(0), lines(&rig, "/split/one").remove(0));
    for line in [&native, &filtered] {
        assert_eq!((&line["edge"], &line["client"], &line["method"]), (&"demo/web".into(), &"127.0.0.1".into(), &"GET".into()), "{line}");
        assert_eq!((&line["scheme"], &line["host"], &line["status"]), (&"http".into(), &"demo.localhost".into(), &200.into()), "{line}");
        assert_eq!((&line["route"], &line["userAgent"]), (&"HTTPRoute/demo/demo".into(), &nasty.into()), "{line}");
        assert!(line["backend"].as_str().unwrap().starts_with("demo/") && line["milliseconds"].as_f64().unwrap() < 10_000.0, "{line}");
        assert!(line["bytesIn"].as_u64().unwrap() > 50 && line["bytesOut"].as_u64().unwrap() > 50, "{line}");
        assert!(line.get("query").is_none() && line.get("requestId").is_none(), "{line}");
    }
    assert_eq!((&native["stage"], &filtered["stage"]), (&"native".into(), &"filtered".into()));
    let keys = |line: &Value| line.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&native), keys(&filtered), "one format");
    let nobody = lines(&rig, "/nobody").remove(0);
    assert_eq!((&nobody["status"], nobody.get("route")), (&404.into(), None), "{nobody}");
    assert!(!rig.log().contains("hidden"), "neither queries nor credentials");
    let page = rig.admin("/metrics").body;
    for stage in ["native", "filtered"] {
        assert!(
            page.contains(&format!("kakehi_access_log_lines_total{{edge=\"demo/web\",stage=\"{stage}\",result=\"dropped\"}} 0\n")),
            "{page}"
        );
    }
}

#[test]
fn fields_are_chosen_and_relayed_ports_log_too() {
    let arguments = ["--access-log", "text", "--access-log-fields", "client,path,query,requestId,stage", "--force-relay"];
    let rig = Rig::start(&arguments, |_, _| {});
    rig.eventually("it serves", || rig.get("/", &[]).status == 200);
    assert_eq!(rig.get("/relayed?a=b", &[("x-request-id", "id 1")]).status, 200);
    let wanted = "stage=filtered client=127.0.0.1 path=/relayed query=\"a=b\" requestId=\"id 1\"\n";
    rig.eventually("the line", || rig.log().contains(wanted));
}

#[test]
fn without_being_asked_nothing_is_logged() {
    let rig = Rig::start(&[], |_, _| {});
    rig.eventually("it serves", || rig.get("/quiet", &[]).status == 200);
    assert!(!rig.log().contains("/quiet"));
}

#[test]
fn output_that_nobody_reads_holds_up_no_request() {
    let rig = Rig::start(&["--access-log", "json"], |_, _| {});
    rig.eventually("it serves", || rig.get("/split", &[]).status == 200);
    let dropped = || {
        let page = rig.admin("/metrics").body;
        let start = "kakehi_access_log_lines_total{edge=\"demo/web\",stage=\"filtered\",result=\"dropped\"} ";
        page.lines().find_map(|line| line.strip_prefix(start)).unwrap().parse::<u64>().unwrap()
    };
    let deaf = rig.deaf();
    // A pipe takes 64 KiB, and 4 MiB of lines wait.
    let long = format!("/split/{}", "x".repeat(1500));
    let mut asked = 0;
    while dropped() == 0 {
        asked += 500;
        assert!(asked <= 20_000, "no bound");
        for _ in 0..500 {
            assert_eq!(rig.get(&long, &[("user-agent", &long)]).status, 200);
        }
    }
    assert_eq!(rig.get("/", &[]).status, 200);
    drop(deaf);
    rig.eventually("it is told", || rig.log().contains("lines of the access log were dropped: standard output was too slow"));
    assert_eq!(rig.get("/split/after", &[]).status, 200);
    rig.eventually("it goes on", || lines(&rig, "/split/after").len() == 1);
}

#[test]
fn the_last_lines_are_written_before_the_end() {
    let mut rig = Rig::start(&["--access-log", "json"], |_, _| {});
    rig.eventually("both stages serve", || rig.get("/", &[]).status == 200 && rig.get("/split", &[]).status == 200);
    for _ in 0..5 {
        assert_eq!((rig.get("/last", &[]).status, rig.get("/split/last", &[]).status), (200, 200));
    }
    assert!(rig.terminate());
    rig.eventually("all is logged", || lines(&rig, "/last").len() == 5 && lines(&rig, "/split/last").len() == 5);
}
