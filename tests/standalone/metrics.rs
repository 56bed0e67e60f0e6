//! What Prometheus sees of standalone mode under traffic of both stages.

use kakehi::series::{CONTROL, EDGE};

use crate::prometheus::{Prometheus, dashboard, of_operator, presence, program};
use crate::rig::Rig;

/// A value of a series on the admin port's page.
fn value(rig: &Rig, labels: &[&str]) -> u64 {
    let page = rig.admin("/metrics").body;
    let of = |line: &&str| labels.iter().all(|label| line.contains(label));
    let lines: Vec<&str> = page.lines().filter(|line| line.starts_with("kakehi_requests_total")).filter(of).collect();
    lines.iter().map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

const ROUTE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: counted, namespace: demo}
spec:
  parentRefs: [{name: web}]
  hostnames: [counted.localhost]
  rules:
    - matches: [{path: {type: PathPrefix, value: /native}}]
      backendRefs: [{name: blue, port: 80}]
    - matches: [{path: {type: PathPrefix, value: /filtered}, headers: [{name: x-color, value: green}]}]
      filters: [{type: RequestMirror, requestMirror: {backendRef: {name: blue, port: 80}}}]
      backendRefs: [{name: green, port: 80}]
";

#[test]
fn both_stages_count_by_route_backend_and_status() {
    let rig = Rig::start(&[], |_, _| {});
    let get = |target: &str| crate::client::get(rig.http(), "counted.localhost", target, &[("x-color", "green")]).unwrap();
    rig.write("counted.yaml", ROUTE);
    rig.eventually("native", || get("/native").status == 200);
    let before = value(&rig, &["stage=\"native\"", "route=\"counted\""]);
    for _ in 0..25 {
        assert_eq!((get("/native").status, get("/filtered").status, get("/nowhere").status), (200, 200, 404));
    }
    let of = |stage: &str, backend: &str| {
        value(
            &rig,
            &[&format!(
                "stage=\"{stage}\",route_kind=\"HTTPRoute\",route_namespace=\"demo\",route=\"counted\",backend=\"{backend}\",status=\"200\""
            )],
        )
    };
    assert_eq!(of("filtered", "demo/green:80"), 25);
    let mirrored = rig.admin("/metrics").body;
    assert!(mirrored.contains("kakehi_filter_mirrors_total{edge=\"demo/web\",result=\"sent\"} 25\n"), "{mirrored}");
    rig.eventually("Sōzu's record is read to its end", || of("native", "demo/blue:80") > before.max(24));
    rig.eventually("what no route takes counts for none", || value(&rig, &["route=\"\"", "status=\"404\""]) >= 25);
    assert_eq!(of("native", "demo/green:80") + of("filtered", "demo/blue:80"), 0);
    rig.remove("counted.yaml");
    rig.eventually("its series go with the route", || value(&rig, &["route=\"counted\""]) == 0);
    let rest = rig.admin("/metrics").body;
    assert!(rest.contains("kakehi_lost_records_total{edge=\"demo/web\"} 0\n"), "{rest}");
    assert!(!rest.contains("route=\"counted\""), "{rest}");
}

#[test]
fn every_documented_series_is_there() {
    let rig = Rig::start(&[], |_, _| ());
    rig.status("Gateway/demo/web.yaml", |text| text.contains("Programmed"));
    // The filter counts at once.
    rig.get("/split", &[]);
    let page = rig.admin("/metrics").body;
    for series in CONTROL.iter().chain(EDGE) {
        assert!(page.lines().any(|line| line.starts_with(series.name)), "{} is missing:\n{page}", series.name);
        assert_eq!(page.matches(&format!("# TYPE {} {}\n", series.name, series.kind.name())).count(), 1, "{}", series.name);
    }
}

#[test]
fn prometheus_finds_every_series_and_the_dashboard_has_data() {
    let rig = Rig::start(&[], |_, _| {});
    let Some(prometheus) = Prometheus::start(&[([127, 0, 0, 1], rig.ports.admin).into()]) else { return };
    let queries = [presence(CONTROL), presence(EDGE), dashboard(|query| !of_operator(query))].concat();
    let mut round = 0;
    prometheus.answers(&queries, || {
        round += 1;
        rig.write("counted.yaml", &ROUTE.replace("/native", &format!("/native-{round}")));
        for target in ["/", "/api/x", "/split", "/old", "/missing", "/late", "/nowhere"] {
            rig.get(target, &[]);
            rig.get(target, &[("x-color", "green")]);
        }
        crate::client::get(rig.http(), "nobody.localhost", "/", &[]).unwrap();
    });
}

#[test]
fn alerts_fire_when_they_should_and_then_alone() {
    let Some(tool) = program().map(|program| program.with_file_name("promtool")).filter(|path| path.exists()) else {
        return eprintln!("no promtool here (config/install-prometheus): the alerts are not tried");
    };
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for (command, file) in [("check", "charts/kakehi/files/alerts.yaml"), ("test", "tests/prometheus/alerts.yaml")] {
        let out = std::process::Command::new(&tool).args([command, "rules"]).arg(root.join(file)).output().unwrap();
        let said = [out.stdout, out.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        assert!(out.status.success(), "{said}");
    }
}

/// The value of a sample whose line begins so.
fn sample(page: &str, start: &str) -> f64 {
    let line = page.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no {start} in\n{page}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn processes_certificates_bytes_and_failures_are_told() {
    let rig = Rig::start(&[], |_, _| {});
    rig.eventually("both stages serve", || rig.get("/", &[]).status == 200 && rig.get("/split", &[]).status == 200);
    let page = rig.admin("/metrics").body;
    for process in ["edge", "filter", "sozu-a", "sozu-b"] {
        let of = |name: &str| sample(&page, &format!("kakehi_edge_process_{name}{{edge=\"demo/web\",process=\"{process}\"}}"));
        assert!(of("resident_memory_bytes") > 1e6 && of("open_fds") > 3.0 && of("cpu_seconds_total") >= 0.0, "{process}");
        assert!((of("start_timestamp_seconds") - now()).abs() < 60.0, "{process}");
    }
    assert!(sample(&page, "kakehi_process_resident_memory_bytes") > 1e6 && sample(&page, "kakehi_process_open_fds") > 3.0);
    assert!((sample(&page, "kakehi_edge_last_apply_timestamp_seconds") - now()).abs() < 60.0);
    let expiry = sample(&page, "kakehi_certificate_expiry_timestamp_seconds{edge=\"demo/web\",name");
    assert!(expiry > now() && sample(&page, "kakehi_certificates{edge=\"demo/web\"}") >= 1.0, "{expiry}");
    // Bytes that are no handshake.
    let broken = || {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, rig.ports.https)).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    };
    let failures = |page: &str| -> f64 {
        let lines = page.lines().filter(|line| line.starts_with("kakehi_tls_failures_total"));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    };
    let before = failures(&page);
    broken();
    rig.eventually("a failed handshake is counted", || failures(&rig.admin("/metrics").body) > before);
    let sent = |stage: &str| {
        let page = rig.admin("/metrics").body;
        sample(&page, &format!("kakehi_request_bytes_total{{edge=\"demo/web\",stage=\"{stage}\",direction=\"sent\"}}"))
    };
    let (native, filtered) = (sent("native"), sent("filtered"));
    let got = rig.get("/", &[]).body.len() as f64;
    rig.get("/split", &[]);
    rig.eventually("bytes are counted", || sent("native") >= native + got && sent("filtered") > filtered);
}

#[test]
fn relayed_ports_count_failed_handshakes_too() {
    let rig = Rig::start(&["--force-relay"], |_, _| {});
    rig.eventually("it serves", || rig.get("/", &[]).status == 200);
    let failures = || sample(&rig.admin("/metrics").body, "kakehi_tls_failures_total{edge=\"demo/web\",process=\"filter\"}");
    let before = failures();
    let mut stream = std::net::TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, rig.ports.https)).unwrap();
    std::io::Write::write_all(&mut stream, b"no handshake at all").unwrap();
    rig.eventually("a failed handshake is counted", || failures() > before);
}

#[test]
fn requests_of_which_no_endpoint_was_reached_are_counted() {
    let rig = Rig::start(&[], |_, _| {});
    let unreached = || sample(&rig.admin("/metrics").body, "kakehi_unreached_requests_total");
    rig.eventually("it serves", || rig.get("/", &[]).status == 200);
    assert_eq!(unreached(), 0.0);
    // Nobody listens at the endpoint.
    rig.write("gone.yaml", GONE);
    rig.eventually("503", || crate::client::get(rig.http(), "gone.localhost", "/", &[]).unwrap().status == 503);
    rig.eventually("it is counted", || unreached() > 0.0);
}

const GONE: &str = "
apiVersion: v1
kind: Service
metadata: {name: gone, namespace: demo}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: gone-1, namespace: demo, labels: {kubernetes.io/service-name: gone}}
addressType: IPv4
ports: [{port: 1}]
endpoints: [{addresses: [127.0.0.1]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: gone, namespace: demo}
spec:
  parentRefs: [{name: web}]
  hostnames: [gone.localhost]
  rules: [{backendRefs: [{name: gone, port: 80}]}]
";

fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
}
