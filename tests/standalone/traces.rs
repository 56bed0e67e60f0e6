//! What `kakehi trace` knows of a running instance beyond its snapshot, and how it ends.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use super::client;
use super::quickstart::trace;
use super::rig::{Rig, free_port};

/// Sōzu gives an endpoint up within this.
const LONGEST: Duration = Duration::from_secs(120);

/// A route with two rules for one Service, whose only endpoint is a port where nothing listens: Sōzu serves the one, the filter proxy
/// the other.
const SILENT: &str = "
apiVersion: v1
kind: Service
metadata: {name: silent, namespace: demo}
spec: {ports: [{port: 80, targetPort: PORT}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: silent-1, namespace: demo, labels: {kubernetes.io/service-name: silent}}
addressType: IPv4
ports: [{port: PORT}]
endpoints: [{addresses: [127.0.0.1]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: silent, namespace: demo}
spec:
  parentRefs: [{name: web, sectionName: http}]
  hostnames: [silent.localhost]
  rules:
    - matches: [{path: {value: /native}}]
      backendRefs: [{name: silent, port: 80}]
    - matches: [{path: {value: /hop}, headers: [{name: x, value: there}]}]
      backendRefs: [{name: silent, port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: misnamed, namespace: demo}
spec:
  parentRefs: [{name: web, sectionName: htpp}]
  hostnames: [silent.localhost]
";

#[test]
fn endpoints_that_do_not_answer_are_told_once_something_was_sent_to_them() {
    let port = free_port();
    let rig = Rig::start(&[], |config, _| fs::write(config.join("silent.yaml"), SILENT.replace("PORT", &port.to_string())).unwrap());
    let admin = format!("127.0.0.1:{}", rig.ports.admin);
    let told = |path: &str| {
        let url = format!("http://silent.localhost:{}{path}", rig.ports.http);
        let found = trace(&url, &["--admin", &admin, "-H", "x: there"]);
        let edge = &found["edges"]["demo/web"];
        let apart = &edge["unattached"]["routes"][0];
        assert_eq!((&apart["route"], &apart["reason"]), (&"HTTPRoute/demo/misnamed".into(), &"NoMatchingParent".into()), "{edge:#}");
        (edge["stage"]["by"].clone(), edge["answer"]["forward"]["shares"][0].clone())
    };
    for (path, stage) in [("/native", "native"), ("/hop", "hop")] {
        let (by, share) = told(path);
        assert_eq!((by, share["backend"]["service"].as_str()), (stage.into(), Some("silent")), "{path}");
        if path == "/native" {
            assert_eq!(share["unanswered"], serde_json::Value::Null, "nothing was sent there: {share}");
        }
    }
    let get = |path: &str| client::get(rig.http(), "silent.localhost", path, &[("x", "there")]).unwrap().status;
    for _ in 0..3 {
        assert_eq!(get("/hop"), 503);
    }
    let met = |path: &str, by: &str| {
        let (_, share) = told(path);
        let all = share["unanswered"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|unanswered| unanswered["met"] == by)
    };
    // It pauses longer and longer before it tries again, and gives up after six times.
    let started = Instant::now();
    while met("/native", "sozu").is_none_or(|met| met["available"] != 0 || met["total"] != 1) {
        assert!(started.elapsed() < LONGEST, "Sōzu never gave the endpoint up");
        (0..10).for_each(|_| assert_eq!(get("/native"), 503));
    }
    let by_filter = met("/hop", "filter").unwrap();
    assert_eq!(by_filter["address"], format!("127.0.0.1:{port}"));
    assert!(by_filter["failures"].as_u64() >= Some(3), "{by_filter}");

    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let mut stream = stream.unwrap();
            let _ = std::io::Read::read(&mut stream, &mut [0; 1024]);
            let _ = std::io::Write::write_all(&mut stream, answer.as_bytes());
        }
    });
    rig.eventually("the filter proxy reaches it", || get("/hop") == 200 && met("/hop", "filter").is_none());
}

#[test]
fn the_exit_status_tells_the_answer_when_it_is_asked_for() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/config/standalone");
    let ends = |arguments: &[&str], path: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kakehi"));
        let output = command.args(["trace", "--directory", directory]).args(arguments).arg(path).output().unwrap();
        output.status.code()
    };
    let http = |path: &str| format!("http://demo.localhost:8080{path}");
    let tls = "https://strange.localhost:8443/".to_owned();
    let cases: &[(&[&str], String, i32)] = &[
        (&[], http("/missing"), 0),
        (&["--exit-status"], http("/"), 0),
        (&["--exit-status"], http("/old/a"), 0),
        (&["--exit-status"], "http://nobody.localhost:8080/".to_owned(), 4),
        (&["--exit-status"], http("/missing"), 5),
        (&["-e"], http("/late"), 5),
        (&["-e", "--no-sni"], tls.clone(), 6),
        (&["-e"], "http://demo.localhost:8099/".to_owned(), 6),
        (&["--expect", "forwarded"], http("/split"), 0),
        (&["--expect", "forwarded"], http("/late"), 3),
        (&["--expect", "503"], http("/late"), 0),
        (&["--expect", "301"], http("/old/a"), 0),
        (&["--expect", "302"], http("/old/a"), 3),
        (&["--expect", "none", "--no-sni"], tls, 0),
        (&["--expect", "none"], "http://demo.localhost:8099/".to_owned(), 0),
        (&["--expect", "none"], http("/"), 3),
        (&["--expect", "sometimes"], http("/"), 2),
        (&["--expect", "404", "--exit-status"], http("/"), 2),
    ];
    for (arguments, url, code) in cases {
        assert_eq!(ends(arguments, url), Some(*code), "{arguments:?} {url}");
    }
}
