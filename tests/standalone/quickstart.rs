//! Every line of the README's quickstart.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::client;
use super::rig::Rig;

fn quickstart(rig: &Rig) {
    assert_eq!(rig.get("/", &[]).backend(), "blue");
    assert_eq!(rig.get("/", &[("x-color", "green")]).backend(), "green");
    assert_eq!(rig.get("/", &[("x-color", "red")]).backend(), "blue");

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

#[test]
fn the_filter_alone_serves_the_quickstart_too() {
    let rig = Rig::start(&["--force-hop"], |_, _| ());
    quickstart(&rig);
}

#[test]
fn an_edit_is_live_and_a_deleted_route_is_gone() {
    let rig = Rig::start(&[], |_, _| ());
    let routes = fs::read_to_string(rig.config().join("routes.yaml")).unwrap();
    assert_eq!(rig.get("/new-path", &[]).backend(), "blue");
    rig.write(
        "routes.yaml",
        &routes.replace(
            "- name: blue\n          port: 80\n    - matches:\n        - headers",
            "- name: green\n          port: 80\n    - matches:\n        - headers",
        ),
    );
    rig.eventually("the edit is live", || rig.get("/new-path", &[]).backend() == "green");
    rig.remove("routes.yaml");
    rig.eventually("the routes are gone", || rig.get("/", &[]).status == 404);
    rig.write("routes.yaml", &routes);
    rig.eventually("the routes are back", || rig.get("/", &[]).status == 200);
}
