//! Status of an Ingress: where it can be reached. There are no conditions.

use serde_json::{Value, json};

use super::{Acknowledgement, Address};

/// The addresses once the data plane serves it, and from then on. `said` is none when nothing of it is served.
pub(super) fn status(addresses: &[Address], previous: Option<&Value>, said: Option<&Acknowledgement>) -> Option<Value> {
    let entries: Vec<_> = addresses.iter().map(entry).collect();
    let list = previous.and_then(|status| status.pointer("/loadBalancer/ingress")?.as_array());
    let written = list.is_some_and(|list| !list.is_empty());
    match said {
        Some(said) if !entries.is_empty() && said.refused.is_empty() && (said.programmed || written) => {
            Some(json!({"loadBalancer": {"ingress": entries}}))
        }
        // Served no more, or not yet.
        _ if previous.is_some() => Some(json!({"loadBalancer": {}})),
        _ => None,
    }
}

fn entry(address: &Address) -> Value {
    match address {
        Address::Ip(ip) => json!({"ip": ip.to_string()}),
        Address::Hostname(name) => json!({"hostname": name}),
    }
}
