//! Groups: what only the set of a Gateway's listeners can decide.

mod certificates;
mod conflict;
mod listener;
mod parameters;
mod sets;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

pub(super) use listener::{AttachPoint, Judged};
pub(super) use parameters::{JudgedClass, class, resolve, without_effect};
pub(super) use sets::JudgedSet;
use sets::SetDraft;

use super::EdgeData;
use super::facts::{Body, Fact, GatewayFacts, Meta};
use super::ownership::Reserved;
use super::reader::Reader;
use crate::model::{EdgeId, Kind, ListenerName, OWN_ANNOTATIONS, OWN_LABELS, ObjectId};
use crate::report::{Finding, Issue, RouteKind, Scope, Severity};
use crate::snapshot::Resource;

/// Listeners as routes see them, by the Gateway, ListenerSet or IngressClass that declares them.
pub(super) type Points = BTreeMap<ObjectId, Vec<AttachPoint>>;

/// A Gateway or IngressClass of ours with its listeners.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Group {
    pub(super) generation: i64,
    /// What routes see of the listeners, by who declares them, in the order of the spec.
    pub(super) points: Arc<Points>,
    /// Its ListenerSets.
    pub(super) sets: BTreeMap<ObjectId, JudgedSet>,
    /// Whether it can be served as a whole.
    pub(super) accepted: bool,
    /// Route kinds that each listener of its own admits, in the order of the spec.
    pub(super) kinds: Vec<(ListenerName, Vec<RouteKind>)>,
    pub(super) findings: Vec<Finding>,
    /// Hosts that the profile of an IngressClass gives to namespaces.
    pub(super) reserved: Arc<Reserved>,
    /// What else concerns its edge.
    pub(super) data: EdgeData,
    /// Listeners and certificates, for the snapshot.
    pub(super) resources: Vec<Arc<Resource>>,
}

/// A Gateway or IngressClass of ours, judged for itself: others may still hold its addresses.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Draft {
    pub(super) meta: Meta,
    data: EdgeData,
    issues: Vec<(Scope, Issue)>,
    /// Its own, then those of its ListenerSets.
    listeners: Vec<Judged>,
    sets: Vec<SetDraft>,
    /// Whether the Gateway as a whole can be served.
    accepted: bool,
}

/// An address and port.
pub(super) type Claim = (IpAddr, u16);

impl Draft {
    /// A draft from what was found about the object as a whole, and its listeners, which have different names. The ports of
    /// its edge follow from them.
    pub(super) fn new(meta: Meta, mut data: EdgeData, issues: Vec<(Scope, Issue)>, mut listeners: Vec<Judged>) -> Self {
        let accepted = !issues.iter().any(|(_, issue)| issue.severity() == Severity::Error);
        conflict::mark(&mut listeners);
        data.ports = listeners.iter().filter_map(Judged::bound_port).filter(|_| accepted).collect();
        Self { meta, data, issues, listeners, sets: Vec::new(), accepted }
    }

    /// Where it wants to listen.
    pub(super) fn claims(&self) -> BTreeSet<Claim> {
        let ports = &self.data.ports;
        self.data.addresses.iter().flat_map(|ip| ports.iter().map(|port| (*ip, *port))).collect()
    }
}

/// Judges a Gateway; none when it does not exist, cannot be read, or is not ours.
pub(super) fn draft(reader: &mut Reader<'_>, edge: &EdgeId) -> Option<Draft> {
    let Fact { meta, uid, body, findings } = reader.fact(&edge.owner())?.clone();
    let Body::Gateway(gateway) = body else { return None };
    let class = reader.class(&gateway.class)?;

    let mut issues: Vec<(Scope, Issue)> = findings.into_iter().map(|finding| (finding.scope, finding.issue)).collect();
    let (profile, of_parameters) = parameters::of_gateway(reader, edge, &gateway, &class);
    issues.extend(whole(reader, &gateway).into_iter().chain(of_parameters).map(|issue| (Scope::Object, issue)));
    let (addresses, of_addresses) = addresses(reader, &gateway);
    issues.extend(of_addresses.into_iter().map(|issue| (Scope::Object, issue)));
    let mut duplicates = Vec::new();
    let mut listeners = Vec::<Judged>::new();
    for facts in &gateway.listeners {
        if listeners.iter().any(|earlier| earlier.point.name == facts.name) {
            duplicates.push((Scope::Object, Issue::DuplicateListener { name: facts.name.clone() }));
        } else {
            listeners.push(listener::judge(reader, &edge.owner(), &gateway, facts));
        }
    }
    let sets = sets::judge(reader, edge, &gateway, &mut listeners);
    let (labels, annotations) = (gateway.labels.clone(), gateway.annotations.clone());
    let data = EdgeData { uid, addresses, labels, annotations, profile, ports: BTreeSet::new() };
    let mut draft = Draft::new(meta, data, issues, listeners);
    // The first of each name is served all the same.
    draft.issues.extend(duplicates);
    draft.sets = sets;
    Some(draft)
}

/// Settles what a Gateway or IngressClass of ours comes to among the others.
pub(super) fn settle(reader: &mut Reader<'_>, edge: &EdgeId) -> Option<Group> {
    let draft = reader.draft(edge)?;
    let Draft { meta, data, mut issues, mut listeners, sets, accepted } = Draft::clone(&draft);
    if reader.settings().shared_host {
        issues.extend(taken(reader, edge, &draft, &mut listeners));
    }
    let sets = sets::settle(sets, &listeners);
    let id = edge.owner();
    let tuning = parameters::tuning(&data.profile);
    let mut resources = Vec::new();
    let mut points = Points::new();
    let mut kinds = Vec::new();
    for mut listener in listeners {
        listener.point.serving &= accepted;
        if accepted {
            resources.extend(listener.resources(&tuning));
        }
        if listener.point.owner == id {
            issues.extend(listener.issues.into_iter().map(|issue| (Scope::Listener(listener.point.name.clone()), issue)));
            kinds.push((listener.point.name.clone(), listener.point.kinds.clone()));
        }
        points.entry(listener.point.owner.clone()).or_default().push(listener.point);
    }
    let mut findings: Vec<_> = issues.into_iter().map(|(scope, issue)| Finding { object: id.clone(), scope, issue }).collect();
    findings.sort();
    findings.dedup();
    let reserved = Reserved::read(data.profile.hosts.as_deref().filter(|_| id.kind == Kind::IngressClass).unwrap_or_default());
    Some(Group { generation: meta.generation, points: Arc::new(points), sets, accepted, kinds, findings, reserved, data, resources })
}

/// Where all edges are on one host, an address and port belong to the oldest Gateway that wants it. The others do not
/// serve there: two proxies on one socket would share its connections at random.
fn taken(reader: &mut Reader<'_>, edge: &EdgeId, draft: &Draft, listeners: &mut [Judged]) -> Vec<(Scope, Issue)> {
    let mut issues = Vec::new();
    let mut by_port: BTreeMap<u16, Vec<&mut Judged>> = BTreeMap::new();
    for listener in listeners {
        if let Some(port) = listener.bound_port() {
            by_port.entry(port).or_default().push(listener);
        }
    }
    for (address, port) in draft.claims() {
        let Some(holder) = reader.holder(&(address, port)).filter(|holder| holder != edge) else { continue };
        let issue = Issue::AddressTaken { address, port, holder };
        let serving = by_port.get_mut(&port).into_iter().flatten().filter(|listener| listener.bound_port().is_some());
        serving.for_each(|listener| listener.add(issue.clone()));
        issues.push((Scope::Object, issue));
    }
    issues
}

fn whole(reader: &Reader<'_>, gateway: &GatewayFacts) -> Vec<Issue> {
    // Nothing is made for an edge that is a process of this machine.
    let made = !reader.settings().shared_host;
    let ignored = [
        ("spec.infrastructure.labels", !made && !gateway.labels.is_empty()),
        ("spec.infrastructure.annotations", !made && !gateway.annotations.is_empty()),
    ];
    let own = [
        ("spec.infrastructure.labels", &gateway.labels, OWN_LABELS),
        ("spec.infrastructure.annotations", &gateway.annotations, OWN_ANNOTATIONS),
    ];
    let taken = own.into_iter().filter(|_| made).flat_map(|(field, of_user, own)| {
        let keys = own.iter().filter(|key| of_user.contains_key(**key));
        keys.map(move |key| Issue::OwnLabel { field, key: (*key).to_owned() })
    });
    let ignored = ignored.into_iter().filter(|(_, used)| *used).map(|(field, _)| field);
    let unsupported = gateway.unsupported.iter().copied().chain(ignored);
    unsupported.map(|field| Issue::UnsupportedField { field: field.to_owned() }).chain(taken).collect()
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
