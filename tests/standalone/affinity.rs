//! `sessionAffinity: ClientIP`: a client's address has one endpoint, whichever stage decides, and keeps it while others come and
//! go.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::client;
use super::rig::{Echo, Rig, free_port};

/// Endpoints: addresses of this machine, since a slice has one port for all.
const ENDPOINTS: std::ops::Range<u8> = 101..106;
/// Clients: the last byte of their addresses.
const CLIENTS: std::ops::Range<u8> = 2..50;

const ROUTE: &str = "
apiVersion: v1
kind: Service
metadata: {name: pool, namespace: demo}
spec: {sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 5}}, ports: [{port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: pool, namespace: demo}
spec:
  parentRefs: [{name: web}]
  hostnames: [pool.localhost]
  rules:
    - {matches: [{path: {value: /alone}}], backendRefs: [{name: pool, port: 80}]}
    - {matches: [{path: {value: /filtered}, headers: [{name: x, value: filtered}]}], backendRefs: [{name: pool, port: 80}]}
";

fn slice(port: u16, endpoints: std::ops::Range<u8>) -> String {
    let endpoints: Vec<_> = endpoints.map(|last| format!("{{addresses: [127.0.0.{last}]}}")).collect();
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: pool-1, namespace: demo, labels: {{kubernetes.io/service-name: pool}}}}\n\
         addressType: IPv4\nports: [{{port: {port}}}]\nendpoints: [{}]\n",
        endpoints.join(", ")
    )
}

/// Who serves a client.
fn ask(rig: &Rig, client: u8, path: &str) -> String {
    let client = Ipv4Addr::new(127, 0, 0, client);
    let answer = client::get_from(client, rig.http(), "pool.localhost", path, &[("x", "filtered")]).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.backend()
}

/// Who serves each client, which is the same for every request and every path.
fn homes(rig: &Rig) -> BTreeMap<u8, String> {
    let home = |client| {
        let answers: BTreeSet<_> = ["/alone", "/filtered", "/alone", "/filtered"].iter().map(|path| ask(rig, client, path)).collect();
        assert_eq!(answers.len(), 1, "client {client} was served by {answers:?}");
        (client, answers.into_iter().next().unwrap())
    };
    CLIENTS.map(home).collect()
}

fn clients_keep_their_endpoints(arguments: &[&str], filtered_only: bool) {
    let port = free_port();
    let names: Vec<_> = ENDPOINTS.map(|last| format!("e{last}")).collect();
    let backends: Vec<_> = ENDPOINTS.zip(&names).map(|(last, name)| (([127, 0, 0, last], port).into(), name.as_str())).collect();
    let _echo = Echo::start(&backends);
    let rig = Rig::start(arguments, |config, _| {
        std::fs::write(config.join("pool.yaml"), ROUTE).unwrap();
        std::fs::write(config.join("pool-slice.yaml"), slice(port, ENDPOINTS)).unwrap();
    });
    rig.eventually("the pool answers", || {
        client::get(rig.http(), "pool.localhost", "/alone", &[]).is_ok_and(|answer| answer.status == 200)
    });
    let plan: serde_json::Value = serde_json::from_str(&rig.admin("/debug/plan").body).unwrap();
    assert_eq!(plan.to_string().contains("\"to\":\"demo/pool:80\""), !filtered_only, "Sōzu decides alone what it can: {plan}");

    let before = homes(&rig);
    let used: BTreeSet<_> = before.values().collect();
    assert!(used.len() >= 4, "clients spread: {before:?}");

    rig.write("pool-slice.yaml", &slice(port, ENDPOINTS.start + 1..ENDPOINTS.end));
    let gone = &names[0];
    let (mover, _) = before.iter().find(|(_, home)| *home == gone).unwrap();
    rig.eventually("the endpoint is gone", || ask(&rig, *mover, "/alone") != *gone && ask(&rig, *mover, "/filtered") != *gone);
    let after = homes(&rig);
    for (client, home) in &before {
        assert_eq!(home != gone, after[client] == *home, "only clients of the endpoint that is gone move");
    }

    // Without affinity requests of one client go everywhere again.
    rig.write("pool.yaml", &ROUTE.replace("sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 5}}, ", ""));
    for path in ["/alone", "/filtered"] {
        let mut seen = BTreeSet::new();
        rig.eventually("one client meets several endpoints", || {
            seen.insert(ask(&rig, 2, path));
            seen.len() > 1
        });
    }
}

#[test]
fn a_client_has_one_endpoint_in_both_stages() {
    clients_keep_their_endpoints(&[], false);
}

#[test]
fn a_client_has_one_endpoint_on_a_relayed_port() {
    clients_keep_their_endpoints(&["--force-relay"], true);
}
