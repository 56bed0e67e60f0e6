//! Ports that cannot be bound, and edges that cannot be run: told once, in the report and in statuses, and tried again.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::client;
use super::rig::{Rig, free_port};

/// The lowest port that needs no right.
const FIRST_FREE: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
/// Has a program run without the right to bind the ports below that, whoever starts it.
const WITHOUT_RIGHT: &[&str] = &["setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service"];

const CLASS: &str = "
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: kakehi}
spec: {controller: kakehi.dev/ingress-controller}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, namespace: demo}
spec:
  ingressClassName: kakehi
  tls: [{hosts: [one.localhost], secretName: one}]
  rules:
  - host: one.localhost
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: blue, port: {number: 80}}}}]}
";

fn why(port: u16) -> String {
    format!(
        "cannot bind 127.0.0.1:{port}: this user may not bind ports below 1024; choose another port, or grant CAP_NET_BIND_SERVICE to the sozu binary"
    )
}

/// Findings of the report: object, part of it, severity, reason, message.
fn findings(rig: &Rig) -> Vec<[String; 5]> {
    let report: Value = serde_json::from_str(&rig.admin("/debug/report").body).unwrap_or_default();
    let mut all = Vec::new();
    for object in report["objects"].as_array().into_iter().flatten() {
        let findings = object["findings"].as_array().unwrap().iter();
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        all.extend(
            findings.map(|finding| {
                [&object["object"], &finding["at"], &finding["severity"], &finding["reason"], &finding["message"]].map(word)
            }),
        );
    }
    all
}

/// Port 81 of the Gateway and port 82 of the class, in a process that may bind neither.
#[test]
fn a_privileged_port_is_told_in_log_report_and_status_with_what_to_do() {
    let first_free: u16 = fs::read_to_string(FIRST_FREE).unwrap().trim().parse().unwrap();
    assert!(first_free > 82, "here nobody is refused a port, so nothing can be shown: set net.ipv4.ip_unprivileged_port_start to 1024");
    let https = free_port().to_string();
    // Whoever is no root has no such right to give up.
    let prefix = if rustix::process::geteuid().is_root() { WITHOUT_RIGHT } else { &[] };
    let ports = ["--ingress-http-port", "82", "--ingress-https-port", &https];
    let rig = Rig::begin_by(prefix, &ports, |config, ports| {
        let gateway = config.join("gateway.yaml");
        let text = fs::read_to_string(&gateway).unwrap();
        fs::write(&gateway, text.replace(&format!("port: {}", ports.http), "port: 81")).unwrap();
        fs::write(config.join("class.yaml"), CLASS).unwrap();
    });
    rig.eventually("its other ports are served, so it is ready", || rig.admin("/readyz").status == 200);
    let of_listener = |object: &str, port| [object, "listener http", "Error", "Invalid", &why(port)].map(str::to_owned);
    rig.eventually("the report has it", || {
        let all = findings(&rig);
        let ours = |object: &str, port| all.contains(&of_listener(object, port));
        ours("Gateway/demo/web", 81) && ours("IngressClass/kakehi", 82)
    });
    let mut others: Vec<_> = findings(&rig).into_iter().filter(|[.., message]| message.contains("cannot bind")).collect();
    others.retain(|[_, at, ..]| at != "listener http");
    let of_route = ["HTTPRoute/demo/demo", "parent web section http", "Error", "Invalid", &format!("listener http: {}", why(81))];
    assert_eq!(others, [of_route.map(str::to_owned)], "HTTPS serves the other routes, and the Ingress");

    let gateway = rig.status("Gateway/demo/web.yaml", |text| text.contains(&why(81)));
    let gateway: Value = serde_saphyr::from_str(&gateway).unwrap();
    let programmed = |index: usize| {
        let conditions = gateway["status"]["listeners"][index]["conditions"].as_array().unwrap();
        conditions.iter().find(|condition| condition["type"] == "Programmed").unwrap().clone()
    };
    let refused = programmed(0);
    assert_eq!((&refused["status"], &refused["reason"]), (&"False".into(), &"Invalid".into()));
    assert_eq!(refused["message"], format!("the data plane refused it: {}", why(81)));
    assert_eq!(programmed(1)["status"], "True");

    // It is tried again each second, by two Sōzus.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let told = [81, 82].map(|port| rig.log().matches(&why(port)).count());
    assert_eq!(told, [1, 1], "{}", rig.log());
}

/// An Ingress that is on no port at all is told itself.
#[test]
fn an_ingress_without_any_port_is_told_so() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let https = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let [http, https] = [&held, &https].map(|listener| listener.local_addr().unwrap().port());
    let taken = |port: u16| format!("cannot bind 127.0.0.1:{port}: another process listens there; end it, or choose another port");
    let (first, second) = (http.to_string(), https.to_string());
    let rig = Rig::begin(&["--ingress-http-port", &first, "--ingress-https-port", &second], |config, _| {
        fs::write(config.join("class.yaml"), CLASS).unwrap();
    });
    let message = format!("listener http: {}", taken(http));
    let of_ingress = ["Ingress/demo/shop", "", "Error", "Invalid", &message].map(str::to_owned);
    rig.eventually("the report has it", || findings(&rig).contains(&of_ingress));
    drop(held);
    rig.eventually("it is served, and nothing is told of it", || {
        let served = client::get(([127, 0, 0, 1], http).into(), "one.localhost", "/", &[]).is_ok_and(|answer| answer.status == 200);
        served && findings(&rig).iter().all(|[object, ..]| object != "Ingress/demo/shop")
    });
    assert!(findings(&rig).contains(&["IngressClass/kakehi", "listener https", "Error", "Invalid", &taken(https)].map(str::to_owned)));
}

/// A file lies where the edge is to have its directory.
#[test]
fn an_edge_that_cannot_be_run_is_tried_again_until_it_can() {
    let runtime = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap();
    let path = runtime.path().join("edge-1");
    fs::write(&path, "").unwrap();
    let rig = Rig::begin(&["--runtime-dir", &runtime.path().display().to_string()], |_, _| ());
    let reason = format!("{}: File exists (os error 17)", path.display());
    let told = format!("not ready: edge demo/web cannot be run: {reason}\n");
    rig.eventually("it says why it is not ready", || rig.admin("/readyz").body == told);
    let of_edge = ["Gateway/demo/web", "", "Error", "Invalid", &format!("the edge cannot be run: {reason}")].map(str::to_owned);
    assert!(findings(&rig).contains(&of_edge), "{:?}", findings(&rig));
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert_eq!(rig.log().matches("cannot run the edge").count(), 1, "{}", rig.log());
    fs::remove_file(&path).unwrap();
    rig.eventually("it serves", || rig.admin("/readyz").status == 200 && rig.get("/", &[]).status == 200);
    assert_eq!(rig.log().matches("the edge can be run again").count(), 1, "{}", rig.log());
    assert!(!findings(&rig).contains(&of_edge));
    rig.status("HTTPRoute/demo/demo.yaml", |text| text.contains("served by edge demo/web"));
}
