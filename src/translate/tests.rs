use serde_json::{Value, json};

use super::{Edge, Now, OwnPods, Settings, Translator};
use crate::api::{Change, Object};
use crate::model::{BackendId, EdgeId, Kind, ObjectId};
use crate::report::{Issue, ObjectReport, ProfileProblem};
use crate::snapshot::{Key, Resource};

const TODAY: i64 = 1_796_083_200;

/// A Gateway with a route to one Service, and whatever a test adds.
struct World(Translator);

impl World {
    fn new(settings: Settings) -> Self {
        let mut world = Self(Translator::new(settings));
        let rule = json!({"backendRefs": [{"name": "shop", "port": 80}]});
        let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP"}]);
        world.set(Kind::GatewayClass, "ours", json!({"spec": {"controllerName": "kakehi.dev/gateway-controller"}}));
        world.set(Kind::Gateway, "web", json!({"spec": {"gatewayClassName": "ours", "listeners": listeners}}));
        world.set(Kind::HttpRoute, "r", json!({"spec": {"parentRefs": [{"name": "web"}], "rules": [rule]}}));
        world.set(Kind::Service, "shop", json!({"spec": {"ports": [{"port": 80}]}}));
        world
    }

    fn set(&mut self, kind: Kind, name: &str, mut body: Value) {
        body["metadata"]["name"] = json!(name);
        if kind != Kind::GatewayClass && kind != Kind::IngressClass {
            body["metadata"]["namespace"] = json!("a");
        }
        let object = Object::from_value(kind, body).unwrap();
        self.0.apply([Change { id: object.id(), old: None, new: Some(object) }], Now::from_unix(TODAY));
    }

    fn slice(&mut self, endpoints: Value) {
        let labels = json!({"kubernetes.io/service-name": "shop"});
        let body = json!({"addressType": "IPv4", "ports": [{"port": 8080}], "endpoints": endpoints, "metadata": {"labels": labels}});
        self.set(Kind::EndpointSlice, "shop-1", body);
    }

    fn edge(&self) -> &Edge {
        self.0.edges().find(|(id, _)| **id == EdgeId { namespace: "a".into(), name: "web".into() }).unwrap().1
    }

    fn endpoints(&self) -> Vec<String> {
        let key = Key::Backend(BackendId { namespace: "a".into(), service: "shop".into(), port: 80 });
        match self.edge().snapshot.get(&key).unwrap().as_ref() {
            Resource::Backend(backend) => backend.endpoints.iter().map(|endpoint| endpoint.ip.to_string()).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn report(&self, kind: Kind, name: &str) -> Option<&ObjectReport> {
        self.0.reports().get(&ObjectId::new(kind, "a", name)).map(AsRef::as_ref)
    }
}

fn endpoint(address: &str, conditions: Value) -> Value {
    json!({"addresses": [address], "conditions": conditions})
}

#[test]
fn ready_unset_is_ready_and_those_that_leave_are_the_last_resort() {
    let mut world = World::new(Settings::default());
    let leaving = endpoint("10.0.0.3", json!({"ready": false, "serving": true, "terminating": true}));
    let gone = endpoint("10.0.0.4", json!({"ready": false, "serving": false, "terminating": true}));
    let unready = endpoint("10.0.0.5", json!({"ready": false}));
    world.slice(json!([endpoint("10.0.0.2", json!({"ready": true})), {"addresses": ["10.0.0.1"]}, leaving, gone, unready]));
    assert_eq!(world.endpoints(), ["10.0.0.1", "10.0.0.2"]);
    world.slice(json!([leaving, gone, unready]));
    assert_eq!(world.endpoints(), ["10.0.0.3"]);
    world.slice(json!([gone, unready]));
    assert!(world.endpoints().is_empty());
    // publishNotReadyAddresses: the slice says ready, although the pod terminates.
    world.slice(json!([endpoint("10.0.0.6", json!({"ready": true, "serving": false, "terminating": true}))]));
    assert_eq!(world.endpoints(), ["10.0.0.6"]);
}

#[test]
fn addresses_of_the_proxys_own_machine_and_link_are_no_backend() {
    let hostile =
        ["127.0.0.1", "169.254.169.254", "224.0.0.1", "0.0.0.0", "255.255.255.255", "::1", "fe80::1", "ff02::1", "::ffff:127.0.0.1", "x"];
    let endpoints = || json!(hostile.iter().chain(&["10.0.0.1"]).map(|address| endpoint(address, Value::Null)).collect::<Vec<_>>());
    let mut world = World::new(Settings::default());
    world.slice(endpoints());
    assert_eq!(world.endpoints(), ["10.0.0.1"]);
    assert_eq!(world.report(Kind::EndpointSlice, "shop-1").unwrap().findings.len(), hostile.len());

    let mut standalone = World::new(Settings { loopback_endpoints: true, ..Settings::default() });
    standalone.slice(endpoints());
    assert_eq!(standalone.endpoints(), ["10.0.0.1", "127.0.0.1"]);
}

#[test]
fn a_malformed_object_has_a_report_and_no_rules() {
    let mut world = World::new(Settings::default());
    let key = Key::Route(ObjectId::new(Kind::HttpRoute, "a", "r"));
    assert!(world.edge().snapshot.get(&key).is_some());
    world.set(Kind::HttpRoute, "r", json!({"metadata": {"generation": 7}, "spec": {"rules": [{"filters": [{"type": "New"}]}]}}));
    assert!(world.edge().snapshot.get(&key).is_none());
    let report = world.report(Kind::HttpRoute, "r").unwrap();
    assert_eq!(report.generation, 7);
    assert!(report.findings[0].to_string().starts_with("HTTPRoute/a/r: cannot be read: spec.rules[0].filters[0]"));
}

#[test]
fn a_status_write_of_an_object_changes_nothing() {
    let mut world = World::new(Settings::default());
    let before = world.edge().clone();
    let rule = json!({"backendRefs": [{"name": "shop", "port": 80}]});
    let route = json!({"spec": {"parentRefs": [{"name": "web"}], "rules": [rule]}, "status": {"parents": []},
        "metadata": {"name": "r", "namespace": "a", "resourceVersion": "9", "labels": {"x": "y"}}});
    let object = Object::from_value(Kind::HttpRoute, route).unwrap();
    let changes = world.0.apply([Change { id: object.id(), old: None, new: Some(object) }], Now::from_unix(TODAY));
    assert!(changes.edges.is_empty() && changes.reports.is_empty() && changes.computed == 0, "{changes:?}");
    assert_eq!(world.edge(), &before);
}

#[test]
fn parameters_of_the_gateway_go_over_those_of_the_class() {
    let mut world = World::new(Settings::default());
    let of_class = json!({"group": "kakehi.dev", "kind": "EdgeProfile", "name": "base", "namespace": "a"});
    world.set(Kind::GatewayClass, "ours", json!({"spec": {"controllerName": "kakehi.dev/gateway-controller", "parametersRef": of_class}}));
    let missing = |name: &str| Issue::ProfileNotUsable { namespace: "a".into(), name: name.into(), problem: ProfileProblem::NotFound };
    let class = ObjectId::new(Kind::GatewayClass, "", "ours");
    assert_eq!(world.0.reports()[&class].findings[0].issue, missing("base"));
    assert!(world.edge().snapshot.is_empty(), "nothing is served without the parameters");

    world.set(Kind::EdgeProfile, "base", json!({"spec": {"replicas": 4, "forceHop": true}}));
    assert_eq!(world.0.reports()[&class].findings, []);
    assert_eq!(world.edge().data.profile.replicas, Some(4));

    let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP"}]);
    let infrastructure = json!({"labels": {"team": "red", "kakehi.dev/edge": "mine"}, "parametersRef": {"group": "kakehi.dev", "kind": "EdgeProfile", "name": "own"}});
    world.set(
        Kind::Gateway,
        "web",
        json!({"spec": {"gatewayClassName": "ours", "listeners": listeners, "infrastructure": infrastructure}}),
    );
    assert!(world.report(Kind::Gateway, "web").unwrap().findings.iter().any(|finding| finding.issue == missing("own")));
    world.set(Kind::EdgeProfile, "own", json!({"spec": {"replicas": 1}}));
    let told: Vec<_> = world.report(Kind::Gateway, "web").unwrap().findings.iter().map(|finding| finding.issue.to_string()).collect();
    assert_eq!(told, ["spec.infrastructure.labels[kakehi.dev/edge] is set by Kakehi itself, so this value has no effect"]);
    let data = &world.edge().data;
    assert_eq!((data.profile.replicas, data.profile.force_hop), (Some(1), Some(true)));
    assert_eq!(data.ports.iter().collect::<Vec<_>>(), [&80]);
    assert_eq!(data.labels["team"], "red");
}

/// Who may write Gateways does not run images of his choice by the operator's rights.
#[test]
fn what_pods_run_counts_from_the_profile_of_the_class_alone() {
    let reference = |name: &str| json!({"group": "kakehi.dev", "kind": "EdgeProfile", "name": name});
    let profile = |image: &str| json!({"spec": {"images": {"edge": image}, "placement": {"priorityClassName": "system-node-critical"}, "replicas": 7}});
    let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP"}]);
    for (own_pods, image, replicas, told) in [
        (OwnPods::All, "evil:1", 7, vec![]),
        (OwnPods::Size, "good:1", 7, vec!["images", "placement"]),
        (OwnPods::Nothing, "good:1", 3, vec!["images", "placement", "replicas"]),
    ] {
        let mut world = World::new(Settings { own_pods, ..Settings::default() });
        let mut of_class = reference("base");
        of_class["namespace"] = json!("a");
        let class = json!({"spec": {"controllerName": "kakehi.dev/gateway-controller", "parametersRef": of_class}});
        world.set(Kind::GatewayClass, "ours", class);
        world.set(Kind::EdgeProfile, "base", json!({"spec": {"images": {"edge": "good:1"}, "replicas": 3}}));
        world.set(Kind::EdgeProfile, "own", profile("evil:1"));
        let spec = json!({"gatewayClassName": "ours", "listeners": listeners, "infrastructure": {"parametersRef": reference("own")}});
        world.set(Kind::Gateway, "web", json!({"spec": spec}));
        let chosen = &world.edge().data.profile;
        assert_eq!((chosen.images.as_ref().unwrap().edge.as_deref(), chosen.replicas), (Some(image), Some(replicas)), "{own_pods:?}");
        assert_eq!(chosen.placement.is_some(), own_pods == OwnPods::All);
        let findings = world.report(Kind::Gateway, "web").unwrap().findings.clone();
        let fields: Vec<_> = findings.iter().map(|finding| finding.issue.clone()).collect();
        let expected: Vec<_> = told.iter().map(|field| Issue::ParameterOfClass { field: format!("EdgeProfile spec.{field}") }).collect();
        assert_eq!(fields, expected, "{own_pods:?}");
    }
}

/// A class may say DaemonSet and a Gateway how many pods: of the latter nothing comes.
#[test]
fn a_daemon_set_has_no_number_of_pods() {
    let mut world = World::new(Settings::default());
    let reference = |name: &str| json!({"group": "kakehi.dev", "kind": "EdgeProfile", "name": name});
    let mut of_class = reference("base");
    of_class["namespace"] = json!("a");
    let class = json!({"spec": {"controllerName": "kakehi.dev/gateway-controller", "parametersRef": of_class}});
    world.set(Kind::GatewayClass, "ours", class);
    world.set(Kind::EdgeProfile, "own", json!({"spec": {"replicas": 7}}));
    let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP"}]);
    let spec = json!({"gatewayClassName": "ours", "listeners": listeners, "infrastructure": {"parametersRef": reference("own")}});
    world.set(Kind::Gateway, "web", json!({"spec": spec}));
    for (workload, told) in
        [("Deployment", vec![]), ("DaemonSet", vec![Issue::UnsupportedField { field: "EdgeProfile spec.replicas".into() }])]
    {
        world.set(Kind::EdgeProfile, "base", json!({"spec": {"placement": {"workload": workload}}}));
        let findings = world.report(Kind::Gateway, "web").unwrap().findings.clone();
        assert_eq!(findings.into_iter().map(|finding| finding.issue).collect::<Vec<_>>(), told, "{workload}");
    }
}

/// On creation an API server wants both to be the same, on a change it does not.
#[test]
fn the_class_in_the_spec_counts_for_more_than_the_annotation() {
    let mut world = World::new(Settings::default());
    for (name, controller) in [("ours-too", "kakehi.dev/ingress-controller"), ("foreign", "example.com/other")] {
        world.set(Kind::IngressClass, name, json!({"spec": {"controller": controller}}));
    }
    let backend = json!({"service": {"name": "shop", "port": {"number": 80}}});
    for (name, field, annotation) in [("a", Some("ours-too"), "foreign"), ("b", Some("foreign"), "ours-too"), ("c", None, "ours-too")] {
        let spec = json!({"ingressClassName": field, "defaultBackend": backend});
        world.set(Kind::Ingress, name, json!({"spec": spec, "metadata": {"annotations": {"kubernetes.io/ingress.class": annotation}}}));
    }
    let ours: Vec<_> = ["a", "b", "c"].into_iter().filter(|name| world.report(Kind::Ingress, name).is_some()).collect();
    assert_eq!(ours, ["a", "c"]);
}
