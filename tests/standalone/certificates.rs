//! Certificates as people have them, from OpenSSL, EasyRSA, cert-manager and Windows (`tests/certificates`): what each is judged
//! to be, and what Sōzu and the filter proxy show of it.

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

use super::blind;
use super::ingress::{World, ingress, rule};

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

fn met(world: &World, shape: &str) -> String {
    blind::met(world, &format!("{shape}.test"))
}

fn check(world: &World, stage: &str, refused: &str) {
    for (shape, count, _) in SERVED {
        let shown = blind::shown(world.https, &format!("{shape}.test")).unwrap();
        let text = String::from_utf8_lossy(&file(shape, "tls.crt")).replace('\u{feff}', "");
        let leaf = CertificateDer::pem_slice_iter(text.as_bytes()).next().unwrap().unwrap();
        // The filter proxy shows what the chain repeats, Sōzu does not.
        let count = count + usize::from(shape == "chain-leaf-twice" && stage == "relayed");
        assert_eq!((shown.first(), shown.len()), (Some(&leaf), count), "{stage}: {shape}");
        assert_eq!(met(world, shape), "blue", "{stage}: {shape}");
    }
    for (shape, _) in REFUSED {
        assert_eq!(met(world, shape), refused, "{stage}: {shape}");
    }
}

#[test]
fn certificates_as_people_have_them_are_served_or_refused_alike_in_every_stage() {
    let world = World::start(&[]);
    let shapes = || SERVED.iter().map(|(shape, ..)| *shape).chain(REFUSED.iter().map(|(shape, _)| *shape));
    world.hold("shapes", shapes().map(secret).chain(shapes().map(of_host)).collect());
    for (shape, _, remark) in SERVED {
        let expected = if remark.is_empty() { Vec::new() } else { vec![format!("spec.tls[0].secretName {remark}")] };
        assert_eq!(world.findings(&format!("Ingress/demo/{shape}")), expected, "{shape}");
    }
    for (shape, problem) in REFUSED {
        let expected = format!("spec.tls[0].secretName certificate demo/{shape}: {problem}");
        assert_eq!(world.findings(&format!("Ingress/demo/{shape}")), [expected], "{shape}");
    }
    world.rig.eventually("the certificates are shown", || SERVED.iter().all(|(shape, ..)| met(&world, shape) == "blue"));
    check(&world, "native", "421");
    world.relay();
    world.rig.eventually("the port is relayed", || met(&world, "version1") == "nothing" && met(&world, "chain") == "blue");
    check(&world, "relayed", "nothing");
}
