//! Every object that is known, as facts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::Settings;
use super::facts::{self, Body, Fact, GrantFacts, IngressClassFacts, SliceFacts};
use super::reader::Read;
use super::rendering::release;
use crate::api::{Change, Object};
use crate::model::{Kind, ObjectId};

/// The facts of all objects, with the ranges that are read.
#[derive(Debug, Default)]
pub(super) struct World {
    facts: BTreeMap<ObjectId, Known>,
    /// Members of the ranges that are read: [`Read::Slices`], [`Read::Sets`].
    ranges: BTreeMap<Read, BTreeSet<ObjectId>>,
    /// Addresses of Services, with their number.
    addresses: BTreeMap<IpAddr, usize>,
}

/// An IngressClass among others.
pub(super) struct Class {
    pub(super) name: String,
    /// Seconds since the Unix epoch.
    pub(super) created: i64,
    pub(super) facts: Arc<IngressClassFacts>,
}

#[derive(Debug)]
struct Known {
    /// uid and resourceVersion that were parsed.
    version: Option<(String, String)>,
    fact: Fact,
}

impl World {
    /// One object.
    pub(super) fn get(&self, id: &ObjectId) -> Option<&Fact> {
        self.facts.get(id).map(|known| &known.fact)
    }

    /// Whether there is no object.
    pub(super) fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    /// The ReferenceGrants of a namespace.
    pub(super) fn grants(&self, namespace: &str) -> Vec<Arc<GrantFacts>> {
        let first = ObjectId::new(Kind::ReferenceGrant, namespace, "");
        let in_namespace = |id: &&ObjectId| id.kind == Kind::ReferenceGrant && id.namespace == namespace;
        let range = self.facts.range(first..).map(|(id, known)| (id, &known.fact.body)).take_while(|(id, _)| in_namespace(id));
        range
            .filter_map(|(_, body)| match body {
                Body::Grant(grant) => Some(grant.clone()),
                _ => None,
            })
            .collect()
    }

    /// All IngressClasses, by name.
    pub(super) fn ingress_classes(&self) -> Vec<Class> {
        let first = ObjectId::new(Kind::IngressClass, "", "");
        let range = self.facts.range(first..).take_while(|(id, _)| id.kind == Kind::IngressClass);
        range
            .filter_map(|(id, known)| match &known.fact.body {
                Body::IngressClass(facts) => Some(Class { name: id.name.clone(), created: known.fact.meta.created, facts: facts.clone() }),
                _ => None,
            })
            .collect()
    }

    /// The EndpointSlices of a Service, by name.
    pub(super) fn slices(&self, namespace: &str, service: &str) -> Vec<(ObjectId, Arc<SliceFacts>)> {
        let range = Read::Slices(namespace.to_owned(), service.to_owned());
        self.members(&range)
            .filter_map(|(id, fact)| match &fact.body {
                Body::Slice(slice) => Some((id.clone(), slice.clone())),
                _ => None,
            })
            .collect()
    }

    /// The objects of a range, by name.
    pub(super) fn members(&self, range: &Read) -> impl Iterator<Item = (&ObjectId, &Fact)> {
        self.ranges.get(range).into_iter().flatten().filter_map(|id| Some((id, self.get(id)?)))
    }

    /// Whether an address is one of a Service of the cluster.
    pub(super) fn is_cluster_address(&self, ip: IpAddr) -> bool {
        self.addresses.contains_key(&ip)
    }

    /// Counts the addresses of a Service. Returns those that it has or had.
    fn count_addresses(&mut self, old: Option<&Fact>, new: Option<&Fact>) -> BTreeSet<IpAddr> {
        let of = |fact: Option<&Fact>| match fact.map(|fact| &fact.body) {
            Some(Body::Service(service)) => service.cluster_ips.iter().copied().collect::<BTreeSet<_>>(),
            _ => BTreeSet::new(),
        };
        let (old, new) = (of(old), of(new));
        for ip in &new {
            *self.addresses.entry(*ip).or_default() += 1;
        }
        for ip in &old {
            release(&mut self.addresses, ip);
        }
        old.symmetric_difference(&new).copied().collect()
    }

    /// Takes one change in. Returns what reads differently now; nothing when the object says what it said before.
    pub(super) fn apply(&mut self, change: Change, settings: &Settings) -> Vec<Read> {
        let id = change.id;
        let version = change.new.as_ref().and_then(version);
        if version.is_some() && self.facts.get(&id).is_some_and(|known| known.version == version) {
            return Vec::new();
        }
        let new = change.new.map(|object| facts::read(&object, settings));
        let old = match new.clone() {
            Some(fact) => self.facts.insert(id.clone(), Known { version, fact }),
            None => self.facts.remove(&id),
        };
        let old = old.map(|known| known.fact);
        if old == new {
            return Vec::new();
        }
        let range = |fact: &Option<Fact>| fact.as_ref().and_then(|fact| facts::range_of(&id, fact));
        let (before, after) = (range(&old), range(&new));
        if let Some(of) = &before
            && let Some(members) = self.ranges.get_mut(of)
        {
            members.remove(&id);
            if members.is_empty() {
                self.ranges.remove(of);
            }
        }
        if let Some(of) = &after {
            self.ranges.entry(of.clone()).or_default().insert(id.clone());
        }
        let mut reads: BTreeSet<_> = [before, after].into_iter().flatten().collect();
        reads.extend(self.count_addresses(old.as_ref(), new.as_ref()).into_iter().map(Read::ClusterAddress));
        if id.kind == Kind::ReferenceGrant {
            reads.insert(Read::Grants(id.namespace.clone()));
        }
        if id.kind == Kind::IngressClass {
            reads.insert(Read::IngressClasses);
        }
        reads.insert(Read::Object(id));
        reads.into_iter().collect()
    }
}

fn version(object: &Object) -> Option<(String, String)> {
    let metadata = object.metadata();
    let both = (metadata.uid.clone()?, metadata.resource_version.clone()?);
    (!both.0.is_empty() && !both.1.is_empty()).then_some(both)
}
