//! Ingress without any Gateway: the table of the Ingress documentation, precedence across objects, hosts and their owners,
//! classes, TLS, on the wire.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use super::client;
use super::rig::{Rig, free_port};

pub const CLASS: &str =
    "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: kakehi}\nspec: {controller: kakehi.dev/ingress-controller}\n";

/// Standalone without a Gateway, with an IngressClass of ours and the quickstart's Services and Secrets.
pub struct World {
    pub rig: Rig,
    http: SocketAddr,
    pub https: SocketAddr,
}

impl World {
    pub fn start(arguments: &[&str]) -> Self {
        let (http, https) = (free_port(), free_port());
        let (first, second) = (http.to_string(), https.to_string());
        let ports = ["--ingress-http-port", first.as_str(), "--ingress-https-port", second.as_str()];
        let arguments: Vec<&str> = ports.iter().chain(arguments).copied().collect();
        let rig = Rig::start(&arguments, |config, _| {
            for gateway_api in ["gateway.yaml", "routes.yaml"] {
                fs::remove_file(config.join(gateway_api)).unwrap();
            }
            fs::write(config.join("class.yaml"), CLASS).unwrap();
        });
        Self { rig, http: ([127, 0, 0, 1], http).into(), https: ([127, 0, 0, 1], https).into() }
    }

    /// Has every port relayed.
    pub fn relay(&self) {
        self.tune("{forceRelay: true}");
    }

    /// Gives the class an EdgeProfile.
    pub fn tune(&self, spec: &str) {
        let profile =
            format!("apiVersion: kakehi.dev/v1alpha1\nkind: EdgeProfile\nmetadata: {{name: tuned, namespace: demo}}\nspec: {spec}\n");
        self.rig.write("class.yaml", &with_profile("tuned", &profile));
    }

    /// Writes Ingresses and waits until the edge serves them: a host of its own tells.
    pub fn hold(&self, file: &str, mut ingresses: Vec<Value>) {
        let host = format!("{file}.probe");
        ingresses.push(ingress("demo", &format!("probe-{file}"), json!({"rules": [rule(&host, &[("Prefix", "/", "blue")])]})));
        let text: Vec<_> = ingresses.iter().map(Value::to_string).collect();
        self.rig.write(&format!("{file}.yaml"), &text.join("\n---\n"));
        self.rig.eventually("the Ingresses are served", || self.ask(&host, "/") == "blue");
    }

    /// The name of the backend that answers, or the status.
    fn ask(&self, host: &str, target: &str) -> String {
        let Ok(answer) = client::get(self.http, host, target, &[]) else { return "nothing".to_owned() };
        if answer.status == 200 { answer.backend() } else { answer.status.to_string() }
    }

    fn check(&self, table: &[(&str, &str, &str)]) {
        for (host, target, expected) in table {
            assert_eq!(self.ask(host, target), *expected, "{host} {target}");
        }
    }

    pub fn findings(&self, object: &str) -> Vec<String> {
        let report: Value = serde_json::from_str(&self.rig.admin("/debug/report").body).unwrap();
        let of_object = report["objects"].as_array().unwrap().iter().find(|entry| entry["object"] == object);
        let findings = of_object.into_iter().flat_map(|entry| entry["findings"].as_array().unwrap());
        findings.map(|finding| format!("{} {}", finding["at"].as_str().unwrap(), finding["message"].as_str().unwrap())).collect()
    }
}

pub fn backend(service: &str) -> Value {
    json!({"service": {"name": service, "port": {"number": 80}}})
}

/// A rule; an empty host means none.
pub fn rule(host: &str, paths: &[(&str, &str, &str)]) -> Value {
    let paths = paths.iter().map(|(kind, path, service)| json!({"pathType": kind, "path": path, "backend": backend(service)}));
    let mut rule = json!({"http": {"paths": paths.collect::<Vec<_>>()}});
    if !host.is_empty() {
        rule["host"] = json!(host);
    }
    rule
}

pub fn ingress(namespace: &str, name: &str, mut spec: Value) -> Value {
    spec["ingressClassName"] = json!("kakehi");
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"namespace": namespace, "name": name}, "spec": spec})
}

fn aged(mut ingress: Value, day: u8) -> Value {
    ingress["metadata"]["creationTimestamp"] = json!(format!("2026-01-{day:02}T00:00:00Z"));
    ingress
}

type Row = (&'static [(&'static str, &'static str)], &'static str, &'static str);

/// The path table of the Ingress documentation: the rule paths, the request, and which of the paths takes it. The last
/// path of a row is served by green, the others by blue.
const PATHS: [Row; 27] = [
    (&[("Prefix", "/")], "/", "green"),
    (&[("Prefix", "/")], "/any/thing", "green"),
    (&[("Exact", "/foo")], "/foo", "green"),
    (&[("Exact", "/foo")], "/bar", "404"),
    (&[("Exact", "/foo")], "/foo/", "404"),
    (&[("Exact", "/foo")], "/FOO", "404"),
    (&[("Exact", "/foo/")], "/foo", "404"),
    (&[("Exact", "/foo/")], "/foo/", "green"),
    (&[("Prefix", "/foo")], "/foo", "green"),
    (&[("Prefix", "/foo")], "/foo/", "green"),
    (&[("Prefix", "/foo")], "/Foo", "404"),
    (&[("Prefix", "/foo/")], "/foo", "green"),
    (&[("Prefix", "/foo/")], "/foo/", "green"),
    (&[("Prefix", "/aaa/bb")], "/aaa/bbb", "404"),
    (&[("Prefix", "/aaa/bbb")], "/aaa/bbb", "green"),
    (&[("Prefix", "/aaa/bbb")], "/aaa/bbb/", "green"),
    (&[("Prefix", "/aaa/bbb")], "/aaa/bbb/ccc", "green"),
    (&[("Prefix", "/aaa/bbb")], "/aaa/bbbxyz", "404"),
    (&[("Prefix", "/aaa/bbb/")], "/aaa/bbb", "green"),
    (&[("Prefix", "/"), ("Prefix", "/aaa")], "/aaa/ccc", "green"),
    (&[("Prefix", "/"), ("Prefix", "/aaa"), ("Prefix", "/aaa/bbb")], "/aaa/bbb", "green"),
    (&[("Prefix", "/aaa"), ("Prefix", "/aaa/bbb"), ("Prefix", "/")], "/ccc", "green"),
    (&[("Prefix", "/aaa")], "/ccc", "404"),
    (&[("Prefix", "/foo"), ("Exact", "/foo")], "/foo", "green"),
    (&[("Exact", "/foo"), ("Prefix", "/foo")], "/foo/x", "green"),
    (&[("ImplementationSpecific", "/foo")], "/foo/x", "green"),
    (&[("ImplementationSpecific", "/foo")], "/foox", "404"),
];

fn path_table(world: &World) {
    let host = |row: usize| format!("row-{row}.example.com");
    let rules = PATHS.iter().enumerate().map(|(row, (paths, _, _))| {
        let last = paths.len() - 1;
        let paths = paths.iter().enumerate().map(|(at, (kind, path))| (*kind, *path, if at == last { "green" } else { "blue" }));
        rule(&host(row), &paths.collect::<Vec<_>>())
    });
    world.hold("table", vec![ingress("demo", "table", json!({"rules": rules.collect::<Vec<_>>()}))]);
    for (row, (paths, target, expected)) in PATHS.iter().enumerate() {
        assert_eq!(world.ask(&host(row), target), *expected, "{paths:?} {target}");
    }
    // What no rule takes goes to a default backend as soon as there is one.
    world.hold("default", vec![ingress("demo", "default", json!({"defaultBackend": backend("blue")}))]);
    for (row, (paths, target, expected)) in PATHS.iter().enumerate() {
        let expected = if *expected == "404" { "blue" } else { expected };
        assert_eq!(world.ask(&host(row), target), expected, "{paths:?} {target}, with a default backend");
    }
    world.check(&[("nobody.example.com", "/", "blue")]);
}

#[test]
fn the_path_table_of_the_documentation_holds() {
    path_table(&World::start(&[]));
}

#[test]
fn the_path_table_holds_in_the_filter_proxy() {
    path_table(&World::start(&["--force-hop"]));
}

#[test]
fn what_no_ingress_takes_goes_to_the_default_backend_of_the_settings() {
    let world = World::start(&["--default-backend", "demo/green:80"]);
    world.hold("path", vec![ingress("demo", "path", json!({"rules": [rule("shop.test", &[("Prefix", "/foo", "blue")])]}))]);
    world.check(&[("shop.test", "/foo/x", "blue"), ("shop.test", "/bar", "green"), ("other.test", "/", "green")]);
    world.hold("default", vec![ingress("demo", "default", json!({"defaultBackend": backend("blue")}))]);
    world.check(&[("shop.test", "/bar", "blue"), ("other.test", "/", "blue")]);
    world.rig.remove("default.yaml");
    world.rig.eventually("it has everything again", || world.ask("other.test", "/") == "green");
}

#[test]
fn all_ingresses_of_a_host_are_one() {
    let world = World::start(&[]);
    let of = |name, host, paths: &[(&str, &str, &str)]| ingress("demo", name, json!({"rules": [rule(host, paths)]}));
    world.hold(
        "objects",
        vec![
            aged(of("a", "shop.test", &[("Prefix", "/", "blue"), ("Exact", "/x", "blue")]), 1),
            aged(of("b", "shop.test", &[("Prefix", "/x", "green"), ("Prefix", "/x/y", "green")]), 2),
            // Of equal paths the older Ingress has it, then the first by name.
            aged(of("c", "shop.test", &[("Prefix", "/age", "green")]), 3),
            aged(of("d", "shop.test", &[("Prefix", "/age", "blue"), ("Prefix", "/name", "blue")]), 4),
            aged(of("e", "shop.test", &[("Prefix", "/name", "green")]), 4),
            aged(of("f", "*.shop.test", &[("Prefix", "/", "green")]), 1),
            aged(of("g", "exact.shop.test", &[("Prefix", "/only", "blue")]), 1),
            // A rule without host is for every host; a default backend is for what is left, however old it is.
            aged(of("h", "", &[("Prefix", "/health", "green"), ("Prefix", "/free", "green")]), 5),
            aged(ingress("demo", "i", json!({"defaultBackend": backend("blue"), "rules": [rule("", &[("Prefix", "/old", "green")])]})), 1),
        ],
    );
    world.check(&[
        ("shop.test", "/", "blue"),
        ("shop.test", "/x", "blue"),
        ("shop.test", "/x/", "green"),
        ("shop.test", "/x/y/z", "green"),
        ("shop.test", "/age", "green"),
        ("shop.test", "/name", "blue"),
        ("SHOP.test:8080", "/x", "blue"),
        // One label, not two and not none.
        ("a.shop.test", "/", "green"),
        ("b.a.shop.test", "/", "blue"),
        ("exact.shop.test", "/only", "blue"),
        ("exact.shop.test", "/else", "green"),
        ("other.test", "/health", "green"),
        ("other.test", "/old", "green"),
        ("other.test", "/nothing", "blue"),
    ]);
}

#[test]
fn a_host_stays_with_the_namespace_whose_claim_was_accepted_first() {
    let world = World::start(&[]);
    let of = |namespace, name, day, service| {
        let service = rule("mine.test", &[("Prefix", "/", service)]);
        aged(ingress(namespace, name, json!({"rules": [service]})), day)
    };
    let service =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "trap", "namespace": "a"}, "spec": {"ports": [{"port": 80}]}});
    world.hold("late", vec![service, of("a", "late", 9, "trap"), ingress("a", "hostless", json!({"defaultBackend": backend("trap")}))]);
    world.check(&[("mine.test", "/", "503"), ("else.test", "/", "503")]);
    // An older Ingress of another namespace takes nothing away: the claim that was accepted first is kept.
    world.hold("first", vec![of("demo", "first", 2, "blue"), of("demo", "second", 3, "green")]);
    let taken = "spec.rules[0].host host mine.test belongs to namespace a, so this is not served";
    world.rig.eventually("the older Ingress is told who has the host", || world.findings("Ingress/demo/first") == [taken]);
    world.check(&[("mine.test", "/", "503")]);
    assert!(world.findings("Ingress/a/late").iter().all(|finding| !finding.contains("belongs to")));
    // The owner goes, the next one gets it.
    world.rig.remove("late.yaml");
    world.rig.eventually("the host is the other namespace's", || world.ask("mine.test", "/") == "blue");
    assert!(world.findings("Ingress/demo/first").is_empty());
}

#[test]
fn only_ingresses_of_our_classes_are_served() {
    let world = World::start(&[]);
    let named = |name: &str, class: Option<&str>, annotation: Option<&str>| {
        let mut object = ingress("demo", name, json!({"rules": [rule(&format!("{name}.test"), &[("Prefix", "/", "blue")])]}));
        match class {
            Some(class) => object["spec"]["ingressClassName"] = json!(class),
            None => drop(object["spec"].as_object_mut().unwrap().remove("ingressClassName")),
        }
        if let Some(annotation) = annotation {
            object["metadata"]["annotations"] = json!({"kubernetes.io/ingress.class": annotation});
        }
        object
    };
    let all = vec![
        named("field", Some("kakehi"), None),
        named("annotation", None, Some("kakehi")),
        named("foreign", Some("foreign"), Some("foreign")),
        named("none", None, None),
    ];
    world.hold("classes", all);
    let ours = [("field.test", "/", "blue"), ("annotation.test", "/", "blue"), ("foreign.test", "/", "404")];
    world.check(&ours);
    world.check(&[("none.test", "/", "404")]);
    let report = world.rig.admin("/debug/report").body;
    for told in ["no IngressClass foreign; IngressClasses: kakehi", "no IngressClass is the default, so this Ingress is not served"] {
        assert!(report.contains(told), "{told}: {report}");
    }

    let default = CLASS.replace("{name: kakehi}", "{name: kakehi, annotations: {ingressclass.kubernetes.io/is-default-class: \"true\"}}");
    world.rig.write("class.yaml", &default);
    world.rig.eventually("the default class has it", || world.ask("none.test", "/") == "blue");
    world.check(&ours);
    world.rig.remove("class.yaml");
    world.rig.eventually("without its class nothing is served", || world.ask("field.test", "/") == "nothing");
}

#[test]
fn the_sample_serves_hosts_with_tls_and_says_where() {
    let world = World::start(&[]);
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/samples/ingress.yaml");
    world.rig.write("class.yaml", &fs::read_to_string(sample).unwrap());
    world.rig.eventually("the sample is served", || world.ask("one.localhost", "/") == "blue");
    world.check(&[("one.localhost", "/cart/2", "green"), ("a.shop.localhost", "/", "green"), ("b.a.shop.localhost", "/", "404")]);
    let roots = fs::read(world.rig.config().join("demo-ca.crt")).unwrap();
    assert_eq!(client::get_tls(world.https, "one.localhost", &roots).unwrap().backend(), "blue");
    assert!(client::get_tls(world.https, "two.localhost", &roots).is_err(), "no certificate is shown for it");
    let status = world.rig.status("Ingress/demo/shop.yaml", |text| text.contains("ip:"));
    let status: Value = serde_saphyr::from_str(&status).unwrap();
    assert_eq!(status["status"], json!({"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}}));

    // A second host with its own certificate, told apart by SNI; the first one stays as it is.
    let second =
        json!({"tls": [{"hosts": ["two.localhost"], "secretName": "two"}], "rules": [rule("two.localhost", &[("Prefix", "/", "green")])]});
    world.hold("second", vec![ingress("demo", "second", second)]);
    assert_eq!(client::get_tls(world.https, "two.localhost", &roots).unwrap().backend(), "green");
    assert_eq!(client::get_tls(world.https, "one.localhost", &roots).unwrap().backend(), "blue");
    world.rig.remove("second.yaml");
    world.rig.eventually("its certificate is gone too", || client::get_tls(world.https, "two.localhost", &roots).is_err());
}

#[test]
fn the_ports_of_a_profile_serve_with_and_without_tls() {
    let mut world = World::start(&[]);
    let spec =
        json!({"tls": [{"hosts": ["one.localhost"], "secretName": "one"}], "rules": [rule("one.localhost", &[("Prefix", "/", "blue")])]});
    world.hold("shop", vec![ingress("demo", "shop", spec)]);
    let roots = fs::read(world.rig.config().join("demo-ca.crt")).unwrap();
    let secure = |world: &World| client::get_tls(world.https, "one.localhost", &roots).map(|answer| answer.backend());
    assert_eq!(secure(&world).unwrap(), "blue");

    let (http, https) = (free_port(), free_port());
    let profile = format!(
        "apiVersion: kakehi.dev/v1alpha1\nkind: EdgeProfile\nmetadata: {{name: ports, namespace: demo}}\n\
         spec: {{httpPort: {http}, httpsPort: {https}}}\n"
    );
    let before = (world.http, world.https);
    world.rig.write("class.yaml", &with_profile("ports", &profile));
    (world.http, world.https) = (([127, 0, 0, 1], http).into(), ([127, 0, 0, 1], https).into());
    world.rig.eventually("the edge has the ports of the profile", || world.ask("one.localhost", "/") == "blue");
    world.rig.eventually("and its certificate there", || secure(&world).is_ok_and(|backend| backend == "blue"));
    world.rig.eventually("the ports of the settings are closed", || client::get(before.0, "one.localhost", "/", &[]).is_err());
}

/// A Secret with a self-signed certificate for these names, and the certificate.
pub fn secret(namespace: &str, name: &str, names: &[&str]) -> (Value, String) {
    let made = rcgen::generate_simple_self_signed(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    let data = json!({"tls.crt": made.cert.pem(), "tls.key": made.signing_key.serialize_pem()});
    let metadata = json!({"name": name, "namespace": namespace});
    (json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": metadata, "stringData": data}), made.cert.pem())
}

/// Two tenants of one class, of which one has a certificate that is valid for hosts of the other: each is shown for the hosts
/// that its Ingress names, carries requests for these, and nobody else is shown it, whichever stage ends TLS.
#[test]
fn certificates_are_shown_for_the_hosts_of_their_ingresses_alone_in_either_stage() {
    let world = World::start(&[]);
    // A client that asks for an address names no host.
    let (wide, wide_root) = secret("demo", "wide", &["shop.test", "more.test", "bank.test", "*.bank.test", "plain.test", "127.0.0.1"]);
    let (bank, bank_root) = secret("a", "bank", &["bank.test", "shop.test"]);
    let secure = |namespace: &str, name: &str, hosts: &[&str], secret: &str, service: &str| {
        let rules: Vec<_> = hosts.iter().map(|host| rule(host, &[("Prefix", "/", service)])).collect();
        ingress(namespace, name, json!({"tls": [{"hosts": hosts, "secretName": secret}], "rules": rules}))
    };
    let idle =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "idle", "namespace": "a"}, "spec": {"ports": [{"port": 80}]}});
    let plain = ingress("demo", "plain", json!({"rules": [rule("plain.test", &[("Prefix", "/", "green")])]}));
    let shop = secure("demo", "shop", &["shop.test", "more.test"], "wide", "blue");
    world.hold("tenants", vec![wide, bank, idle, plain, shop, secure("a", "bank", &["bank.test"], "bank", "idle")]);
    let roots = format!("{wide_root}{bank_root}");
    let met = |name: &str, host: &str| {
        let Ok(stream) = client::connect_tls(world.https, name, roots.as_bytes(), &[]) else { return "nothing".to_owned() };
        match client::exchange(stream, host, "/", &[]) {
            Ok(answer) if answer.status == 200 => answer.backend(),
            Ok(answer) => answer.status.to_string(),
            Err(_) => "nothing".to_owned(),
        }
    };
    let check = |stage: &str| {
        for (name, host, expected) in [
            ("shop.test", "shop.test", "blue"),
            ("shop.test", "more.test", "blue"),
            ("SHOP.test", "Shop.test:8443", "blue"),
            ("bank.test", "bank.test", "503"),
            ("shop.test", "bank.test", "421"),
            ("bank.test", "shop.test", "421"),
            ("shop.test", "plain.test", "421"),
            ("shop.test", "stranger.test", "421"),
            // Names in the certificate that no Ingress offers it for.
            ("plain.test", "plain.test", "nothing"),
            ("x.bank.test", "x.bank.test", "nothing"),
            ("127.0.0.1", "shop.test", "nothing"),
        ] {
            assert_eq!(met(name, host), expected, "{stage}: {host} by way of {name}");
        }
    };
    let relayed = || world.rig.admin("/debug/plan").body.contains("every port is relayed");
    world.rig.eventually("the certificates are shown", || met("bank.test", "bank.test") == "503");
    assert!(!relayed());
    check("native");
    world.relay();
    world.rig.eventually("the port is relayed", || relayed() && met("bank.test", "bank.test") == "503");
    check("relay");
}

/// The class with an EdgeProfile of namespace demo.
fn with_profile(name: &str, profile: &str) -> String {
    let parameters = format!("{{apiGroup: kakehi.dev, kind: EdgeProfile, name: {name}, namespace: demo, scope: Namespace}}");
    let class = CLASS.replace("spec: {controller: kakehi.dev/ingress-controller}", "spec:\n  controller: kakehi.dev/ingress-controller");
    format!("{class}  parameters: {parameters}\n---\n{profile}")
}
