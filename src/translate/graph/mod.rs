//! What is computed from what: remembers every outcome with the reads it came from, and recomputes what a change touches.
//!
//! Nodes are ordered by tier, and a node only reads nodes of earlier tiers, so taking the first dirty node again and again
//! computes each at most once per change. [`memo`] is the table of outcomes, [`dirty`] says what a change leads to.

mod dirty;
mod memo;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use imbl::OrdSet;

use self::memo::Memo;
use super::backend::{self, BackendOutcome};
use super::budget::{Budgets, Good};
use super::certificate::{self, CertificateOutcome};
use super::groups::{Claim, Draft, Group, JudgedClass};
use super::ingress::{Applicant, Application, Wish};
use super::ownership::{Holdings, Host};
use super::patterns::Judged;
use super::queue::{Entry, Queues};
use super::reader::Read;
use super::routes::RouteOutcome;
use super::world::World;
use super::{Now, Settings};
use crate::api::Change;
use crate::model::{BackendId, CertificateId, EdgeId, ObjectId, PatternError, Resolution};
use crate::report::Finding;

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
    /// Why an object is not served.
    Lost(ObjectId),
}

/// All computations with their outcomes.
#[derive(Debug)]
pub(super) struct Graph {
    settings: Arc<Settings>,
    today: i64,
    world: World,
    /// Names that are read.
    names: BTreeSet<String>,
    /// Secrets that are read.
    secrets: OrdSet<ObjectId>,
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
    hosts: Queues<Host, ObjectId>,
    /// Which Ingresses want something else of an edge.
    wishes: Queues<(EdgeId, Wish), Applicant>,
    groups: Memo<EdgeId, Option<Group>>,
    routes: Memo<ObjectId, Option<RouteOutcome>>,
    /// Why objects are not served.
    lost: Memo<ObjectId, Vec<Finding>>,
    /// Which namespace is served for which host.
    holdings: Holdings,
    /// Hosts that may have another owner since [`Graph::update`] began.
    contested: BTreeSet<Host>,
    /// Namespaces whose hosts differ since then.
    held_anew: BTreeSet<String>,
    /// What routes of each namespace ask for.
    budgets: Budgets,
    /// Expressions that were judged.
    judged: Judged,
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
            secrets: OrdSet::new(),
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
            lost: HashMap::new(),
            holdings: Holdings::default(),
            contested: BTreeSet::new(),
            held_anew: BTreeSet::new(),
            budgets: Budgets::default(),
            judged: Judged::default(),
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

    /// Secrets that are read.
    pub(super) fn secrets(&self) -> &OrdSet<ObjectId> {
        &self.secrets
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
        self.held_anew.clear();
        if self.today != now.start_of_day() {
            self.today = now.start_of_day();
            self.touch(&Read::Today);
        }
        let settings = self.settings.clone();
        for change in changes {
            for read in self.world.apply(change, &settings) {
                match &read {
                    Read::Object(id) => self.touch_object(id),
                    Read::Host(edge, host) => drop(self.contested.insert((edge.clone(), host.clone()))),
                    _ => {}
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
        while !self.dirty.is_empty() {
            while let Some(node) = self.dirty.pop_first() {
                self.refresh(node);
            }
            for (good, id) in self.budgets.settle() {
                self.touch(&Read::Budget(good, id));
            }
        }
        self.drop_orphans();
        for host in std::mem::take(&mut self.contested) {
            let served = self.served(&host);
            self.held_anew.extend(self.holdings.note(&host, served));
        }
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

    /// The namespace that has the claim of a host, else that of the oldest Ingress that names it.
    pub(super) fn host_owner(&self, host: &Host) -> Option<&String> {
        self.world.claimant(host).or_else(|| self.hosts.first(host).map(|id| &id.namespace))
    }

    /// The namespace that is served for a host: its owner, if an Ingress of it names the host.
    fn served(&self, host: &Host) -> Option<String> {
        let reserved = self.group(&host.0).and_then(|group| group.reserved.owner(&host.1));
        let owner = reserved.or_else(|| self.host_owner(host))?;
        self.hosts.all(host).any(|id| id.namespace == *owner).then(|| owner.clone())
    }

    /// The namespaces whose hosts the last update changed, with all that each has now.
    pub(super) fn held_anew(&self) -> BTreeMap<String, Arc<BTreeSet<Host>>> {
        self.held_anew.iter().map(|namespace| (namespace.clone(), self.holdings.of(namespace))).collect()
    }

    /// The oldest Ingress that wants something of an edge.
    pub(super) fn granted(&self, wish: &(EdgeId, Wish)) -> Option<&Applicant> {
        self.wishes.first(wish)
    }

    /// Whether a route that asks its namespace's budget for so much has it.
    pub(super) fn admits(&self, good: Good, entry: &Entry<ObjectId>, count: usize) -> bool {
        self.budgets.admits(good, entry, count)
    }

    /// Whether an expression is costly to compile.
    pub(super) fn is_costly(&mut self, expression: &str) -> bool {
        self.judged.is_costly(expression)
    }

    /// The size of an expression that the filter can run.
    pub(super) fn size_of(&mut self, expression: &str) -> Result<usize, PatternError> {
        self.judged.size(expression)
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

    /// Why an object is not served.
    pub(super) fn lost(&self, id: &ObjectId) -> &[Finding] {
        self.lost.get(id).map(|known| known.outcome.as_slice()).unwrap_or_default()
    }

    /// Whether nothing is known and nothing remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.world.is_empty()
            && self.names.is_empty()
            && self.secrets.is_empty()
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
            && self.lost.is_empty()
            && self.holdings.is_empty()
            && self.budgets.is_empty()
            && self.dependents.is_empty()
    }
}
