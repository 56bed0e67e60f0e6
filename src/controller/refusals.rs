//! What edges refuse of objects, as findings: no translation can know that a port is taken or that a proxy refuses a certificate.

use std::collections::BTreeMap;

use super::acks::{reason, unheard};
use super::world::{World, refused};
use crate::model::{EdgeId, ObjectId};
use crate::report::{Acknowledgement, Finding, Issue, ObjectReport, Scope, Verdict};
use crate::snapshot::Key;
use crate::snapshot::publish::Publisher;
use crate::snapshot::wire::Refusal;

/// What edges refuse of one object. `said` is what they said of it.
pub fn of(id: &ObjectId, report: Option<&ObjectReport>, said: &BTreeMap<EdgeId, Acknowledgement>) -> Vec<Finding> {
    let refusals = said.iter().flat_map(|(edge, said)| said.refused.iter().map(move |(key, reason)| (edge, key, reason)));
    refusals.flat_map(|(edge, key, reason)| findings((id, report), edge, (key, reason))).collect()
}

/// What edges refuse, by object.
pub fn all(world: &World) -> BTreeMap<ObjectId, Vec<Finding>> {
    let refused = |publisher: &Publisher| publisher.acks().borrow().as_ref().map(|ack| ack.refused.clone());
    let mut all = by_object(world, world.edges.iter().filter_map(|(edge, publisher)| Some((edge, refused(publisher)?))));
    for (edge, reason) in &world.failed {
        let issue = Issue::Refused { edge: edge.clone(), reason: format!("the edge cannot be run: {reason}") };
        all.entry(edge.owner()).or_default().push(Finding { object: edge.owner(), scope: Scope::Object, issue });
    }
    all
}

fn by_object<'a>(world: &World, refusals: impl Iterator<Item = (&'a EdgeId, Vec<Refusal>)>) -> BTreeMap<ObjectId, Vec<Finding>> {
    let mut all: BTreeMap<ObjectId, Vec<Finding>> = BTreeMap::new();
    for (edge, refusals) in refusals {
        let mut add = |id: &ObjectId, key: &Key, reason: &str| {
            let report = world.reports.get(id).map(AsRef::as_ref);
            let found = findings((id, report), edge, (key, reason));
            all.entry(id.clone()).or_default().extend(found);
        };
        for refusal in &refusals {
            for (id, key) in refused(world, edge, &refusal.key) {
                add(&id, &key, &reason(refusal, id.kind));
            }
        }
        let deaf = refusals.iter().any(|refusal| matches!(refusal.key, Key::Listener(_)));
        let Some(publisher) = world.edges.get(edge).filter(|_| deaf) else { continue };
        for (key, _) in publisher.current().1.iter() {
            if let Key::Route(id) = key
                && let Some(reason) = unheard(world, edge, id, &refusals)
            {
                add(id, key, &reason);
            }
        }
    }
    all.retain(|_, findings| !findings.is_empty());
    all
}

/// What it means for an object that an edge refuses a key of it.
fn findings((id, report): (&ObjectId, Option<&ObjectReport>), edge: &EdgeId, (key, reason): (&Key, &str)) -> Vec<Finding> {
    let (edge, reason) = (edge.clone(), reason.to_owned());
    let scopes = match (key, report.map(|report| &report.verdict)) {
        (Key::Listener(name), _) => vec![Scope::Listener(name.clone())],
        (Key::Route(_), Some(Verdict::Route { parents, .. })) => {
            parents.iter().filter(|parent| parent.edge == edge).map(|parent| Scope::Parent(parent.parent.clone())).collect()
        }
        (Key::Route(_) | Key::Certificate(_), _) => vec![Scope::Object],
        (Key::Backend(_), _) => Vec::new(),
    };
    let issue = match key {
        Key::Certificate(certificate) => Issue::CertificateRefused { certificate: certificate.clone(), edge, reason },
        _ => Issue::Refused { edge, reason },
    };
    scopes.into_iter().map(|scope| Finding { object: id.clone(), scope, issue: issue.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{by_object, of};
    use crate::controller::acks::{Awaited, Wake};
    use crate::controller::world::World;
    use crate::model::{Attachment, EdgeId, Hostname, Kind, Listener, ListenerName, ObjectId, Protocol, Route};
    use crate::report::{ObjectReport, ParentRef, ParentReport, Verdict};
    use crate::snapshot::publish::Publisher;
    use crate::snapshot::wire::{Ack, Refusal, Stamp};
    use crate::snapshot::{Key, Resource, Snapshot};

    const WHY: &str = "cannot bind 127.0.0.1:80: another process listens there; end it, or choose another port";

    /// A port that cannot be bound is a finding of the Gateway's listener and of each route that no other listener serves.
    #[test]
    fn a_port_that_cannot_be_bound_is_a_finding_of_its_listener_and_its_routes() {
        let (edge, name) = (EdgeId::of_gateway("demo", "web"), ListenerName("http".into()));
        let listener = Listener {
            name: name.clone(),
            port: 80,
            protocol: Protocol::Http,
            hostname: Hostname::Any,
            certificates: Vec::new(),
            certificates_by_name: false,
            tuning: Default::default(),
        };
        let id = ObjectId::new(Kind::HttpRoute, "demo", "one");
        let attachments = vec![Attachment { listener: name.clone(), hostnames: vec![(Hostname::Any, Hostname::Any)] }];
        let route = Route { id: id.clone(), created: 0, attachments, rules: Vec::new(), written: Vec::new(), file: None };
        let publisher = Publisher::new(1);
        publisher.publish(&Snapshot::from_resources([Resource::Listener(listener), Resource::Route(route)]).as_delta());
        let refusal = Refusal { key: Key::Listener(name), reason: WHY.to_owned() };
        let ack = Ack { refused: vec![refusal], ..Ack::default() };

        let parent = ParentRef { group: None, kind: None, namespace: None, name: "web".into(), section_name: None, port: None };
        let verdict = Verdict::Route { parents: vec![ParentReport { parent, edge: edge.clone() }], rules: 0 };
        let report = ObjectReport { id: id.clone(), generation: 1, findings: Vec::new(), verdict };
        let mut world = World::default();
        world.reports.insert(id.clone(), Arc::new(report.clone()));
        world.edges.insert(edge.clone(), publisher);
        for object in [edge.owner(), id.clone()] {
            world.served.insert((object, edge.clone()), Stamp::default());
        }
        let all = by_object(&world, [(&edge, ack.refused.clone())].into_iter());
        let told: Vec<_> = all.values().flatten().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [format!("Gateway/demo/web listener http: {WHY}"), format!("HTTPRoute/demo/one parent web: listener http: {WHY}")]
        );

        let mut awaited = Awaited::default();
        awaited.take([Wake::Acknowledged(edge.clone(), Some(ack))], &world);
        for (object, report) in [(edge.owner(), None), (id, Some(&report))] {
            assert_eq!(of(&object, report, &awaited.acks.said(&object, &world)), all[&object], "an object alone says the same");
        }
    }
}
