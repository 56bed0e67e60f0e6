//! What the edges acknowledged, and which objects it concerns.

use std::collections::{BTreeMap, BTreeSet};

use imbl::OrdMap;

use super::world::{World, refused};
use crate::model::{EdgeId, Kind, ObjectId};
use crate::report::Acknowledgement;
use crate::snapshot::wire::{Ack, Refusal, Stamp};
use crate::snapshot::{Key, Resource};

/// Why the status of objects may have changed.
#[derive(Debug)]
pub enum Wake {
    /// These objects, or what was decided about them.
    Objects(Vec<ObjectId>),
    /// An edge acknowledged something, or is gone.
    Acknowledged(EdgeId, Option<Ack>),
}

/// The last word of every edge. A clone costs nothing.
#[derive(Clone, Debug, Default)]
pub struct Acks(OrdMap<EdgeId, Ack>);

impl Acks {
    /// Whether an edge said that it has come as far as a stamp.
    pub fn reached(&self, edge: &EdgeId, stamp: Stamp) -> bool {
        self.0.get(edge).is_some_and(|ack| ack.stamp >= stamp)
    }

    /// What the edges that serve an object said of it.
    pub fn said(&self, id: &ObjectId, world: &World) -> BTreeMap<EdgeId, Acknowledgement> {
        let mut said = BTreeMap::new();
        for (edge, stamp) in world.served_by(id) {
            let ack = self.0.get(edge);
            let refusals = ack.map(|ack| ack.refused.as_slice()).unwrap_or_default().iter();
            let refused = refusals.flat_map(|refusal| {
                let reason = reason(refusal, id.kind);
                let concerned = refused(world, edge, &refusal.key).into_iter().filter(|(object, _)| object == id);
                concerned.map(move |(_, key)| (key, reason.clone()))
            });
            let unheard = ack.and_then(|ack| unheard(world, edge, id, &ack.refused));
            let reached = self.reached(edge, stamp) && (unheard.is_none() || id.kind != Kind::Ingress);
            let refused = refused.chain(unheard.map(|reason| (Key::Route(id.clone()), reason))).collect();
            said.insert(edge.clone(), Acknowledgement { programmed: reached, refused });
        }
        said
    }
}

/// A refusal in words, for an object of a kind.
pub(super) fn reason(refusal: &Refusal, kind: Kind) -> String {
    match (&refusal.key, kind) {
        (Key::Certificate(certificate), Kind::Gateway | Kind::ListenerSet) => format!("certificate {certificate}: {}", refusal.reason),
        _ => refusal.reason.clone(),
    }
}

/// Why no request reaches a route on an edge: the edge refused every listener that the route is attached to.
pub(super) fn unheard(world: &World, edge: &EdgeId, id: &ObjectId, refused: &[Refusal]) -> Option<String> {
    // Listeners are the first among the keys.
    let listeners: BTreeMap<_, _> = refused
        .iter()
        .map_while(|refusal| if let Key::Listener(name) = &refusal.key { Some((name, &refusal.reason)) } else { None })
        .collect();
    if listeners.is_empty() {
        return None;
    }
    let (_, snapshot) = world.edges.get(edge)?.current();
    let Resource::Route(route) = &**snapshot.get(&Key::Route(id.clone()))? else { return None };
    let mut attached = route.attachments.iter().map(|attachment| &attachment.listener);
    let first = attached.clone().next()?;
    let reason = listeners.get(first)?;
    attached.all(|name| listeners.contains_key(name)).then(|| format!("listener {first}: {reason}"))
}

/// Turns wakes into objects whose status may have changed.
#[derive(Debug, Default)]
pub struct Awaited {
    /// What the edges said.
    pub acks: Acks,
    /// Objects that wait for an edge.
    waiting: BTreeMap<EdgeId, BTreeSet<ObjectId>>,
}

impl Awaited {
    /// Takes wakes in and names the objects. Those that an edge does not yet hold are named again once it has spoken.
    pub fn take(&mut self, wakes: impl IntoIterator<Item = Wake>, world: &World) -> BTreeSet<ObjectId> {
        let mut dirty = BTreeSet::new();
        for wake in wakes {
            match wake {
                Wake::Objects(ids) => dirty.extend(ids),
                Wake::Acknowledged(edge, ack) => dirty.extend(self.acknowledge(&edge, ack, world)),
            }
        }
        for id in &dirty {
            let withdrawn = world.withdrawn_from(id).map(|(edge, stamp, _)| (edge, stamp));
            for (edge, stamp) in world.served_by(id).chain(withdrawn) {
                if !self.acks.reached(edge, stamp) {
                    self.waiting.entry(edge.clone()).or_default().insert(id.clone());
                }
            }
        }
        dirty
    }

    fn acknowledge(&mut self, edge: &EdgeId, ack: Option<Ack>, world: &World) -> BTreeSet<ObjectId> {
        let mut dirty = self.waiting.remove(edge).unwrap_or_default();
        // An edge that restarts keeps its last word: what it served it serves again before anything is known to be wrong.
        let Some(ack) = ack else { return dirty };
        let before: Vec<Refusal> = self.acks.0.get(edge).map(|old| old.refused.clone()).unwrap_or_default();
        if before != ack.refused {
            let changed = before.iter().chain(&ack.refused);
            dirty.extend(changed.clone().flat_map(|refusal| refused(world, edge, &refusal.key)).map(|(object, _)| object));
            if changed.map(|refusal| &refusal.key).any(|key| matches!(key, Key::Listener(_))) {
                let (_, snapshot) = world.edges.get(edge).map(|publisher| publisher.current()).unwrap_or_default();
                dirty.extend(snapshot.iter().filter_map(|(key, _)| if let Key::Route(id) = key { Some(id.clone()) } else { None }));
            }
        }
        self.acks.0.insert(edge.clone(), ack);
        dirty
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Awaited, Wake};
    use crate::api::Object;
    use crate::controller::world::World;
    use crate::model::{CertificateId, EdgeId, Hostname, Kind, Listener, ListenerName, ObjectId, Protocol};
    use crate::snapshot::publish::Publisher;
    use crate::snapshot::wire::{Ack, Refusal, Stamp};
    use crate::snapshot::{Key, Resource, Snapshot};

    fn refusal(certificate: &CertificateId) -> Ack {
        let refusal = Refusal { key: Key::Certificate(certificate.clone()), reason: "no".to_owned() };
        Ack { refused: vec![refusal], ..Ack::default() }
    }

    /// A certificate that a proxy refuses concerns the objects that name it, on that edge alone.
    #[test]
    fn a_refused_certificate_is_told_to_the_objects_that_name_it() {
        let certificate = CertificateId { namespace: "a".into(), name: "tls".into() };
        let listener = |name: ListenerName, certificates: Vec<CertificateId>| {
            Resource::Listener(Listener {
                name,
                port: 443,
                protocol: Protocol::Https,
                hostname: Hostname::Any,
                certificates,
                certificates_by_name: false,
                tuning: Default::default(),
            })
        };
        let (gateway, class) = (EdgeId::of_gateway("a", "web"), EdgeId::of_class("web"));
        let listeners =
            [listener(ListenerName("own".into()), vec![certificate.clone()]), listener(ListenerName("plain".into()), Vec::new())];
        let publisher = Publisher::new(1);
        publisher.publish(&Snapshot::from_resources(listeners).as_delta());
        let ingress = |namespace: &str, name: &str, secret: &str| {
            let spec = json!({"tls": [{"hosts": ["x.test"], "secretName": secret}]});
            let value = json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec});
            let id = ObjectId::new(Kind::Ingress, namespace, name);
            (id, Object::from_value(Kind::Ingress, value).unwrap())
        };
        let mut world = World {
            objects: [ingress("a", "shop", "tls"), ingress("a", "other", "own"), ingress("b", "shop", "tls")].into_iter().collect(),
            ..World::default()
        };
        world.edges.insert(gateway.clone(), publisher);
        let shop = ObjectId::new(Kind::Ingress, "a", "shop");
        for (object, edge) in [(gateway.owner(), &gateway), (shop.clone(), &class), (ObjectId::new(Kind::Ingress, "b", "shop"), &class)] {
            world.served.insert((object, edge.clone()), Stamp::default());
        }
        let mut awaited = Awaited::default();
        let wake = |edge: &EdgeId| Wake::Acknowledged(edge.clone(), Some(refusal(&certificate)));
        assert_eq!(awaited.take([wake(&gateway)], &world).into_iter().collect::<Vec<_>>(), [gateway.owner()]);
        assert_eq!(awaited.take([wake(&class)], &world).into_iter().collect::<Vec<_>>(), std::slice::from_ref(&shop));
        let refused = |id: &ObjectId, edge: &EdgeId| awaited.acks.said(id, &world)[edge].refused.clone();
        assert_eq!(refused(&gateway.owner(), &gateway), [(Key::Listener(ListenerName("own".into())), "certificate a/tls: no".to_owned())]);
        assert_eq!(refused(&shop, &class), [(Key::Certificate(certificate.clone()), "no".to_owned())]);
        assert_eq!(refused(&ObjectId::new(Kind::Ingress, "b", "shop"), &class), []);
        // What is taken after all is told too.
        let taken = Wake::Acknowledged(class.clone(), Some(Ack::default()));
        assert_eq!(awaited.take([taken], &world).into_iter().collect::<Vec<_>>(), [shop]);
    }
}
