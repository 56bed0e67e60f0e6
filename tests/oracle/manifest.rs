//! A world as the manifests that a user writes.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};

use super::world::{BackendRef, Condition, Edit, Listener, Match, PathChange, PathKind, Redirect, Rewrite, Route, Rule, Service, World};

/// Namespace of the Gateway.
pub const NAMESPACE: &str = "oracle";
pub const GATEWAY: &str = "edge";
const API: &str = "gateway.networking.k8s.io/v1";

/// Where a world meets the machine.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Port numbers of the listeners.
    pub ports: &'a [u16],
    /// Port of every test backend; backend n has [`backend_ip`] n.
    pub backend_port: u16,
}

/// The address of a test backend.
pub fn backend_ip(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 1, 0, (number + 1) as u8)
}

/// The class and the Gateway with these listeners.
pub fn gateway(listeners: Vec<Value>) -> [Value; 2] {
    [
        json!({"apiVersion": API, "kind": "GatewayClass", "metadata": {"name": "kakehi"},
               "spec": {"controllerName": "kakehi.dev/gateway-controller"}}),
        json!({"apiVersion": API, "kind": "Gateway", "metadata": {"name": GATEWAY, "namespace": NAMESPACE},
               "spec": {"gatewayClassName": "kakehi", "listeners": listeners}}),
    ]
}

/// All objects: class, Gateway, Services with their EndpointSlices, routes.
pub fn objects(world: &World, place: Place) -> Vec<Value> {
    let mut objects = gateway(world.listeners.iter().map(|it| listener(it, place)).collect()).to_vec();
    let mut used = BTreeSet::new();
    for route in &world.routes {
        for backend in route.rules.iter().flat_map(|rule| &rule.backends) {
            match backend.service {
                Service::Live(number) => used.insert((route.namespace.clone(), Some(number))),
                Service::Idle => used.insert((route.namespace.clone(), None)),
                Service::Missing => false,
            };
        }
    }
    objects.extend(services(used, place));
    objects.extend(world.routes.iter().map(|it| route(it, place)));
    objects
}

/// Services by namespace and number of their test backend, with an EndpointSlice when there is such a backend.
pub fn services(used: BTreeSet<(String, Option<usize>)>, place: Place) -> Vec<Value> {
    let mut objects = Vec::new();
    for (namespace, number) in used {
        let name = service_name(number.map_or(Service::Idle, Service::Live));
        objects.push(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
            "spec": {"ports": [{"name": "http", "port": 80, "targetPort": place.backend_port}]}}));
        if let Some(number) = number {
            objects.push(json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {"name": format!("{name}-1"), "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
                "addressType": "IPv4", "ports": [{"name": "http", "port": place.backend_port}],
                "endpoints": [{"addresses": [backend_ip(number).to_string()], "conditions": {"ready": true}}]}));
        }
    }
    objects
}

/// The objects as one text of several documents, YAML by turns with JSON.
pub fn text(objects: &[Value]) -> String {
    let mut text = String::new();
    for (number, object) in objects.iter().enumerate() {
        text.push_str("---\n");
        if number % 4 == 3 {
            text.push_str(&object.to_string());
            text.push('\n');
        } else {
            yaml(object, 0, &mut text);
        }
    }
    text
}

fn yaml(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    let entries: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, field)| (format!("{indent}{name}:"), field)).collect(),
        Value::Array(items) => items.iter().map(|item| (format!("{indent}-"), item)).collect(),
        _ => return,
    };
    for (head, value) in entries {
        text.push_str(&head);
        let nested = value.as_object().is_some_and(|fields| !fields.is_empty()) || value.as_array().is_some_and(|items| !items.is_empty());
        if nested {
            text.push('\n');
            yaml(value, depth + 1, text);
        } else {
            text.push_str(&format!(" {value}\n"));
        }
    }
}

/// The name of a Service.
pub fn service_name(service: Service) -> String {
    match service {
        Service::Live(number) => format!("b{number}"),
        Service::Idle => "idle".to_owned(),
        Service::Missing => "nowhere".to_owned(),
    }
}

/// Drops fields that are null or empty lists: what a user would not write.
pub fn tidy(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(_, field)| !field.is_null() && *field != json!([]));
            Value::Object(kept.map(|(name, field)| (name, tidy(field))).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(tidy).collect()),
        other => other,
    }
}

fn listener(listener: &Listener, place: Place) -> Value {
    tidy(json!({"name": listener.name, "port": place.ports[listener.port], "protocol": "HTTP", "hostname": listener.hostname,
        "allowedRoutes": {"namespaces": {"from": "All"}}}))
}

/// A route.
pub fn route(route: &Route, place: Place) -> Value {
    let parent = |parent: &super::world::Parent| {
        let namespace = if route.namespace == NAMESPACE { None } else { Some(NAMESPACE) };
        json!({"name": GATEWAY, "namespace": namespace, "sectionName": parent.section, "port": parent.port.map(|port| place.ports[port])})
    };
    tidy(json!({
        "apiVersion": API,
        "kind": "HTTPRoute",
        "metadata": {"name": route.name, "namespace": route.namespace, "creationTimestamp": timestamp(route.created)},
        "spec": {
            "parentRefs": route.parents.iter().map(parent).collect::<Vec<_>>(),
            "hostnames": route.hostnames,
            "rules": route.rules.iter().map(rule).collect::<Vec<_>>(),
        },
    }))
}

/// RFC 3339 for a day around the base that the generator uses: 2023-11-14T22:13:20Z.
fn timestamp(seconds: u64) -> String {
    let past = seconds - 1_700_000_000;
    assert!(past < 40, "the generator stays within one minute");
    format!("2023-11-14T22:13:{:02}Z", 20 + past)
}

fn rule(rule: &Rule) -> Value {
    let mut filters = Vec::new();
    if let Some(headers) = &rule.request_headers {
        filters.push(json!({"type": "RequestHeaderModifier", "requestHeaderModifier": edit(headers)}));
    }
    if let Some(headers) = &rule.response_headers {
        filters.push(json!({"type": "ResponseHeaderModifier", "responseHeaderModifier": edit(headers)}));
    }
    if let Some(rewrite) = &rule.rewrite {
        filters.push(json!({"type": "URLRewrite", "urlRewrite": url_rewrite(rewrite)}));
    }
    if let Some(redirect) = &rule.redirect {
        filters.push(json!({"type": "RequestRedirect", "requestRedirect": request_redirect(redirect)}));
    }
    let matches: Vec<_> = rule.matches.iter().map(matched).collect();
    json!({"matches": matches, "filters": filters, "backendRefs": rule.backends.iter().map(backend).collect::<Vec<_>>()})
}

fn matched(matched: &Match) -> Value {
    let path = matched.path.as_ref().map(|(kind, value)| {
        let kind = match kind {
            PathKind::Exact => "Exact",
            PathKind::Prefix => "PathPrefix",
            PathKind::Regex => "RegularExpression",
        };
        json!({"type": kind, "value": value})
    });
    let conditions = |conditions: &[Condition]| conditions.iter().map(condition).collect::<Vec<_>>();
    json!({"path": path, "method": matched.method, "headers": conditions(&matched.headers), "queryParams": conditions(&matched.query)})
}

fn condition(condition: &Condition) -> Value {
    let kind = if condition.regex { Some("RegularExpression") } else { None };
    json!({"type": kind, "name": condition.name, "value": condition.value})
}

fn edit(edit: &Edit) -> Value {
    let pairs = |pairs: &[(String, String)]| pairs.iter().map(|(name, value)| json!({"name": name, "value": value})).collect::<Vec<_>>();
    json!({"set": pairs(&edit.set), "add": pairs(&edit.add), "remove": edit.remove})
}

fn path_change(change: &PathChange) -> Value {
    match change {
        PathChange::Full(path) => json!({"type": "ReplaceFullPath", "replaceFullPath": path}),
        PathChange::Prefix(path) => json!({"type": "ReplacePrefixMatch", "replacePrefixMatch": path}),
    }
}

fn url_rewrite(rewrite: &Rewrite) -> Value {
    json!({"hostname": rewrite.hostname, "path": rewrite.path.as_ref().map(path_change)})
}

fn request_redirect(redirect: &Redirect) -> Value {
    json!({"scheme": redirect.scheme, "hostname": redirect.hostname, "port": redirect.port, "statusCode": redirect.status,
        "path": redirect.path.as_ref().map(path_change)})
}

fn backend(backend: &BackendRef) -> Value {
    let filters: Vec<_> = backend
        .request_headers
        .iter()
        .map(|headers| json!({"type": "RequestHeaderModifier", "requestHeaderModifier": edit(headers)}))
        .collect();
    json!({"name": service_name(backend.service), "port": 80, "weight": backend.weight, "filters": filters})
}
