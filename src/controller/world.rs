//! Everything that is known now, as one persistent value: written by the translator task, read by everybody else.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::OrdMap;
use tokio::time::Instant;

use crate::api::Object;
use crate::api::bundle::Bundle;
use crate::model::{EdgeId, Kind, ObjectId};
use crate::report::{ObjectReport, Provisioned};
use crate::snapshot::Key;
use crate::snapshot::publish::Publisher;
use crate::snapshot::wire::Stamp;
use crate::store::Refusal;
use crate::translate::ownership::Host;

/// What is known now. A clone costs nothing.
#[derive(Clone, Default)]
pub struct World {
    /// Objects that the source accepted.
    pub objects: OrdMap<ObjectId, Object>,
    /// What was decided about them.
    pub reports: OrdMap<ObjectId, Arc<ObjectReport>>,
    /// Running edges.
    pub edges: OrdMap<EdgeId, Publisher>,
    /// Edges that cannot be run, and why.
    pub failed: OrdMap<EdgeId, String>,
    /// For every object that an edge serves: the state of that edge which first held its present form.
    pub served: OrdMap<(ObjectId, EdgeId), Stamp>,
    /// For every route that an edge does not serve any more: the state of that edge which was the first without it, and
    /// since when.
    pub withdrawn: OrdMap<(ObjectId, EdgeId), (Stamp, Instant)>,
    /// The hosts that each namespace is to have claims of.
    pub claims: OrdMap<String, Arc<BTreeSet<Host>>>,
    /// Refused manifests by file.
    pub refusals: OrdMap<String, Vec<Refusal>>,
    /// What was made of edges so far; none where edges are not made on the cluster.
    pub provisioned: Option<OrdMap<EdgeId, Provisioned>>,
    /// Which Gateway API is installed, where that is known.
    pub bundle: Option<Bundle>,
    /// Nothing that is known is older than the moment at which this process was elected.
    pub fresh: bool,
    /// Everything that existed at the start is translated and published.
    pub published: bool,
    /// Nothing that was refused since the start is still refused without a version before that stays in force.
    pub sound: bool,
}

impl World {
    /// The edges that serve an object, with the stamps from which on they do.
    pub fn served_by(&self, id: &ObjectId) -> impl Iterator<Item = (&EdgeId, Stamp)> {
        of(&self.served, id).map(|(edge, stamp)| (edge, *stamp))
    }

    /// The edges that do not serve a route any more, with the stamps from which on they do not, and since when.
    pub fn withdrawn_from(&self, id: &ObjectId) -> impl Iterator<Item = (&EdgeId, Stamp, Instant)> {
        of(&self.withdrawn, id).map(|(edge, (stamp, since))| (edge, *stamp, *since))
    }

    /// Nothing is known of an edge any more.
    pub fn forget_edge(&mut self, id: &EdgeId) {
        self.edges.remove(id);
        self.served = self.served.iter().filter(|((_, edge), _)| edge != id).map(|(key, stamp)| (key.clone(), *stamp)).collect();
        self.withdrawn = self.withdrawn.iter().filter(|((_, edge), _)| edge != id).map(|(key, at)| (key.clone(), *at)).collect();
    }

    /// An object is gone.
    pub fn forget(&mut self, id: &ObjectId) {
        self.objects.remove(id);
        let edges: Vec<_> = of(&self.withdrawn, id).map(|(edge, _)| edge.clone()).collect();
        for edge in edges {
            self.withdrawn.remove(&(id.clone(), edge));
        }
    }

    /// Whether a namespace is being deleted.
    pub fn is_ending(&self, namespace: &str) -> bool {
        let id = ObjectId::new(Kind::Namespace, "", namespace);
        self.objects.get(&id).is_some_and(|object| object.metadata().deletion_timestamp.is_some())
    }
}

fn of<'a, V>(map: &'a OrdMap<(ObjectId, EdgeId), V>, id: &ObjectId) -> impl Iterator<Item = (&'a EdgeId, &'a V)> {
    let first = EdgeId { namespace: String::new(), name: String::new() };
    let id = id.clone();
    map.range((id.clone(), first)..).take_while(move |((object, _), _)| *object == id).map(|((_, edge), value)| (edge, value))
}

/// The object whose status shows a resource's fate, if any.
pub fn owner(edge: &EdgeId, key: &Key) -> Option<ObjectId> {
    match key {
        Key::Route(id) => Some(id.clone()),
        Key::Listener(name) => Some(name.set().unwrap_or_else(|| edge.owner())),
        Key::Certificate(_) | Key::Backend(_) => None,
    }
}

/// What an edge's refusal of a resource means for objects, each with the key of its own that does not serve: of a certificate, all
/// listeners that name it, or all Ingresses.
pub fn refused(world: &World, edge: &EdgeId, key: &Key) -> Vec<(ObjectId, Key)> {
    let Key::Certificate(certificate) = key else { return owner(edge, key).map(|owner| (owner, key.clone())).into_iter().collect() };
    if edge.kind() == Kind::IngressClass {
        let first = ObjectId::new(Kind::Ingress, &certificate.namespace, "");
        let of_namespace = |id: &ObjectId| id.kind == Kind::Ingress && id.namespace == certificate.namespace;
        let ingresses = world.objects.range(first..).take_while(|(id, _)| of_namespace(id));
        let naming = ingresses.filter(|(_, object)| names_secret(object, &certificate.name));
        return naming.map(|(id, _)| (id.clone(), key.clone())).collect();
    }
    let Some(publisher) = world.edges.get(edge) else { return Vec::new() };
    let (_, snapshot) = publisher.current();
    // Listeners are the first among the keys.
    let listeners = snapshot.iter().map_while(|(_, resource)| resource.as_listener());
    let naming = listeners.filter(|listener| listener.certificates.contains(certificate));
    let keys = naming.map(|listener| Key::Listener(listener.name.clone()));
    keys.filter_map(|key| owner(edge, &key).map(|owner| (owner, key))).collect()
}

/// Whether an Ingress names a Secret for TLS.
fn names_secret(object: &Object, name: &str) -> bool {
    let Object::Ingress(ingress) = object else { return false };
    let spec = ingress.body.as_ref().ok().and_then(|ingress| ingress.spec.as_ref());
    let entries = spec.and_then(|spec| spec.tls.as_ref()).into_iter().flatten();
    entries.into_iter().any(|entry| entry.secret_name.as_deref() == Some(name))
}
