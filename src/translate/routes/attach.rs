//! Attaching: which listeners of a parent accept a route.

use super::RouteFacts;
use crate::model::{EdgeId, Hostname, ObjectId};
use crate::report::{Issue, ParentRef};
use crate::translate::facts::{GATEWAY_GROUP, Namespaces};
use crate::translate::groups::AttachPoint;
use crate::translate::reader::Reader;

/// The Gateway that a parent reference of a route in `namespace` names; none when it names another kind.
pub(super) fn gateway(parent: &ParentRef, namespace: &str) -> Option<EdgeId> {
    let is_gateway =
        parent.group.as_deref().is_none_or(|group| group == GATEWAY_GROUP) && parent.kind.as_deref().is_none_or(|kind| kind == "Gateway");
    let namespace = parent.namespace.clone().unwrap_or_else(|| namespace.to_owned());
    is_gateway.then(|| EdgeId { namespace, name: parent.name.clone() })
}

/// A listener that accepts a route, and the (declared, effective) hostnames.
pub(super) struct Accepted<'a> {
    pub(super) point: &'a AttachPoint,
    pub(super) hostnames: Vec<(Hostname, Hostname)>,
}

/// The listeners that accept the route through one reference.
///
/// The reason of a refusal says how far the route came: no listener of that name and port, none that admits its kind and
/// namespace, none that shares a hostname (`RouteConditionReason`).
pub(super) fn attach<'a>(
    reader: &mut Reader<'_>,
    (id, route): (&ObjectId, &RouteFacts),
    (parent, edge): (&ParentRef, &EdgeId),
    points: &'a [AttachPoint],
) -> Result<Vec<Accepted<'a>>, Issue> {
    let named = |point: &&AttachPoint| {
        parent.section_name.as_ref().is_none_or(|name| *name == point.name) && parent.port.is_none_or(|port| port == point.port)
    };
    let selected: Vec<_> = points.iter().filter(named).collect();
    if selected.is_empty() {
        return Err(Issue::NoMatchingParent);
    }
    let admits = |point: &&AttachPoint| point.kinds.contains(&route.kind) && admits_namespace(reader, point, &id.namespace, edge);
    let allowed: Vec<_> = selected.into_iter().filter(admits).collect();
    if allowed.is_empty() {
        return Err(Issue::NotAllowedByListeners);
    }
    let accepted: Vec<_> = allowed
        .into_iter()
        .map(|point| Accepted { point, hostnames: intersections(&route.hostnames, point.hostname.as_ref()) })
        .filter(|accepted| !accepted.hostnames.is_empty())
        .collect();
    if accepted.is_empty() { Err(Issue::NoMatchingListenerHostname) } else { Ok(accepted) }
}

fn admits_namespace(reader: &mut Reader<'_>, point: &AttachPoint, namespace: &str, edge: &EdgeId) -> bool {
    match &point.namespaces {
        Namespaces::Same => namespace == edge.namespace,
        Namespaces::All => true,
        Namespaces::Selector(selector) => selector.matches(&reader.namespace(namespace).labels),
    }
}

fn intersections(declared: &[Hostname], listener: Option<&Hostname>) -> Vec<(Hostname, Hostname)> {
    let Some(listener) = listener else { return Vec::new() };
    declared.iter().filter_map(|hostname| Some((hostname.clone(), hostname.intersect(listener)?))).collect()
}
