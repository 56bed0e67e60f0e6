//! Groups: what only the set of a Gateway's listeners can decide.

mod certificates;
mod conflict;
mod listener;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

pub(super) use listener::{AttachPoint, Judged};

use super::facts::{Body, ClassFacts, Fact, GatewayFacts, Meta};
use super::reader::Reader;
use crate::model::{EdgeId, Kind, ListenerName, ObjectId};
use crate::report::{Finding, Issue, RouteKind, Scope, Severity};
use crate::snapshot::Resource;

/// A Gateway or IngressClass of ours with its listeners.
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

/// A Gateway or IngressClass of ours, judged for itself: others may still hold its addresses.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Draft {
    pub(super) meta: Meta,
    addresses: Vec<IpAddr>,
    issues: Vec<(Scope, Issue)>,
    listeners: Vec<Judged>,
    /// Whether the Gateway as a whole can be served.
    accepted: bool,
}

/// An address and port.
pub(super) type Claim = (IpAddr, u16);

impl Draft {
    /// A draft from what was found about the object as a whole, and its listeners, which have different names.
    pub(super) fn new(meta: Meta, addresses: Vec<IpAddr>, issues: Vec<(Scope, Issue)>, mut listeners: Vec<Judged>) -> Self {
        let accepted = !issues.iter().any(|(_, issue)| issue.severity() == Severity::Error);
        conflict::mark(&mut listeners);
        Self { meta, addresses, issues, listeners, accepted }
    }

    /// Where it wants to listen.
    pub(super) fn claims(&self) -> BTreeSet<Claim> {
        let ports: BTreeSet<_> = self.listeners.iter().filter_map(Judged::bound_port).filter(|_| self.accepted).collect();
        self.addresses.iter().flat_map(|ip| ports.iter().map(|port| (*ip, *port))).collect()
    }
}

/// Judges a Gateway; none when it does not exist, cannot be read, or is not ours.
pub(super) fn draft(reader: &mut Reader<'_>, edge: &EdgeId) -> Option<Draft> {
    let id = edge.owner();
    let Fact { meta, body, findings } = reader.fact(&id)?.clone();
    let Body::Gateway(gateway) = body else { return None };
    let class = class(reader, &gateway.class).filter(|class| class.controller_name == reader.settings().controller_name)?;

    let mut issues: Vec<(Scope, Issue)> = findings.into_iter().map(|finding| (finding.scope, finding.issue)).collect();
    issues.extend(whole(&gateway, &class).into_iter().map(|issue| (Scope::Object, issue)));
    let (addresses, of_addresses) = addresses(reader, &gateway);
    issues.extend(of_addresses.into_iter().map(|issue| (Scope::Object, issue)));
    let mut duplicates = Vec::new();
    let mut listeners = Vec::<Judged>::new();
    for facts in &gateway.listeners {
        if listeners.iter().any(|earlier| earlier.point.name == facts.name) {
            duplicates.push((Scope::Object, Issue::DuplicateListener { name: facts.name.clone() }));
        } else {
            listeners.push(listener::judge(reader, edge, &gateway, facts));
        }
    }
    let mut draft = Draft::new(meta, addresses, issues, listeners);
    // The first of each name is served all the same.
    draft.issues.extend(duplicates);
    Some(draft)
}

/// Settles what a Gateway or IngressClass of ours comes to among the others.
pub(super) fn settle(reader: &mut Reader<'_>, edge: &EdgeId) -> Option<Group> {
    let draft = reader.draft(edge)?;
    let Draft { meta, addresses, mut issues, mut listeners, accepted } = Draft::clone(&draft);
    if reader.settings().shared_host {
        issues.extend(taken(reader, edge, &draft, &mut listeners));
    }
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
    let id = edge.owner();
    let mut findings: Vec<_> = issues.into_iter().map(|(scope, issue)| Finding { object: id.clone(), scope, issue }).collect();
    findings.sort();
    findings.dedup();
    Some(Group { generation: meta.generation, points: Arc::new(points), kinds, findings, addresses, resources })
}

/// Where all edges are on one host, an address and port belong to the oldest Gateway that wants it. The others do not
/// serve there: two proxies on one socket would share its connections at random.
fn taken(reader: &mut Reader<'_>, edge: &EdgeId, draft: &Draft, listeners: &mut [Judged]) -> Vec<(Scope, Issue)> {
    let mut issues = Vec::new();
    for (address, port) in draft.claims() {
        let Some(holder) = reader.holder(&(address, port)).filter(|holder| holder != edge) else { continue };
        let issue = Issue::AddressTaken { address, port, holder };
        listeners.iter_mut().filter(|listener| listener.bound_port() == Some(port)).for_each(|listener| listener.add(issue.clone()));
        issues.push((Scope::Object, issue));
    }
    issues
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
