//! Translation: step by step equals from scratch, in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kakehi::api::{Change, Object};
use kakehi::model::{Action, BackendTarget, EdgeId, Filter, Kind, ObjectId};
use kakehi::report::{ObjectReport, Verdict};
use kakehi::snapshot::{Key, Resource, Snapshot};
use kakehi::translate::{Changes, EdgeChange, IngressSettings, Now, Settings, Translator};
use proptest::prelude::*;
use serde_json::json;

use super::universe::{Write, first, route, write};

/// 2026-12-01.
const TODAY: i64 = 1_796_083_200;

/// What somebody knows who only ever saw changes.
#[derive(Default)]
struct Follower {
    snapshots: BTreeMap<EdgeId, Snapshot>,
    reports: BTreeMap<ObjectId, Arc<ObjectReport>>,
}

impl Follower {
    fn follow(&mut self, changes: Changes) {
        for (id, change) in changes.edges {
            match change {
                EdgeChange::Gone => assert!(self.snapshots.remove(&id).is_some(), "{id} was never there"),
                EdgeChange::Set { delta, edge } => {
                    let snapshot = self.snapshots.entry(id).or_default();
                    snapshot.apply(&delta);
                    assert_eq!(snapshot.hash(), edge.snapshot.hash());
                }
            }
        }
        for (id, report) in changes.reports {
            match report {
                Some(report) => assert_ne!(self.reports.insert(id, report.clone()), Some(report), "a report that did not change"),
                None => assert!(self.reports.remove(&id).is_some(), "a report that was never there"),
            }
        }
    }
}

fn day(number: u8) -> Now {
    Now::from_unix(TODAY + 86_400 * i64::from(number))
}

fn scratch(world: &BTreeMap<ObjectId, Object>, backwards: bool, (settings, now): (&Settings, Now)) -> Translator {
    let mut translator = Translator::new(settings.clone());
    let mut changes: Vec<_> = world.iter().map(|(id, object)| Change { id: id.clone(), old: None, new: Some(object.clone()) }).collect();
    if backwards {
        changes.reverse();
    }
    translator.apply(changes, now);
    translator
}

fn apply(world: &mut BTreeMap<ObjectId, Object>, Write { id, body, created }: Write, generation: usize) -> Change {
    let new = body.map(|(mut body, labels)| {
        body["metadata"] = json!({"name": id.name, "namespace": id.namespace, "generation": generation, "labels": labels});
        body["metadata"]["annotations"] = body["annotations"].take();
        body.as_object_mut().unwrap().remove("annotations");
        body["metadata"]["creationTimestamp"] = json!(format!("2026-01-0{created}T00:00:00Z"));
        Object::from_value(id.kind, body).unwrap()
    });
    let old = match &new {
        Some(object) => world.insert(id.clone(), object.clone()),
        None => world.remove(&id),
    };
    Change { id, old, new }
}

/// The backends that get copies.
fn mirrors(filters: &[Filter]) -> impl Iterator<Item = Key> + '_ {
    filters.iter().filter_map(|filter| match filter {
        Filter::Mirror(mirror) => Some(Key::Backend(mirror.backend.clone())),
        _ => None,
    })
}

/// What proxies rely on: every reference within a snapshot leads somewhere, and nothing is there that nothing refers to.
fn well_formed(snapshot: &Snapshot) {
    let (mut backends, mut certificates, mut ports) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
    for (key, resource) in snapshot.iter() {
        match resource.as_ref() {
            Resource::Listener(listener) => {
                certificates.extend(listener.certificates.iter().cloned().map(Key::Certificate));
                let hostnames = ports.entry(listener.port).or_insert((listener.protocol, BTreeSet::new()));
                assert_eq!(hostnames.0, listener.protocol, "two protocols on one port");
                assert!(hostnames.1.insert(listener.hostname.clone()), "a hostname twice on one port");
            }
            Resource::Route(route) => {
                assert!(!route.attachments.is_empty() && !route.rules.is_empty(), "{key} has nothing to say");
                for attachment in &route.attachments {
                    assert!(!attachment.hostnames.is_empty() && snapshot.get(&Key::Listener(attachment.listener.clone())).is_some());
                }
                for rule in &route.rules {
                    assert!(!rule.matches.is_empty());
                    backends.extend(mirrors(&rule.filters));
                    let Action::Forward(references) = &rule.action else { continue };
                    backends.extend(references.iter().flat_map(|reference| mirrors(&reference.filters)));
                    backends.extend(references.iter().filter_map(|reference| match &reference.target {
                        BackendTarget::Service(id) => Some(Key::Backend(id.clone())),
                        BackendTarget::Invalid(_) => None,
                    }));
                }
            }
            Resource::Backend(_) | Resource::Certificate(_) => {}
        }
    }
    let there = |certificate: bool| {
        let keys = snapshot.iter().map(|(key, _)| key.clone());
        keys.filter(|key| if certificate { matches!(key, Key::Certificate(_)) } else { matches!(key, Key::Backend(_)) }).collect()
    };
    assert_eq!((backends, certificates), (there(false), there(true)));
}

fn check(translator: &Translator, world: &BTreeMap<ObjectId, Object>, follower: &Follower, given: (&Settings, Now)) {
    for backwards in [false, true] {
        let scratch = scratch(world, backwards, given);
        assert_eq!(translator.edges().collect::<Vec<_>>(), scratch.edges().collect::<Vec<_>>());
        assert_eq!(translator.reports(), scratch.reports());
    }
    translator.edges().for_each(|(_, edge)| well_formed(&edge.snapshot));
    assert!(translator.edges().map(|(id, edge)| (id, &edge.snapshot)).eq(&follower.snapshots));
    assert_eq!(translator.reports(), &follower.reports);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happened before, snapshots, hashes and reports are those that the same objects give to a translator that
    /// sees them for the first time, in any order; and whoever follows the changes knows them too.
    #[test]
    fn incremental_equals_from_scratch(
        batches in prop::collection::vec((prop::collection::vec(write(), 1..6), 0..3_u8), 1..14), shared_host: bool
    ) {
        let default_backend = shared_host.then(|| "a/s1:80".parse().unwrap());
        let ingress = IngressSettings { without_class: shared_host, default_backend, ..IngressSettings::default() };
        let default_address = shared_host.then_some([127, 0, 0, 9].into());
        let settings = Settings { shared_host, alone: shared_host, external_names: shared_host, default_address, ingress, ..Settings::default() };
        let mut translator = Translator::new(settings.clone());
        let mut world = BTreeMap::new();
        let mut follower = Follower::default();
        follower.follow(translator.apply([apply(&mut world, first(), 0)], day(0)));
        for (generation, (batch, today)) in batches.into_iter().enumerate() {
            let changes: Vec<_> = batch.into_iter().map(|write| apply(&mut world, write, generation)).collect();
            follower.follow(translator.apply(changes, day(today)));
            check(&translator, &world, &follower, (&settings, day(today)));
        }
        let ids: Vec<_> = world.keys().cloned().collect();
        let gone = ids.into_iter().map(|id| apply(&mut world, Write { id, body: None, created: 1 }, 0)).collect::<Vec<_>>();
        follower.follow(translator.apply(gone, day(0)));
        check(&translator, &world, &follower, (&settings, day(0)));
        assert!(translator.edges().next().is_none() && translator.reports().is_empty() && translator.is_empty());
    }
}

/// The same without what other routes may move: the number of attached routes.
fn uncounted(report: &ObjectReport) -> ObjectReport {
    let mut report = report.clone();
    if let Verdict::Gateway { listeners, .. } | Verdict::ListenerSet { listeners, .. } = &mut report.verdict {
        listeners.iter_mut().for_each(|listener| listener.attached_routes = 0);
    }
    report
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is written as a route: nothing of other routes, listeners and certificates changes.
    #[test]
    fn a_route_changes_nothing_of_its_neighbours(world in prop::collection::vec(write(), 10..40), (id, body) in route()) {
        let mut objects = BTreeMap::new();
        let mut translator = Translator::new(Settings::default());
        let writes = std::iter::once(first()).chain(world);
        let changes: Vec<_> = writes.map(|write| apply(&mut objects, write, 1)).collect();
        translator.apply(changes, day(0));
        let before = translator.reports().clone();
        let write = Write { id: id.clone(), body: Some((body, json!({}))), created: 1 };
        let changes = translator.apply([apply(&mut objects, write, 2)], day(0));
        for change in changes.edges.values() {
            let EdgeChange::Set { delta, .. } = change else { panic!("an edge is gone") };
            for key in delta.keys() {
                assert!(matches!(key, Key::Backend(_)) || key == Key::Route(id.clone()), "{key} changed");
            }
        }
        for (of, report) in changes.reports.into_iter().filter(|(of, _)| of.kind != Kind::EndpointSlice && *of != id) {
            assert!([Kind::Gateway, Kind::ListenerSet].contains(&of.kind), "{of} changed");
            assert_eq!(uncounted(&report.unwrap()), uncounted(&before[&of]));
        }
    }
}

fn change(kind: Kind, namespace: &str, name: &str, body: serde_json::Value) -> Change {
    let id = ObjectId::new(kind, namespace, name);
    let labels = json!({"kubernetes.io/service-name": "shop"});
    apply(&mut BTreeMap::new(), Write { id, body: Some((body, labels)), created: 1 }, 1)
}

fn numbered(number: usize, path: &str) -> Change {
    let rule = json!({"matches": [{"path": {"value": path}}], "backendRefs": [{"name": "shop", "port": 80}]});
    let spec = json!({"parentRefs": [{"name": "web"}], "hostnames": [format!("h{number}.x.io")], "rules": [rule]});
    change(Kind::HttpRoute, "a", &format!("r{number}"), json!({"spec": spec}))
}

fn slice(addresses: &[&str]) -> Change {
    let body = json!({"addressType": "IPv4", "ports": [{"port": 8080}], "endpoints": [{"addresses": addresses}]});
    change(Kind::EndpointSlice, "a", "shop-1", body)
}

/// One edit of an Ingress among many that share the edge of their class costs what it touches.
#[test]
fn ingresses_of_a_class_cost_what_they_change() {
    const INGRESSES: usize = 2_000;
    let ingress = |number: usize, path: &str, host: &str| {
        let backend = json!({"service": {"name": "shop", "port": {"number": 80}}});
        let rule = json!({"host": host, "http": {"paths": [{"path": path, "pathType": "Prefix", "backend": backend}]}});
        change(Kind::Ingress, "a", &format!("i{number}"), json!({"spec": {"ingressClassName": "ours", "rules": [rule]}}))
    };
    let host = |number: usize| format!("h{number}.x.io");
    let mut objects = vec![
        change(Kind::IngressClass, "", "ours", json!({"spec": {"controller": "kakehi.dev/ingress-controller"}})),
        change(Kind::Service, "a", "shop", json!({"spec": {"ports": [{"port": 80}]}})),
        slice(&["10.0.0.1"]),
    ];
    objects.extend((0..INGRESSES).map(|number| ingress(number, "/", &host(number))));
    let mut translator = Translator::new(Settings::default());
    assert_eq!(translator.apply(objects, day(0)).computed, 3 * INGRESSES + 5);
    // Which hosts it wants, what it comes to, and whether it is lost.
    assert_eq!(translator.apply([ingress(7, "/x", &host(7))], day(0)).computed, 3);
    // A host that another Ingress of the namespace has too.
    assert_eq!(translator.apply([ingress(7, "/x", &host(8))], day(0)).computed, 3);
    assert_eq!(translator.apply([slice(&["10.0.0.2"])], day(0)).computed, 1);
}

/// One edit among many objects costs what it touches.
#[test]
fn cost_grows_with_the_change() {
    const ROUTES: usize = 5_000;
    let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP"}]);
    let mut objects = vec![
        apply(&mut BTreeMap::new(), first(), 1),
        change(Kind::Gateway, "a", "web", json!({"spec": {"gatewayClassName": "ours", "listeners": listeners}})),
        change(Kind::Service, "a", "shop", json!({"spec": {"ports": [{"port": 80}]}})),
        slice(&["10.0.0.1"]),
    ];
    objects.extend((0..ROUTES).map(|number| numbered(number, "/")));
    let mut translator = Translator::new(Settings::default());
    assert_eq!(translator.apply(objects, day(0)).computed, 2 * ROUTES + 6);

    let mut step = |change: Change| {
        let changes = translator.apply([change], day(0));
        let keys: Vec<_> = changes
            .edges
            .values()
            .flat_map(|change| match change {
                EdgeChange::Set { delta, .. } => delta.keys().collect(),
                EdgeChange::Gone => Vec::new(),
            })
            .collect();
        (changes.computed, keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "), changes.reports.len())
    };
    // An edit of a route: what it comes to, and whether it is lost. Its report stays the same, since generations are equal here.
    assert_eq!(step(numbered(7, "/x")), (2, "route HTTPRoute/a/r7".to_owned(), 0));
    // A new route: itself, and the count of its Gateway.
    assert_eq!(step(numbered(ROUTES, "/")), (2, format!("route HTTPRoute/a/r{ROUTES}"), 2));
    // An endpoint: one backend.
    assert_eq!(step(slice(&["10.0.0.2"])), (1, "backend a/shop:80".to_owned(), 0));
    // A Gateway that becomes another: its listeners, but no route that it had is lost or found.
    let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP"}]);
    let labelled = json!({"gatewayClassName": "ours", "infrastructure": {"labels": {"a": "b"}}, "listeners": listeners});
    assert_eq!(step(change(Kind::Gateway, "a", "web", json!({"spec": labelled}))).0, 3);
    // The same again: nothing.
    assert_eq!(step(slice(&["10.0.0.2"])), (0, String::new(), 0));
}
