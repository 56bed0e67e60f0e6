//! Objects that no edge serves because of a mistake: they name what does not exist, or nothing at all.
//!
//! Where Kakehi is the only controller ([`Settings::alone`](super::Settings::alone)) each of them is told. Beside others, such an
//! object may be theirs: it is told only when it looks like a misspelling of what is ours.

use super::Settings;
use super::facts::{Body, IngressFacts, SliceFacts};
use super::reader::Reader;
use super::routes::RouteFacts;
use crate::model::{EdgeId, Kind, ObjectId, nearest};
use crate::report::{Finding, Lost, ParentRef, Scope};

/// Names listed, at most.
const LISTED: usize = 8;
/// Objects of a kind that a misspelt name is compared with, at most: each misspelt name is compared with all of them.
const COMPARED: usize = 256;
/// The same beside other controllers, where a tenant may write thousands of either.
const COMPARED_BESIDE: usize = 32;

/// Why nothing of an object is served, or not all that it asks for.
pub(super) fn findings(reader: &mut Reader<'_>, id: &ObjectId) -> Vec<Finding> {
    let Some(body) = reader.fact(id).map(|fact| fact.body.clone()) else { return Vec::new() };
    let settings = reader.settings();
    let issues = match body {
        Body::Class(class) => controller(reader, "spec.controllerName", (&class.controller_name, &settings.controller_name)),
        Body::IngressClass(class) => controller(reader, "spec.controller", (&class.controller, &settings.ingress.controller_name)),
        Body::Gateway(gateway) => class(reader, "spec.gatewayClassName", (Kind::GatewayClass, &gateway.class)),
        Body::Set(set) => match &set.parent {
            Some(edge) => gateway(reader, Scope::Field("spec.parentRef".to_owned()), edge),
            None => Vec::new(),
        },
        Body::Route(route) => parents(reader, &id.namespace, &route),
        Body::Ingress(ingress) => of_ingress(reader, &ingress),
        Body::Slice(slice) if settings.alone => service(reader, &id.namespace, &slice),
        _ => Vec::new(),
    };
    let mut findings: Vec<_> =
        issues.into_iter().map(|(scope, issue)| Finding { object: id.clone(), scope, issue: issue.into() }).collect();
    findings.sort();
    findings.dedup();
    findings
}

/// Whether objects of this kind may be lost.
pub(super) fn may_be(kind: Kind, settings: &Settings) -> bool {
    match kind {
        Kind::GatewayClass | Kind::Gateway | Kind::ListenerSet | Kind::HttpRoute | Kind::GrpcRoute | Kind::IngressClass | Kind::Ingress => {
            true
        }
        Kind::EndpointSlice => settings.alone,
        Kind::ReferenceGrant | Kind::EdgeProfile | Kind::Namespace | Kind::Service | Kind::Secret | Kind::ConfigMap => false,
    }
}

type Found = Vec<(Scope, Lost)>;

/// A class of another controller.
fn controller(reader: &Reader<'_>, field: &str, (controller, ours): (&str, &str)) -> Found {
    if controller == ours || !(reader.settings().alone || nearest(controller, [ours]).is_some()) {
        return Vec::new();
    }
    let issue = Lost::OtherController { controller: controller.to_owned(), ours: ours.to_owned() };
    vec![(Scope::Field(field.to_owned()), issue)]
}

/// A class that does not exist.
fn class(reader: &mut Reader<'_>, field: &str, (kind, name): (Kind, &str)) -> Found {
    let id = ObjectId::new(kind, "", name);
    if reader.exists(&id) {
        return Vec::new();
    }
    let issue = missing(reader, &id);
    issue.into_iter().map(|issue| (Scope::Field(field.to_owned()), issue)).collect()
}

/// A Gateway that does not exist.
fn gateway(reader: &mut Reader<'_>, scope: Scope, edge: &EdgeId) -> Found {
    let id = edge.owner();
    if reader.exists(&id) {
        return Vec::new();
    }
    missing(reader, &id).into_iter().map(|issue| (scope.clone(), issue)).collect()
}

fn parents(reader: &mut Reader<'_>, namespace: &str, route: &RouteFacts) -> Found {
    if route.parents.is_empty() && reader.settings().alone {
        let (known, others) = listed(&reader.names(Kind::Gateway, None, COMPARED), "");
        return vec![(Scope::Field("spec.parentRefs".to_owned()), Lost::NoParent { known, others })];
    }
    route.parents.iter().flat_map(|declared| parent(reader, namespace, declared)).collect()
}

fn parent(reader: &mut Reader<'_>, namespace: &str, declared: &ParentRef) -> Found {
    let scope = Scope::Parent(declared.clone());
    let namespace = declared.namespace.as_deref().unwrap_or(namespace);
    let group = declared.group.as_deref().unwrap_or(super::facts::GATEWAY_GROUP);
    match declared.kind.as_deref().unwrap_or("Gateway") {
        "Gateway" if group == super::facts::GATEWAY_GROUP => gateway(reader, scope, &EdgeId::of_gateway(namespace, &declared.name)),
        "ListenerSet" if group == super::facts::GATEWAY_GROUP => {
            let id = ObjectId::new(Kind::ListenerSet, namespace, &declared.name);
            if reader.exists(&id) { Vec::new() } else { missing(reader, &id).into_iter().map(|issue| (scope.clone(), issue)).collect() }
        }
        kind if reader.settings().alone => {
            vec![(scope, Lost::UnsupportedParent { group: group.to_owned(), kind: kind.to_owned() })]
        }
        _ => Vec::new(),
    }
}

fn of_ingress(reader: &mut Reader<'_>, ingress: &IngressFacts) -> Found {
    let field = |name: &str| Scope::Field(name.to_owned());
    let mut found = match &ingress.class {
        Some(name) => class(reader, "spec.ingressClassName", (Kind::IngressClass, name)),
        None if reader.settings().alone && !reader.ingress_classes().iter().any(|class| class.facts.default) => {
            let (known, others) = listed(&reader.names(Kind::IngressClass, None, COMPARED), "");
            vec![(field("spec.ingressClassName"), Lost::NoClass { known, others })]
        }
        None => Vec::new(),
    };
    let marked = found.is_empty() && !ingress.foreign.is_empty();
    if marked && ingress.class.as_ref().is_none_or(|name| is_ours(reader, &ObjectId::new(Kind::IngressClass, "", name))) {
        found.push((field("metadata.annotations"), Lost::ForeignAnnotations { annotations: ingress.foreign.clone() }));
    }
    found
}

/// An EndpointSlice that is of no Service.
fn service(reader: &mut Reader<'_>, namespace: &str, slice: &SliceFacts) -> Found {
    let at = Scope::Field("metadata.labels".to_owned());
    match &slice.service {
        None => {
            let (known, others) = listed(&reader.names(Kind::Service, Some(namespace), COMPARED), "");
            vec![(at, Lost::NoServiceLabel { known, others })]
        }
        Some(name) => {
            let id = ObjectId::new(Kind::Service, namespace, name);
            if reader.exists(&id) { Vec::new() } else { missing(reader, &id).into_iter().map(|issue| (at.clone(), issue)).collect() }
        }
    }
}

/// That an object does not exist, with those that do; beside other controllers only when its name is nearly that of one of ours.
fn missing(reader: &mut Reader<'_>, id: &ObjectId) -> Option<Lost> {
    let alone = reader.settings().alone;
    let of_namespace = id.kind == Kind::Service || !(alone || id.namespace.is_empty());
    let most = if alone { COMPARED } else { COMPARED_BESIDE };
    let mut known = reader.names(id.kind, of_namespace.then_some(&id.namespace), most);
    if !alone {
        // Names of other tenants' objects are not told.
        let name = name_of(id);
        known.retain(|other| nearest(&name, [name_of(other).as_str()]).is_some() && is_ours(reader, other));
        if known.is_empty() {
            return None;
        }
    }
    let (known, others) = listed(&known, &id.name);
    Some(Lost::NoSuchObject { kind: id.kind, name: name_of(id), known, others })
}

/// Whether an object, or the class that it names, says that it is ours.
fn is_ours(reader: &mut Reader<'_>, id: &ObjectId) -> bool {
    let settings = reader.settings();
    match reader.fact(id).map(|fact| fact.body.clone()) {
        Some(Body::Class(class)) => class.controller_name == settings.controller_name,
        Some(Body::IngressClass(class)) => class.controller == settings.ingress.controller_name,
        Some(Body::Gateway(gateway)) => is_ours(reader, &ObjectId::new(Kind::GatewayClass, "", &gateway.class)),
        Some(Body::Set(set)) => set.parent.as_ref().is_some_and(|edge| is_ours(reader, &edge.owner())),
        _ => false,
    }
}

fn name_of(id: &ObjectId) -> String {
    if id.namespace.is_empty() { id.name.clone() } else { format!("{}/{}", id.namespace, id.name) }
}

/// Names for a message, those of this name and what looks like it first; and how many others there are.
fn listed(known: &[ObjectId], name: &str) -> (Vec<String>, usize) {
    let mut sorted: Vec<_> = known.iter().collect();
    sorted.sort_by_cached_key(|id| (id.name != name, nearest(name, [id.name.as_str()]).is_none(), name_of(id)));
    let others = sorted.len().saturating_sub(LISTED);
    (sorted.into_iter().take(LISTED).map(name_of).collect(), others)
}
