//! Hosts of an IngressClass: the claim that was accepted first is kept, whatever others write later.

use std::collections::BTreeMap;

use kakehi::api::{Change, Object};
use kakehi::model::{EdgeId, Kind, ObjectId};
use kakehi::snapshot::{Resource, Snapshot};
use kakehi::translate::ownership::{Claims, ClaimsPlace};
use kakehi::translate::{Changes, IngressSettings, Now, Settings, Translator};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A translator with somebody who writes claims as a leader does, or fails to.
struct World {
    translator: Translator,
    objects: BTreeMap<ObjectId, Object>,
    claims: BTreeMap<String, Claims>,
    clock: i64,
}

fn place() -> ClaimsPlace {
    ClaimsPlace { namespace: "operator".to_owned(), prefix: "kakehi-hosts-".to_owned() }
}

fn settings() -> Settings {
    Settings { ingress: IngressSettings { claims: Some(place()), ..IngressSettings::default() }, ..Settings::default() }
}

fn object(kind: Kind, namespace: &str, name: &str, mut body: Value) -> Object {
    body["metadata"] = json!({"name": name, "namespace": namespace, "creationTimestamp": body["metadata"]["creationTimestamp"]});
    Object::from_value(kind, body).unwrap()
}

fn class() -> Object {
    object(Kind::IngressClass, "", "web", json!({"spec": {"controller": "kakehi.dev/ingress-controller"}}))
}

fn ingress(namespace: &str, name: &str, created: u8, hosts: &[&str]) -> Object {
    let rules: Vec<_> = hosts
        .iter()
        .map(|host| {
            let backend = json!({"service": {"name": "s", "port": {"number": 80}}});
            json!({"host": host, "http": {"paths": [{"path": "/a", "pathType": "Prefix", "backend": backend}]}})
        })
        .collect();
    let metadata = json!({"creationTimestamp": format!("2026-01-0{created}T00:00:00Z")});
    object(Kind::Ingress, namespace, name, json!({"metadata": metadata, "spec": {"ingressClassName": "web", "rules": rules}}))
}

impl World {
    fn new() -> Self {
        let mut world = Self { translator: Translator::new(settings()), objects: BTreeMap::new(), claims: BTreeMap::new(), clock: 100 };
        world.set(class(), false);
        world
    }

    fn apply(&mut self, id: ObjectId, new: Option<Object>) -> Changes {
        match &new {
            Some(object) => self.objects.insert(id.clone(), object.clone()),
            None => self.objects.remove(&id),
        };
        self.translator.apply([Change { id, old: None, new }], Now::from_unix(0))
    }

    /// Writes an object; then the leader writes the claims that follow, unless it is away.
    fn set(&mut self, object: Object, led: bool) {
        let changes = self.apply(object.id(), Some(object));
        self.lead(changes, led);
    }

    fn remove(&mut self, id: ObjectId, led: bool) {
        let changes = self.apply(id, None);
        self.lead(changes, led);
    }

    fn lead(&mut self, mut changes: Changes, led: bool) {
        while led && !changes.claims.is_empty() {
            let mut next = Changes::default();
            for (namespace, hosts) in changes.claims {
                self.clock += 1;
                let kept = self.claims.get(&namespace).cloned().unwrap_or_default().kept(&hosts, self.clock);
                self.claims.insert(namespace.clone(), kept.clone());
                let map = object(Kind::ConfigMap, "operator", &place().name(&namespace), json!({"data": kept.data()}));
                next.claims.extend(self.apply(map.id(), (!kept.0.is_empty()).then_some(map)).claims);
            }
            changes = next;
        }
    }

    fn snapshot(&self) -> Snapshot {
        self.translator.edges().find(|(id, _)| **id == EdgeId::of_class("web")).map(|(_, edge)| edge.snapshot.clone()).unwrap_or_default()
    }

    /// Which namespaces' rules are served for each host.
    fn served(&self) -> BTreeMap<String, Vec<String>> {
        let mut served = BTreeMap::<String, Vec<String>>::new();
        for (_, resource) in self.snapshot().iter() {
            let Resource::Route(route) = resource.as_ref() else { continue };
            for host in route.rules.iter().filter_map(|rule| rule.host.as_ref()) {
                served.entry(host.to_string()).or_default().push(route.id.namespace.clone());
            }
        }
        served.values_mut().for_each(|namespaces| namespaces.dedup());
        served
    }
}

const HOSTS: [&str; 3] = ["a.x.io", "b.x.io", "*.x.io"];
const NAMESPACES: [&str; 3] = ["n0", "n1", "n2"];

type Step = (usize, u8, Option<Vec<&'static str>>);

fn step() -> impl Strategy<Value = Step> {
    (0..NAMESPACES.len(), 1..4_u8, prop::option::weighted(0.8, prop::sample::subsequence(HOSTS.to_vec(), 0..=HOSTS.len())))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Nobody else's Ingress, however old, moves a host away from a namespace that keeps naming it; and from scratch, in another
    /// order, the same objects give the same snapshot.
    #[test]
    fn an_accepted_host_stays_with_its_owner(steps in prop::collection::vec(step(), 1..20)) {
        let mut world = World::new();
        for (namespace, age, hosts) in steps {
            let before = world.served();
            let (namespace, name) = (NAMESPACES[namespace], format!("i{age}"));
            match hosts {
                Some(hosts) => world.set(ingress(namespace, &name, age, &hosts), true),
                None => world.remove(ObjectId::new(Kind::Ingress, namespace, name), true),
            }
            let after = world.served();
            for (host, owners) in &before {
                prop_assert_eq!(owners.len(), 1, "{} is served by {:?}", host, owners);
                // Only the owner's own write can end its host.
                prop_assert!(owners[0] == namespace || after.get(host) == Some(owners), "{} of {:?} after a write of {}", host, owners, namespace);
            }
            let mut again = Translator::new(settings());
            let changes = world.objects.iter().rev().map(|(id, object)| Change { id: id.clone(), old: None, new: Some(object.clone()) });
            again.apply(changes, Now::from_unix(0));
            let of = |translator: &Translator| translator.edges().map(|(id, edge)| (id.clone(), edge.snapshot.hash())).collect::<Vec<_>>();
            prop_assert_eq!(of(&again), of(&world.translator));
        }
        for id in world.objects.keys().filter(|id| id.kind == Kind::Ingress).cloned().collect::<Vec<_>>() {
            world.remove(id, true);
        }
        prop_assert!(world.claims.values().all(|claims| claims.0.is_empty()), "{:?} are left", world.claims);
        world.remove(class().id(), true);
        prop_assert!(world.translator.is_empty());
    }
}

#[test]
fn age_decides_until_the_first_claim_is_written() {
    let mut world = World::new();
    world.set(ingress("young", "i", 3, &["a.x.io"]), false);
    world.set(ingress("old", "i", 1, &["a.x.io"]), false);
    assert_eq!(world.served()["a.x.io"], ["old"], "no leader has written a claim yet");
}

#[test]
fn an_older_ingress_that_names_a_live_host_gets_nothing_and_is_told() {
    let mut world = World::new();
    world.set(ingress("attacker", "i", 1, &["own.x.io"]), true);
    world.set(ingress("victim", "i", 3, &["a.x.io"]), true);
    let before = world.served();
    world.set(ingress("attacker", "i", 1, &["own.x.io", "a.x.io"]), true);
    assert_eq!(world.served(), before);
    let report = &world.translator.reports()[&ObjectId::new(Kind::Ingress, "attacker", "i")];
    let said: Vec<_> = report.findings.iter().map(ToString::to_string).filter(|text| text.contains("a.x.io")).collect();
    assert!(said.len() == 1 && said[0].contains("belongs to namespace victim"), "{said:?}");
    // The victim gives it up; then it is the attacker's, and stays so.
    world.set(ingress("victim", "i", 3, &[]), true);
    assert_eq!(world.served()["a.x.io"], ["attacker"]);
    world.set(ingress("victim", "i", 3, &["a.x.io"]), true);
    assert_eq!(world.served()["a.x.io"], ["attacker"]);
}

/// Hand-written, forged, or of two leaders at once.
#[test]
fn claims_that_tenants_write_and_claims_that_are_lost() {
    let mut world = World::new();
    world.set(ingress("attacker", "i", 1, &[]), true);
    world.set(ingress("victim", "i", 3, &["a.x.io"]), true);
    let forged = json!({"data": {"web": "a.x.io 1\n"}});
    for (namespace, name) in [("attacker", "kakehi-hosts-attacker"), ("operator", "hosts-attacker"), ("operator", "kakehi-hosts")] {
        world.set(object(Kind::ConfigMap, namespace, name, forged.clone()), true);
    }
    world.set(ingress("attacker", "i", 1, &["a.x.io"]), true);
    assert_eq!(world.served()["a.x.io"], ["victim"]);
    // A second leader wrote a claim later: the earlier one counts.
    world.set(object(Kind::ConfigMap, "operator", "kakehi-hosts-attacker", json!({"data": {"web": "a.x.io 9999999999\n"}})), false);
    assert_eq!(world.served()["a.x.io"], ["victim"]);
    world.remove(ObjectId::new(Kind::ConfigMap, "operator", "kakehi-hosts-attacker"), false);
    // The claim is deleted by hand: age decides, as if the host were new, and the next claim is kept.
    world.remove(ObjectId::new(Kind::ConfigMap, "operator", "kakehi-hosts-victim"), false);
    assert_eq!(world.served()["a.x.io"], ["attacker"]);
}
