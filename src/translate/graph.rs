//! What is computed from what: remembers every outcome with the reads it came from, and recomputes what a change touches.
//!
//! Nodes are ordered by tier, and a node only reads nodes of earlier tiers, so taking the first dirty node again and again
//! computes each at most once per change.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use super::backend::{self, BackendOutcome};
use super::certificate::{self, CertificateOutcome};
use super::groups::{self, Claim, Draft, Group, JudgedClass};
use super::ingress::{self, Applicant, Application, Wish};
use super::queue::Queues;
use super::reader::{Read, Reader};
use super::routes::{self, RouteOutcome};
use super::world::World;
use super::{Now, Settings};
use crate::api::Change;
use crate::model::{BackendId, CertificateId, EdgeId, Hostname, Kind, ObjectId, Resolution};

/// One computation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Node {
    /// An object's own text, as far as it needs no other.
    Text(ObjectId),
    /// A Secret as a certificate.
    Certificate(CertificateId),
    /// A Service port.
    Backend(BackendId),
    /// A GatewayClass with its parameters.
    Class(String),
    /// A Gateway or IngressClass as it is for itself.
    Draft(EdgeId),
    /// What an Ingress asks for.
    Application(ObjectId),
    /// A Gateway's or IngressClass's listeners.
    Group(EdgeId),
    /// A route or Ingress, or an IngressClass as far as it is a route: for what no Ingress takes.
    Route(ObjectId),
}

type Memo<K, V> = HashMap<K, Remembered<V>>;

#[derive(Debug)]
struct Remembered<V> {
    outcome: Arc<V>,
    reads: BTreeSet<Read>,
}

/// All computations with their outcomes.
#[derive(Debug)]
pub(super) struct Graph {
    settings: Arc<Settings>,
    today: i64,
    world: World,
    /// Names that are read.
    names: BTreeSet<String>,
    /// What DNS says of them.
    resolutions: HashMap<String, Resolution>,
    certificates: Memo<CertificateId, CertificateOutcome>,
    backends: Memo<BackendId, BackendOutcome>,
    classes: Memo<String, Option<Arc<JudgedClass>>>,
    drafts: Memo<EdgeId, Option<Arc<Draft>>>,
    /// Who wants an address and port.
    claims: Queues<Claim, EdgeId>,
    applications: Memo<ObjectId, Option<Application>>,
    /// Which Ingresses use a host on an edge.
    hosts: Queues<(EdgeId, Hostname), ObjectId>,
    /// Which Ingresses want something else of an edge.
    wishes: Queues<(EdgeId, Wish), Applicant>,
    groups: Memo<EdgeId, Option<Group>>,
    routes: Memo<ObjectId, Option<RouteOutcome>>,
    dependents: HashMap<Read, BTreeSet<Node>>,
    dirty: BTreeSet<Node>,
    /// Nodes whose outcome differs since [`Graph::update`] began.
    changed: BTreeSet<Node>,
    /// Nodes that nobody may read any more.
    orphans: BTreeSet<Node>,
    /// Number of computations since [`Graph::update`] began.
    computed: usize,
}

impl Graph {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings: Arc::new(settings),
            today: 0,
            world: World::default(),
            names: BTreeSet::new(),
            resolutions: HashMap::new(),
            certificates: HashMap::new(),
            backends: HashMap::new(),
            classes: HashMap::new(),
            drafts: HashMap::new(),
            claims: Queues::default(),
            applications: HashMap::new(),
            hosts: Queues::default(),
            wishes: Queues::default(),
            groups: HashMap::new(),
            routes: HashMap::new(),
            dependents: HashMap::new(),
            dirty: BTreeSet::new(),
            changed: BTreeSet::new(),
            orphans: BTreeSet::new(),
            computed: 0,
        }
    }

    /// Number of computations that the last update took.
    pub(super) fn computed(&self) -> usize {
        self.computed
    }

    pub(super) fn settings(&self) -> Arc<Settings> {
        self.settings.clone()
    }

    pub(super) fn today(&self) -> i64 {
        self.today
    }

    pub(super) fn world(&self) -> &World {
        &self.world
    }

    /// Names that are read.
    pub(super) fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    /// What DNS says of a name.
    pub(super) fn resolution(&self, name: &str) -> Option<&Resolution> {
        self.resolutions.get(name)
    }

    /// Takes changes in and recomputes what they touch. Returns the nodes whose outcome differs, in tier order.
    pub(super) fn update(
        &mut self,
        changes: impl IntoIterator<Item = Change>,
        names: impl IntoIterator<Item = (String, Resolution)>,
        now: Now,
    ) -> BTreeSet<Node> {
        self.computed = 0;
        if self.today != now.start_of_day() {
            self.today = now.start_of_day();
            self.touch(&Read::Today);
        }
        let settings = self.settings.clone();
        for change in changes {
            for read in self.world.apply(change, &settings) {
                if let Read::Object(id) = &read {
                    self.dirty.insert(Node::Text(id.clone()));
                    match id.kind {
                        Kind::GatewayClass => self.dirty.insert(Node::Class(id.name.clone())),
                        Kind::Gateway => self.dirty.insert(Node::Draft(EdgeId::of_gateway(&id.namespace, &id.name))),
                        Kind::IngressClass => {
                            self.dirty.insert(Node::Draft(EdgeId::of_class(&id.name)));
                            self.dirty.insert(Node::Route(id.clone()))
                        }
                        Kind::Ingress => {
                            self.dirty.insert(Node::Application(id.clone()));
                            self.dirty.insert(Node::Route(id.clone()))
                        }
                        Kind::HttpRoute | Kind::GrpcRoute => self.dirty.insert(Node::Route(id.clone())),
                        _ => false,
                    };
                }
                self.touch(&read);
            }
        }
        for (name, resolution) in names {
            if self.names.contains(&name) && self.resolutions.get(&name) != Some(&resolution) {
                self.touch(&Read::Name(name.clone()));
                self.resolutions.insert(name, resolution);
            }
        }
        while let Some(node) = self.dirty.pop_first() {
            self.refresh(node);
        }
        self.drop_orphans();
        std::mem::take(&mut self.changed)
    }

    /// The certificate of a Secret; computed when nobody asked before.
    pub(super) fn certificate(&mut self, id: &CertificateId) -> Arc<CertificateOutcome> {
        if let Some(known) = self.certificates.get(id) {
            return known.outcome.clone();
        }
        let (outcome, reads) = self.compute(|reader| certificate::resolve(reader, id));
        self.remember(Node::Certificate(id.clone()), |graph| &mut graph.certificates, id, (outcome, reads)).1
    }

    /// A Service port; computed when nobody asked before.
    pub(super) fn backend(&mut self, id: &BackendId) -> Arc<BackendOutcome> {
        if let Some(known) = self.backends.get(id) {
            return known.outcome.clone();
        }
        let (outcome, reads) = self.compute(|reader| backend::resolve(reader, id));
        self.remember(Node::Backend(id.clone()), |graph| &mut graph.backends, id, (outcome, reads)).1
    }

    /// A Service port that a route refers to.
    pub(super) fn known_backend(&self, id: &BackendId) -> Option<&Arc<BackendOutcome>> {
        self.backends.get(id).map(|known| &known.outcome)
    }

    /// A GatewayClass, when it is ours.
    pub(super) fn class(&self, name: &str) -> Option<Arc<JudgedClass>> {
        self.classes.get(name)?.outcome.as_ref().clone()
    }

    /// The namespace of the oldest Ingress that uses a host.
    pub(super) fn host_owner(&self, edge: &EdgeId, host: &Hostname) -> Option<&String> {
        self.hosts.first(&(edge.clone(), host.clone())).map(|id| &id.namespace)
    }

    /// The oldest Ingress that wants something of an edge.
    pub(super) fn granted(&self, wish: &(EdgeId, Wish)) -> Option<&Applicant> {
        self.wishes.first(wish)
    }

    /// A Gateway or IngressClass as it is for itself, when it is ours.
    pub(super) fn draft(&self, edge: &EdgeId) -> Option<Arc<Draft>> {
        self.drafts.get(edge)?.outcome.as_ref().clone()
    }

    /// The oldest that wants to listen there.
    pub(super) fn holder(&self, claim: &Claim) -> Option<&EdgeId> {
        self.claims.first(claim)
    }

    /// The listeners of a Gateway or IngressClass, when it is ours.
    pub(super) fn group(&self, edge: &EdgeId) -> Option<&Group> {
        self.groups.get(edge)?.outcome.as_ref().as_ref()
    }

    /// A route, Ingress or IngressClass, when a parent or the class of it is ours.
    pub(super) fn route(&self, id: &ObjectId) -> Option<&RouteOutcome> {
        self.routes.get(id)?.outcome.as_ref().as_ref()
    }

    fn touch(&mut self, read: &Read) {
        self.dirty.extend(self.dependents.get(read).into_iter().flatten().cloned());
    }

    fn refresh_class(&mut self, name: &String) {
        let node = Node::Class(name.clone());
        let computed = self.compute(|reader| groups::class(reader, name).map(Arc::new));
        let (old, new) = self.remember(node.clone(), |graph| &mut graph.classes, name, computed);
        if old.as_ref() != Some(&new) {
            self.touch(&Read::Class(name.clone()));
        }
        let gone = self.world.get(&ObjectId::new(Kind::GatewayClass, "", name)).is_none();
        self.forget(gone, &node);
    }

    fn refresh(&mut self, node: Node) {
        match &node {
            Node::Text(_) => {
                self.changed.insert(node);
            }
            Node::Certificate(id) => {
                let computed = self.compute(|reader| certificate::resolve(reader, id));
                let (old, new) = self.remember(node.clone(), |graph| &mut graph.certificates, id, computed);
                if old.as_ref() != Some(&new) {
                    self.touch(&Read::Certificate(id.clone()));
                }
            }
            Node::Backend(id) => {
                let computed = self.compute(|reader| backend::resolve(reader, id));
                let (old, new) = self.remember(node.clone(), |graph| &mut graph.backends, id, computed);
                if old.is_none_or(|old| old.state != new.state) {
                    self.touch(&Read::Backend(id.clone()));
                }
            }
            Node::Class(name) => self.refresh_class(name),
            Node::Draft(edge) => {
                let computed = self.compute(|reader| draft(reader, edge).map(Arc::new));
                let (old, new) = self.remember(node.clone(), |graph| &mut graph.drafts, edge, computed);
                self.claim(edge, old.as_deref().and_then(Option::as_deref), new.as_deref());
                let gone = self.world.get(&edge.owner()).is_none();
                if gone || old.is_none() {
                    self.dirty.insert(Node::Group(edge.clone()));
                } else if old.as_ref() != Some(&new) {
                    self.touch(&Read::Draft(edge.clone()));
                }
                self.forget(gone, &node);
            }
            Node::Application(id) => {
                let computed = self.compute(|reader| ingress::apply(reader, id));
                let (old, new) = self.remember(node.clone(), |graph| &mut graph.applications, id, computed);
                self.own(id, old.as_deref().and_then(Option::as_ref), new.as_ref().as_ref());
                let gone = self.world.get(id).is_none();
                self.forget(gone, &node);
            }
            Node::Group(edge) => {
                let computed = self.compute(|reader| groups::settle(reader, edge));
                let (old, new) = self.remember(node.clone(), |graph| &mut graph.groups, edge, computed);
                let points = |group: &Option<Group>| group.as_ref().map(|group| (group.points.clone(), group.data.addresses.clone()));
                if old.as_deref().and_then(points) != points(&new) {
                    self.touch(&Read::Group(edge.clone()));
                }
                let gone = self.world.get(&edge.owner()).is_none();
                self.forget(gone, &node);
            }
            Node::Route(id) => {
                let computed = self.compute(|reader| translate(reader, id));
                self.remember(node.clone(), |graph| &mut graph.routes, id, computed);
                let gone = self.world.get(id).is_none();
                self.forget(gone, &node);
            }
        }
    }

    /// Takes back what an Ingress wanted before, and notes what it wants now.
    fn own(&mut self, id: &ObjectId, old: Option<&Application>, new: Option<&Application>) {
        let [hosts_before, hosts] = [old, new].map(|of| of.map(|of| of.hosts(id)).unwrap_or_default());
        for (edge, host) in self.hosts.replace(&hosts_before, &hosts, |id| id.namespace.clone()) {
            self.touch(&Read::Host(edge, host));
        }
        let [wishes_before, wishes] = [old, new].map(|of| of.map(|of| of.wishes(id)).unwrap_or_default());
        for (edge, wish) in self.wishes.replace(&wishes_before, &wishes, Clone::clone) {
            self.touch(&Read::Wish(edge, wish));
        }
    }

    /// Takes back what a Gateway wanted before, and notes what it wants now.
    fn claim(&mut self, edge: &EdgeId, old: Option<&Draft>, new: Option<&Draft>) {
        let entries = |draft: &Draft| draft.claims().into_iter().map(|claim| (claim, (draft.meta.created, edge.clone()))).collect();
        let [old, new] = [old, new].map(|draft| draft.map(entries).unwrap_or_default());
        for claim in self.claims.replace(&old, &new, Clone::clone) {
            self.touch(&Read::Claim(claim));
        }
    }

    fn compute<V>(&mut self, translate: impl FnOnce(&mut Reader<'_>) -> V) -> (V, BTreeSet<Read>) {
        self.computed += 1;
        let mut reader = Reader::new(self);
        let outcome = translate(&mut reader);
        (outcome, reader.into_reads())
    }

    /// Keeps an outcome and indexes its reads. Returns the outcome before, if there was one, and now.
    fn remember<K: Eq + Hash + Clone, V: PartialEq>(
        &mut self,
        node: Node,
        memo: fn(&mut Self) -> &mut Memo<K, V>,
        key: &K,
        (outcome, reads): (V, BTreeSet<Read>),
    ) -> (Option<Arc<V>>, Arc<V>) {
        let old = memo(self).remove(key);
        let before = old.as_ref().map(|old| &old.reads);
        self.index(&node, before, &reads);
        let old = old.map(|old| old.outcome);
        let outcome = match &old {
            Some(same) if **same == outcome => same.clone(),
            _ => {
                self.changed.insert(node);
                Arc::new(outcome)
            }
        };
        memo(self).insert(key.clone(), Remembered { outcome: outcome.clone(), reads });
        (old, outcome)
    }

    fn index(&mut self, node: &Node, before: Option<&BTreeSet<Read>>, after: &BTreeSet<Read>) {
        for read in before.into_iter().flatten().filter(|read| !after.contains(read)) {
            let Some(nodes) = self.dependents.get_mut(read) else { continue };
            nodes.remove(node);
            if nodes.is_empty() {
                self.dependents.remove(read);
                match read {
                    Read::Certificate(id) => self.orphans.insert(Node::Certificate(id.clone())),
                    Read::Backend(id) => self.orphans.insert(Node::Backend(id.clone())),
                    Read::Name(name) => {
                        self.resolutions.remove(name);
                        self.names.remove(name)
                    }
                    _ => false,
                };
            }
        }
        for read in after.iter().filter(|read| before.is_none_or(|before| !before.contains(read))) {
            if let Read::Name(name) = read {
                self.names.insert(name.clone());
            }
            self.dependents.entry(read.clone()).or_default().insert(node.clone());
        }
    }

    fn forget(&mut self, gone: bool, node: &Node) {
        if !gone {
            return;
        }
        let reads = match node {
            Node::Text(_) => None,
            Node::Certificate(id) => self.certificates.remove(id).map(|known| known.reads),
            Node::Backend(id) => self.backends.remove(id).map(|known| known.reads),
            Node::Class(name) => self.classes.remove(name).map(|known| known.reads),
            Node::Draft(edge) => self.drafts.remove(edge).map(|known| known.reads),
            Node::Application(id) => self.applications.remove(id).map(|known| known.reads),
            Node::Group(edge) => self.groups.remove(edge).map(|known| known.reads),
            Node::Route(id) => self.routes.remove(id).map(|known| known.reads),
        };
        self.index(node, reads.as_ref(), &BTreeSet::new());
        self.changed.insert(node.clone());
    }

    fn drop_orphans(&mut self) {
        while let Some(node) = self.orphans.pop_first() {
            let read = match &node {
                Node::Certificate(id) => Read::Certificate(id.clone()),
                Node::Backend(id) => Read::Backend(id.clone()),
                Node::Text(_) | Node::Class(_) | Node::Draft(_) | Node::Application(_) | Node::Group(_) | Node::Route(_) => continue,
            };
            let unread = !self.dependents.contains_key(&read);
            self.forget(unread, &node);
        }
    }

    /// Whether nothing is known and nothing remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.world.is_empty()
            && self.names.is_empty()
            && self.resolutions.is_empty()
            && self.certificates.is_empty()
            && self.backends.is_empty()
            && self.classes.is_empty()
            && self.drafts.is_empty()
            && self.claims.is_empty()
            && self.applications.is_empty()
            && self.hosts.is_empty()
            && self.wishes.is_empty()
            && self.groups.is_empty()
            && self.routes.is_empty()
            && self.dependents.is_empty()
    }
}

fn draft(reader: &mut Reader<'_>, edge: &EdgeId) -> Option<Draft> {
    match edge.kind() {
        Kind::IngressClass => ingress::draft(reader, edge),
        _ => groups::draft(reader, edge),
    }
}

fn translate(reader: &mut Reader<'_>, id: &ObjectId) -> Option<RouteOutcome> {
    match id.kind {
        Kind::Ingress => ingress::translate(reader, id),
        Kind::IngressClass => ingress::fallback(reader, id),
        _ => routes::translate(reader, id),
    }
}
