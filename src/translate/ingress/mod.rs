//! Ingress: rules of many objects on the edge of their IngressClass.
//!
//! The edge belongs to the class, so a host belongs to the namespace whose Ingress used it first: rules of other namespaces
//! for it are refused. Rules without a host and default backends are for a host of their own here, `*`, which has an owner
//! like any other.

mod class;
mod edge;
mod tls;
mod translate;

use std::collections::BTreeSet;

pub(super) use edge::draft;
pub(super) use translate::translate;

use super::facts::{Body, Meta};
use super::reader::Reader;
use crate::model::{EdgeId, Hostname, ObjectId};

/// What an Ingress of ours wants for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Application {
    /// Age, for who comes first.
    pub(super) created: i64,
    pub(super) edge: EdgeId,
    pub(super) hosts: BTreeSet<Hostname>,
}

/// The hosts that an Ingress asks for; none when it does not exist, cannot be read, or is not ours.
pub(super) fn apply(reader: &mut Reader<'_>, id: &ObjectId) -> Option<Application> {
    let fact = reader.fact(id)?;
    let Meta { created, .. } = fact.meta;
    let Body::Ingress(facts) = fact.body.clone() else { return None };
    let edge = class::edge_of(reader, &facts)?;
    Some(Application { created, edge, hosts: facts.hosts().cloned().collect() })
}
