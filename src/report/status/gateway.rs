//! Status of a Gateway and its listeners.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{Acknowledgement, Address, Observed, present, programmed};
use crate::model::{EdgeId, ListenerName};
use crate::report::condition::{Condition, ConditionType, Stamp, derive, merge, turns};
use crate::report::{Finding, Issue, ListenerReport, ObjectReport, Scope};
use crate::snapshot::Key;

const OURS: &[&str] = &["Accepted", "Programmed", "ResolvedRefs", "Conflicted"];

pub(super) struct Rendering<'a> {
    pub(super) report: &'a ObjectReport,
    pub(super) listeners: &'a [ListenerReport],
    pub(super) addresses: &'a [IpAddr],
    pub(super) previous: Option<&'a Value>,
    pub(super) observed: &'a Observed<'a>,
    pub(super) stamp: Stamp<'a>,
}

impl Rendering<'_> {
    pub(super) fn status(&self) -> Value {
        let addresses: Vec<_> = self.present().iter().map(address).collect();
        let listeners: Vec<_> = self.listeners.iter().map(|listener| self.listener(listener)).collect();
        let written = self.previous.and_then(|status| status.get("conditions"));
        let mut status = json!({
            "conditions": merge(written, &[self.accepted(), self.programmed()], OURS, &self.stamp),
            "listeners": listeners,
        });
        if let (false, Some(fields)) = (addresses.is_empty(), status.as_object_mut()) {
            fields.insert("addresses".into(), addresses.into());
        }
        status
    }

    /// Addresses that clients can use.
    fn present(&self) -> Vec<Address> {
        present(self.observed.provisioned, self.addresses)
    }

    /// What is wrong with what was made for the edge on a cluster, if anything.
    fn unmade(&self) -> Option<Condition> {
        let provisioned = self.observed.provisioned?;
        let refused = |reason, message: String| Some(Condition::new("Programmed", false, reason, message));
        if let Some(problem) = &provisioned.problem {
            return refused("NoResources", problem.clone());
        }
        if let Some(wanted) = self.addresses.iter().find(|ip| !provisioned.addresses.contains(&Address::Ip(**ip))) {
            return refused("AddressNotUsable", format!("the Service does not have the requested address {wanted}"));
        }
        if provisioned.addresses.is_empty() {
            return refused("AddressNotAssigned", "the Service has no address yet".to_owned());
        }
        None
    }

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

    fn accepted(&self) -> Condition {
        let valid = self.listeners.iter().filter(|listener| self.valid(&listener.name)).count();
        let healthy = match valid {
            0 => Condition::new("Accepted", false, "ListenersNotValid", "no listener is valid"),
            _ if valid < self.listeners.len() => Condition::new("Accepted", true, "ListenersNotValid", "some listeners are not valid"),
            _ => Condition::new("Accepted", true, "Accepted", ""),
        };
        derive(self.object(), ConditionType::Accepted, healthy)
    }

    fn acknowledgement(&self) -> Option<&Acknowledgement> {
        let edge = EdgeId { namespace: self.report.id.namespace.clone(), name: self.report.id.name.clone() };
        self.observed.edges.get(&edge)
    }

    fn refused(&self, listener: &ListenerName) -> Option<String> {
        let key = Key::Listener(listener.clone());
        self.acknowledgement()?.refused.iter().find(|(refused, _)| *refused == key).map(|(_, reason)| reason.clone())
    }

    fn programmed(&self) -> Condition {
        let accepted = self.accepted();
        if !accepted.status {
            return Condition::new("Programmed", false, "Invalid", accepted.message);
        }
        if let Some(unmade) = self.unmade() {
            return unmade;
        }
        let serving = self.listeners.iter().filter(|listener| self.serves(&listener.name));
        let refusals: Option<Vec<_>> = serving.map(|listener| self.refused(&listener.name)).collect();
        let healthy = self.acknowledged("Programmed", refusals.map(|reasons| reasons.join("; ")), self.previous);
        derive(self.object(), ConditionType::Programmed, healthy)
    }

    fn acknowledged(&self, name: &'static str, refused: Option<String>, previous: Option<&Value>) -> Condition {
        let acknowledged = self.acknowledgement().is_some_and(|acknowledgement| acknowledgement.programmed);
        programmed(name, refused, acknowledged, (previous.and_then(|written| written.get("conditions")), self.stamp.generation))
    }

    fn listener(&self, listener: &ListenerReport) -> Value {
        let written = self.previous.and_then(|status| status["listeners"].as_array());
        let written = written.and_then(|all| all.iter().find(|old| old["name"] == listener.name.0));
        let kinds: Vec<_> = listener.supported_kinds.iter().map(|kind| json!({"group": kind.group, "kind": kind.kind})).collect();
        let findings = || self.findings(&listener.name);
        let conflicted = derive(findings(), ConditionType::Conflicted, Condition::new("Conflicted", false, "NoConflicts", ""));
        let accepted = match conflicted.status {
            true => Condition { name: "Accepted", status: false, ..conflicted.clone() },
            false => derive(findings(), ConditionType::Accepted, Condition::new("Accepted", true, "Accepted", "")),
        };
        let resolved = derive(findings(), ConditionType::ResolvedRefs, Condition::new("ResolvedRefs", true, "ResolvedRefs", ""));
        let programmed = match accepted.status && self.accepted().status {
            true => derive(findings(), ConditionType::Programmed, self.acknowledged("Programmed", self.refused(&listener.name), written)),
            false if !accepted.status => Condition::new("Programmed", false, "Invalid", accepted.message.clone()),
            false => Condition::new("Programmed", false, "Invalid", "the Gateway is not accepted"),
        };
        let wanted = [accepted, conflicted, resolved, programmed];
        json!({
            "name": listener.name,
            "supportedKinds": kinds,
            "attachedRoutes": listener.attached_routes,
            "conditions": merge(written.and_then(|old| old.get("conditions")), &wanted, OURS, &self.stamp),
        })
    }
}

fn address(address: &Address) -> Value {
    match address {
        Address::Ip(ip) => json!({"type": "IPAddress", "value": ip.to_string()}),
        Address::Hostname(name) => json!({"type": "Hostname", "value": name}),
    }
}
