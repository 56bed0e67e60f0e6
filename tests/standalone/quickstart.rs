//! Every line of the README's quickstart.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client;
use super::rig::Rig;

fn quickstart(rig: &Rig) {
    assert_eq!(rig.get("/", &[]).backend(), "blue");
    assert_eq!(rig.get("/color", &[("x-color", "green")]).backend(), "green");
    assert_eq!(rig.get("/color", &[("x-color", "red")]).backend(), "blue");

    let split = |name: &str| (0..200).filter(|_| rig.get("/split", &[]).backend() == name).count();
    let blue = split("blue");
    assert!((130..190).contains(&blue), "80 % of 200 requests, got {blue}");

    let redirect = rig.get("/old/page?q=1", &[]);
    assert_eq!(redirect.status, 301);
    let location = format!("http://demo.localhost:{}/new/page?q=1", rig.ports.http);
    assert_eq!(redirect.header("location"), Some(location.as_str()));

    let rewritten = rig.get("/api/v1/users?q=1", &[]).json();
    assert_eq!(rewritten["name"], "green");
    assert_eq!(rewritten["path"], "/v1/users?q=1");
    let headers = rewritten["headers"].as_array().unwrap();
    assert!(headers.contains(&serde_json::json!(["x-via", "kakehi"])), "{headers:?}");

    assert_eq!(rig.get("/missing", &[]).status, 500);
    assert_eq!(rig.get("/late", &[]).status, 503);
    assert_eq!(client::get(rig.http(), "nobody.localhost", "/", &[]).unwrap().status, 404);

    let roots = fs::read(rig.config().join("demo-ca.crt")).unwrap();
    let https = ([127, 0, 0, 1], rig.ports.https).into();
    assert_eq!(client::get_tls(https, "one.localhost", &roots).unwrap().backend(), "blue");
    assert_eq!(client::get_tls(https, "two.localhost", &roots).unwrap().backend(), "green");
}

#[test]
fn every_line_of_the_quickstart_holds() {
    let rig = Rig::start(&[], |_, _| ());
    quickstart(&rig);

    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/samples/late-endpoints.yaml");
    let written = Instant::now();
    rig.write("late-endpoints.yaml", &fs::read_to_string(sample).unwrap());
    rig.eventually("the late Service answers", || rig.get("/late", &[]).status == 200);
    assert!(written.elapsed() < Duration::from_secs(1), "live within a second, took {:?}", written.elapsed());
    rig.remove("late-endpoints.yaml");
    rig.eventually("the late Service is gone again", || rig.get("/late", &[]).status == 503);
}

/// `kakehi trace` of a URL by these arguments, as JSON.
pub fn trace(url: &str, arguments: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kakehi"));
    let output = command.args(["trace", url, "--output", "json"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_trace_says_what_happens() {
    let rig = Rig::start(&[], |_, _| ());
    let (admin, directory) = (format!("127.0.0.1:{}", rig.ports.admin), rig.config());
    let url = |path: &str| format!("http://demo.localhost:{}{path}", rig.ports.http);
    let stage = |path: &str| trace(&url(path), &["--admin", &admin])["edges"]["demo/web"]["stage"]["by"].clone();
    assert_eq!((stage("/api/v1/users"), stage("/split")), ("native".into(), "hop".into()));
    for (path, headers, status) in [
        ("/color", &[("x-color", "green")][..], 200),
        ("/api/v1/users?q=1", &[], 200),
        ("/old/page?q=1", &[], 301),
        ("/missing", &[], 500),
        ("/late", &[], 503),
    ] {
        let lines: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let with = |source: [&str; 2]| -> Value {
            let flags = lines.iter().flat_map(|line| ["-H", line]);
            trace(&url(path), &source.into_iter().chain(flags).collect::<Vec<_>>())
        };
        let mut found = with(["--admin", &admin]);
        let said = found["edges"]["demo/web"].as_object_mut().unwrap().remove("acknowledged").unwrap();
        let said = said.as_array().unwrap();
        assert!(said.len() >= 2 && said.iter().all(|said| said["state"] == "acknowledged"), "{path}: {said:?}");
        assert_eq!(found, with(["--directory", directory.to_str().unwrap()]), "{path}");
        let answer = &found["edges"]["demo/web"]["answer"];
        let served = rig.get(path, headers);
        assert_eq!(served.status, status, "{path}");
        match status {
            200 => assert_eq!(answer["forward"]["shares"][0]["backend"]["service"], *served.backend(), "{answer}"),
            301 => assert_eq!(answer["redirect"]["location"].as_str(), served.header("location"), "{answer}"),
            _ => assert_eq!(answer["forward"]["shares"][0]["fails"]["status"], status, "{answer}"),
        }
    }
    let stranger = trace(&format!("http://nobody.localhost:{}/", rig.ports.http), &["--admin", &admin, "--edge", "demo/web"]);
    assert_eq!(stranger["edges"]["demo/web"]["answer"]["status"]["status"], 404);
}

#[test]
fn a_trace_says_what_the_edge_refused() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    let rig = Rig::start(&[], |config, _| {
        let gateway = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: { name: taken, namespace: demo }\n";
        let spec = format!("spec: {{ gatewayClassName: kakehi, listeners: [{{ name: http, port: {port}, protocol: HTTP }}] }}\n");
        fs::write(config.join("taken.yaml"), format!("{gateway}{spec}")).unwrap();
    });
    let admin = format!("127.0.0.1:{}", rig.ports.admin);
    let found = trace(&format!("http://a.localhost:{port}/"), &["--admin", &admin]);
    let said = &found["edges"]["demo/taken"]["acknowledged"];
    assert_eq!((&said[0]["resource"], &said[0]["state"]), (&"listener http".into(), &"refused".into()), "{found}");
    assert!(said[0]["reason"].as_str().unwrap().contains("another process"), "{said}");
    let nameless = trace(&format!("https://one.localhost:{}/", rig.ports.https), &["--admin", &admin, "--no-sni"]);
    assert_eq!(nameless["edges"]["demo/web"]["answer"]["closed"]["why"], "noServerName", "Sōzu drops such clients: {nameless}");
}

#[test]
fn the_filter_alone_serves_the_quickstart_too() {
    let rig = Rig::start(&["--force-hop"], |_, _| ());
    quickstart(&rig);
}

#[test]
fn relayed_ports_serve_the_quickstart_too() {
    let rig = Rig::start(&["--force-relay"], |_, _| ());
    quickstart(&rig);
    let plan = rig.admin("/debug/plan").body;
    assert!(plan.contains("every port is relayed") && plan.contains("\"vhosts\": {}"), "{plan}");
}

#[test]
fn an_edit_is_live_and_a_deleted_route_is_gone() {
    let rig = Rig::start(&[], |_, _| ());
    let routes = fs::read_to_string(rig.config().join("routes.yaml")).unwrap();
    assert_eq!(rig.get("/new-path", &[]).backend(), "blue");
    rig.write(
        "routes.yaml",
        &routes.replace(
            "- name: blue\n          port: 80\n    - matches:\n        - path: {type: PathPrefix, value: /color}",
            "- name: green\n          port: 80\n    - matches:\n        - path: {type: PathPrefix, value: /color}",
        ),
    );
    rig.eventually("the edit is live", || rig.get("/new-path", &[]).backend() == "green");
    rig.remove("routes.yaml");
    rig.eventually("the routes are gone", || rig.get("/", &[]).status == 404);
    rig.write("routes.yaml", &routes);
    rig.eventually("the routes are back", || rig.get("/", &[]).status == 200);
}

#[test]
fn statuses_say_what_the_data_plane_acknowledged() {
    let rig = Rig::start(&[], |_, _| ());
    let gateway = rig.status("Gateway/demo/web.yaml", |text| text.contains("type: Programmed") && !text.contains("Pending"));
    let gateway: serde_json::Value = serde_saphyr::from_str(&gateway).unwrap();
    assert_eq!(gateway["status"]["addresses"][0]["value"], "127.0.0.1");
    assert_eq!(condition(&gateway["status"], "Programmed")["status"], "True");
    let http = &gateway["status"]["listeners"][0];
    assert_eq!((http["name"].as_str(), http["attachedRoutes"].as_i64()), (Some("http"), Some(1)));

    let route = rig.status("HTTPRoute/demo/demo.yaml", |text| text.contains("kakehi.dev/Programmed") && !text.contains("Pending"));
    let route: serde_json::Value = serde_saphyr::from_str(&route).unwrap();
    let parent = &route["status"]["parents"][0];
    assert_eq!(condition(parent, "Accepted")["status"], "True");
    assert_eq!(condition(parent, "ResolvedRefs")["reason"], "BackendNotFound");
    assert_eq!(condition(parent, "kakehi.dev/Programmed")["status"], "True");
}

fn condition<'a>(of: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    let conditions = of["conditions"].as_array().unwrap_or_else(|| panic!("no conditions: {of}"));
    conditions.iter().find(|condition| condition["type"] == name).unwrap_or_else(|| panic!("no {name}: {of}"))
}

#[test]
fn both_stages_answer_errors_alike() {
    let answers = |arguments: &[&str]| {
        let rig = Rig::start(arguments, |_, _| ());
        let of = |target: &str, host: &str| {
            let answer = client::get(rig.http(), host, target, &[]).unwrap();
            (answer.status, answer.header("content-type").map(str::to_owned), answer.body)
        };
        [of("/late", "demo.localhost"), of("/missing", "demo.localhost"), of("/", "nobody.localhost")]
    };
    let native = answers(&[]);
    assert_eq!(native[0], (503, Some("text/plain; charset=utf-8".to_owned()), "503 Service Unavailable".to_owned()));
    assert_eq!(native, answers(&["--force-hop"]));
    assert_eq!(native, answers(&["--force-relay"]));
}
