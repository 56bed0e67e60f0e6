//! Reports beside what their objects declare: which hosts a problem is about, and on which port.

use serde_json::{Map, Value, json};

use super::report_with;
use crate::model::{EdgeId, Kind};
use crate::report::{Finding, ObjectReport, Verdict};

/// A report for people, with what edges refuse of the object. An object with findings, which `object` gives as its manifest has it,
/// is also shown with the edges that it is for, the hostnames that it declares, and its listeners.
pub fn report(report: &ObjectReport, refused: &[Finding], object: impl FnOnce() -> Option<Value>) -> Value {
    let mut view = report_with(report, refused);
    let object = if report.findings.is_empty() && refused.is_empty() { None } else { object() };
    if let (Some(fields), Some(object)) = (view.as_object_mut(), object) {
        fields.extend(declared(report, &object));
    }
    view
}

fn declared(report: &ObjectReport, object: &Value) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut add = |name: &str, values: Vec<Value>| {
        if !values.is_empty() {
            fields.insert(name.to_owned(), Value::Array(values));
        }
    };
    let mut edges: Vec<_> = edges(report).iter().map(ToString::to_string).collect();
    edges.sort();
    edges.dedup();
    add("edges", edges.into_iter().map(Value::String).collect());
    add("hostnames", hostnames(report.id.kind, object));
    add("listeners", listeners(report, object));
    fields
}

fn edges(report: &ObjectReport) -> Vec<EdgeId> {
    match &report.verdict {
        Verdict::Route { parents, .. } => parents.iter().map(|parent| parent.edge.clone()).collect(),
        Verdict::Gateway { .. } => vec![EdgeId::of_gateway(&report.id.namespace, &report.id.name)],
        Verdict::ListenerSet { edge, .. } | Verdict::Ingress { edge, .. } => vec![edge.clone()],
        Verdict::Class { .. } | Verdict::None => Vec::new(),
    }
}

/// The hostnames of a route or an Ingress as it writes them, `*` for what is for every host.
fn hostnames(kind: Kind, object: &Value) -> Vec<Value> {
    let spec = &object["spec"];
    if let Some(hostnames) = spec["hostnames"].as_array() {
        return hostnames.clone();
    }
    let rules = spec["rules"].as_array().into_iter().flatten();
    let mut hosts: Vec<Value> = match kind {
        Kind::Ingress => rules.map(|rule| rule["host"].clone()).map(|host| if host.is_null() { json!("*") } else { host }).collect(),
        _ => Vec::new(),
    };
    if spec["defaultBackend"].is_object() {
        hosts.push(json!("*"));
    }
    hosts
}

/// The listeners of a Gateway or ListenerSet, by their names within the edge.
fn listeners(report: &ObjectReport, object: &Value) -> Vec<Value> {
    let (Verdict::Gateway { listeners, .. } | Verdict::ListenerSet { listeners, .. }) = &report.verdict else { return Vec::new() };
    let written = object.pointer("/spec/listeners").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let found = listeners.iter().filter_map(|listener| {
        let of = written.iter().find(|written| written["name"] == listener.name.declared())?;
        Some(json!({"name": listener.name, "port": of["port"], "protocol": of["protocol"], "hostname": of["hostname"].as_str().unwrap_or("*")}))
    });
    found.collect()
}
