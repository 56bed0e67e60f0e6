//! What a change makes dirty, and what becomes of it when it is computed anew.

use std::sync::Arc;

use super::super::budget::Good;
use super::super::groups::{self, Draft, Group};
use super::super::ingress::{self, Application};
use super::super::reader::{Read, Reader};
use super::super::routes::{self, RouteOutcome};
use super::super::{backend, certificate, lost};
use super::{Graph, Node};
use crate::model::{EdgeId, Hostname, Kind, ObjectId};

impl Graph {
    /// An object changed: what is computed for it is dirty.
    pub(super) fn touch_object(&mut self, id: &ObjectId) {
        self.dirty.insert(Node::Text(id.clone()));
        if lost::may_be(id.kind, &self.settings) {
            self.dirty.insert(Node::Lost(id.clone()));
        }
        match id.kind {
            Kind::GatewayClass => self.dirty.insert(Node::Class(id.name.clone())),
            Kind::Gateway => self.dirty.insert(Node::Draft(EdgeId::of_gateway(&id.namespace, &id.name))),
            Kind::IngressClass => {
                self.dirty.insert(Node::Draft(EdgeId::of_class(&id.name)));
                self.dirty.insert(Node::Route(id.clone()))
            }
            Kind::Ingress => {
                self.dirty.insert(Node::Application(id.clone()));
                self.dirty.insert(Node::Route(id.clone()))
            }
            Kind::HttpRoute | Kind::GrpcRoute => self.dirty.insert(Node::Route(id.clone())),
            _ => false,
        };
    }

    /// Something that may have been read changed: who read it is dirty.
    pub(super) fn touch(&mut self, read: &Read) {
        self.dirty.extend(self.dependents.get(read).into_iter().flatten().cloned());
    }

    fn refresh_class(&mut self, name: &String) {
        let node = Node::Class(name.clone());
        let computed = self.compute(|reader| groups::class(reader, name).map(Arc::new));
        let (old, new) = self.remember(node.clone(), |graph| &mut graph.classes, name, computed);
        if old.as_ref() != Some(&new) {
            self.touch(&Read::Class(name.clone()));
        }
        let gone = self.world.get(&ObjectId::new(Kind::GatewayClass, "", name)).is_none();
        self.forget(gone, &node);
    }

    fn refresh_group(&mut self, edge: &EdgeId) {
        let node = Node::Group(edge.clone());
        let computed = self.compute(|reader| groups::settle(reader, edge));
        let (old, new) = self.remember(node.clone(), |graph| &mut graph.groups, edge, computed);
        let seen = |group: &Group| (group.points.clone(), group.data.addresses.clone(), group.reserved.clone());
        let (old, new) = (old.as_deref().and_then(Option::as_ref).map(seen), new.as_ref().as_ref().map(seen));
        if old != new {
            self.touch(&Read::Group(edge.clone()));
        }
        if old.map(|seen| seen.2) != new.map(|seen| seen.2) {
            let first = (edge.clone(), Hostname::Any);
            self.contested.extend(self.hosts.things(&first).take_while(|(of, _)| of == edge).cloned());
        }
        let gone = self.world.get(&edge.owner()).is_none();
        self.forget(gone, &node);
    }

    /// Computes a node anew. Who read it is dirty if that shows.
    pub(super) fn refresh(&mut self, node: Node) {
        match &node {
            Node::Text(_) => {
                self.changed.insert(node);
            }
            Node::Certificate(id) => {
                let computed = self.compute(|reader| certificate::resolve(reader, id));
                let (old, new) = self.remember(node.clone(), |graph| &mut graph.certificates, id, computed);
                if old.as_ref() != Some(&new) {
                    self.touch(&Read::Certificate(id.clone()));
                }
            }
            Node::Backend(id) => {
                let computed = self.compute(|reader| backend::resolve(reader, id));
                let (old, new) = self.remember(node.clone(), |graph| &mut graph.backends, id, computed);
                if old.is_none_or(|old| old.state != new.state) {
                    self.touch(&Read::Backend(id.clone()));
                }
            }
            Node::Class(name) => self.refresh_class(name),
            Node::Draft(edge) => {
                let computed = self.compute(|reader| draft(reader, edge).map(Arc::new));
                let (old, new) = self.remember(node.clone(), |graph| &mut graph.drafts, edge, computed);
                self.claim(edge, old.as_deref().and_then(Option::as_deref), new.as_deref());
                let gone = self.world.get(&edge.owner()).is_none();
                if gone || old.is_none() {
                    self.dirty.insert(Node::Group(edge.clone()));
                } else if old.as_ref() != Some(&new) {
                    self.touch(&Read::Draft(edge.clone()));
                }
                self.forget(gone, &node);
            }
            Node::Application(id) => {
                let computed = self.compute(|reader| ingress::apply(reader, id));
                let (old, new) = self.remember(node.clone(), |graph| &mut graph.applications, id, computed);
                self.own(id, old.as_deref().and_then(Option::as_ref), new.as_ref().as_ref());
                let gone = self.world.get(id).is_none();
                self.forget(gone, &node);
            }
            Node::Group(edge) => self.refresh_group(edge),
            Node::Route(id) => {
                let computed = self.compute(|reader| translate(reader, id));
                let (old, new) = self.remember(node.clone(), |graph| &mut graph.routes, id, computed);
                self.ask(id, old.as_deref().and_then(Option::as_ref), new.as_ref().as_ref());
                let gone = self.world.get(id).is_none();
                self.forget(gone, &node);
            }
            Node::Lost(id) => {
                let computed = self.compute(|reader| lost::findings(reader, id));
                self.remember(node.clone(), |graph| &mut graph.lost, id, computed);
                let gone = self.world.get(id).is_none();
                self.forget(gone, &node);
            }
        }
    }

    /// Takes back what a route asked its namespace's budgets for before, and notes what it asks for now.
    fn ask(&mut self, id: &ObjectId, old: Option<&RouteOutcome>, new: Option<&RouteOutcome>) {
        for good in [Good::Expressions, Good::Costly, Good::Entries] {
            let [old, new] = [old, new].map(|outcome| outcome.and_then(|outcome| outcome.demand.of(good, id)));
            self.budgets.replace(good, (id, old, new));
        }
    }

    /// Takes back what an Ingress wanted before, and notes what it wants now.
    fn own(&mut self, id: &ObjectId, old: Option<&Application>, new: Option<&Application>) {
        let [hosts_before, hosts] = [old, new].map(|of| of.map(|of| of.hosts(id)).unwrap_or_default());
        self.contested.extend(hosts_before.symmetric_difference(&hosts).map(|(host, _)| host.clone()));
        for (edge, host) in self.hosts.replace(&hosts_before, &hosts, |id| id.namespace.clone()) {
            self.touch(&Read::Host(edge, host));
        }
        let [wishes_before, wishes] = [old, new].map(|of| of.map(|of| of.wishes(id)).unwrap_or_default());
        for (edge, wish) in self.wishes.replace(&wishes_before, &wishes, Clone::clone) {
            self.touch(&Read::Wish(edge, wish));
        }
        let [before, asked] = [old, new].map(|of| of.map(|of| of.demand(id)));
        self.budgets.replace(Good::Hosts, (id, before, asked));
    }

    /// Takes back what a Gateway wanted before, and notes what it wants now.
    fn claim(&mut self, edge: &EdgeId, old: Option<&Draft>, new: Option<&Draft>) {
        let entries = |draft: &Draft| draft.claims().into_iter().map(|claim| (claim, (draft.meta.age.clone(), edge.clone()))).collect();
        let [old, new] = [old, new].map(|draft| draft.map(entries).unwrap_or_default());
        for claim in self.claims.replace(&old, &new, Clone::clone) {
            self.touch(&Read::Claim(claim));
        }
    }
}

fn draft(reader: &mut Reader<'_>, edge: &EdgeId) -> Option<Draft> {
    match edge.kind() {
        Kind::IngressClass => ingress::draft(reader, edge),
        _ => groups::draft(reader, edge),
    }
}

fn translate(reader: &mut Reader<'_>, id: &ObjectId) -> Option<RouteOutcome> {
    match id.kind {
        Kind::Ingress => ingress::translate(reader, id),
        Kind::IngressClass => ingress::fallback(reader, id),
        _ => routes::translate(reader, id),
    }
}
