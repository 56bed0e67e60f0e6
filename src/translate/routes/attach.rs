//! Attaching: which listeners of a parent accept a route.

use super::RouteFacts;
use crate::model::{EdgeId, Hostname, Kind, ObjectId};
use crate::report::{Issue, Limit, ParentRef};
use crate::translate::budget::PLACES_OF_ROUTE;
use crate::translate::facts::GATEWAY_GROUP;
use crate::translate::groups::{AttachPoint, Points};
use crate::translate::reader::Reader;

/// The Gateway or ListenerSet that a parent reference of a route in `namespace` names, and the edge that it belongs to; none
/// when it names another kind, or a ListenerSet that does not exist.
pub(super) fn parent(reader: &mut Reader<'_>, parent: &ParentRef, namespace: &str) -> Option<(ObjectId, EdgeId)> {
    if parent.group.as_deref().is_some_and(|group| group != GATEWAY_GROUP) {
        return None;
    }
    let namespace = parent.namespace.as_deref().unwrap_or(namespace);
    match parent.kind.as_deref() {
        None | Some("Gateway") => {
            let edge = EdgeId::of_gateway(namespace, &parent.name);
            Some((edge.owner(), edge))
        }
        Some("ListenerSet") => {
            let set = ObjectId::new(Kind::ListenerSet, namespace, &parent.name);
            let edge = reader.gateway_of(&set)?;
            Some((set, edge))
        }
        Some(_) => None,
    }
}

/// A listener that accepts a route, and the (declared, effective) hostnames.
pub(super) struct Accepted<'a> {
    pub(super) point: &'a AttachPoint,
    pub(super) hostnames: Vec<(Hostname, Hostname)>,
}

/// The listeners of `owner`, a Gateway or ListenerSet, that accept the route through one reference to it. `room` is how many
/// more pairs of listener and hostname the route may have.
///
/// The reason of a refusal says how far the route came: no listener of that name and port, none that admits its kind and
/// namespace, none that shares a hostname (`RouteConditionReason`).
pub(super) fn attach<'a>(
    reader: &mut Reader<'_>,
    (id, route): (&ObjectId, &RouteFacts),
    (parent, owner): (&ParentRef, &ObjectId),
    (points, room): (&'a Points, &mut usize),
) -> Result<Vec<Accepted<'a>>, Issue> {
    let named = |point: &&AttachPoint| {
        parent.section_name.as_ref().is_none_or(|name| name.0 == point.name.declared()) && parent.port.is_none_or(|port| port == point.port)
    };
    let selected: Vec<_> = points.get(owner).into_iter().flatten().filter(named).collect();
    if selected.is_empty() {
        return Err(Issue::NoMatchingParent);
    }
    let admits =
        |point: &&AttachPoint| point.kinds.contains(&route.kind) && reader.admits(&point.namespaces, &id.namespace, &owner.namespace);
    let allowed: Vec<_> = selected.into_iter().filter(admits).collect();
    if allowed.is_empty() {
        return Err(Issue::NotAllowedByListeners);
    }
    let mut accepted = Vec::new();
    for point in allowed {
        let hostnames = intersections(&route.hostnames, point.hostname.as_ref());
        *room = room.checked_sub(hostnames.len()).ok_or(Issue::Limit(Limit::TooManyPlaces { most: PLACES_OF_ROUTE }))?;
        if !hostnames.is_empty() {
            accepted.push(Accepted { point, hostnames });
        }
    }
    if accepted.is_empty() { Err(Issue::NoMatchingListenerHostname) } else { Ok(accepted) }
}

fn intersections(declared: &[Hostname], listener: Option<&Hostname>) -> Vec<(Hostname, Hostname)> {
    let Some(listener) = listener else { return Vec::new() };
    declared.iter().filter_map(|hostname| Some((hostname.clone(), hostname.intersect(listener)?))).collect()
}
