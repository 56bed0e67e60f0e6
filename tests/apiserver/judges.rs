//! An object before both judges: what an API server says of it, and what our defaults and checks say.

use std::fs;

use futures::{StreamExt, stream};
use http::Request;
use kakehi::api::Object;
use kakehi::model::Kind;
use kakehi::store::Severity;
use kakehi::store::directory::{Directory, Settings};
use kakehi::store::kinds::{Lookup, Origin, Row, Scope, lookup};
use kube::Client;
use serde_json::{Value, json};

/// The object with its defaults, or what is wrong with it.
pub type Verdict = Result<Value, String>;

/// The kind of a manifest.
pub fn row(object: &Value) -> &'static Row {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    match lookup(text("apiVersion"), text("kind")) {
        Lookup::Row(row) => row,
        _ => panic!("no kind of ours: {object}"),
    }
}

/// What our store says of each, all in one directory.
pub fn ours(objects: &[Value]) -> Vec<Verdict> {
    let directory = tempfile::tempdir().unwrap();
    let file = |index: usize| format!("{index:06}.json");
    for (index, object) in objects.iter().enumerate() {
        fs::write(directory.path().join(file(index)), object.to_string()).unwrap();
    }
    let loaded = Directory::open(Settings::new(directory.path())).unwrap().load().unwrap();
    let judge = |(index, object): (usize, &Value)| {
        let reasons = loaded.refusals.iter().filter(|refusal| refusal.severity == Severity::Error && refusal.file == file(index));
        let reasons: Vec<_> = reasons.map(|refusal| refusal.message.as_str()).collect();
        if !reasons.is_empty() {
            return Err(reasons.join("; "));
        }
        let name = object["metadata"]["name"].as_str();
        let is_it = |found: &&Object| found.kind() == row(object).kind && found.metadata().name.as_deref() == name;
        let found = loaded.objects.iter().find(is_it).unwrap_or_else(|| panic!("neither accepted nor refused: {object}"));
        Ok(body(found, object))
    };
    objects.iter().enumerate().map(judge).collect()
}

/// What the API server would say if they were created.
pub async fn theirs(client: &Client, objects: &[Value]) -> Vec<Verdict> {
    let judge = async |object: &Value| {
        let row = row(object);
        let created = dry_run(client, "POST", &collection(row, object), object).await;
        created.map(|created| body(&Object::from_value(row.kind, created).unwrap(), object))
    };
    stream::iter(objects).map(judge).buffered(8).collect().await
}

/// What the server says to a write that it does not keep.
pub async fn dry_run(client: &Client, method: &str, path: &str, object: &Value) -> Verdict {
    let request = Request::builder().method(method).uri(format!("{path}?dryRun=All")).header("content-type", "application/json");
    match client.request(request.body(object.to_string().into_bytes()).unwrap()).await {
        Ok(answer) => Ok(answer),
        Err(kube::Error::Api(status)) if [400, 413, 422].contains(&status.code) => Err(status.message),
        Err(error) => panic!("no verdict: {error}: {object}"),
    }
}

/// Where objects of a kind are.
pub fn collection(row: &Row, object: &Value) -> String {
    let version = object["apiVersion"].as_str().unwrap();
    let root = if row.group.is_empty() { "api" } else { "apis" };
    match (row.scope, object["metadata"]["namespace"].as_str()) {
        (Scope::Namespaced, Some(namespace)) => format!("/{root}/{version}/namespaces/{namespace}/{}", row.plural),
        _ => format!("/{root}/{version}/{}", row.plural),
    }
}

/// The body of an object as our types read it, without what only an API server can know and the manifest left open.
fn body(object: &Object, sent: &Value) -> Value {
    let mut value = object.to_value().unwrap();
    let fields = value.as_object_mut().unwrap();
    fields.retain(|field, _| !["apiVersion", "kind", "metadata", "status"].contains(&field.as_str()));
    for (_, path) in DROPPED.iter().filter(|(kind, _)| *kind == object.kind()) {
        remove(&mut value, None, &path.split('/').skip(1).collect::<Vec<_>>());
    }
    if row(sent).origin == Origin::BuiltIn {
        for (_, path) in ALLOCATED.iter().filter(|(kind, _)| *kind == object.kind()) {
            remove(&mut value, Some(sent), &path.split('/').skip(1).collect::<Vec<_>>());
        }
        prune(&mut value);
    }
    value
}

/// What an API server decides by what else there is; `*` is every item.
const ALLOCATED: &[(Kind, &str)] = &[
    (Kind::Namespace, "/spec/finalizers"),
    (Kind::Service, "/spec/allocateLoadBalancerNodePorts"),
    (Kind::Service, "/spec/clusterIP"),
    (Kind::Service, "/spec/clusterIPs"),
    (Kind::Service, "/spec/externalTrafficPolicy"),
    (Kind::Service, "/spec/healthCheckNodePort"),
    (Kind::Service, "/spec/internalTrafficPolicy"),
    (Kind::Service, "/spec/ipFamilies"),
    (Kind::Service, "/spec/ipFamilyPolicy"),
    (Kind::Service, "/spec/ports/*/nodePort"),
    (Kind::Service, "/spec/sessionAffinityConfig"),
];

/// What an API server drops and our types know: fields that an earlier release had.
const DROPPED: &[(Kind, &str)] =
    &[(Kind::EndpointSlice, "/endpoints/*/deprecatedTopology"), (Kind::HttpRoute, "/spec/rules/*/sessionPersistence/idleTimeout")];

/// Removes the value at a path, unless `sent` has one there.
fn remove(value: &mut Value, sent: Option<&Value>, path: &[&str]) {
    match (value, path) {
        (Value::Array(items), ["*", rest @ ..]) => {
            items.iter_mut().enumerate().for_each(|(index, item)| remove(item, sent.and_then(|sent| sent.get(index)), rest));
        }
        (Value::Object(fields), [last]) => {
            if sent.and_then(|sent| sent.get(last)).is_none_or(is_empty) {
                fields.remove(*last);
            }
        }
        (Value::Object(fields), [first, rest @ ..]) => {
            if let Some(value) = fields.get_mut(*first) {
                remove(value, sent.and_then(|sent| sent.get(first)), rest);
            }
        }
        _ => {}
    }
}

/// Built-in kinds cannot tell these from an absent field.
fn is_empty(value: &Value) -> bool {
    *value == json!(null) || *value == json!("") || *value == json!(0) || *value == json!([]) || *value == json!({})
}

/// Removes empty fields, which a server leaves out of built-in kinds. The entries of free maps stay.
fn prune(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(prune);
            let is_map = fields.values().all(Value::is_string);
            fields.retain(|_, value| !is_empty(value) || is_map && value.is_string());
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        _ => {}
    }
}

/// Puts an object where and under which name it can be judged.
pub fn place(mut object: Value, name: &str, namespace: &str) -> Value {
    object["metadata"] = match row(&object).scope {
        Scope::Cluster => json!({"name": name}),
        Scope::Namespaced => json!({"name": name, "namespace": namespace}),
    };
    object
}
