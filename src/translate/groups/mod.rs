//! Groups: what only the set of a Gateway's listeners can decide.

mod certificates;
mod conflict;
mod listener;

use std::net::IpAddr;
use std::sync::Arc;

pub(super) use listener::AttachPoint;

use self::listener::Judged;
use super::facts::{Body, ClassFacts, Fact, GatewayFacts};
use super::reader::Reader;
use crate::model::{EdgeId, Kind, ListenerName, ObjectId};
use crate::report::{Finding, Issue, RouteKind, Scope, Severity};
use crate::snapshot::Resource;

/// A Gateway of ours with its listeners.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Group {
    pub(super) generation: i64,
    /// What routes see of the listeners, in the order of the spec.
    pub(super) points: Arc<Vec<AttachPoint>>,
    /// Route kinds that each listener admits, in the order of the spec.
    pub(super) kinds: Vec<(ListenerName, Vec<RouteKind>)>,
    pub(super) findings: Vec<Finding>,
    /// Addresses that it is to be reached at.
    pub(super) addresses: Vec<IpAddr>,
    /// Listeners and certificates, for the snapshot.
    pub(super) resources: Vec<Arc<Resource>>,
}

/// Translates the listeners of a Gateway; none when it does not exist, cannot be read, or is not ours.
pub(super) fn translate(reader: &mut Reader<'_>, edge: &EdgeId) -> Option<Group> {
    let id = ObjectId::new(Kind::Gateway, &edge.namespace, &edge.name);
    let Fact { meta, body, findings } = reader.fact(&id)?.clone();
    let Body::Gateway(gateway) = body else { return None };
    let class = class(reader, &gateway.class).filter(|class| class.controller_name == reader.settings().controller_name)?;

    let mut issues: Vec<(Scope, Issue)> = findings.into_iter().map(|finding| (finding.scope, finding.issue)).collect();
    issues.extend(whole(&gateway, &class).into_iter().map(|issue| (Scope::Object, issue)));
    let (addresses, of_addresses) = addresses(reader, &gateway);
    issues.extend(of_addresses.into_iter().map(|issue| (Scope::Object, issue)));
    let accepted = !issues.iter().any(|(_, issue)| issue.severity() == Severity::Error);

    let mut listeners = Vec::<Judged>::new();
    for facts in &gateway.listeners {
        if listeners.iter().any(|earlier| earlier.point.name == facts.name) {
            issues.push((Scope::Object, Issue::DuplicateListener { name: facts.name.clone() }));
        } else {
            listeners.push(listener::judge(reader, edge, &gateway, facts));
        }
    }
    conflict::mark(&mut listeners);

    let mut resources = Vec::new();
    let mut points = Vec::new();
    let mut kinds = Vec::new();
    for mut listener in listeners {
        listener.point.serving &= accepted;
        if accepted {
            resources.extend(listener.resources());
        }
        issues.extend(listener.issues.into_iter().map(|issue| (Scope::Listener(listener.point.name.clone()), issue)));
        kinds.push((listener.point.name.clone(), listener.point.kinds.clone()));
        points.push(listener.point);
    }
    let mut findings: Vec<_> = issues.into_iter().map(|(scope, issue)| Finding { object: id.clone(), scope, issue }).collect();
    findings.sort();
    findings.dedup();
    Some(Group { generation: meta.generation, points: Arc::new(points), kinds, findings, addresses, resources })
}

fn class(reader: &mut Reader<'_>, name: &str) -> Option<Arc<ClassFacts>> {
    match &reader.fact(&ObjectId::new(Kind::GatewayClass, "", name))?.body {
        Body::Class(class) => Some(class.clone()),
        _ => None,
    }
}

/// Issues of a GatewayClass of ours. No kind of parameters is known yet.
pub(super) fn class_issues(class: &ClassFacts) -> Vec<Issue> {
    let parameters = class.parameters.iter();
    parameters.map(|of| Issue::InvalidParameters { group: of.group.clone(), kind: of.kind.clone(), name: of.name.clone() }).collect()
}

fn whole(gateway: &GatewayFacts, class: &ClassFacts) -> Vec<Issue> {
    let mut issues = Vec::new();
    if !class_issues(class).is_empty() {
        issues.push(Issue::ClassNotAccepted { class: gateway.class.clone() });
    }
    if let Some(of) = &gateway.parameters {
        issues.push(Issue::InvalidParameters { group: of.group.clone(), kind: of.kind.clone(), name: of.name.clone() });
    }
    issues.extend(gateway.unsupported.iter().map(|field| Issue::UnsupportedField { field: (*field).to_owned() }));
    issues
}

/// Requested addresses, or the default one where none, or a type without a value, is requested.
fn addresses(reader: &Reader<'_>, gateway: &GatewayFacts) -> (Vec<IpAddr>, Vec<Issue>) {
    let default = reader.settings().default_address;
    let mut addresses = Vec::new();
    let mut issues = Vec::new();
    for (kind, value) in &gateway.addresses {
        let value = value.as_deref().unwrap_or_default();
        match (kind.as_str(), value.parse()) {
            ("IPAddress", Ok(ip)) => addresses.push(ip),
            ("IPAddress", Err(_)) if value.is_empty() => addresses.extend(default),
            ("IPAddress", Err(_)) => issues.push(Issue::InvalidAddress { value: value.to_owned() }),
            (kind, _) => issues.push(Issue::UnsupportedAddress { kind: kind.to_owned() }),
        }
    }
    if gateway.addresses.is_empty() {
        addresses.extend(default);
    }
    addresses.dedup();
    (addresses, issues)
}
