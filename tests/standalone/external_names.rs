//! Services of type ExternalName: requests follow what DNS says.

use serde_json::Value;

use super::client;
use super::dns::Server;
use super::rig::{Echo, Rig};

const ROUTE: &str = "
apiVersion: v1
kind: Service
metadata: {name: outside, namespace: demo}
spec: {type: ExternalName, externalName: app.test}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: outside, namespace: demo}
spec:
  parentRefs: [{name: web}]
  hostnames: [outside.localhost]
  rules:
    - {matches: [{path: {value: /alone}}], backendRefs: [{name: outside, port: 9101}]}
    - {matches: [{path: {value: /filtered}, headers: [{name: x, value: filtered}]}], backendRefs: [{name: outside, port: 9101}]}
";

fn start(arguments: &[&str]) -> Rig {
    Rig::start(arguments, |config, ports| {
        std::fs::write(config.join("outside.yaml"), super::rig::replace_ports(ROUTE, ports)).unwrap();
    })
}

/// Who answers, or the status.
fn ask(rig: &Rig, path: &str) -> String {
    let answer = client::get(rig.http(), "outside.localhost", path, &[("x", "filtered")]).unwrap();
    if answer.status != 200 {
        return answer.status.to_string();
    }
    // Gateway API: the backend is sent the client's host, whatever the Service is called outside.
    assert_eq!(answer.json()["host"], "outside.localhost", "{answer:?}");
    answer.backend()
}

fn findings(rig: &Rig, object: &str) -> String {
    let report: Value = serde_json::from_str(&rig.admin("/debug/report").body).unwrap();
    let of_object = report["objects"].as_array().unwrap().iter().find(|entry| entry["object"] == object);
    of_object.map(|entry| entry["findings"].to_string()).unwrap_or_default()
}

#[test]
fn requests_follow_the_name() {
    let dns = Server::start();
    dns.says("app.test", &["127.0.0.1"], 0);
    let server = dns.address.to_string();
    let rig = start(&["--allow-external-names", "--nameserver", &server]);
    // The first answer was waited for.
    for path in ["/alone", "/filtered"] {
        assert_eq!(ask(&rig, path), "blue");
    }

    let _moved = Echo::start(&[(([127, 0, 0, 77], rig.ports.blue).into(), "moved")]);
    dns.says("app.test", &["127.0.0.77"], 0);
    for path in ["/alone", "/filtered"] {
        rig.eventually("requests go where the name leads", || match ask(&rig, path).as_str() {
            "moved" => true,
            before => {
                assert_eq!(before, "blue", "none fails in between");
                false
            }
        });
    }

    dns.fails("app.test");
    rig.eventually("the Service is told", || findings(&rig, "Service/demo/outside").contains("its last addresses are used"));
    assert_eq!(ask(&rig, "/alone"), "moved");

    // What it says next is no address of a backend.
    dns.says("app.test", &["169.254.169.254"], 0);
    rig.eventually("special addresses are refused", || findings(&rig, "Service/demo/outside").contains("link-local addresses are refused"));
    for path in ["/alone", "/filtered"] {
        rig.eventually("nobody is there", || ask(&rig, path) == "503");
    }
}

#[test]
fn without_the_switch_they_are_refused() {
    let rig = start(&[]);
    assert_eq!(ask(&rig, "/alone"), "500");
    assert!(findings(&rig, "HTTPRoute/demo/outside").contains("of type ExternalName, which is not allowed here"));
}
