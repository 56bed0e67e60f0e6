use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    Acknowledgement, Address, Finding, Issue, ListenerReport, ObjectReport, Observed, ParentRef, ParentReport, Provisioned, Scope,
    Severity, Verdict, left, left_out, status,
};
use crate::api::bundle::Bundle;
use crate::model::{EdgeId, Kind, ListenerName, ObjectId};
use crate::snapshot::Key;

const CONTROLLER: &str = "kakehi.dev/gateway-controller";

fn edge() -> EdgeId {
    EdgeId { namespace: "a".into(), name: "web".into() }
}

fn parent() -> ParentRef {
    ParentRef { group: None, kind: None, namespace: None, name: "web".into(), section_name: None, port: None }
}

fn route_id() -> ObjectId {
    ObjectId::new(Kind::HttpRoute, "a", "r")
}

fn route(generation: i64, rules: usize, issues: Vec<(Scope, Issue)>) -> ObjectReport {
    let parents = vec![ParentReport { parent: parent(), edge: edge() }];
    let findings = issues.into_iter().map(|(scope, issue)| Finding { object: route_id(), scope, issue }).collect();
    ObjectReport { id: route_id(), generation, findings, verdict: Verdict::Route { parents, rules } }
}

fn gateway(issues: Vec<(Scope, Issue)>, listeners: &[&str]) -> ObjectReport {
    let id = ObjectId::new(Kind::Gateway, "a", "web");
    let listener = |name: &&str| ListenerReport { name: ListenerName((*name).into()), supported_kinds: Vec::new(), attached_routes: 0 };
    let verdict = Verdict::Gateway { listeners: listeners.iter().map(listener).collect(), addresses: Vec::new(), sets: 0 };
    let findings = issues.into_iter().map(|(scope, issue)| Finding { object: id.clone(), scope, issue }).collect();
    ObjectReport { id, generation: 1, findings, verdict }
}

fn render(report: &ObjectReport, previous: Option<&Value>, said: Option<Acknowledgement>, now: i64) -> Value {
    let edges: BTreeMap<_, _> = said.into_iter().map(|said| (edge(), said)).collect();
    let observed = Observed { controller_name: CONTROLLER, edges: &edges, provisioned: None, now, bundle: None };
    let rendered = status(report.id.kind, Some(report), previous, &observed).unwrap();
    let again = status(report.id.kind, Some(report), Some(&rendered), &Observed { now: now + 60, ..observed });
    assert_eq!(again.as_ref(), Some(&rendered), "rendering is no fixed point");
    rendered
}

fn programmed() -> Option<Acknowledgement> {
    Some(Acknowledgement { programmed: true, refused: Vec::new() })
}

fn condition(list: &Value, name: &str) -> (String, String) {
    let found = list["conditions"].as_array().unwrap().iter().find(|condition| condition["type"] == name);
    let Some(found) = found else { return Default::default() };
    (found["status"].as_str().unwrap().to_owned(), found["reason"].as_str().unwrap().to_owned())
}

fn is(list: &Value, name: &str, expected: (&str, &str)) {
    let (status, reason) = condition(list, name);
    assert_eq!((status.as_str(), reason.as_str()), expected, "{name} in {list:#}");
}

fn rule(rule: usize) -> Scope {
    Scope::Rule { rule, backend: None }
}

fn mirror() -> Issue {
    Issue::UnsupportedFilter { filter: "RequestMirror".into() }
}

#[test]
fn a_refused_route_has_both_conditions() {
    let report = route(3, 1, vec![(Scope::Parent(parent()), Issue::NotAllowedByListeners)]);
    let entry = render(&report, None, programmed(), 0)["parents"][0].clone();
    is(&entry, "Accepted", ("False", "NotAllowedByListeners"));
    is(&entry, "ResolvedRefs", ("True", "ResolvedRefs"));
    is(&entry, "kakehi.dev/Programmed", ("False", "Invalid"));
    assert!(entry["conditions"].as_array().unwrap().iter().all(|condition| condition["observedGeneration"] == 3));
}

#[test]
fn some_broken_rules_are_dropped_all_broken_rules_refuse_the_route() {
    let entry = render(&route(1, 2, vec![(rule(1), mirror())]), None, programmed(), 0)["parents"][0].clone();
    is(&entry, "Accepted", ("True", "Accepted"));
    is(&entry, "PartiallyInvalid", ("True", "UnsupportedValue"));
    let message = entry["conditions"][2]["message"].as_str().unwrap();
    assert!(message.starts_with("Dropped Rule") && message.contains("rules[1]"), "{message}");

    let entry = render(&route(1, 2, vec![(rule(0), mirror()), (rule(1), mirror())]), None, programmed(), 0)["parents"][0].clone();
    is(&entry, "Accepted", ("False", "UnsupportedValue"));
    is(&entry, "PartiallyInvalid", ("", ""));
}

#[test]
fn remarks_leave_conditions_true_and_say_so() {
    let timeouts = (rule(0), Issue::UnsupportedField { field: "timeouts".into() });
    let entry = render(&route(1, 1, vec![timeouts]), None, programmed(), 0)["parents"][0].clone();
    is(&entry, "Accepted", ("True", "Accepted"));
    assert_eq!(entry["conditions"][0]["message"], "1 rule is accepted; rules[0]: timeouts is not supported and has no effect");
}

#[test]
fn transition_times_move_with_the_status_only() {
    let first = render(&route(1, 1, Vec::new()), None, programmed(), 1_000);
    let since = |status: &Value, index: usize| status["parents"][0]["conditions"][index]["lastTransitionTime"].clone();
    assert_eq!(since(&first, 0), "1970-01-01T00:16:40Z");
    let missing = Issue::BackendPortMissing { namespace: "a".into(), name: "s".into() };
    let bad = route(2, 1, vec![(Scope::Rule { rule: 0, backend: Some(0) }, missing)]);
    let second = render(&bad, Some(&first), programmed(), 2_000);
    assert_eq!(since(&second, 0), since(&first, 0), "Accepted stayed True");
    assert_eq!(since(&second, 1), "1970-01-01T00:33:20Z", "ResolvedRefs turned");
}

#[test]
fn what_others_wrote_stays() {
    let foreign = json!({"controllerName": "example.com/x", "parentRef": {"name": "web"}, "conditions": [{"type": "Odd", "extra": 1}]});
    let stale = json!({"controllerName": CONTROLLER, "parentRef": {"name": "gone"}, "conditions": []});
    let previous = json!({"parents": [foreign, stale]});
    let rendered = render(&route(1, 1, Vec::new()), Some(&previous), programmed(), 0);
    assert_eq!(rendered["parents"][0], foreign);
    assert_eq!(rendered["parents"].as_array().unwrap().len(), 2, "our stale entry is gone");

    let observed = Observed { controller_name: CONTROLLER, edges: &BTreeMap::new(), provisioned: None, now: 0, bundle: None };
    let left = status(Kind::HttpRoute, None, Some(&rendered), &observed).unwrap();
    assert_eq!(left, json!({"parents": [foreign]}));
    assert_eq!(status(Kind::HttpRoute, None, Some(&left), &observed), None);
}

#[test]
fn programmed_is_latched_for_a_generation() {
    let pending = render(&route(1, 1, Vec::new()), None, None, 0);
    is(&pending["parents"][0], "kakehi.dev/Programmed", ("False", "Pending"));
    let acknowledged = render(&route(1, 1, Vec::new()), Some(&pending), programmed(), 0);
    is(&acknowledged["parents"][0], "kakehi.dev/Programmed", ("True", "Programmed"));
    let joining = render(&route(1, 1, Vec::new()), Some(&acknowledged), None, 0);
    is(&joining["parents"][0], "kakehi.dev/Programmed", ("True", "Programmed"));
    let edited = render(&route(2, 1, Vec::new()), Some(&joining), None, 0);
    is(&edited["parents"][0], "kakehi.dev/Programmed", ("False", "Pending"));
    let refusal = Acknowledgement { programmed: true, refused: vec![(Key::Route(route_id()), "too long".into())] };
    let refused = render(&route(2, 1, Vec::new()), Some(&joining), Some(refusal), 0);
    is(&refused["parents"][0], "kakehi.dev/Programmed", ("False", "Invalid"));
}

#[test]
fn a_gateway_is_as_good_as_its_listeners() {
    let unsupported = |name: &str| (Scope::Listener(ListenerName(name.into())), Issue::UnsupportedProtocol { protocol: "SCTP".into() });
    let healthy = render(&gateway(Vec::new(), &["x", "y"]), None, programmed(), 0);
    is(&healthy, "Accepted", ("True", "Accepted"));
    is(&healthy, "Programmed", ("True", "Programmed"));

    let partly = render(&gateway(vec![unsupported("x")], &["x", "y"]), None, programmed(), 0);
    is(&partly, "Accepted", ("True", "ListenersNotValid"));
    is(&partly, "Programmed", ("True", "Programmed"));
    is(&partly["listeners"][0], "Accepted", ("False", "UnsupportedProtocol"));
    is(&partly["listeners"][0], "Programmed", ("False", "Invalid"));
    is(&partly["listeners"][1], "Programmed", ("True", "Programmed"));

    let not_at_all = render(&gateway(vec![unsupported("x"), unsupported("y")], &["x", "y"]), None, programmed(), 0);
    is(&not_at_all, "Accepted", ("False", "ListenersNotValid"));
    is(&not_at_all, "Programmed", ("False", "Invalid"));
}

#[test]
fn a_conflict_is_no_acceptance() {
    let conflict = Issue::HostnameConflict { port: 80, others: vec![ListenerName("y".into())] };
    let rendered = render(&gateway(vec![(Scope::Listener(ListenerName("x".into())), conflict)], &["x", "y"]), None, programmed(), 0);
    is(&rendered["listeners"][0], "Conflicted", ("True", "HostnameConflict"));
    is(&rendered["listeners"][0], "Accepted", ("False", "HostnameConflict"));
    is(&rendered["listeners"][1], "Conflicted", ("False", "NoConflicts"));
}

#[test]
fn a_refused_listener_is_not_programmed() {
    let refused = |names: &[&str]| {
        let keys = names.iter().map(|name| (Key::Listener(ListenerName((*name).into())), "port in use".into())).collect();
        render(&gateway(Vec::new(), &["x", "y"]), None, Some(Acknowledgement { programmed: true, refused: keys }), 0)
    };
    let one = refused(&["x"]);
    is(&one["listeners"][0], "Programmed", ("False", "Invalid"));
    is(&one, "Programmed", ("True", "Programmed"));
    is(&refused(&["x", "y"]), "Programmed", ("False", "Invalid"));
}

#[test]
fn severity_follows_from_the_effect() {
    assert_eq!(mirror().severity(), Severity::Error);
    assert_eq!(Issue::UnknownField { path: "spec.x".into() }.severity(), Severity::Warning);
    assert_eq!(route(1, 1, vec![(rule(0), mirror())]).severity(), Some(Severity::Error));
    assert_eq!(route(1, 1, Vec::new()).severity(), None);
}

#[test]
fn long_messages_are_cut() {
    let issues = (0..2_000).map(|number| (rule(number), Issue::UnsupportedField { field: "ä".repeat(20) })).collect();
    let entry = render(&route(1, 2_000, issues), None, programmed(), 0)["parents"][0].clone();
    let message = entry["conditions"][0]["message"].as_str().unwrap();
    assert!(message.len() <= 32_768 && message.ends_with(" ..."));
}

#[test]
fn a_gateway_is_programmed_when_it_has_its_address() {
    let ip = |last| Address::Ip([192, 0, 2, last].into());
    let render = |wanted: &[u8], provisioned: Provisioned| {
        let mut report = gateway(Vec::new(), &["http"]);
        let Verdict::Gateway { addresses, .. } = &mut report.verdict else { unreachable!() };
        addresses.extend(wanted.iter().map(|last| std::net::IpAddr::from([192, 0, 2, *last])));
        let edges = BTreeMap::from([(edge(), programmed().unwrap())]);
        let observed = Observed { controller_name: CONTROLLER, edges: &edges, provisioned: Some(&provisioned), now: 0, bundle: None };
        status(Kind::Gateway, Some(&report), None, &observed).unwrap()
    };
    let has = |addresses: Vec<Address>| Provisioned { addresses, problem: None };
    is(&render(&[], has(Vec::new())), "Programmed", ("False", "AddressNotAssigned"));
    let assigned = render(&[], has(vec![ip(1)]));
    is(&assigned, "Programmed", ("True", "Programmed"));
    assert_eq!(assigned["addresses"], json!([{"type": "IPAddress", "value": "192.0.2.1"}]));
    is(&render(&[9], has(vec![ip(1)])), "Programmed", ("False", "AddressNotUsable"));
    is(&render(&[1, 9], has(vec![ip(1)])), "Programmed", ("False", "AddressNotUsable"));
    is(&render(&[1], has(vec![ip(1)])), "Programmed", ("True", "Programmed"));
    let refused = render(&[], Provisioned { addresses: vec![ip(1)], problem: Some("exceeded quota".into()) });
    is(&refused, "Programmed", ("False", "NoResources"));
    let named = render(&[], has(vec![Address::Hostname("lb.example".into())]));
    assert_eq!(named["addresses"], json!([{"type": "Hostname", "value": "lb.example"}]));
}

#[test]
fn an_ingress_shows_addresses_from_its_acknowledgement_on() {
    let id = ObjectId::new(Kind::Ingress, "a", "shop");
    let edge = EdgeId::of_class("kakehi");
    let render = |served: bool, said: Option<bool>, provisioned: Option<&Provisioned>, previous: Option<&Value>| {
        let verdict = Verdict::Ingress { edge: edge.clone(), addresses: vec![[127, 0, 0, 1].into()], served };
        let report = ObjectReport { id: id.clone(), generation: 1, findings: Vec::new(), verdict };
        let said = said.map(|programmed| (edge.clone(), Acknowledgement { programmed, refused: Vec::new() }));
        let edges = said.into_iter().collect();
        let observed = Observed { controller_name: CONTROLLER, edges: &edges, provisioned, now: 0, bundle: None };
        status(Kind::Ingress, Some(&report), previous, &observed)
    };
    let shown = json!({"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}});
    let nothing = json!({"loadBalancer": {}});
    assert_eq!(render(true, None, None, None), None);
    assert_eq!(render(true, Some(false), None, Some(&nothing)), Some(nothing.clone()));
    assert_eq!(render(true, Some(true), None, None), Some(shown.clone()));
    // An edge that is still catching up with other changes takes nothing back; one that serves nothing of it does.
    assert_eq!(render(true, Some(false), None, Some(&shown)), Some(shown.clone()));
    assert_eq!(render(false, Some(true), None, Some(&shown)), Some(nothing.clone()));
    // On a cluster the Service has the addresses.
    let has = |addresses| Provisioned { addresses, problem: None };
    assert_eq!(render(true, Some(true), Some(&has(Vec::new())), Some(&nothing)), Some(nothing));
    let both = has(vec![Address::Ip([10, 0, 0, 1].into()), Address::Hostname("lb.example.com".into())]);
    let entries = json!({"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}, {"hostname": "lb.example.com"}]}});
    assert_eq!(render(true, Some(true), Some(&both), None), Some(entries));
    // Another controller's address stays until an edge of ours serves, and goes when none will.
    let foreign = json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.5"}]}});
    assert_eq!(render(true, None, None, Some(&foreign)), Some(foreign.clone()));
    assert_eq!(render(true, Some(false), None, Some(&foreign)), Some(foreign.clone()));
    assert_eq!(render(true, Some(true), None, Some(&foreign)), Some(shown.clone()));
    assert_eq!(render(false, Some(true), None, Some(&foreign)), Some(json!({"loadBalancer": {}})));
    // An Ingress that has left shows nothing of ours any more, and all of others.
    let ours = [Address::Ip([127, 0, 0, 1].into())];
    assert_eq!(left(Some(&shown), &ours, None), Some(json!({"loadBalancer": {}})));
    assert_eq!(left(Some(&shown), &[], Some(&shown)), Some(json!({"loadBalancer": {}})));
    for previous in [None, Some(&foreign), Some(&json!({"loadBalancer": {}})), Some(&entries_of(&["127.0.0.1", "203.0.113.5"]))] {
        assert_eq!(left(previous, &ours, Some(&shown)), None, "{previous:?}");
    }
    // What is not ours (any more) is not touched.
    let observed = Observed { controller_name: CONTROLLER, edges: &BTreeMap::new(), provisioned: None, now: 0, bundle: None };
    assert_eq!(status(Kind::Ingress, None, Some(&shown), &observed), None);
}

fn entries_of(addresses: &[&str]) -> Value {
    let entries: Vec<_> = addresses.iter().map(|ip| json!({"ip": ip})).collect();
    json!({"loadBalancer": {"ingress": entries}})
}

#[test]
fn a_route_s_status_holds_what_the_api_server_takes_and_says_what_is_left_out() {
    let foreign = |number: usize| json!({"controllerName": "example.com/x", "parentRef": {"name": format!("x{number}")}, "conditions": []});
    let previous = |count: usize| json!({"parents": (0..count).map(foreign).collect::<Vec<_>>()});
    let report = |parents: usize| {
        let named = |number| ParentReport { parent: ParentRef { name: format!("web{number}"), ..parent() }, edge: edge() };
        let verdict = Verdict::Route { parents: (0..parents).map(named).collect(), rules: 2 };
        ObjectReport { id: route_id(), generation: 1, findings: Vec::new(), verdict }
    };
    for (others, parents, shown, left) in
        [(0, 32, 32, None), (3, 29, 32, None), (3, 30, 32, Some(1)), (31, 3, 32, Some(2)), (32, 1, 32, Some(1))]
    {
        let previous = previous(others);
        let rendered = render(&report(parents), Some(&previous), programmed(), 0);
        let entries = rendered["parents"].as_array().unwrap();
        assert_eq!(entries.len(), shown, "{others} and {parents}");
        assert_eq!(entries[..others], *previous["parents"].as_array().unwrap(), "what others wrote stays");
        assert_eq!(left_out(&report(parents), Some(&previous), CONTROLLER), left);
        let further = match left {
            None => String::new(),
            Some(1) => "; 1 further parent has no entry here: the status holds 32, those of other controllers included".to_owned(),
            Some(left) => format!("; {left} further parents have no entry here: the status holds 32, those of other controllers included"),
        };
        for ours in &entries[others..] {
            assert_eq!(ours["conditions"][0]["message"], format!("2 rules are accepted{further}"));
        }
    }
}

#[test]
fn conditions_say_what_holds() {
    let message = |of: &Value, name: &str| {
        let found = of["conditions"].as_array().unwrap().iter().find(|condition| condition["type"] == name).unwrap();
        found["message"].as_str().unwrap().to_owned()
    };
    let mut of_gateway = gateway(Vec::new(), &["x", "y"]);
    let Verdict::Gateway { addresses, .. } = &mut of_gateway.verdict else { unreachable!() };
    addresses.extend([[198, 51, 100, 7], [198, 51, 100, 8]].map(std::net::IpAddr::from));
    let rendered = render(&of_gateway, None, programmed(), 0);
    assert_eq!(message(&rendered, "Accepted"), "2 listeners are valid");
    assert_eq!(message(&rendered, "Programmed"), "2 listeners serve on 198.51.100.7, 198.51.100.8");
    assert_eq!(message(&rendered["listeners"][0], "Programmed"), "the edge serves it");
    let refused = Acknowledgement { programmed: true, refused: vec![(Key::Listener(ListenerName("x".into())), "port in use".into())] };
    assert_eq!(message(&render(&gateway(Vec::new(), &["x", "y"]), None, Some(refused), 0), "Programmed"), "1 listener serves");
    let entry = &render(&route(1, 3, vec![(rule(1), mirror())]), None, programmed(), 0)["parents"][0];
    assert_eq!(message(entry, "Accepted"), "2 rules are accepted");
    assert_eq!(message(entry, "ResolvedRefs"), "all references resolve");
    assert_eq!(message(entry, "kakehi.dev/Programmed"), "2 rules are served by edge a/web");
}

#[test]
fn features_of_fields_that_may_be_missing_are_claimed_where_they_are_there() {
    let verdict = Verdict::Class { features: &["B", "D"], experimental: &["C"] };
    let report = ObjectReport { id: ObjectId::new(Kind::GatewayClass, "", "kakehi"), generation: 1, verdict, findings: Vec::new() };
    let claimed = |bundle: Option<&Bundle>| {
        let observed = Observed { controller_name: CONTROLLER, edges: &BTreeMap::new(), provisioned: None, now: 0, bundle };
        let status = status(Kind::GatewayClass, Some(&report), None, &observed).unwrap();
        status["supportedFeatures"]
            .as_array()
            .unwrap()
            .iter()
            .map(|feature| feature["name"].as_str().unwrap().to_owned())
            .collect::<String>()
    };
    let of = |channels: &[&str]| Bundle {
        versions: ["v1.6.1".to_owned()].into(),
        channels: channels.iter().map(|channel| (*channel).to_owned()).collect(),
    };
    assert_eq!(claimed(Some(&of(&["experimental"]))), "BCD");
    for channels in [&["standard"][..], &["experimental", "standard"], &[""], &[]] {
        assert_eq!(claimed(Some(&of(channels))), "BD", "{channels:?}");
    }
    assert_eq!(claimed(None), "BD");
}
