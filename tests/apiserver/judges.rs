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

/// What the API server would say if kubectl created them.
pub async fn theirs(client: &Client, objects: &[Value]) -> Vec<Verdict> {
    let judge = async |object: &Value| {
        let row = row(object);
        let created = write(client, "POST", &format!("{}?dryRun=All&fieldValidation=Strict", collection(row, object)), object).await;
        created.map(|created| body(&Object::from_value(row.kind, created).unwrap(), object))
    };
    stream::iter(objects).map(judge).buffered(8).collect().await
}

/// What our checks say of a change to a stored object.
pub fn our_change(old: &Value, new: &Value) -> Verdict {
    let (checks, mut old, mut new) = (row(old).checks, old.clone(), new.clone());
    assert_eq!(checks.body(&mut old), [""; 0]);
    let violations = checks.body(&mut new);
    let violations = if violations.is_empty() { checks.transition(&old, &new).into_iter().collect() } else { violations };
    let sent = new.clone();
    if violations.is_empty() { Ok(body(&Object::from_value(row(&new).kind, new).unwrap(), &sent)) } else { Err(violations.join("; ")) }
}

/// What the API server would say of it.
pub async fn their_change(client: &Client, old: &Value, new: &Value) -> Verdict {
    let (row, collection) = (row(old), collection(row(old), old));
    let path = format!("{collection}/{}", old["metadata"]["name"].as_str().unwrap());
    let stored = write(client, "POST", &collection, old).await.unwrap();
    let mut sent = new.clone();
    sent["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"].clone();
    let changed = write(client, "PUT", &format!("{path}?dryRun=All"), &sent).await;
    write(client, "DELETE", &path, &json!({})).await.unwrap();
    changed.map(|changed| body(&Object::from_value(row.kind, changed).unwrap(), new))
}

async fn write(client: &Client, method: &str, path: &str, object: &Value) -> Verdict {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    match client.request(request.body(object.to_string().into_bytes()).unwrap()).await {
        Ok(answer) => Ok(answer),
        Err(kube::Error::Api(status)) if [400, 413, 422].contains(&status.code) => Err(status.message),
        Err(error) => panic!("no verdict: {error}: {object}"),
    }
}

/// Where objects of a kind are.
fn collection(row: &Row, object: &Value) -> String {
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
        (Value::Object(fields), [last]) if sent.and_then(|sent| sent.get(last)).is_none_or(is_empty) => drop(fields.remove(*last)),
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

/// Fields that are free maps.
const MAPS: &[&str] = &["data", "binaryData", "selector"];

/// Removes empty fields, which a server leaves out of built-in kinds. The entries of free maps stay.
fn prune(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.iter_mut().filter(|(field, _)| !MAPS.contains(&field.as_str())).for_each(|(_, value)| prune(value));
            fields.retain(|_, value| !is_empty(value));
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
