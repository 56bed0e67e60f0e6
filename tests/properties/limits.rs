//! What one tenant's manifests may cost: each kind of input that multiplies has a limit, a finding beyond it, and neighbours that
//! are served as before. Counts, not times.

use kakehi::api::{Change, Object};
use kakehi::model::{Action, EdgeId, Kind, ObjectId, Route};
use kakehi::report::{ConditionType, Issue, Limit};
use kakehi::snapshot::{Key, Resource, Snapshot};
use kakehi::translate::{Now, Settings, Translator};
use serde_json::{Value, json};

fn object(kind: Kind, namespace: &str, name: &str, age: usize, mut body: Value) -> Object {
    let labels = body["metadata"]["labels"].take();
    let created = format!("2026-01-01T{:02}:{:02}:00Z", age / 60, age % 60);
    body["metadata"] = json!({"name": name, "namespace": namespace, "creationTimestamp": created, "labels": labels});
    Object::from_value(kind, body).unwrap()
}

fn apply(translator: &mut Translator, objects: impl IntoIterator<Item = Object>) {
    let changes = objects.into_iter().map(|object| Change { id: object.id(), old: None, new: Some(object) });
    translator.apply(changes, Now::from_unix(0));
}

/// A Gateway `n/g` that all namespaces may use, with these listeners, and a route of a neighbour.
fn world(listeners: Vec<Value>) -> Translator {
    let mut translator = Translator::new(Settings::default());
    let class = object(Kind::GatewayClass, "", "ours", 0, json!({"spec": {"controllerName": "kakehi.dev/gateway-controller"}}));
    let all = json!({"namespaces": {"from": "All"}});
    let spec = json!({"gatewayClassName": "ours", "listeners": listeners, "allowedListeners": all});
    let gateway = object(Kind::Gateway, "n", "g", 0, json!({"spec": spec}));
    let neighbour = route("neighbour", "r", 59, json!({"rules": [{"matches": [matched("x-neighbour", "a.*")]}]}));
    apply(&mut translator, [class, gateway, neighbour]);
    translator
}

fn listener(index: usize, port: usize, hostname: &str) -> Value {
    let hostname = (!hostname.is_empty()).then_some(hostname);
    json!({"name": format!("l{index}"), "port": port, "protocol": "HTTP", "hostname": hostname, "allowedRoutes": {"namespaces": {"from": "All"}}})
}

fn route(namespace: &str, name: &str, age: usize, mut spec: Value) -> Object {
    if spec["parentRefs"].is_null() {
        spec["parentRefs"] = json!([{"name": "g", "namespace": "n"}]);
    }
    object(Kind::HttpRoute, namespace, name, age, json!({ "spec": spec }))
}

fn matched(header: &str, expression: &str) -> Value {
    json!({"headers": [{"name": header, "value": expression, "type": "RegularExpression"}]})
}

fn snapshot(translator: &Translator) -> Snapshot {
    translator.edges().find(|(id, _)| **id == EdgeId::of_gateway("n", "g")).map(|(_, edge)| edge.snapshot.clone()).unwrap()
}

fn served(translator: &Translator, namespace: &str, name: &str) -> Option<Route> {
    match snapshot(translator).get(&Key::Route(ObjectId::new(Kind::HttpRoute, namespace, name))).map(AsRef::as_ref) {
        Some(Resource::Route(route)) => Some(route.clone()),
        _ => None,
    }
}

fn issues(translator: &Translator, kind: Kind, namespace: &str, name: &str) -> Vec<Issue> {
    let report = translator.reports().get(&ObjectId::new(kind, namespace, name));
    report.into_iter().flat_map(|report| &report.findings).map(|finding| finding.issue.clone()).collect()
}

fn route_issues(translator: &Translator, name: &str) -> Vec<Issue> {
    issues(translator, Kind::HttpRoute, "t", name)
}

fn neighbour_is_served(translator: &Translator) {
    let route = served(translator, "neighbour", "r").expect("the neighbour is served");
    assert!(route.rules[0].matches[0].headers.len() == 1 && issues(translator, Kind::HttpRoute, "neighbour", "r").is_empty());
}

#[test]
fn a_route_has_so_many_expressions() {
    let mut translator = world(vec![listener(0, 80, "")]);
    let heads = |number: usize| {
        (0..16).map(
            move |head| json!({"name": format!("h{head}"), "value": format!(r"h{number}x{head}\w{{20}}"), "type": "RegularExpression"}),
        )
    };
    let many: Vec<Value> =
        (0..16).map(|number| json!({"headers": heads(number).collect::<Vec<_>>()})).chain([matched("last", "a")]).collect();
    apply(&mut translator, [route("t", "r", 1, json!({"rules": [{"matches": many}, {"matches": [{"path": {"value": "/plain"}}]}]}))]);
    let found = route_issues(&translator, "r");
    assert!(matches!(found[..], [Issue::Limit(Limit::TooManyExpressions { found: 257, most: 256 })]), "{found:?}");
    assert_eq!(found[0].effect().condition, ConditionType::PartiallyInvalid);
    assert_eq!(served(&translator, "t", "r").unwrap().rules.len(), 1, "the rule without expressions is served");
    neighbour_is_served(&translator);
}

#[test]
fn a_namespace_has_so_many_units_of_expressions_and_the_oldest_routes_have_them() {
    let mut translator = world(vec![listener(0, 80, "")]);
    let of = |index: usize| (0..50).map(move |number| matched("x", &format!("r{index}x{number}"))).collect::<Vec<_>>();
    let guard = |index: usize| json!({"rules": [{"matches": of(index).into_iter().chain([json!({"path": {"value": "/closed"}})]).collect::<Vec<_>>()}]});
    // 50 units each: 20 routes are within 1,024.
    apply(&mut translator, (0..25).rev().map(|index| route("t", &format!("r{index:02}"), index, guard(index))));
    for index in 0..25 {
        let name = format!("r{index:02}");
        let (rule, over) = (served(&translator, "t", &name).unwrap().rules[0].clone(), index >= 20);
        assert_eq!((rule.matches.len(), rule.action == Action::Answer(500)), if over { (1, true) } else { (51, false) }, "{name}");
        let told = route_issues(&translator, &name).iter().any(|issue| matches!(issue, Issue::Limit(Limit::ExpressionBudget { .. })));
        assert_eq!(told, over, "{name}");
    }
    neighbour_is_served(&translator);
    let gone = ObjectId::new(Kind::HttpRoute, "t", "r00");
    translator.apply([Change { id: gone, old: None, new: None }], Now::from_unix(0));
    assert!(
        route_issues(&translator, "r20").iter().all(|issue| !matches!(issue, Issue::Limit(Limit::ExpressionBudget { .. }))),
        "there is room again"
    );
}

/// A route that is deleted and made again is one change of one object, of another age.
#[test]
fn a_route_that_is_made_anew_has_its_expressions_again() {
    let mut translator = world(vec![listener(0, 80, "")]);
    for age in [1, 2, 1] {
        apply(&mut translator, [route("t", "r", age, json!({"rules": [{"matches": [matched("x", "a.*")]}]}))]);
        assert_eq!(route_issues(&translator, "r"), [], "{age}");
        assert_eq!(served(&translator, "t", "r").unwrap().rules[0].matches[0].headers.len(), 1, "{age}");
    }
}

#[test]
fn expressions_are_shared_by_namespaces_that_want_more_than_there_are() {
    let mut translator = world(vec![listener(0, 80, "")]);
    // 64 units each.
    let of = |space: usize, index: usize| {
        let matches: Vec<_> =
            (0..64).map(|number| matched("x", &format!("x{number}"))).chain([json!({"path": {"value": "/plain"}})]).collect();
        route(&format!("t{space:02}"), &format!("r{index}"), 1 + index, json!({"rules": [{ "matches": matches }]}))
    };
    let spaces = 60;
    apply(&mut translator, (0..spaces).flat_map(|space| (0..4).map(move |index| of(space, index))));
    let has = |translator: &Translator, space: usize, index: usize| {
        let (space, name) = (format!("t{space:02}"), format!("r{index}"));
        let told = issues(translator, Kind::HttpRoute, &space, &name)
            .iter()
            .any(|issue| matches!(issue, Issue::Limit(Limit::ExpressionBudget { .. })));
        assert_eq!(served(translator, &space, &name).unwrap().rules[0].matches.len(), if told { 1 } else { 65 }, "{space}/{name}");
        !told
    };
    // 8,191 over 60 are 136, the neighbour's one taken off: two routes of each namespace. The 511 left are seven routes more.
    assert!((0..spaces).all(|space| (0..4).all(|index| has(&translator, space, index) == (index < 2 || (index == 2 && space < 7)))));
    neighbour_is_served(&translator);
    let gone = |space: usize| (0..4).map(move |index| ObjectId::new(Kind::HttpRoute, format!("t{space:02}"), format!("r{index}")));
    let gone: Vec<_> = (30..spaces).flat_map(gone).map(|id| Change { id, old: None, new: None }).collect();
    translator.apply(gone, Now::from_unix(0));
    assert!((0..30).all(|space| (0..4).all(|index| has(&translator, space, index))), "there is room again");
}

#[test]
fn after_an_expression_that_is_too_large_no_other_of_its_route_is_judged() {
    let mut translator = world(vec![listener(0, 80, "")]);
    let matches = vec![matched("a", "a"), matched("b", "(?:a?){900}"), matched("c", "c")];
    apply(&mut translator, [route("t", "r", 1, json!({"rules": [{"matches": matches}]}))]);
    let found = route_issues(&translator, "r");
    assert!(
        found.iter().any(|issue| matches!(issue, Issue::InvalidPattern { .. }))
            && found.contains(&Issue::Limit(Limit::ExpressionsNotJudged)),
        "{found:?}"
    );
    let rule = &served(&translator, "t", "r").unwrap().rules[0];
    assert!(rule.action == Action::Answer(500) && rule.matches.len() == 1);
}

/// An expression that takes more sets of states than a cheap one may.
fn costly(number: usize) -> Value {
    matched("x", &format!("{number}.*[a-m].{{6}}"))
}

fn has_its_costly(translator: &Translator, namespace: &str, name: &str) -> bool {
    let found = issues(translator, Kind::HttpRoute, namespace, name);
    let told = found.iter().any(|issue| matches!(issue, Issue::Limit(Limit::CostlyExpressions { .. })));
    assert_eq!(served(translator, namespace, name).unwrap().rules[0].action == Action::Answer(500), told, "{namespace}/{name}: {found:?}");
    !told
}

#[test]
fn a_route_and_a_namespace_have_so_many_costly_expressions() {
    let mut translator = world(vec![listener(0, 80, "")]);
    let plain = json!({"path": {"value": "/plain"}});
    let of = |index: usize, count: usize| {
        let matches: Vec<_> = (0..count).map(|number| costly(index * 100 + number)).chain([matched("y", "a+"), plain.clone()]).collect();
        route("t", &format!("r{index:02}"), index, json!({"rules": [{ "matches": matches }]}))
    };
    apply(&mut translator, (0..10).map(|index| of(index, 8)).chain([of(10, 9)]));
    let has: Vec<_> = (0..11).filter(|index| has_its_costly(&translator, "t", &format!("r{index:02}"))).collect();
    assert_eq!(has, (0..4).collect::<Vec<_>>());
    assert_eq!(served(&translator, "t", "r09").unwrap().rules[0].matches.len(), 2, "cheap ones are used");
    neighbour_is_served(&translator);
}

#[test]
fn costly_expressions_are_shared_by_namespaces_that_want_more_than_there_are() {
    let mut translator = world(vec![listener(0, 80, "")]);
    let of = |space: usize, index: usize| {
        let matches = [costly(space * 100 + index), json!({"path": {"value": "/plain"}})];
        route(&format!("t{space}"), &format!("r{index}"), 1 + index, json!({"rules": [{ "matches": matches }]}))
    };
    let spaces = 80;
    apply(&mut translator, (0..spaces).flat_map(|space| (0..8).map(move |index| of(space, index))));
    let counts = |translator: &Translator| -> Vec<usize> {
        let count = |space: usize| (0..8).filter(|index| has_its_costly(translator, &format!("t{space}"), &format!("r{index}"))).count();
        (0..spaces).map(count).collect()
    };
    // 128 over 80 are 1, and 48 namespaces have one more.
    let before = counts(&translator);
    assert!(before.iter().all(|count| [1, 2].contains(count)) && before.iter().sum::<usize>() == 128, "{before:?}");
    apply(&mut translator, [route("small", "r", 59, json!({"rules": [{"matches": [costly(9_999), {"path": {"value": "/plain"}}]}]}))]);
    assert!(has_its_costly(&translator, "small", "r"), "a namespace that wants little has it, however young");
    let gone = |space: usize| (0..8).map(move |index| ObjectId::new(Kind::HttpRoute, format!("t{space}"), format!("r{index}")));
    let gone: Vec<_> = (15..spaces).flat_map(gone).map(|id| Change { id, old: None, new: None }).collect();
    translator.apply(gone, Now::from_unix(0));
    assert!(
        (0..15).all(|space| (0..8).all(|index| has_its_costly(&translator, &format!("t{space}"), &format!("r{index}")))),
        "there is room again"
    );
}

#[test]
fn a_route_is_attached_at_so_many_places() {
    let listeners = (0..64).map(|index| listener(index, 8000 + index, "")).collect();
    let mut translator = world(listeners);
    let hostnames: Vec<_> = (0..16).map(|index| format!("h{index}.x.io")).collect();
    let crowd = (0..20).map(|index| route("t", &format!("wide{index}"), 1, json!({"hostnames": hostnames, "rules": [{}]})));
    let narrow = json!({"hostnames": hostnames, "rules": [{}], "parentRefs": [{"name": "g", "namespace": "n", "sectionName": "l7"}]});
    apply(&mut translator, crowd.chain([route("t", "narrow", 1, narrow)]));
    assert!(served(&translator, "t", "wide0").is_none());
    assert_eq!(route_issues(&translator, "wide0"), [Issue::Limit(Limit::TooManyPlaces { most: 512 })]);
    assert_eq!(served(&translator, "t", "narrow").unwrap().attachments[0].hostnames.len(), 16);
    assert_eq!(served(&translator, "neighbour", "r").unwrap().attachments.len(), 64);
    let matches: Vec<_> = (0..128).map(|index| json!({"path": {"value": format!("/p{index}")}})).collect();
    let rules = json!([{"matches": matches}]);
    apply(&mut translator, [route("t", "deep", 1, json!({"hostnames": hostnames[..4], "rules": rules}))]);
    assert_eq!(route_issues(&translator, "deep"), [Issue::Limit(Limit::TooManyEntries { found: 32_768, most: 16_384 })]);
    assert!(served(&translator, "t", "deep").is_none());
    neighbour_is_served(&translator);
}

#[test]
fn a_namespace_has_so_many_entries() {
    let mut translator = world((0..64).map(|index| listener(index, 8000 + index, "")).collect());
    let matches: Vec<_> = (0..128).map(|index| json!({"path": {"value": format!("/p{index}")}})).collect();
    // 8,192 entries each: 12 routes are within 100,000.
    apply(&mut translator, (0..14).map(|index| route("t", &format!("r{index:02}"), index, json!({"rules": [{"matches": matches}]}))));
    assert!((0..12).all(|index| served(&translator, "t", &format!("r{index:02}")).is_some()));
    for name in ["r12", "r13"] {
        assert!(served(&translator, "t", name).is_none());
        assert!(matches!(route_issues(&translator, name)[..], [Issue::Limit(Limit::EntryBudget { .. })]), "{name}");
    }
    neighbour_is_served(&translator);
}

#[test]
fn entries_are_shared_by_namespaces_that_want_more_than_there_are() {
    let mut translator = world((0..64).map(|index| listener(index, 8000 + index, "")).collect());
    let matches: Vec<_> = (0..128).map(|index| json!({"path": {"value": format!("/p{index}")}})).collect();
    let of = |space: usize| route(&format!("t{space:02}"), "r", space, json!({"rules": [{"matches": matches}]}));
    apply(&mut translator, (0..80).map(of));
    let has = |translator: &Translator, space: usize| served(translator, &format!("t{space:02}"), "r").is_some();
    // 8,192 entries each, the neighbour's 64 taken off: 24 routes are within 200,000.
    assert!((0..80).all(|space| has(&translator, space) == (space < 24)));
    let told = issues(&translator, Kind::HttpRoute, "t24", "r");
    assert!(matches!(told[..], [Issue::Limit(Limit::EntryBudget { .. })]), "{told:?}");
    neighbour_is_served(&translator);
    let gone = (0..56).map(|space| ObjectId::new(Kind::HttpRoute, format!("t{space:02}"), "r"));
    translator.apply(gone.map(|id| Change { id, old: None, new: None }).collect::<Vec<_>>(), Now::from_unix(0));
    assert!((56..80).all(|space| has(&translator, space)), "there is room again");
}

#[test]
fn a_service_has_so_many_ports() {
    let mut translator = world(vec![listener(0, 80, "")]);
    let ports: Vec<_> = (1..=80).map(|port| json!({"name": format!("p{port}"), "port": port})).collect();
    let endpoints: Vec<_> = (0..250).map(|index| json!({"addresses": [format!("10.1.0.{index}")]})).collect();
    let body =
        json!({"addressType": "IPv4", "ports": ports, "endpoints": endpoints, "metadata": {"labels": {"kubernetes.io/service-name": "s"}}});
    let backends: Vec<_> = [1, 64, 65, 80].map(|port| json!({"name": "s", "port": port})).into();
    apply(
        &mut translator,
        [
            object(Kind::Service, "t", "s", 0, json!({"spec": {"ports": ports}})),
            object(Kind::EndpointSlice, "t", "s", 0, body),
            route("t", "r", 1, json!({"rules": [{"backendRefs": backends}]})),
        ],
    );
    let refused: Vec<_> =
        route_issues(&translator, "r").into_iter().filter(|issue| matches!(issue, Issue::Limit(Limit::TooManyPorts { .. }))).collect();
    assert_eq!(refused.len(), 2, "{refused:?}");
    let served = snapshot(&translator).iter().filter(|(key, _)| matches!(key, Key::Backend(_))).count();
    assert_eq!(served, 2);
}

/// An endpoint at the address of a Service is refused, whichever comes first, and served when that Service is gone.
#[test]
fn endpoints_at_addresses_of_services_are_refused_in_any_order() {
    let mut translator = world(vec![listener(0, 80, "")]);
    let labels = json!({"labels": {"kubernetes.io/service-name": "s"}});
    let endpoints = json!([{"addresses": ["10.0.0.1"]}, {"addresses": ["10.0.0.2"]}]);
    let slice = json!({"addressType": "IPv4", "ports": [{"port": 80}], "endpoints": endpoints, "metadata": labels});
    let service = |cluster_ip: &str| json!({"spec": {"clusterIP": cluster_ip, "ports": [{"port": 80}]}});
    apply(
        &mut translator,
        [
            object(Kind::Service, "t", "s", 0, service("10.9.0.1")),
            object(Kind::EndpointSlice, "t", "s", 0, slice),
            route("t", "r", 1, json!({"rules": [{"backendRefs": [{"name": "s", "port": 80}]}]})),
        ],
    );
    let count = |translator: &Translator| {
        let backends = snapshot(translator);
        let of = |resource: &Resource| if let Resource::Backend(backend) = resource { backend.endpoints.len() } else { 0 };
        backends.iter().map(|(_, resource)| of(resource)).sum::<usize>()
    };
    assert_eq!(count(&translator), 2);
    apply(&mut translator, [object(Kind::Service, "other", "victim", 0, service("10.0.0.2"))]);
    assert_eq!(count(&translator), 1);
    let gone = ObjectId::new(Kind::Service, "other", "victim");
    translator.apply([Change { id: gone, old: None, new: None }], Now::from_unix(0));
    assert_eq!(count(&translator), 2);
}

#[test]
fn findings_name_so_many_listeners() {
    let mut translator = world(vec![listener(0, 80, "")]);
    let set = |index: usize, protocol: &str| {
        let listeners: Vec<_> = (0..64)
            .map(|number| json!({"name": format!("l{number}"), "port": 90, "protocol": protocol, "hostname": format!("h{number}.s{index}.io")}))
            .collect();
        let spec = json!({"parentRef": {"name": "g", "namespace": "n"}, "listeners": listeners});
        object(Kind::ListenerSet, "t", &format!("s{index}"), index, json!({ "spec": spec }))
    };
    apply(&mut translator, (0..8).map(|index| set(index, if index < 4 { "HTTP" } else { "HTTPS" })));
    let named: Vec<_> = issues(&translator, Kind::ListenerSet, "t", "s7")
        .into_iter()
        .filter_map(|issue| match issue {
            Issue::ProtocolConflict { others, .. } => Some(others.len()),
            _ => None,
        })
        .collect();
    assert_eq!(named, [8; 64], "of the 256 in the way");
}

#[test]
fn a_namespace_names_so_many_bytes_of_hosts() {
    let mut translator = Translator::new(Settings::default());
    let class = object(Kind::IngressClass, "", "web", 0, json!({"spec": {"controller": "kakehi.dev/ingress-controller"}}));
    let ingress = |namespace: &str, index: usize, count: usize| {
        let long = "x".repeat(60);
        let rules: Vec<_> = (0..count).map(|number| json!({"host": format!("h{number}.i{index}.{long}.{long}.{long}.io")})).collect();
        let backend = json!({"service": {"name": "s", "port": {"number": 80}}});
        let spec = json!({"ingressClassName": "web", "rules": rules, "defaultBackend": backend});
        object(Kind::Ingress, namespace, &format!("i{index}"), index, json!({ "spec": spec }))
    };
    apply(&mut translator, (0..5).map(|index| ingress("t", index, 1000)).chain([class, ingress("neighbour", 9, 1)]));
    let refused = |namespace: &str, index: usize| {
        let found = issues(&translator, Kind::Ingress, namespace, &format!("i{index}"));
        found.iter().any(|issue| matches!(issue, Issue::Limit(Limit::HostBudget { .. })))
    };
    assert_eq!((0..5).map(|index| refused("t", index)).collect::<Vec<_>>(), [false, false, false, true, true]);
    assert!(!refused("neighbour", 9));
}
