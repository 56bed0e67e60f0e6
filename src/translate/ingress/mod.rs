//! Ingress: rules of many objects on the edge of their IngressClass.
//!
//! The edge belongs to the class, so a host belongs to the namespace whose Ingress used it first: rules of other namespaces
//! for it are refused. Rules without a host and default backends are for a host of their own here, `*`, which has an owner
//! like any other.

mod class;
mod edge;
mod fallback;
mod tls;
mod translate;

use std::collections::BTreeSet;

pub(super) use edge::draft;
pub(super) use fallback::fallback;
pub(super) use translate::translate;

use super::facts::{Body, IngressFacts, Meta};
use super::reader::Reader;
use crate::model::{CertificateId, EdgeId, Hostname, ObjectId, PathMatch};

/// Something of an edge that one Ingress, or the Ingresses of one namespace, can have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Wish {
    /// A host; it belongs to a namespace.
    Host(Hostname),
    /// To have a certificate shown for a host.
    Certificate(Hostname),
    /// To answer what matches a path of a host.
    Path(Hostname, PathMatch),
    /// To answer what no rule takes.
    Fallback,
}

/// An Ingress that wants something, by age.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Applicant {
    /// Seconds since the Unix epoch.
    created: i64,
    pub(super) id: ObjectId,
    /// For a certificate: where in `spec.tls`, and the Secret.
    secret: Option<(usize, String)>,
}

/// What an Ingress of ours wants for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Application {
    created: i64,
    edge: EdgeId,
    wishes: BTreeSet<(Wish, Option<(usize, String)>)>,
}

impl Application {
    /// The wishes as entries among those of others.
    pub(super) fn entries(&self, id: &ObjectId) -> BTreeSet<((EdgeId, Wish), Applicant)> {
        let entry = |(wish, secret): &(Wish, Option<(usize, String)>)| {
            let applicant = Applicant { created: self.created, id: id.clone(), secret: secret.clone() };
            ((self.edge.clone(), wish.clone()), applicant)
        };
        self.wishes.iter().map(entry).collect()
    }
}

/// What an Ingress asks for; none when it does not exist, cannot be read, or is not ours.
pub(super) fn apply(reader: &mut Reader<'_>, id: &ObjectId) -> Option<Application> {
    let fact = reader.fact(id)?;
    let Meta { created, .. } = fact.meta;
    let Body::Ingress(facts) = fact.body.clone() else { return None };
    let edge = class::edge_of(reader, &facts)?;
    let hosts = facts.hosts().map(|host| Wish::Host(host.clone()));
    let paths = facts.rules.iter().flat_map(|rule| {
        let paths = rule.paths.iter().flatten().map(|path| &path.path);
        paths.map(|path| Wish::Path(rule.host.clone(), path.clone()))
    });
    let fallback = facts.default_backend.iter().map(|_| Wish::Fallback);
    let plain = hosts.chain(paths).chain(fallback).map(|wish| (wish, None));
    let wishes = plain.chain(certificates(reader, id, &facts)).collect();
    Some(Application { created, edge, wishes })
}

/// The hosts that usable Secrets are to be shown for.
fn certificates(reader: &mut Reader<'_>, id: &ObjectId, facts: &IngressFacts) -> Vec<(Wish, Option<(usize, String)>)> {
    let mut wishes = Vec::new();
    for entry in &facts.tls {
        let Some(secret) = &entry.secret else { continue };
        let certificate = CertificateId { namespace: id.namespace.clone(), name: secret.clone() };
        if reader.certificate(&certificate).is_ok() {
            let hosts = tls::common(facts, entry).0;
            wishes.extend(hosts.into_iter().map(|host| (Wish::Certificate(host), Some((entry.index, secret.clone())))));
        }
    }
    wishes
}
