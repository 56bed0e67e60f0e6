//! The one way to look something up. What was read, found or not, is recorded: the records are the dependency index.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::Settings;
use super::backend::BackendState;
use super::budget::Good;
use super::certificate::CertificateOutcome;
use super::facts::{Body, Fact, NamespaceFacts, Namespaces, SecretFacts, ServiceFacts, SliceFacts, reached};
use super::grant::Grants;
use super::graph::Graph;
use super::groups::{Claim, Draft, JudgedClass, Points};
use super::ingress::{Applicant, Wish};
use super::world::Class;
use crate::api::EdgeProfileSpec;
use crate::model::{Age, BackendId, CertificateId, EdgeId, Hostname, Kind, ObjectId, PatternError, Resolution};

/// Something that was looked up, whether it was there or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Read {
    /// One object.
    Object(ObjectId),
    /// All ReferenceGrants of a namespace.
    Grants(String),
    /// All EndpointSlices of a Service: namespace and name.
    Slices(String, String),
    /// What DNS says of a name.
    Name(String),
    /// Whether an address is one of a Service of the cluster.
    ClusterAddress(IpAddr),
    /// All ListenerSets of a Gateway.
    Sets(EdgeId),
    /// A GatewayClass with its parameters.
    Class(String),
    /// Whether an object is there.
    Presence(ObjectId),
    /// Which objects of a kind there are, or of one namespace.
    Names(Kind, Option<String>),
    /// All IngressClasses.
    IngressClasses,
    /// Whose a host is on the edge of an IngressClass.
    Host(EdgeId, Hostname),
    /// Which Ingress has something else of the edge of an IngressClass.
    Wish(EdgeId, Wish),
    /// Whether a route has what it asks its namespace's budget for.
    Budget(Good, ObjectId),
    /// The day.
    Today,
    /// A certificate made of a Secret.
    Certificate(CertificateId),
    /// What a Service port is to a route: not its endpoints, but whether there are any.
    Backend(BackendId),
    /// A Gateway as it is for itself.
    Draft(EdgeId),
    /// Which Gateways want an address and port.
    Claim(Claim),
    /// What a Gateway's or IngressClass's listeners and addresses are to a route.
    Group(EdgeId),
}

/// Looks things up for one computation.
pub(super) struct Reader<'a> {
    graph: &'a mut Graph,
    reads: BTreeSet<Read>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(graph: &'a mut Graph) -> Self {
        Self { graph, reads: BTreeSet::new() }
    }

    /// Everything that was read, sorted.
    pub(super) fn into_reads(self) -> Box<[Read]> {
        self.reads.into_iter().collect()
    }

    /// Settings do not change while a translator lives, so they are no record.
    pub(super) fn settings(&self) -> Arc<Settings> {
        self.graph.settings()
    }

    /// Start of the day, in seconds since the Unix epoch.
    pub(super) fn today(&mut self) -> i64 {
        self.reads.insert(Read::Today);
        self.graph.today()
    }

    /// One object.
    pub(super) fn fact(&mut self, id: &ObjectId) -> Option<&Fact> {
        self.reads.insert(Read::Object(id.clone()));
        self.graph.world().get(id)
    }

    /// A Service.
    pub(super) fn service(&mut self, namespace: &str, name: &str) -> Option<Arc<ServiceFacts>> {
        match &self.fact(&ObjectId::new(Kind::Service, namespace, name))?.body {
            Body::Service(service) => Some(service.clone()),
            _ => None,
        }
    }

    /// An EdgeProfile: none when it does not exist, an error when it cannot be read.
    pub(super) fn profile(&mut self, namespace: &str, name: &str) -> Option<Result<Arc<EdgeProfileSpec>, ()>> {
        match &self.fact(&ObjectId::new(Kind::EdgeProfile, namespace, name))?.body {
            Body::Profile(profile) => Some(Ok(profile.clone())),
            _ => Some(Err(())),
        }
    }

    /// A GatewayClass of ours.
    pub(super) fn class(&mut self, name: &str) -> Option<Arc<JudgedClass>> {
        self.reads.insert(Read::Class(name.to_owned()));
        self.graph.class(name)
    }

    /// A Secret.
    pub(super) fn secret(&mut self, namespace: &str, name: &str) -> Option<Arc<SecretFacts>> {
        match &self.fact(&ObjectId::new(Kind::Secret, namespace, name))?.body {
            Body::Secret(secret) => Some(secret.clone()),
            _ => None,
        }
    }

    /// A Namespace. One that is implied by its objects has the label with its name.
    pub(super) fn namespace(&mut self, name: &str) -> Arc<NamespaceFacts> {
        match self.fact(&ObjectId::new(Kind::Namespace, "", name)).map(|fact| &fact.body) {
            Some(Body::Namespace(namespace)) => namespace.clone(),
            _ => Arc::new(NamespaceFacts::default().named(name)),
        }
    }

    /// What ReferenceGrants permit, to look something of this namespace up.
    pub(super) fn grants(&mut self, namespace: &str) -> &Grants {
        self.reads.insert(Read::Grants(namespace.to_owned()));
        self.graph.world().grants()
    }

    /// Whether an object is there, whatever it says.
    pub(super) fn exists(&mut self, id: &ObjectId) -> bool {
        self.reads.insert(Read::Presence(id.clone()));
        self.graph.world().get(id).is_some()
    }

    /// The objects of a kind, or those of one namespace, as far as they are named in messages: so many.
    pub(super) fn names(&mut self, kind: Kind, namespace: Option<&str>, most: usize) -> Vec<ObjectId> {
        self.reads.insert(Read::Names(kind, namespace.map(str::to_owned)));
        self.graph.world().names(kind, namespace, most)
    }

    /// All IngressClasses, by name.
    pub(super) fn ingress_classes(&mut self) -> Vec<Class> {
        self.reads.insert(Read::IngressClasses);
        self.graph.world().ingress_classes()
    }

    /// The namespace that a host on the edge of an IngressClass belongs to: the one that the class's profile names, the one
    /// that has the claim, or that of the oldest Ingress that names the host. None: it is free.
    pub(super) fn host_owner(&mut self, edge: &EdgeId, host: &Hostname) -> Option<String> {
        self.reads.insert(Read::Group(edge.clone()));
        if let Some(owner) = self.graph.group(edge).and_then(|group| group.reserved.owner(host)) {
            return Some(owner.clone());
        }
        self.reads.insert(Read::Host(edge.clone(), host.clone()));
        self.graph.host_owner(&(edge.clone(), host.clone())).cloned()
    }

    /// The oldest Ingress that wants something of the edge of an IngressClass.
    pub(super) fn granted(&mut self, edge: &EdgeId, wish: Wish) -> Option<Applicant> {
        let wish = (edge.clone(), wish);
        let granted = self.graph.granted(&wish).cloned();
        self.reads.insert(Read::Wish(wish.0, wish.1));
        granted
    }

    /// Whether a route of this age has what it asks its namespace's budget for: so much, of what waits until it is granted.
    pub(super) fn within(&mut self, good: Good, (id, age): (&ObjectId, &Age), count: usize) -> bool {
        self.reads.insert(Read::Budget(good, id.clone()));
        self.graph.admits(good, &(age.clone(), id.clone()), count)
    }

    /// Whether an expression is costly to compile. That depends on its text alone, so it is no record.
    pub(super) fn is_costly(&mut self, expression: &str) -> bool {
        self.graph.is_costly(expression)
    }

    /// The size of an expression that the filter can run. That depends on its text alone, so it is no record.
    pub(super) fn size_of(&mut self, expression: &str) -> Result<usize, PatternError> {
        self.graph.size_of(expression)
    }

    /// The EndpointSlices of a Service, by name.
    pub(super) fn slices(&mut self, namespace: &str, service: &str) -> Vec<(ObjectId, Arc<SliceFacts>)> {
        self.reads.insert(Read::Slices(namespace.to_owned(), service.to_owned()));
        self.graph.world().slices(namespace, service)
    }

    /// What DNS says of a name; none before it was asked.
    pub(super) fn resolution(&mut self, name: &str) -> Option<Resolution> {
        self.reads.insert(Read::Name(name.to_owned()));
        self.graph.resolution(name).cloned()
    }

    /// Whether an endpoint of a slice has the address of a Service. What was read of the slices is the record: it reads
    /// differently when such an address comes or goes.
    pub(super) fn is_endpoint_of_service(&self, ip: IpAddr) -> bool {
        self.graph.world().is_cluster_address(ip)
    }

    /// Whether an address is one of a Service of the cluster.
    pub(super) fn is_cluster_address(&mut self, ip: IpAddr) -> bool {
        let ip = reached(ip);
        self.reads.insert(Read::ClusterAddress(ip));
        self.graph.world().is_cluster_address(ip)
    }

    /// The ListenerSets of a Gateway in order of precedence: the oldest first, then by `namespace/name`.
    pub(super) fn sets(&mut self, edge: &EdgeId) -> Vec<(ObjectId, Fact)> {
        let range = Read::Sets(edge.clone());
        let mut sets: Vec<_> = self.graph.world().members(&range).map(|(id, fact)| (id.clone(), fact.clone())).collect();
        sets.sort_by_cached_key(|(id, fact)| (fact.meta.age.clone(), format!("{}/{}", id.namespace, id.name)));
        self.reads.insert(range);
        sets
    }

    /// Whether namespaces, declared by an object of the namespace `own`, include `namespace`.
    pub(super) fn admits(&mut self, namespaces: &Namespaces, namespace: &str, own: &str) -> bool {
        match namespaces {
            Namespaces::Same => namespace == own,
            Namespaces::All => true,
            Namespaces::Selector(selector) => selector.matches(&self.namespace(namespace).labels),
        }
    }

    /// The Gateway that a ListenerSet is for.
    pub(super) fn gateway_of(&mut self, set: &ObjectId) -> Option<EdgeId> {
        match &self.fact(set)?.body {
            Body::Set(set) => set.parent.clone(),
            _ => None,
        }
    }

    /// The certificate of a Secret.
    pub(super) fn certificate(&mut self, id: &CertificateId) -> Arc<CertificateOutcome> {
        self.reads.insert(Read::Certificate(id.clone()));
        self.graph.certificate(id)
    }

    /// What a Service port is to a route.
    pub(super) fn backend(&mut self, id: &BackendId) -> BackendState {
        self.reads.insert(Read::Backend(id.clone()));
        self.graph.backend(id).state.clone()
    }

    /// A Gateway of ours as it is for itself.
    pub(super) fn draft(&mut self, edge: &EdgeId) -> Option<Arc<Draft>> {
        self.reads.insert(Read::Draft(edge.clone()));
        self.graph.draft(edge)
    }

    /// The oldest Gateway of ours that wants to listen there.
    pub(super) fn holder(&mut self, claim: &Claim) -> Option<EdgeId> {
        self.reads.insert(Read::Claim(*claim));
        self.graph.holder(claim).cloned()
    }

    /// The listeners of a Gateway of ours.
    pub(super) fn listeners(&mut self, edge: &EdgeId) -> Option<Arc<Points>> {
        self.reads.insert(Read::Group(edge.clone()));
        self.graph.group(edge).map(|group| group.points.clone())
    }

    /// Addresses that a Gateway or IngressClass of ours is to be reached at.
    pub(super) fn addresses(&mut self, edge: &EdgeId) -> Vec<IpAddr> {
        self.reads.insert(Read::Group(edge.clone()));
        self.graph.group(edge).map(|group| group.data.addresses.clone()).unwrap_or_default()
    }
}
