//! Status of an Ingress: where it can be reached. There are no conditions.

use serde_json::{Value, json};

use super::{Acknowledgement, Address};
use crate::snapshot::Key;

/// The addresses once the data plane serves it, and from then on. `served` is none when nothing of it is to be served, and holds
/// none while the data plane has said nothing.
///
/// What another controller has written before stays until then: its address may still serve.
pub(super) fn status(addresses: &[Address], previous: Option<&Value>, served: Option<Option<&Acknowledgement>>) -> Option<Value> {
    let entries: Vec<_> = addresses.iter().map(entry).collect();
    let written = shown(previous);
    // A data plane that catches up with other changes does not take back what was shown.
    let latched = entries.iter().any(|entry| written.contains(entry));
    let refused = |said: &Acknowledgement| said.refused.iter().any(|(key, _)| matches!(key, Key::Route(_)));
    match served.filter(|said| !said.is_some_and(refused)) {
        Some(Some(said)) if !entries.is_empty() && (said.programmed || latched) => Some(json!({"loadBalancer": {"ingress": entries}})),
        Some(_) if !written.is_empty() => previous.cloned(),
        // Served no more, or not yet.
        _ if previous.is_some() => Some(json!({"loadBalancer": {}})),
        _ => None,
    }
}

/// The addresses that a status shows, as they are written.
fn shown(status: Option<&Value>) -> &[Value] {
    let list = status.and_then(|status| status.pointer("/loadBalancer/ingress")?.as_array());
    list.map(Vec::as_slice).unwrap_or_default()
}

/// The status of an Ingress that has left, when all that it shows is among these addresses, or was written before.
pub fn left(previous: Option<&Value>, ours: &[Address], written: Option<&Value>) -> Option<Value> {
    let of_edges: Vec<_> = ours.iter().map(entry).collect();
    let before = shown(written);
    let shown = shown(previous);
    let ours = |entry: &Value| of_edges.contains(entry) || before.contains(entry);
    (!shown.is_empty() && shown.iter().all(ours)).then(|| json!({"loadBalancer": {}}))
}

fn entry(address: &Address) -> Value {
    match address {
        Address::Ip(ip) => json!({"ip": ip.to_string()}),
        Address::Hostname(name) => json!({"hostname": name}),
    }
}
