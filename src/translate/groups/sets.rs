//! ListenerSets of a Gateway: which it admits, and what their listeners come to.

use std::collections::BTreeMap;

use super::listener::{self, Judged};
use crate::model::{EdgeId, ListenerName, ObjectId};
use crate::report::{Finding, Issue, RouteKind, Scope};
use crate::translate::facts::{Body, Fact, GatewayFacts};
use crate::translate::reader::Reader;

/// A ListenerSet of a Gateway of ours, judged for itself.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SetDraft {
    id: ObjectId,
    issues: Vec<(Scope, Issue)>,
}

/// What a ListenerSet of a Gateway of ours comes to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct JudgedSet {
    pub(crate) findings: Vec<Finding>,
    /// Route kinds that each listener admits, in the order of the spec; none when the Gateway does not admit the set.
    pub(crate) kinds: Vec<(ListenerName, Vec<RouteKind>)>,
    /// Whether the Gateway counts it: it is admitted, and a listener of it is valid.
    pub(crate) attached: bool,
}

/// Judges the ListenerSets of a Gateway in order of precedence. The listeners of those that it admits are added to its own.
pub(super) fn judge(reader: &mut Reader<'_>, edge: &EdgeId, gateway: &GatewayFacts, listeners: &mut Vec<Judged>) -> Vec<SetDraft> {
    let mut sets = Vec::new();
    for (id, Fact { body, findings, .. }) in reader.sets(edge) {
        let Body::Set(facts) = body else { continue };
        let mut issues: Vec<_> = findings.into_iter().map(|finding| (finding.scope, finding.issue)).collect();
        let admitted = gateway.sets.as_ref().is_some_and(|namespaces| reader.admits(namespaces, &id.namespace, &edge.namespace));
        if admitted {
            let mut own = Vec::<Judged>::new();
            for facts in &facts.listeners {
                let judged = listener::judge(reader, &id, gateway, facts);
                match own.iter().any(|earlier| earlier.point.name == judged.point.name) {
                    true => issues.push((Scope::Object, Issue::DuplicateListener { name: facts.name.clone() })),
                    false => own.push(judged),
                }
            }
            listeners.extend(own);
        } else {
            issues.push((Scope::Object, Issue::SetNotAllowed { gateway: edge.clone() }));
        }
        sets.push(SetDraft { id, issues });
    }
    sets
}

/// Settles the sets among the Gateway's listeners, `listeners` being all of them.
pub(super) fn settle(sets: Vec<SetDraft>, listeners: &[Judged]) -> BTreeMap<ObjectId, JudgedSet> {
    let mut by_owner: BTreeMap<&ObjectId, Vec<&Judged>> = BTreeMap::new();
    for listener in listeners {
        by_owner.entry(&listener.point.owner).or_default().push(listener);
    }
    let settle = |set: SetDraft| {
        let own = by_owner.get(&set.id).map(Vec::as_slice).unwrap_or_default();
        (set.id.clone(), set.settle(own))
    };
    sets.into_iter().map(settle).collect()
}

impl SetDraft {
    /// Settles the set, whose own listeners these are.
    fn settle(self, own: &[&Judged]) -> JudgedSet {
        let Self { id, mut issues } = self;
        for listener in own {
            let scoped = |issue: &Issue| (Scope::Listener(listener.point.name.clone()), issue.clone());
            issues.extend(listener.issues.iter().map(scoped));
        }
        let kinds = own.iter().map(|listener| (listener.point.name.clone(), listener.point.kinds.clone())).collect();
        let attached = own.iter().any(|listener| listener.is_valid());
        let mut findings: Vec<_> = issues.into_iter().map(|(scope, issue)| Finding { object: id.clone(), scope, issue }).collect();
        findings.sort();
        findings.dedup();
        JudgedSet { findings, kinds, attached }
    }
}
