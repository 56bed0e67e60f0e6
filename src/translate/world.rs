//! Every object that is known, as facts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::Settings;
use super::addresses::Addresses;
use super::facts::{self, Body, Fact, IngressClassFacts, SliceFacts};
use super::grant::Grants;
use super::ownership::{Claimed, Claims, Host};
use super::reader::Read;
use crate::api::{Change, Object};
use crate::model::{Age, Kind, ObjectId};

/// The facts of all objects, with the ranges that are read.
#[derive(Debug, Default)]
pub(super) struct World {
    facts: BTreeMap<ObjectId, Known>,
    /// Members of the ranges that are read: [`Read::Slices`], [`Read::Sets`].
    ranges: BTreeMap<Read, BTreeSet<ObjectId>>,
    addresses: Addresses,
    grants: Grants,
    claimed: Claimed,
}

/// An IngressClass among others.
pub(super) struct Class {
    pub(super) name: String,
    pub(super) age: Age,
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
        self.facts.is_empty() && self.addresses.is_empty() && self.grants.is_empty() && self.claimed.is_empty()
    }

    /// What the ReferenceGrants of all namespaces permit.
    pub(super) fn grants(&self) -> &Grants {
        &self.grants
    }

    /// The objects of a kind, or those of one namespace: so many, the first by namespace and name.
    pub(super) fn names(&self, kind: Kind, namespace: Option<&str>, most: usize) -> Vec<ObjectId> {
        let first = ObjectId::new(kind, namespace.unwrap_or_default(), "");
        let is_one = |id: &&ObjectId| id.kind == kind && namespace.is_none_or(|namespace| id.namespace == namespace);
        self.facts.range(first..).map(|(id, _)| id).take_while(is_one).take(most).cloned().collect()
    }

    /// All IngressClasses, by name.
    pub(super) fn ingress_classes(&self) -> Vec<Class> {
        let first = ObjectId::new(Kind::IngressClass, "", "");
        let range = self.facts.range(first..).take_while(|(id, _)| id.kind == Kind::IngressClass);
        range
            .filter_map(|(id, known)| match &known.fact.body {
                Body::IngressClass(facts) => Some(Class { name: id.name.clone(), age: known.fact.meta.age.clone(), facts: facts.clone() }),
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
        self.addresses.is_of_service(ip)
    }

    /// The namespace that has the claim of a host.
    pub(super) fn claimant(&self, host: &Host) -> Option<&String> {
        self.claimed.owner(host)
    }

    fn apply_claims(&mut self, old: Option<&Fact>, new: Option<&Fact>) -> Vec<Read> {
        let claims = |fact: Option<&Fact>| match fact.map(|fact| &fact.body) {
            Some(Body::Claims(claims)) => Some(claims.clone()),
            _ => None,
        };
        let (old, new) = (claims(old), claims(new));
        let Some(claimant) = old.as_ref().or(new.as_ref()).map(|claims| claims.0.clone()) else { return Vec::new() };
        let of = |claims: &Option<Arc<(String, Claims)>>| claims.as_ref().map(|claims| claims.1.clone());
        self.claimed.apply(&claimant, of(&old).as_ref(), of(&new).as_ref())
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
        reads.extend(self.addresses.apply(&id, old.as_ref(), new.as_ref()));
        if id.kind == Kind::ReferenceGrant {
            self.grants.apply(&id.namespace, old.as_ref(), new.as_ref());
            reads.insert(Read::Grants(id.namespace.clone()));
        }
        reads.extend(self.apply_claims(old.as_ref(), new.as_ref()));
        if old.is_some() != new.is_some() {
            let names = [None, Some(id.namespace.clone())].map(|namespace| Read::Names(id.kind, namespace));
            reads.extend(names.into_iter().chain([Read::Presence(id.clone())]));
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
