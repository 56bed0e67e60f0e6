//! Ingress: rules of many objects on the edge of their IngressClass.
//!
//! The edge belongs to the class, so a host belongs to one namespace ([`super::ownership`]): rules of other namespaces for it
//! are refused, and what its owner's rules do not take never falls to theirs ([`rest`]). Rules without a host and default
//! backends are for a host of their own here, `*`, which has an owner like any other.

mod class;
mod edge;
mod fallback;
mod rest;
mod tls;
mod translate;

use std::collections::BTreeSet;

pub(super) use edge::draft;
pub(super) use fallback::fallback;
pub(super) use translate::translate;

use super::budget::Good;
use super::facts::{Body, IngressFacts};
use super::queue::Entry;
use super::reader::Reader;
use crate::model::{Age, CertificateId, EdgeId, Hostname, ObjectId, PathMatch};

/// Something of an edge that only one of a namespace's Ingresses can have, with the namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Wish {
    /// To have a certificate shown for a host.
    Certificate(String, Hostname),
    /// To answer what matches a path of a host.
    Path(String, Hostname, PathMatch),
    /// To answer what no rule takes.
    Fallback(String),
    /// To answer what no path of a host takes and other namespaces' rules must not.
    Rest(String, Hostname),
}

/// An Ingress that wants something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Applicant {
    pub(super) id: ObjectId,
    /// For a certificate: where in `spec.tls`, and the Secret.
    secret: Option<(usize, String)>,
}

/// What an Ingress of ours wants for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Application {
    /// Age, for who comes first.
    age: Age,
    edge: EdgeId,
    hosts: BTreeSet<Hostname>,
    wishes: BTreeSet<(Wish, Option<(usize, String)>)>,
    /// What it asks for of its namespace's budget of hosts, in bytes.
    bytes: usize,
}

/// Bytes of a claim besides its host: the time since when, a space and the end of the line.
const CLAIM: usize = 16;

impl Application {
    /// The hosts as entries among those of others.
    pub(super) fn hosts(&self, id: &ObjectId) -> BTreeSet<((EdgeId, Hostname), Entry<ObjectId>)> {
        self.hosts.iter().map(|host| ((self.edge.clone(), host.clone()), (self.age.clone(), id.clone()))).collect()
    }

    /// What it asks for of its namespace's budget of hosts.
    pub(super) fn demand(&self, id: &ObjectId) -> (Entry<ObjectId>, usize) {
        ((self.age.clone(), id.clone()), self.bytes)
    }

    /// Everything else as entries among those of others.
    pub(super) fn wishes(&self, id: &ObjectId) -> BTreeSet<((EdgeId, Wish), Entry<Applicant>)> {
        let entry = |(wish, secret): &(Wish, Option<(usize, String)>)| {
            let applicant = Applicant { id: id.clone(), secret: secret.clone() };
            ((self.edge.clone(), wish.clone()), (self.age.clone(), applicant))
        };
        self.wishes.iter().map(entry).collect()
    }
}

/// What an Ingress asks for; none when it does not exist, cannot be read, or is not ours.
pub(super) fn apply(reader: &mut Reader<'_>, id: &ObjectId) -> Option<Application> {
    let fact = reader.fact(id)?;
    let age = fact.meta.age.clone();
    let Body::Ingress(facts) = fact.body.clone() else { return None };
    let edge = class::edge_of(reader, &facts)?;
    let hosts: BTreeSet<_> = facts.hosts().cloned().collect();
    let bytes = bytes_of(&hosts);
    if !reader.within(Good::Hosts, (id, &age), bytes) {
        return Some(Application { age, edge, hosts: BTreeSet::new(), wishes: BTreeSet::new(), bytes });
    }
    let namespace = || id.namespace.clone();
    let paths = facts.rules.iter().flat_map(|rule| {
        let paths = rule.paths.iter().flatten().map(|path| &path.path);
        paths.map(|path| Wish::Path(namespace(), rule.host.clone(), path.clone()))
    });
    let fallback = facts.default_backend.iter().map(|_| Wish::Fallback(namespace()));
    let rest = hosts.iter().map(|host| Wish::Rest(namespace(), host.clone()));
    let plain = paths.chain(fallback).chain(rest).map(|wish| (wish, None));
    let wishes = plain.chain(certificates(reader, id, &facts)).collect();
    Some(Application { age, edge, hosts, wishes, bytes })
}

/// What hosts take of their namespace's budget.
fn bytes_of(hosts: &BTreeSet<Hostname>) -> usize {
    hosts.iter().map(|host| host.to_string().len() + CLAIM).sum()
}

/// The hosts that usable Secrets are to be shown for.
fn certificates(reader: &mut Reader<'_>, id: &ObjectId, facts: &IngressFacts) -> Vec<(Wish, Option<(usize, String)>)> {
    let mut wishes = Vec::new();
    let mut wished = BTreeSet::new();
    for tls::Covered { entry, mut hosts, .. } in tls::covered(facts).0 {
        let Some(secret) = &entry.secret else { continue };
        let certificate = CertificateId { namespace: id.namespace.clone(), name: secret.clone() };
        if reader.certificate(&certificate).is_ok() {
            // Of several entries for a host the first counts.
            hosts.retain(|host| wished.insert(host.clone()));
            wishes.extend(hosts.into_iter().map(|host| {
                let wish = Wish::Certificate(id.namespace.clone(), host);
                (wish, Some((entry.index, secret.clone())))
            }));
        }
    }
    wishes
}
