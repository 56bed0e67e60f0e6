//! Certificates as people have them, from OpenSSL, EasyRSA, cert-manager and Windows (`tests/certificates`): what each is judged
//! to be, and what Sōzu and the filter proxy show of it.

use std::net::SocketAddr;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

use super::blind;
use super::ingress::{World, ingress, rule};
use super::rig::free_port;

const GATEWAY: &str = "gateway.networking.k8s.io/v1";

/// Shapes that are served: how many certificates clients are shown, and what else is said of it.
const SERVED: [(&str, usize, &str); 17] = [
    ("pkcs8-rsa", 1, ""),
    ("pkcs1-rsa", 1, ""),
    ("sec1-with-parameters", 1, ""),
    ("pkcs8-p384", 1, ""),
    ("ed25519", 1, ""),
    ("chain", 2, ""),
    ("chain-with-root", 3, ""),
    ("chain-root-before-intermediate", 3, ""),
    ("chain-leaf-twice", 2, ""),
    ("easyrsa-text", 2, ""),
    ("windows-crlf", 2, ""),
    ("windows-mark", 2, ""),
    ("bag-attributes", 2, ""),
    ("key-in-both", 2, ""),
    ("no-last-newline", 1, ""),
    ("expired", 1, "certificate demo/expired has expired"),
    ("other-names", 3, "certificate demo/other-names does not name other-names.test"),
];

/// Shapes that cannot be served, and what is said of each.
const REFUSED: [(&str, &str); 15] = [
    ("root-first", "tls.key belongs to block 3 of tls.crt; the server's certificate must be the first"),
    ("glued", LOST),
    ("indented", LOST),
    (
        "trusted-label",
        "tls.crt has 1 certificates, but only 0 can be read: each \"-----BEGIN CERTIFICATE-----\" must stand alone on its line",
    ),
    ("garbage-second", "block 2 of tls.crt is no readable certificate; all of the chain must be"),
    ("request", "tls.crt holds no readable certificate"),
    ("binary", "tls.crt holds no readable certificate"),
    (
        "version1",
        "tls.crt is an X.509 certificate of an old version, which TLS libraries refuse; version 3 is needed (as with subject alternative names)",
    ),
    ("p521", UNSUPPORTED),
    ("rsa1024", UNSUPPORTED),
    ("dsa", UNSUPPORTED),
    ("encrypted-pkcs8", "tls.key is encrypted; it must be a key without a password"),
    ("encrypted-traditional", "tls.key is encrypted; it must be a key without a password"),
    ("other-key", "tls.key does not belong to tls.crt"),
    ("no-key", "tls.key holds no readable private key"),
];
const LOST: &str = "tls.crt has 2 certificates, but only 1 can be read: each \"-----BEGIN CERTIFICATE-----\" must stand alone on its line";
const UNSUPPORTED: &str = "tls.key holds a private key of a kind that is not supported; RSA of 2048 to 8192 bits, ECDSA with P-256 or \
                           P-384, and Ed25519 are";

/// The content of a shape's file. That of another shape stands in where only the name differs.
fn file(shape: &str, name: &str) -> Vec<u8> {
    let shape = if shape == "other-names" { "chain-with-root" } else { shape };
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates").join(shape).join(name)).unwrap()
}

fn secret(shape: &str) -> Value {
    let data = |name: &str| BASE64_STANDARD.encode(file(shape, name));
    let metadata = json!({"name": shape, "namespace": "demo"});
    let data = json!({"tls.crt": data("tls.crt"), "tls.key": data("tls.key")});
    json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": metadata, "data": data})
}

fn of_host(shape: &str) -> Value {
    let host = format!("{shape}.test");
    ingress("demo", shape, json!({"tls": [{"hosts": [host], "secretName": shape}], "rules": [rule(&host, &[("Prefix", "/", "blue")])]}))
}

fn names() -> impl Iterator<Item = &'static str> {
    SERVED.iter().map(|(shape, ..)| *shape).chain(REFUSED.iter().map(|(shape, _)| *shape))
}

/// Those of listeners: a certificate that is named by two of a port has it relayed, whatever the profile says.
fn of_listeners() -> impl Iterator<Item = &'static str> {
    names().filter(|shape| *shape != "other-names")
}

/// A Gateway of its own, with a listener for each shape; its port is the World's second.
fn gateway(port: u16, profile: &str) -> String {
    let listener = |shape: &str| {
        let tls = json!({"certificateRefs": [{"name": shape}]});
        json!({"name": shape, "port": port, "protocol": "HTTPS", "hostname": format!("{shape}.test"), "tls": tls})
    };
    let listeners: Vec<_> = of_listeners().map(listener).collect();
    let parameters = json!({"group": "kakehi.dev", "kind": "EdgeProfile", "name": "shapes"});
    let class = json!({"controllerName": "kakehi.dev/gateway-controller"});
    let spec = json!({"gatewayClassName": "shapes", "listeners": listeners, "infrastructure": {"parametersRef": parameters}});
    let backends = json!([{"backendRefs": [{"name": "blue", "port": 80}]}]);
    let route = json!({"parentRefs": [{"name": "shapes"}], "rules": backends});
    let object = |version: &str, kind: &str, spec: Value| {
        json!({"apiVersion": version, "kind": kind, "metadata": {"name": "shapes", "namespace": "demo"}, "spec": spec}).to_string()
    };
    let mut objects =
        vec![json!({"apiVersion": GATEWAY, "kind": "GatewayClass", "metadata": {"name": "shapes"}, "spec": class}).to_string()];
    objects.push(object("kakehi.dev/v1alpha1", "EdgeProfile", serde_saphyr::from_str(profile).unwrap()));
    objects.push(object(GATEWAY, "Gateway", spec));
    objects.push(object(GATEWAY, "HTTPRoute", route));
    objects.join("\n---\n")
}

/// What clients are shown of a shape: its certificates as they are written. The filter proxy shows what the chain repeats, Sōzu
/// does not.
fn chain(shape: &str, stage: &str) -> Vec<CertificateDer<'static>> {
    let text = String::from_utf8_lossy(&file(shape, "tls.crt")).replace('\u{feff}', "");
    let mut chain: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes()).map(|der| der.unwrap().into_owned()).collect();
    if stage != "relayed" {
        chain.dedup();
    }
    chain
}

/// `refused`: what clients meet at hosts whose certificates cannot be served, of Ingresses and of listeners. A listener without a
/// certificate is none, so that its host is one that the port does not know; that of an Ingress is known, and misdirected.
fn check((world, of_gateway): (&World, SocketAddr), stage: &str, refused: [&str; 2]) {
    for (address, refused) in [world.https, of_gateway].into_iter().zip(refused) {
        for (shape, count, _) in SERVED.into_iter().filter(|(shape, ..)| address == world.https || of_listeners().any(|one| one == *shape))
        {
            let host = format!("{shape}.test");
            let shown = blind::shown(address, &host).unwrap();
            let count = count + usize::from(shape == "chain-leaf-twice" && stage == "relayed");
            assert!(
                shown == chain(shape, stage) && shown.len() == count,
                "{stage}: {shape} at {address} shows {} certificates",
                shown.len()
            );
            assert_eq!(blind::met_at(address, &host), "blue", "{stage}: {shape}");
        }
        for (shape, _) in REFUSED {
            assert_eq!(blind::met_at(address, &format!("{shape}.test")), refused, "{stage}: {shape} at {address}");
            let shown = blind::shown(address, &format!("{shape}.test")).unwrap_or_default();
            assert!(shown.iter().all(|der| !ours(der)), "{stage}: {shape} is shown a certificate of another");
        }
    }
}

/// Whether a certificate is of one of the shapes.
fn ours(der: &CertificateDer<'_>) -> bool {
    SERVED.iter().any(|(shape, ..)| chain(shape, "native").first() == Some(der))
}

fn judged(world: &World) {
    for (shape, _, remark) in SERVED {
        let expected = if remark.is_empty() { Vec::new() } else { vec![format!("spec.tls[0].secretName {remark}")] };
        assert_eq!(world.findings(&format!("Ingress/demo/{shape}")), expected, "{shape}");
    }
    for (shape, problem) in REFUSED {
        let expected = format!("spec.tls[0].secretName certificate demo/{shape}: {problem}");
        assert_eq!(world.findings(&format!("Ingress/demo/{shape}")), [expected], "{shape}");
    }
    let is_whole = |text: &str| text.matches("attachedRoutes: 1").count() == of_listeners().count() && text.contains("reason: Programmed");
    let status: Value = serde_saphyr::from_str(&world.rig.status("Gateway/demo/shapes.yaml", is_whole)).unwrap();
    let listeners = status["status"]["listeners"].as_array().unwrap();
    let condition = |shape: &str, of: &str| {
        let listener = listeners.iter().find(|listener| listener["name"] == shape).unwrap();
        let all = listener["conditions"].as_array().unwrap();
        let one = all.iter().find(|one| one["type"] == of).unwrap();
        let text = |field: &str| one[field].as_str().unwrap().to_owned();
        (text("status"), text("reason"), text("message"))
    };
    for (shape, _, remark) in SERVED.into_iter().filter(|(shape, ..)| of_listeners().any(|one| one == *shape)) {
        let (status, reason, message) = condition(shape, "ResolvedRefs");
        assert_eq!((&*status, &*reason), ("True", "ResolvedRefs"), "{shape}");
        // That a certificate has ended is said where it is named.
        assert!(!remark.contains("expired") || message.contains(remark), "{shape}: {message}");
        assert_eq!(condition(shape, "Programmed").0, "True", "{shape}");
    }
    for (shape, problem) in REFUSED {
        let (status, reason, message) = condition(shape, "ResolvedRefs");
        assert_eq!((&*status, &*reason), ("False", "InvalidCertificateRef"), "{shape}");
        assert!(message.contains(&format!("certificate demo/{shape}: {problem}")), "{shape}: {message}");
        assert_eq!(condition(shape, "Programmed").0, "False", "{shape}");
    }
}

#[test]
fn certificates_as_people_have_them_are_served_or_refused_alike_in_every_stage() {
    let world = World::start(&[]);
    let port = free_port();
    let of_gateway = SocketAddr::from(([127, 0, 0, 1], port));
    world.hold("shapes", names().map(secret).chain(names().map(of_host)).collect());
    world.rig.write("gateway-shapes.yaml", &gateway(port, "{}"));
    let is_blue = |address, shape: &&str| blind::met_at(address, &format!("{shape}.test")) == "blue";
    let all = || {
        let served = |shape: &&str| SERVED.iter().any(|(one, ..)| one == shape);
        names().filter(served).all(|shape| is_blue(world.https, &shape))
            && of_listeners().filter(served).all(|shape| is_blue(of_gateway, &shape))
    };
    world.rig.eventually("the certificates are shown", all);
    judged(&world);
    assert!(!world.rig.admin("/debug/plan").body.contains("relayed"));
    check((&world, of_gateway), "native", ["421", "404"]);
    let plan = || world.rig.admin("/debug/plan").body;
    let count = |text: &str| plan().matches(text).count();
    for (profile, stage, told, refused) in [
        ("{forceHop: true}", "hop", "everything is sent to the filter", ["421", "404"]),
        ("{forceRelay: true}", "relayed", "every port is relayed", ["nothing", "nothing"]),
    ] {
        world.tune(profile);
        world.rig.write("gateway-shapes.yaml", &gateway(port, profile));
        world.rig.eventually(stage, || count(told) >= 2 && all());
        judged(&world);
        check((&world, of_gateway), stage, refused);
    }
}
