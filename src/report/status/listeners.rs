//! What the statuses of a Gateway and of a ListenerSet have in common: their listeners, and what follows from those.

use serde_json::{Value, json};

use super::{Acknowledgement, Address, Observed, count, programmed};
use crate::model::{EdgeId, Kind, ListenerName};
use crate::report::condition::{Condition, ConditionType, Stamp, derive, merge, turns};
use crate::report::{Finding, Issue, ListenerReport, ObjectReport, Scope};
use crate::snapshot::Key;

pub(super) const OURS: &[&str] = &["Accepted", "Programmed", "ResolvedRefs", "Conflicted"];

pub(super) struct Rendering<'a> {
    pub(super) report: &'a ObjectReport,
    pub(super) edge: &'a EdgeId,
    pub(super) listeners: &'a [ListenerReport],
    pub(super) previous: Option<&'a Value>,
    pub(super) observed: &'a Observed<'a>,
    pub(super) stamp: Stamp<'a>,
}

impl Rendering<'_> {
    fn object(&self) -> impl Iterator<Item = &Finding> {
        self.report.findings.iter().filter(|finding| finding.scope == Scope::Object)
    }

    fn findings(&self, listener: &ListenerName) -> impl Iterator<Item = &Finding> {
        self.report.findings.iter().filter(move |finding| matches!(&finding.scope, Scope::Listener(name) if name == listener))
    }

    /// Whether nothing but its routes and single references can be wrong with a listener.
    fn serves(&self, listener: &ListenerName) -> bool {
        !turns(self.findings(listener), &[ConditionType::Accepted, ConditionType::Conflicted, ConditionType::Programmed])
    }

    /// Whether a listener is right as it is written. An address that another Gateway holds is no mistake in it.
    fn valid(&self, listener: &ListenerName) -> bool {
        let written = self.findings(listener).filter(|finding| !matches!(finding.issue, Issue::AddressTaken { .. }));
        !turns(written, &[ConditionType::Accepted, ConditionType::Conflicted, ConditionType::Programmed])
    }

    /// Whether the object is accepted: nothing is wrong with it as a whole, and a listener is valid.
    pub(super) fn accepted(&self) -> Condition {
        let valid = self.listeners.iter().filter(|listener| self.valid(&listener.name)).count();
        let healthy = match valid {
            0 => Condition::new("Accepted", false, "ListenersNotValid", "no listener is valid"),
            _ if valid < self.listeners.len() => Condition::new("Accepted", true, "ListenersNotValid", "some listeners are not valid"),
            _ => Condition::new("Accepted", true, "Accepted", count(valid, "listener", ("is valid", "are valid"))),
        };
        derive(self.object(), ConditionType::Accepted, healthy)
    }

    fn acknowledgement(&self) -> Option<&Acknowledgement> {
        self.observed.edges.get(self.edge)
    }

    fn refused(&self, listener: &ListenerName) -> Option<String> {
        let key = Key::Listener(listener.clone());
        self.acknowledgement()?.refused.iter().find(|(refused, _)| *refused == key).map(|(_, reason)| reason.clone())
    }

    /// Whether the edge serves it. `unmade` is what is wrong with what was made for the edge.
    pub(super) fn programmed(&self, accepted: &Condition, unmade: Option<Condition>, addresses: &[Address]) -> Condition {
        if !accepted.status {
            return Condition::new("Programmed", false, "Invalid", accepted.message.clone());
        }
        if let Some(unmade) = unmade {
            return unmade;
        }
        let serving: Vec<_> = self.listeners.iter().filter(|listener| self.serves(&listener.name)).collect();
        let refusals: Vec<_> = serving.iter().filter_map(|listener| self.refused(&listener.name)).collect();
        let served = count(serving.len() - refusals.len(), "listener", ("serves", "serve"));
        let places: Vec<_> = addresses.iter().map(Address::to_string).collect();
        let served = if places.is_empty() { served } else { format!("{served} on {}", places.join(", ")) };
        let all = (!refusals.is_empty() && refusals.len() == serving.len()).then(|| refusals.join("; "));
        let healthy = self.acknowledged(served, all, self.previous);
        derive(self.object(), ConditionType::Programmed, healthy)
    }

    fn acknowledged(&self, served: String, refused: Option<String>, previous: Option<&Value>) -> Condition {
        let acknowledged = self.acknowledgement().is_some_and(|acknowledgement| acknowledgement.programmed);
        programmed(
            Condition::new("Programmed", true, "Programmed", served),
            refused,
            acknowledged,
            (previous.and_then(|written| written.get("conditions")), self.stamp.generation),
        )
    }

    /// The entry of one listener. `accepted` says whether the object as a whole is.
    pub(super) fn listener(&self, listener: &ListenerReport, accepted: bool) -> Value {
        let name = listener.name.declared();
        let written = self.previous.and_then(|status| status["listeners"].as_array());
        let written = written.and_then(|all| all.iter().find(|old| old["name"] == name));
        let kinds: Vec<_> = listener.supported_kinds.iter().map(|kind| json!({"group": kind.group, "kind": kind.kind})).collect();
        let findings = || self.findings(&listener.name);
        let conflicted = derive(
            findings(),
            ConditionType::Conflicted,
            Condition::new("Conflicted", false, "NoConflicts", "no other listener has its port and hostname"),
        );
        let own = match conflicted.status {
            true => Condition { name: "Accepted", status: false, ..conflicted.clone() },
            false => derive(findings(), ConditionType::Accepted, Condition::new("Accepted", true, "Accepted", "the listener is valid")),
        };
        let resolved =
            derive(findings(), ConditionType::ResolvedRefs, Condition::new("ResolvedRefs", true, "ResolvedRefs", "all references resolve"));
        let programmed = match own.status && accepted {
            true => derive(
                findings(),
                ConditionType::Programmed,
                self.acknowledged("the edge serves it".to_owned(), self.refused(&listener.name), written),
            ),
            // Of a Gateway's listener the specification prefers "Invalid"; the conformance suite expects this of a ListenerSet's.
            false if conflicted.status && self.report.id.kind == Kind::ListenerSet => Condition { name: "Programmed", ..own.clone() },
            false if !own.status => Condition::new("Programmed", false, "Invalid", own.message.clone()),
            false => Condition::new("Programmed", false, "Invalid", format!("the {} is not accepted", self.report.id.kind)),
        };
        let wanted = [own, conflicted, resolved, programmed];
        json!({
            "name": name,
            "supportedKinds": kinds,
            "attachedRoutes": listener.attached_routes,
            "conditions": merge(written.and_then(|old| old.get("conditions")), &wanted, OURS, &self.stamp),
        })
    }
}
