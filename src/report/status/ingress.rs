//! Status of an Ingress: where it can be reached. There are no conditions.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::Acknowledgement;

/// The addresses once the data plane serves it, and from then on.
pub(super) fn status(addresses: &[IpAddr], previous: Option<&Value>, said: Option<&Acknowledgement>) -> Option<Value> {
    let entries: Vec<_> = addresses.iter().map(|ip| json!({"ip": ip.to_string()})).collect();
    let list = previous.and_then(|status| status.pointer("/loadBalancer/ingress")?.as_array());
    let written = list.is_some_and(|list| !list.is_empty());
    match said {
        Some(said) if !addresses.is_empty() && said.refused.is_empty() && (said.programmed || written) => {
            Some(json!({"loadBalancer": {"ingress": entries}}))
        }
        // Served no more, or not yet.
        _ if previous.is_some() => Some(json!({"loadBalancer": {}})),
        _ => None,
    }
}
