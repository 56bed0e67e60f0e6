//! Rendering: outcomes become keyed resources of edges and reports of objects, touching only what differs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::facts::{Body, Fact};
use super::graph::{Graph, Node};
use super::routes::{Offer, Share};
use super::{Changes, Edge, EdgeChange, features};
use crate::model::{BackendId, Certificate, CertificateId, EdgeId, Kind, Listener, ListenerName, ObjectId, Protocol};
use crate::report::{Finding, ListenerReport, ObjectReport, RouteKind, Scope, Verdict};
use crate::snapshot::{Key, Resource, Snapshot};

/// All edges and reports as they were rendered last.
#[derive(Debug, Default)]
pub(super) struct Rendering {
    edges: BTreeMap<EdgeId, Rendered>,
    /// How many routes of each edge forward to a backend.
    backends: HashMap<BackendId, BTreeMap<EdgeId, usize>>,
    /// What each route brought last.
    shares: HashMap<ObjectId, Arc<BTreeMap<EdgeId, Share>>>,
    /// Findings of objects that are looked at through backends.
    notes: BTreeMap<ObjectId, BTreeMap<BackendId, Vec<Finding>>>,
    noted: HashMap<BackendId, BTreeSet<ObjectId>>,
    reports: BTreeMap<ObjectId, Arc<ObjectReport>>,
}

#[derive(Debug, Default)]
struct Rendered {
    edge: Edge,
    /// Keys of listeners and certificates.
    own: BTreeSet<Key>,
    /// ListenerSets of the Gateway.
    sets: BTreeSet<ObjectId>,
    attached: BTreeMap<ListenerName, usize>,
    /// Certificates that routes brought, with the number of routes for each name.
    offered: BTreeMap<CertificateId, Offered>,
}

#[derive(Debug)]
struct Offered {
    resource: Arc<Resource>,
    names: BTreeMap<String, usize>,
}

/// What one update has touched so far.
#[derive(Default)]
struct Touched {
    /// Edges, as they were before.
    edges: BTreeMap<EdgeId, Option<Edge>>,
    reports: BTreeSet<ObjectId>,
    /// Edges whose listeners may count other routes.
    counts: BTreeSet<EdgeId>,
}

impl Rendering {
    /// Every edge.
    pub(super) fn edges(&self) -> impl Iterator<Item = (&EdgeId, &Edge)> {
        self.edges.iter().map(|(id, rendered)| (id, &rendered.edge))
    }

    /// Every report.
    pub(super) fn reports(&self) -> &BTreeMap<ObjectId, Arc<ObjectReport>> {
        &self.reports
    }

    /// Whether nothing is rendered.
    pub(super) fn is_empty(&self) -> bool {
        let counts = self.backends.is_empty() && self.shares.is_empty() && self.notes.is_empty() && self.noted.is_empty();
        counts && self.edges.is_empty() && self.reports.is_empty()
    }

    /// Renders what changed in the graph.
    pub(super) fn update(&mut self, graph: &Graph, changed: BTreeSet<Node>) -> Changes {
        let mut touched = Touched::default();
        for node in changed {
            match node {
                Node::Text(id) | Node::Lost(id) => {
                    touched.reports.insert(id);
                }
                Node::Class(name) => {
                    touched.reports.insert(ObjectId::new(Kind::GatewayClass, "", name));
                }
                Node::Certificate(_) | Node::Draft(_) | Node::Application(_) => {}
                Node::Backend(id) => self.backend(graph, &id, &mut touched),
                Node::Group(edge) => self.group(graph, &edge, &mut touched),
                Node::Route(id) => self.route(graph, id, &mut touched),
            }
        }
        for edge in touched.counts {
            touched.reports.extend(self.edges.get(&edge).into_iter().flat_map(|rendered| &rendered.sets).cloned());
            touched.reports.insert(edge.owner());
        }
        let edges = self.edge_changes(graph, touched.edges);
        let reports = touched.reports.into_iter().filter_map(|id| self.report(graph, id)).collect();
        Changes { edges, reports, computed: graph.computed(), ..Changes::default() }
    }

    fn touch<'a>(&'a mut self, edge: &EdgeId, touched: &mut Touched) -> &'a mut Rendered {
        let before = self.edges.get(edge).map(|rendered| rendered.edge.clone());
        touched.edges.entry(edge.clone()).or_insert(before);
        self.edges.entry(edge.clone()).or_default()
    }

    fn backend(&mut self, graph: &Graph, id: &BackendId, touched: &mut Touched) {
        let outcome = graph.known_backend(id);
        let edges: Vec<_> = self.backends.get(id).into_iter().flatten().map(|(edge, _)| edge.clone()).collect();
        for edge in edges {
            let snapshot = &mut self.touch(&edge, touched).edge.snapshot;
            match outcome.and_then(|outcome| outcome.resource.clone()) {
                Some(resource) => snapshot.set(resource),
                None => snapshot.remove(&Key::Backend(id.clone())),
            };
        }
        for object in self.noted.remove(id).unwrap_or_default() {
            if let Some(notes) = self.notes.get_mut(&object) {
                notes.remove(id);
                if notes.is_empty() {
                    self.notes.remove(&object);
                }
            }
            touched.reports.insert(object);
        }
        for finding in outcome.iter().flat_map(|outcome| &outcome.findings) {
            let notes = self.notes.entry(finding.object.clone()).or_default();
            notes.entry(id.clone()).or_default().push(finding.clone());
            self.noted.entry(id.clone()).or_default().insert(finding.object.clone());
            touched.reports.insert(finding.object.clone());
        }
    }

    fn group(&mut self, graph: &Graph, edge: &EdgeId, touched: &mut Touched) {
        touched.reports.insert(edge.owner());
        let group = graph.group(edge);
        let rendered = self.touch(edge, touched);
        let sets = group.into_iter().flat_map(|group| group.sets.keys()).cloned().collect();
        touched.reports.extend(std::mem::replace(&mut rendered.sets, sets));
        touched.reports.extend(rendered.sets.iter().cloned());
        let resources = group.map(|group| group.resources.as_slice()).unwrap_or_default();
        let own: BTreeSet<_> = resources.iter().map(|resource| resource.key()).collect();
        for key in rendered.own.difference(&own) {
            rendered.edge.snapshot.remove(key);
        }
        for resource in resources {
            rendered.edge.snapshot.set(resource.clone());
        }
        rendered.own = own;
        rendered.list_certificates(resources);
        rendered.edge.data = group.map(|group| group.data.clone()).unwrap_or_default();
    }

    fn route(&mut self, graph: &Graph, id: ObjectId, touched: &mut Touched) {
        let new = graph.route(&id).map(|outcome| outcome.shares.clone()).unwrap_or_default();
        let old = if new.is_empty() { self.shares.remove(&id) } else { self.shares.insert(id.clone(), new.clone()) };
        let old = old.unwrap_or_default();
        let edges: BTreeSet<_> = old.keys().chain(new.keys()).cloned().collect();
        for edge in edges {
            let (before, after) = (old.get(&edge), new.get(&edge));
            if before != after {
                self.share(graph, (&id, &edge), (before, after), touched);
            }
        }
        touched.reports.insert(id);
    }

    fn share(
        &mut self,
        graph: &Graph,
        (id, edge): (&ObjectId, &EdgeId),
        (before, after): (Option<&Share>, Option<&Share>),
        touched: &mut Touched,
    ) {
        let rendered = self.touch(edge, touched);
        match after.and_then(|share| share.route.clone()) {
            Some(route) => rendered.edge.snapshot.set(route),
            None => rendered.edge.snapshot.remove(&Key::Route(id.clone())),
        };
        let listeners = |share: Option<&Share>| share.map(|share| share.attached.clone()).unwrap_or_default();
        if listeners(before) != listeners(after) {
            touched.counts.insert(edge.clone());
        }
        let offers = |share: Option<&Share>| share.map(|share| share.certificates.clone()).unwrap_or_default();
        if offers(before) != offers(after) {
            rendered.offer(&offers(before), offers(after));
            rendered.list_certificates(graph.group(edge).map(|group| group.resources.as_slice()).unwrap_or_default());
        }
        for listener in listeners(after) {
            *rendered.attached.entry(listener).or_default() += 1;
        }
        for listener in listeners(before) {
            release(&mut rendered.attached, &listener);
        }
        // Counted up before down, so that a backend that stays is never taken out in between.
        for backend in after.into_iter().flat_map(|share| &share.backends) {
            *self.backends.entry(backend.clone()).or_default().entry(edge.clone()).or_default() += 1;
            if let (Some(rendered), Some(outcome)) = (self.edges.get_mut(edge), graph.known_backend(backend)) {
                outcome.resource.iter().for_each(|resource| {
                    rendered.edge.snapshot.set(resource.clone());
                });
            }
        }
        for backend in before.into_iter().flat_map(|share| &share.backends) {
            let Some(edges) = self.backends.get_mut(backend) else { continue };
            if !release(edges, edge) {
                continue;
            }
            if edges.is_empty() {
                self.backends.remove(backend);
            }
            if let Some(rendered) = self.edges.get_mut(edge) {
                rendered.edge.snapshot.remove(&Key::Backend(backend.clone()));
            }
        }
    }

    fn edge_changes(&mut self, graph: &Graph, touched: BTreeMap<EdgeId, Option<Edge>>) -> BTreeMap<EdgeId, EdgeChange> {
        let mut changes = BTreeMap::new();
        for (id, before) in touched {
            if graph.group(&id).is_none() {
                let gone = self.edges.remove(&id);
                debug_assert!(gone.is_none_or(|gone| gone.attached.is_empty()), "routes let go of a Gateway that is not ours any more");
                if before.is_some() {
                    changes.insert(id, EdgeChange::Gone);
                }
                continue;
            }
            let Some(rendered) = self.edges.get(&id) else { continue };
            // By hash: comparing the resources would cost what the edge holds.
            let same = |before: &Edge| before.snapshot.hash() == rendered.edge.snapshot.hash() && before.data == rendered.edge.data;
            if !before.as_ref().is_some_and(same) {
                let delta = before.map(|edge| edge.snapshot).unwrap_or_else(Snapshot::default).diff(&rendered.edge.snapshot);
                changes.insert(id, EdgeChange::Set { delta, edge: Box::new(rendered.edge.clone()) });
            }
        }
        changes
    }

    /// The report of an object when it differs from the last one; inside it is none when there is none any more.
    fn report(&mut self, graph: &Graph, id: ObjectId) -> Option<(ObjectId, Option<Arc<ObjectReport>>)> {
        let new = found_lost(graph, &id, self.judge(graph, &id));
        if new == self.reports.get(&id).cloned() {
            return None;
        }
        match &new {
            Some(report) => self.reports.insert(id.clone(), report.clone()),
            None => self.reports.remove(&id),
        };
        Some((id, new))
    }

    fn judge(&self, graph: &Graph, id: &ObjectId) -> Option<Arc<ObjectReport>> {
        let fact = graph.world().get(id)?;
        let report = |findings, verdict| Arc::new(ObjectReport { id: id.clone(), generation: fact.meta.generation, findings, verdict });
        match &fact.body {
            Body::Class(class) if class.controller_name == graph.settings().controller_name => {
                let class = graph.class(&id.name)?;
                let own = class.issues.iter().cloned().map(|issue| Finding { object: id.clone(), scope: Scope::Object, issue });
                let findings = fact.findings.iter().cloned().chain(own).collect();
                Some(report(findings, Verdict::Class { features: features::SUPPORTED, experimental: features::EXPERIMENTAL }))
            }
            Body::Gateway(_) => {
                let edge = EdgeId { namespace: id.namespace.clone(), name: id.name.clone() };
                let group = graph.group(&edge)?;
                let verdict = Verdict::Gateway {
                    listeners: self.listeners(&edge, &group.kinds),
                    addresses: group.data.addresses.clone(),
                    sets: group.sets.values().filter(|set| set.attached).count(),
                };
                Some(report(group.findings.clone(), verdict))
            }
            Body::Set(set) => {
                let edge = set.parent.clone()?;
                let group = graph.group(&edge)?;
                let set = group.sets.get(id)?;
                let listeners = self.listeners(&edge, &set.kinds);
                Some(report(set.findings.clone(), Verdict::ListenerSet { edge, listeners, parent_accepted: group.accepted }))
            }
            Body::Route(_) | Body::Ingress(_) => graph.route(id).map(|outcome| outcome.report.clone()),
            Body::IngressClass(_) => {
                let of_edge = &graph.group(&EdgeId::of_class(&id.name))?.findings;
                let of_route = graph.route(id).into_iter().flat_map(|outcome| &outcome.report.findings);
                let findings: Vec<_> = of_edge.iter().chain(of_route).cloned().collect();
                (!findings.is_empty()).then(|| report(findings, Verdict::None))
            }
            _ => {
                let findings = self.notes_of(id, fact);
                (!findings.is_empty()).then(|| report(findings, Verdict::None))
            }
        }
    }

    fn listeners(&self, edge: &EdgeId, kinds: &[(ListenerName, Vec<RouteKind>)]) -> Vec<ListenerReport> {
        let attached = self.edges.get(edge).map(|rendered| &rendered.attached);
        let listener = |(name, kinds): &(ListenerName, Vec<RouteKind>)| ListenerReport {
            name: name.clone(),
            supported_kinds: kinds.clone(),
            attached_routes: attached.and_then(|attached| attached.get(name)).copied().unwrap_or_default(),
        };
        kinds.iter().map(listener).collect()
    }

    fn notes_of(&self, id: &ObjectId, fact: &Fact) -> Vec<Finding> {
        let foreign_class = matches!(fact.body, Body::Class(_));
        let of_backends = self.notes.get(id).into_iter().flat_map(BTreeMap::values).flatten();
        let mut findings: Vec<_> = fact.findings.iter().filter(|_| !foreign_class).chain(of_backends).cloned().collect();
        findings.sort();
        findings.dedup();
        findings
    }
}

impl Rendered {
    /// Takes what a route offered before, and adds what it offers now.
    fn offer(&mut self, before: &BTreeMap<CertificateId, Offer>, after: BTreeMap<CertificateId, Offer>) {
        let changed: BTreeSet<_> = before.keys().chain(after.keys()).cloned().collect();
        for (id, Offer { resource, names }) in after {
            let offered = self.offered.entry(id).or_insert_with(|| Offered { resource: resource.clone(), names: BTreeMap::new() });
            offered.resource = resource;
            for name in names {
                *offered.names.entry(name).or_default() += 1;
            }
        }
        for (id, Offer { names, .. }) in before {
            let Some(offered) = self.offered.get_mut(id) else { continue };
            for name in names {
                release(&mut offered.names, name);
            }
            if offered.names.is_empty() {
                self.offered.remove(id);
            }
        }
        for id in changed {
            match self.offered.get(&id).map(|Offered { resource, names }| (&**resource, names)) {
                Some((Resource::Certificate(certificate), names)) => {
                    let names = names.keys().cloned().collect();
                    self.edge.snapshot.set(Arc::new(Resource::Certificate(Certificate { names, ..certificate.clone() })))
                }
                _ => self.edge.snapshot.remove(&Key::Certificate(id)),
            };
        }
    }

    /// Lists the certificates that routes brought on the HTTPS listeners among `own`, which have none of their own where
    /// routes can bring any.
    fn list_certificates(&mut self, own: &[Arc<Resource>]) {
        for resource in own {
            if let Resource::Listener(listener) = &**resource
                && listener.protocol == Protocol::Https
                && listener.certificates.is_empty()
            {
                let certificates = self.offered.keys().cloned().collect();
                self.edge.snapshot.set(Arc::new(Resource::Listener(Listener { certificates, ..listener.clone() })));
            }
        }
    }
}

/// The report of an object with why it is not served, if it is not.
fn found_lost(graph: &Graph, id: &ObjectId, report: Option<Arc<ObjectReport>>) -> Option<Arc<ObjectReport>> {
    let lost = graph.lost(id);
    let Some(fact) = graph.world().get(id).filter(|_| !lost.is_empty()) else { return report };
    let generation = fact.meta.generation;
    let unserved = || ObjectReport { id: id.clone(), generation, findings: fact.findings.clone(), verdict: Verdict::None };
    let mut report = report.as_deref().cloned().unwrap_or_else(unserved);
    report.findings.extend_from_slice(lost);
    report.findings.sort();
    report.findings.dedup();
    Some(Arc::new(report))
}

/// Counts one down; whether that was the last.
pub(super) fn release<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) -> bool {
    let Some(count) = counts.get_mut(key) else { return false };
    *count -= 1;
    let last = *count == 0;
    if last {
        counts.remove(key);
    }
    last
}
