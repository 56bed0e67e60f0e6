//! EndpointSlice.
//!
//! Three differences to an API server: loopback addresses are accepted, since manifests in a directory describe processes
//! on this machine. Ports that no process can have are refused, and so are IPv4 addresses that not everybody reads alike
//! (zeros in front, the IPv6 form): an API server lets both pass.

use std::net::IpAddr;

use serde_json::Value;

use super::Checks;
use super::forms::{ANY, Form, LABEL, LABEL_VALUE, PRECISE_HOSTNAME, QUALIFIED_NAME, SUBDOMAIN, ip};
use super::shape::{Absent, Shape, Unique, Violation};
use super::shared::{PORT, items, text};

fn address_fits(kind: &str, address: &str) -> Result<(), &'static str> {
    match (kind, ip(address)) {
        ("FQDN", _) if is_qualified(address) => Ok(()),
        ("FQDN", _) => Err("must be a lower-case DNS name of at least two labels"),
        ("IPv4", Some(IpAddr::V4(ip))) if ip.is_unspecified() || ip.is_link_local() || ip.is_multicast() => Err(SPECIAL),
        ("IPv6", Some(IpAddr::V6(ip))) if ip.is_unspecified() || ip.is_unicast_link_local() || ip.is_multicast() => Err(SPECIAL),
        ("IPv6", Some(IpAddr::V6(ip))) if ip.to_ipv4_mapped().is_some() => Err("must not be an IPv4 address in IPv6 form"),
        ("IPv6", Some(IpAddr::V6(ip))) if ip.to_string() != address => Err("must be in canonical form: lower-case and as short as can be"),
        ("IPv4", Some(IpAddr::V4(_))) | ("IPv6", Some(IpAddr::V6(_))) => Ok(()),
        ("IPv4", _) => Err("must be an IPv4 address"),
        _ => Err("must be an IPv6 address"),
    }
}

fn is_qualified(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.contains('.') && (PRECISE_HOSTNAME.holds)(name)
}

const SPECIAL: &str = "may not be unspecified, link-local or multicast";

fn addresses_fit(slice: &Value) -> Option<Violation> {
    let kind = text(slice, "addressType");
    for (index, endpoint) in items(slice, "endpoints").iter().enumerate() {
        for (place, address) in items(endpoint, "addresses").iter().filter_map(Value::as_str).enumerate() {
            if let Err(message) = address_fits(kind, address) {
                return Violation::at(format!(".endpoints[{index}].addresses[{place}]"), format!("Invalid value: {address:?}: {message}"));
            }
        }
    }
    None
}

static LABEL_OR_EMPTY: Form = Form { holds: |text| text.is_empty() || (LABEL.holds)(text), message: LABEL.message };
static ADDRESS: Shape = Shape::Text { min: 1, max: 253, form: &ANY };
static CONDITIONS: Shape = Shape::Object {
    fields: &[
        ("ready", &Shape::Boolean, Absent::Fine),
        ("serving", &Shape::Boolean, Absent::Fine),
        ("terminating", &Shape::Boolean, Absent::Fine),
    ],
    rules: &[],
};
static ZONE: Shape =
    Shape::Object { fields: &[("name", &Shape::Text { min: 1, max: 63, form: &LABEL_VALUE }, Absent::Refused)], rules: &[] };
static HINTS: Shape = Shape::Object {
    fields: &[("forZones", &Shape::List { of: &ZONE, min: 0, max: 8, unique: Unique::By(&["name"]), rules: &[] }, Absent::Fine)],
    rules: &[],
};
static ENDPOINT: Shape = Shape::Object {
    fields: &[
        ("addresses", &Shape::List { of: &ADDRESS, min: 1, max: 100, unique: Unique::No, rules: &[] }, Absent::Refused),
        ("conditions", &CONDITIONS, Absent::Fine),
        ("hostname", &Shape::Text { min: 1, max: 63, form: &LABEL }, Absent::Fine),
        ("nodeName", &Shape::Text { min: 1, max: 253, form: &SUBDOMAIN }, Absent::Fine),
        ("hints", &HINTS, Absent::Fine),
    ],
    rules: &[],
};
static ENDPOINT_PORT: Shape = Shape::Object {
    fields: &[
        ("name", &Shape::Text { min: 0, max: 63, form: &LABEL_OR_EMPTY }, Absent::Default("\"\"")),
        ("protocol", &Shape::Choice(&["TCP", "UDP", "SCTP"]), Absent::Default("\"TCP\"")),
        ("port", &PORT, Absent::Fine),
        ("appProtocol", &Shape::Text { min: 0, max: 316, form: &QUALIFIED_NAME }, Absent::Fine),
    ],
    rules: &[],
};

/// EndpointSlice.
pub static ENDPOINT_SLICE: Checks = Checks {
    transition: |old, new| {
        let changed = text(old, "addressType") != text(new, "addressType");
        changed.then(|| "addressType: Invalid value: field is immutable; give the slice another name".to_owned())
    },
    ..Checks::built_in(&Shape::Object {
        fields: &[
            ("addressType", &Shape::Choice(&["IPv4", "IPv6", "FQDN"]), Absent::Refused),
            ("endpoints", &Shape::List { of: &ENDPOINT, min: 0, max: 1000, unique: Unique::No, rules: &[] }, Absent::Default("[]")),
            ("ports", &Shape::List { of: &ENDPOINT_PORT, min: 0, max: 20_000, unique: Unique::By(&["name"]), rules: &[] }, Absent::Fine),
        ],
        rules: &[addresses_fit],
    })
};

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::ENDPOINT_SLICE;

    #[test]
    fn addresses_fit_their_type() {
        let check = |kind: &str, address: &str| {
            ENDPOINT_SLICE.body(&mut json!({"addressType": kind, "endpoints": [{"addresses": [address]}], "ports": [{"port": 80}]})).len()
        };
        for (kind, address) in [("IPv4", "127.0.0.1"), ("IPv4", "10.0.0.1"), ("IPv6", "::1"), ("FQDN", "a.b")] {
            assert_eq!(check(kind, address), 0, "{address}");
        }
        for (kind, address) in
            [("IPv4", "::1"), ("IPv4", "0.0.0.0"), ("IPv4", "a.b"), ("IPv6", "fe80::1"), ("IPv4", "01.2.3.4"), ("X", "::1")]
        {
            assert_eq!(check(kind, address), 1, "{address}");
        }
    }
}
