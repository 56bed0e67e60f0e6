//! Service.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::Checks;
use super::forms::{ANY, LABEL, LABEL_VALUE, PORT_NAME, QUALIFIED_NAME, SERVICE_NAME, SUBDOMAIN, ip};
use super::shape::{Absent, Shape, Unique, Violation};
use super::shared::{PORT, items, text};

/// A port name, or a port number, of the pods.
fn is_target_port(value: &Value) -> Option<Violation> {
    match value {
        Value::String(name) if (PORT_NAME.holds)(name) => None,
        Value::String(_) => Violation::here(PORT_NAME.message),
        Value::Number(number) if number.as_i64().is_some_and(|number| (1..=65535).contains(&number)) => None,
        _ => Violation::here("must be a port number between 1 and 65535, or the name of a port"),
    }
}

/// With several ports each has a name.
fn several_ports_have_names(ports: &Value) -> Option<Violation> {
    let ports = ports.as_array()?;
    let unnamed = ports.iter().position(|port| text(port, "name").is_empty())?;
    if ports.len() > 1 {
        Violation::at(format!("[{unnamed}].name"), "Required value: several ports are told apart by their names")
    } else {
        None
    }
}

fn names_are_unique(ports: &Value) -> Option<Violation> {
    let mut seen = std::collections::BTreeSet::new();
    let names = ports.as_array()?.iter().enumerate().map(|(index, port)| (index, text(port, "name")));
    let (index, name) = names.filter(|(_, name)| !name.is_empty()).find(|(_, name)| !seen.insert(*name))?;
    Violation::at(format!("[{index}].name"), format!("Duplicate value: {name:?}"))
}

fn has_ports(spec: &Value) -> Option<Violation> {
    let is_headless = text(spec, "clusterIP") == "None" || text(spec, "type") == "ExternalName";
    if items(spec, "ports").is_empty() && !is_headless { Violation::at(".ports", "Required value") } else { None }
}

fn external_name(spec: &Value) -> Option<Violation> {
    let name = text(spec, "externalName");
    if text(spec, "type") != "ExternalName" {
        return None;
    }
    if name.is_empty() {
        return Violation::at(".externalName", "Required value");
    }
    let is_name = (SUBDOMAIN.holds)(name.strip_suffix('.').unwrap_or(name));
    if is_name { None } else { Violation::at(".externalName", format!("Invalid value: {name:?}: {}", SUBDOMAIN.message)) }
}

/// What only some types of Services may have.
fn fields_fit_the_type(spec: &Value) -> Option<Violation> {
    let kind = text(spec, "type");
    match (kind, text(spec, "clusterIP")) {
        (_, "") => {}
        ("ExternalName", _) => return Violation::at(".clusterIP", "Forbidden: may not be set for ExternalName services"),
        ("NodePort" | "LoadBalancer", "None") => {
            return Violation::at(".clusterIP", format!("Invalid value: may not be set to 'None' for {kind} services"));
        }
        _ => {}
    }
    if kind != "LoadBalancer"
        && let Some(field) = ["allocateLoadBalancerNodePorts", "loadBalancerClass"].into_iter().find(|field| spec.get(field).is_some())
    {
        return Violation::at(format!(".{field}"), "Forbidden: may only be used when `type` is 'LoadBalancer'");
    }
    let is_external = ["NodePort", "LoadBalancer"].contains(&kind) || kind == "ClusterIP" && !items(spec, "externalIPs").is_empty();
    let is_idle = !text(spec, "externalTrafficPolicy").is_empty() && !is_external;
    if is_idle {
        Violation::at(".externalTrafficPolicy", "Invalid value: may only be set for externally-accessible services")
    } else {
        None
    }
}

fn affinity_fits(spec: &Value) -> Option<Violation> {
    let config = spec.get("sessionAffinityConfig")?;
    match (text(spec, "sessionAffinity"), config.pointer("/clientIP/timeoutSeconds").and_then(Value::as_i64)) {
        ("None", _) => Violation::at(".sessionAffinityConfig", "Forbidden: must not be set when session affinity is None"),
        (_, Some(seconds)) if !(1..=86_400).contains(&seconds) => {
            Violation::at(".sessionAffinityConfig.clientIP.timeoutSeconds", "Invalid value: must be between 1 and 86400")
        }
        _ => None,
    }
}

fn is_cluster_address(value: &Value) -> Option<Violation> {
    match value.as_str() {
        Some("" | "None") => None,
        Some(text) if ip(text).is_some() => None,
        _ => Violation::here("must be empty, \"None\", or an IP address"),
    }
}

fn is_external_address(value: &Value) -> Option<Violation> {
    let is_usable = match value.as_str().and_then(ip) {
        Some(IpAddr::V4(ip)) => !(ip.is_unspecified() || ip.is_loopback() || ip.is_link_local() || ip.is_multicast()),
        Some(IpAddr::V6(ip)) => !(ip.is_unspecified() || ip.is_loopback() || ip.is_unicast_link_local() || ip.is_multicast()),
        None => false,
    };
    if is_usable { None } else { Violation::here("must be an IP address, and not unspecified, loopback, link-local or multicast") }
}

fn is_range(value: &Value) -> Option<Violation> {
    let is_range = value.as_str().and_then(|text| text.trim().split_once('/')).is_some_and(|(address, bits)| {
        let most = ip(address).map_or(0, |ip| if ip.is_ipv4() { 32 } else { 128 });
        ip(address).is_some() && bits.parse::<u8>().is_ok_and(|bits| bits <= most)
    });
    if is_range { None } else { Violation::here("must be a range of addresses such as 198.51.100.0/24") }
}

/// A target port is the port, unless it says otherwise.
fn default_target_ports(service: &mut Value) {
    let Some(spec) = service.get_mut("spec") else { return };
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        let number = port.get("port").cloned().unwrap_or(Value::Null);
        let Some(port) = port.as_object_mut() else { continue };
        let given = port.get("targetPort").unwrap_or(&Value::Null);
        if (given.is_null() || *given == json!(0) || *given == json!(""))
            && number.as_i64().is_some_and(|number| (1..=65535).contains(&number))
        {
            port.insert("targetPort".into(), number);
        }
    }
}

static PORTS: Shape = Shape::List {
    of: &Shape::Object {
        fields: &[
            ("name", &Shape::Text { min: 0, max: 63, form: &LABEL_OR_EMPTY }, Absent::Fine),
            ("port", &PORT, Absent::Refused),
            ("protocol", &Shape::Choice(&["TCP", "UDP", "SCTP"]), Absent::OrEmpty("\"TCP\"")),
            ("targetPort", &Shape::Any(&[is_target_port]), Absent::Fine),
            ("nodePort", &Shape::Integer { min: 0, max: 65535 }, Absent::Fine),
            ("appProtocol", &Shape::Text { min: 0, max: 316, form: &QUALIFIED_NAME }, Absent::Fine),
        ],
        rules: &[],
    },
    min: 0,
    max: usize::MAX,
    unique: Unique::By(&["port", "protocol"]),
    rules: &[several_ports_have_names, names_are_unique],
};

static LABEL_OR_EMPTY: super::Form = super::Form { holds: |text| text.is_empty() || (LABEL.holds)(text), message: LABEL.message };

const fn list(of: &'static Shape) -> Shape {
    Shape::List { of, min: 0, max: usize::MAX, unique: Unique::No, rules: &[] }
}

static SPEC: Shape = Shape::Object {
    fields: &[
        ("type", &Shape::Choice(&["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]), Absent::OrEmpty("\"ClusterIP\"")),
        ("ports", &PORTS, Absent::Fine),
        (
            "selector",
            &Shape::Map { of: &Shape::Text { min: 0, max: 63, form: &LABEL_VALUE }, max: usize::MAX, keys: &QUALIFIED_NAME },
            Absent::Fine,
        ),
        ("externalName", &Shape::Text { min: 0, max: 253, form: &ANY }, Absent::Fine),
        ("sessionAffinity", &Shape::Choice(&["ClientIP", "None"]), Absent::OrEmpty("\"None\"")),
        ("clusterIP", &Shape::Any(&[is_cluster_address]), Absent::Fine),
        ("externalIPs", &list(&Shape::Any(&[is_external_address])), Absent::Fine),
        ("externalTrafficPolicy", &Shape::Choice(&["", "Cluster", "Local"]), Absent::Fine),
        ("internalTrafficPolicy", &Shape::Choice(&["Cluster", "Local"]), Absent::Fine),
        ("ipFamilies", &list(&Shape::Choice(&["IPv4", "IPv6"])), Absent::Fine),
        ("ipFamilyPolicy", &Shape::Choice(&["SingleStack", "PreferDualStack", "RequireDualStack"]), Absent::Fine),
        ("loadBalancerClass", &Shape::Text { min: 1, max: 316, form: &QUALIFIED_NAME }, Absent::Fine),
        ("loadBalancerSourceRanges", &list(&Shape::Any(&[is_range])), Absent::Fine),
        ("trafficDistribution", &Shape::Choice(&["PreferClose", "PreferSameZone", "PreferSameNode"]), Absent::Fine),
    ],
    rules: &[has_ports, external_name, fields_fit_the_type, affinity_fits],
};

/// Service.
pub static SERVICE: Checks = Checks {
    name: &SERVICE_NAME,
    prepare: default_target_ports,
    ..Checks::built_in(&Shape::Object { fields: &[("spec", &SPEC, Absent::Default("{}"))], rules: &[] })
};

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::SERVICE;

    #[test]
    fn ports_are_completed() {
        let mut service = json!({"spec": {"ports": [{"port": 80}]}});
        assert_eq!(SERVICE.body(&mut service), [""; 0]);
        let port = json!({"port": 80, "protocol": "TCP", "targetPort": 80});
        assert_eq!(service, json!({"spec": {"ports": [port], "type": "ClusterIP", "sessionAffinity": "None"}}));
    }

    #[test]
    fn ports_are_checked() {
        let check = |spec| SERVICE.body(&mut json!({ "spec": spec }));
        assert_eq!(check(json!({})), ["spec.ports: Required value"]);
        assert_eq!(check(json!({"clusterIP": "None"})), [""; 0]);
        assert_eq!(check(json!({"type": "ExternalName"})), ["spec.externalName: Required value"]);
        assert_eq!(
            check(json!({"ports": [{"port": 80, "targetPort": "http"}, {"port": 81}]})),
            ["spec.ports[0].name: Required value: several ports are told apart by their names"]
        );
        for port in [json!({"port": 0}), json!({"port": 80, "targetPort": "a--b"}), json!({"port": 80, "targetPort": 70_000}), json!({})] {
            assert_eq!(check(json!({"ports": [port]})).len(), 1, "{port}");
        }
        assert_eq!(check(json!({"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}]})).len(), 1);
        assert_eq!(check(json!({"ports": [{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]})).len(), 1);
    }
}
