//! What reports add to a trace.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::edge::plan::Options;
use crate::edge::reach::{GivenUp, Reach, Unreached};
use crate::model::{
    Action, Attachment, Backend, BackendId, BackendProtocol, BackendRef, BackendTarget, EdgeId, Endpoint, Hostname, InvalidBackend, Kind,
    Listener, ListenerName, Match, ObjectId, PathMatch, Protocol, Route, Rule,
};
use crate::snapshot::{Resource, Snapshot};
use crate::trace::{Answer, Choice, Criterion, Elsewhere, Grpc, MOST_UNATTACHED, Reports, Request, Trace, page, traces};

fn listener(name: &str, port: u16) -> Resource {
    Resource::Listener(Listener {
        name: ListenerName(name.to_owned()),
        port,
        protocol: Protocol::Http,
        hostname: Hostname::Any,
        certificates: Vec::new(),
        certificates_by_name: false,
        tuning: Default::default(),
    })
}

fn backend() -> BackendId {
    BackendId { namespace: "n".into(), service: "s".into(), port: 80 }
}

/// A route for all paths of every host, attached to `listener`, that leads to one backend and to nothing.
fn route(kind: Kind, name: &str, listener: &str) -> Resource {
    let to = |weight, target| BackendRef { weight, target, filters: Vec::new() };
    let backends = vec![to(1, BackendTarget::Service(backend())), to(3, BackendTarget::Invalid(InvalidBackend::NotFound))];
    let matches = vec![Match { path: PathMatch::Prefix("/".into()), method: None, headers: Vec::new(), query: Vec::new() }];
    let rule = Rule { name: None, host: None, fallback: false, matches, filters: Vec::new(), action: Action::Forward(backends) };
    let hostnames = vec![(Hostname::Any, Hostname::Any)];
    Resource::Route(Route {
        id: ObjectId::new(kind, "n", name),
        created: 0,
        file: None,
        attachments: vec![Attachment { listener: ListenerName(listener.into()), hostnames }],
        rules: vec![rule],
        written: Vec::new(),
    })
}

fn finding(at: &str, reason: &str) -> Value {
    json!({"at": at, "severity": "Error", "reason": reason, "message": format!("about {at}")})
}

fn traced(resources: &[Resource], reports: &Value, url: &str) -> Option<Trace> {
    let edges = BTreeMap::from([(EdgeId::of_gateway("n", "e"), (Snapshot::from_resources(resources.iter().cloned()), Options::default()))]);
    let reports: Reports = serde_json::from_value(json!({"objects": reports})).unwrap();
    let request = Request::parse(url, "GET", &[]).unwrap();
    traces(&edges, &reports, &request).remove("n/e")
}

#[test]
fn routes_that_do_not_attach_are_named_up_to_a_bound() {
    let refused = |number: usize, edge: &str, host: &str| {
        json!({"object": format!("HTTPRoute/n/r{number:02}"), "edges": [edge], "hostnames": [host],
            "findings": [finding("parent e", "NotAllowedByListeners"), finding("rules[0]", "UnsupportedValue")]})
    };
    let resources = [listener("a", 80), listener("b", 81), route(Kind::HttpRoute, "other", "b"), route(Kind::HttpRoute, "r00", "a")];
    let mut reports: Vec<_> = (0..3).map(|number| refused(number, "n/e", "*.x.example")).collect();
    reports.extend([refused(90, "n/f", "a.x.example"), refused(91, "n/e", "b.x.example")]);
    let found = traced(&resources, &json!(reports), "http://a.x.example/").unwrap().unattached;
    let told: Vec<_> = found.routes.iter().map(ToString::to_string).collect();
    // r00 is attached all the same; r90 is another edge's, and r91 for another host.
    let refusal = |route| format!("HTTPRoute/n/{route} is not attached: parent e: NotAllowedByListeners: about parent e");
    let other = "HTTPRoute/n/other is attached to listener b of port 81, so this request does not reach it";
    assert_eq!((told, found.left_out), (vec![refusal("r01"), refusal("r02"), other.to_owned()], 0));

    let many: Vec<_> = (1..=MOST_UNATTACHED + 5).map(|number| refused(number, "n/e", "*")).collect();
    let found = traced(&resources, &json!(many), "http://a.x.example/").unwrap().unattached;
    assert_eq!((found.routes.len(), found.left_out), (MOST_UNATTACHED, 6));
    assert!(found.routes.iter().all(|apart| matches!(apart.why, Elsewhere::Refused(_))), "refusals come first");
}

#[test]
fn a_port_that_no_listener_serves_is_told_with_its_listeners_problems() {
    let gateway = json!([{"object": "Gateway/n/e", "edges": ["n/e"],
        "listeners": [{"name": "tls", "port": 443, "protocol": "HTTPS", "hostname": "a.example"}],
        "findings": [finding("listener tls", "InvalidCertificateRef"), finding("listener other", "Nonsense")]}]);
    let found = traced(&[listener("a", 80)], &gateway, "https://a.example/").unwrap();
    assert!(matches!(found.answer, Answer::Unreachable { .. }), "{found}");
    let [judged] = found.listeners.as_slice() else { panic!("{found}") };
    assert_eq!((judged.outcome, judged.problems.len()), (Choice::NotServing, 1), "{found}");
    assert!(judged.to_string().contains("tls (a.example): does not serve\n    Gateway/n/e: InvalidCertificateRef: about"), "{judged}");
    assert_eq!(traced(&[listener("a", 80)], &json!([]), "https://a.example/"), None, "nothing says that it is to have the port");
}

#[test]
fn a_backend_reference_tells_its_field_and_what_is_reported_of_it() {
    let resources = [listener("a", 80), route(Kind::HttpRoute, "r", "a")];
    let reports = json!([{"object": "HTTPRoute/n/r", "edges": ["n/e"], "findings": [
        finding("rules[0].backendRefs[1]", "BackendNotFound"), finding("rules[0].backendRefs[10]", "Other"), finding("rules[0]", "Remark")]}]);
    let found = traced(&resources, &reports, "http://a.example/").unwrap();
    let Answer::Forward { shares } = &found.answer else { panic!("{found}") };
    let told: Vec<_> = shares.iter().map(|share| (share.field.as_str(), share.problems.len())).collect();
    assert_eq!(told, [("rules[0].backendRefs[0]", 0), ("rules[0].backendRefs[1]", 1)]);
    assert_eq!(found.winner.as_ref().unwrap().problems[0].reason, "Remark");
    assert!(found.to_string().contains("\n      rules[0].backendRefs[1]: BackendNotFound: about rules[0].backendRefs[1]\n"), "{found}");
}

#[test]
fn a_tie_names_what_decided_it() {
    let resources =
        [listener("a", 80), route(Kind::GrpcRoute, "r", "a"), route(Kind::HttpRoute, "r", "a"), route(Kind::HttpRoute, "s", "a")];
    let decided = |resources: &[Resource]| traced(resources, &json!([]), "http://a.example/").unwrap().winner.unwrap().decided.unwrap();
    let by_kind = decided(&resources);
    assert_eq!((by_kind.by, by_kind.tie, by_kind.over.kind), (Criterion::Kind, true, Kind::GrpcRoute));
    assert_eq!(by_kind.words, "they are of one age and name, and HTTPRoutes come before GRPCRoutes");
    let by_name = decided(&[resources[0].clone(), resources[3].clone(), resources[2].clone()]);
    assert_eq!((by_name.by, by_name.over.name.as_str()), (Criterion::Name, "s"));
}

#[test]
fn what_the_edge_met_stands_beside_the_backend() {
    let endpoint = Endpoint { ip: [10, 0, 0, 1].into(), port: 1 };
    let known = Resource::Backend(Backend::new(backend(), BackendProtocol::Http, vec![endpoint]));
    let trace = traced(&[listener("a", 80), route(Kind::HttpRoute, "r", "a"), known], &json!([]), "http://a.example/").unwrap();
    assert_eq!(trace.backends(), [backend()]);
    let other = BackendId { port: 81, ..backend() };
    let given_up = |backend| GivenUp { backend, available: 0, total: 1, failures: 1 };
    let unreached = |last| Unreached { address: ([10, 0, 0, last], 1).into(), failures: 2, seconds: 7 };
    let silent = trace.clone().reaching(&Reach { native: vec![given_up(other)], filter: vec![unreached(2)] });
    assert_eq!(silent, trace, "what is known of others is not told");
    let told = trace.reaching(&Reach { native: vec![given_up(backend())], filter: vec![unreached(1)] }).to_string();
    assert!(told.contains("\n      0 of 1 endpoints answered when Sōzu last chose one; 1 connection failed since it started\n"), "{told}");
    assert!(told.contains("\n      10.0.0.1:1 does not answer: 2 connections failed one after the other, the first 7 s ago\n"), "{told}");
}

#[test]
fn a_call_is_told_in_terms_of_grpc() {
    let grpc = |method: &str, path: &str, resources: &[Resource]| -> Grpc {
        let edges =
            BTreeMap::from([(EdgeId::of_gateway("n", "e"), (Snapshot::from_resources(resources.iter().cloned()), Options::default()))]);
        let request = Request::parse(&format!("http://a.example{path}"), method, &["content-type: application/grpc".to_owned()]).unwrap();
        traces(&edges, &Reports::default(), &request).remove("n/e").unwrap().grpc.unwrap()
    };
    let served = [listener("a", 80), route(Kind::HttpRoute, "r", "a")];
    let json = |grpc: Grpc| serde_json::to_value(grpc).unwrap();
    let alone = json(grpc("POST", "/s.S/M", &served[..1]));
    assert_eq!(alone, json!({"service": "s.S", "method": "M", "mismatches": ["native"]}), "Sōzu knows no gRPC");
    assert_eq!(json(grpc("GET", "/", &served))["mismatches"], json!(["method", "path"]), "its one backend has no endpoint");
}

/// Names that are data: of edges, of addresses, of header fields.
const DATA: [&str; 3] = ["edges", "topology", "headers"];

fn names(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            found.push(name.clone());
            match value {
                Value::Object(data) if DATA.contains(&name.as_str()) => data.values().for_each(|value| names(value, found)),
                other => names(other, found),
            }
        }),
        Value::Array(values) => values.iter().for_each(|value| names(value, found)),
        _ => {}
    }
}

#[test]
fn all_names_of_a_page_are_of_one_case() {
    let resources = [listener("a", 80), route(Kind::HttpRoute, "r", "a"), route(Kind::GrpcRoute, "s", "a")];
    let found = traced(&resources, &json!([]), "http://a.example/?q=1").unwrap();
    let request = Request::parse("http://a.example/?q=1", "GET", &[]).unwrap();
    let page = page(&request, &BTreeMap::from([("n/e".to_owned(), found)]));
    assert_eq!((&page["version"], &page["edges"]["n/e"]["winner"]["route"]["name"]), (&json!(1), &json!("r")));
    let mut all = Vec::new();
    names(&page, &mut all);
    let odd: Vec<_> = all.iter().filter(|name| !name.starts_with(|first: char| first.is_ascii_lowercase()) || name.contains('_')).collect();
    assert!(odd.is_empty() && all.contains(&"otherHosts".to_owned()), "{odd:?}");
}
