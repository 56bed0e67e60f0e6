//! What Prometheus sees of standalone mode under traffic of both stages.

use kakehi::series::{CONTROL, EDGE};

use crate::prometheus::{Prometheus, dashboard, of_operator, presence};
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
