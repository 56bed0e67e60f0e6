//! Hosts of Ingresses without a usable certificate: they are answered under no other one, in any stage.

use serde_json::{Value, json};

use super::blind::met;
use super::ingress::{World, backend, ingress, rule, secret};

/// What clients that take any certificate meet: (server name, also the host; natively and by hop; relayed).
const TABLE: [(&str, &str, &str); 11] = [
    ("shop.test", "blue", "blue"),
    // No tls, a Secret that is not there, one that holds no certificate.
    ("plain.test", "421", "nothing"),
    ("missing.test", "421", "nothing"),
    ("broken.test", "421", "nothing"),
    // One host of a wildcard is named for a certificate, the others are not.
    ("named.half.test", "blue", "blue"),
    ("other.half.test", "421", "nothing"),
    ("a.wild.test", "blue", "blue"),
    // Its own namespace has no certificate for it, and another one's wildcard certificate is not its.
    ("own.wild.test", "421", "421"),
    // Hosts of no rule: the default backend of `demo` has no certificate for them.
    ("any.test", "421", "nothing"),
    ("late.test", "421", "nothing"),
    ("b.a.wild.test", "421", "nothing"),
];

fn world(arguments: &[&str]) -> World {
    let world = World::start(arguments);
    let (shop, _) = secret("demo", "shop", &["shop.test", "plain.test"]);
    let (wild, _) = secret("demo", "wild", &["*.wild.test"]);
    let mut broken = shop.clone();
    broken["metadata"]["name"] = json!("broken");
    broken["stringData"]["tls.crt"] = json!("-----BEGIN CERTIFICATE-----\nMIIBCgKCAQEA\n-----END CERTIFICATE-----\n");
    let of = |name: &str, host: &str, tls: Value| {
        ingress("demo", name, json!({"tls": tls, "rules": [rule(host, &[("Prefix", "/app", "green"), ("Prefix", "/", "blue")])]}))
    };
    let tls = |host: &str, secret: &str| json!([{"hosts": [host], "secretName": secret}]);
    let idle = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "idle", "namespace": "other"}, "spec": {"ports": [{"port": 80}]}});
    world.hold(
        "objects",
        vec![
            shop,
            wild,
            broken,
            idle,
            of("shop", "shop.test", tls("shop.test", "shop")),
            of("plain", "plain.test", json!([])),
            of("missing", "missing.test", tls("missing.test", "none")),
            of("broken", "broken.test", tls("broken.test", "broken")),
            of("half", "*.half.test", tls("named.half.test", "shop")),
            of("wild", "*.wild.test", tls("*.wild.test", "wild")),
            ingress("other", "own", json!({"rules": [rule("own.wild.test", &[("Prefix", "/", "idle")])]})),
            ingress("demo", "default", json!({"defaultBackend": backend("green")})),
        ],
    );
    world
}

fn check(world: &World, relayed: bool) {
    for (host, read, relay) in TABLE {
        let expected = if relayed { relay } else { read };
        assert_eq!(met(world, host), expected, "{host}, relayed: {relayed}");
    }
}

#[test]
fn hosts_without_a_certificate_are_answered_under_no_other() {
    let world = world(&[]);
    world.rig.eventually("the certificates are shown", || met(&world, "shop.test") == "blue" && met(&world, "a.wild.test") == "blue");
    check(&world, false);
    // With a certificate a host is answered, and without it no more.
    let late = ingress(
        "demo",
        "late",
        json!({"tls": [{"hosts": ["late.test"], "secretName": "shop"}], "rules": [rule("late.test", &[("Prefix", "/", "blue")])]}),
    );
    world.hold("late", vec![late]);
    world.rig.eventually("a host with a certificate is answered", || met(&world, "late.test") == "blue");
    world.rig.remove("late.yaml");
    world.rig.eventually("without it no more", || met(&world, "late.test") == "421");
    world.relay();
    world.rig.eventually("the port is relayed", || {
        world.rig.admin("/debug/plan").body.contains("every port is relayed") && met(&world, "plain.test") == "nothing"
    });
    check(&world, true);
    world.rig.write("class.yaml", super::ingress::CLASS);
    world.rig.eventually("the port is read again", || met(&world, "plain.test") == "421");
    check(&world, false);
}

#[test]
fn hosts_without_a_certificate_are_refused_by_the_filter_proxy_too() {
    let world = world(&["--force-hop"]);
    world.rig.eventually("the certificates are shown", || met(&world, "shop.test") == "blue" && met(&world, "a.wild.test") == "blue");
    check(&world, false);
}
