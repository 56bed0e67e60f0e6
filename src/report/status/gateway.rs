//! Status of a Gateway.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::listeners::{OURS, Rendering};
use super::{Address, Provisioned, present};
use crate::report::condition::{Condition, merge};

pub(super) fn status(of: &Rendering<'_>, requested: &[IpAddr], sets: usize) -> Value {
    let present = present(of.observed.provisioned, requested);
    let addresses: Vec<_> = present.iter().map(address).collect();
    let accepted = of.accepted();
    let unmade = of.observed.provisioned.and_then(|provisioned| unmade(provisioned, requested));
    let programmed = of.programmed(&accepted, unmade, &present);
    let listeners: Vec<_> = of.listeners.iter().map(|listener| of.listener(listener, accepted.status)).collect();
    let written = of.previous.and_then(|status| status.get("conditions"));
    let mut status = json!({
        "conditions": merge(written, &[accepted, programmed], OURS, &of.stamp),
        "listeners": listeners,
    });
    if let Some(fields) = status.as_object_mut() {
        if !addresses.is_empty() {
            fields.insert("addresses".into(), addresses.into());
        }
        // Only where there are any: older definitions of Gateway do not have the field.
        if sets > 0 {
            fields.insert("attachedListenerSets".into(), sets.into());
        }
    }
    status
}

/// What is wrong with what was made for the edge on a cluster, if anything.
fn unmade(provisioned: &Provisioned, requested: &[IpAddr]) -> Option<Condition> {
    let refused = |reason, message: String| Some(Condition::new("Programmed", false, reason, message));
    if let Some(problem) = &provisioned.problem {
        return refused("NoResources", problem.clone());
    }
    if let Some(wanted) = requested.iter().find(|ip| !provisioned.addresses.contains(&Address::Ip(**ip))) {
        return refused(
            "AddressNotUsable",
            format!(
                "the edge does not have the requested address {wanted}: neither its Service nor, with ports of nodes, a node of its pods"
            ),
        );
    }
    if provisioned.addresses.is_empty() {
        return refused(
            "AddressNotAssigned",
            "the edge has no address yet: neither its Service nor, with ports of nodes, a node with a ready pod".to_owned(),
        );
    }
    None
}

fn address(address: &Address) -> Value {
    match address {
        Address::Ip(ip) => json!({"type": "IPAddress", "value": ip.to_string()}),
        Address::Hostname(name) => json!({"type": "Hostname", "value": name}),
    }
}
