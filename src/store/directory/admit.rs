//! What an API server would do with one manifest before it stores it: defaults, checks, metadata of its own.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::api::Object;
use crate::model::{Kind, ObjectId};
use crate::store::kinds::{Lookup, Row, Scope, lookup};

/// An object as it would be stored, without what depends on history and neighbours.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Its identity.
    pub id: ObjectId,
    /// The object; `resourceVersion` and `generation` are not set yet.
    pub object: Object,
    /// Hash of everything in it.
    pub content: blake3::Hash,
    /// Hash of everything but its metadata.
    pub spec: blake3::Hash,
    /// What has no effect, as messages.
    pub warnings: Vec<String>,
}

/// What became of one manifest.
#[derive(Clone, Debug)]
pub enum Admission {
    /// It would be stored.
    Accepted(Arc<Accepted>),
    /// It would be refused.
    Refused {
        /// The object, when the manifest says which.
        id: Option<ObjectId>,
        /// Why: one message per violation.
        messages: Vec<String>,
    },
    /// A kind that Kakehi does not read (`apiVersion` and kind).
    Unknown(String),
}

/// Judges one manifest.
pub fn admit(mut value: Value) -> Admission {
    let refused = |messages| Admission::Refused { id: None, messages };
    let row = match find_row(&value) {
        Ok(Lookup::Row(row)) => row,
        Ok(Lookup::Version(row)) => return refused(vec![no_such_version(row, &value)]),
        Ok(Lookup::Unknown) => return Admission::Unknown(format!("{} {}", text(&value, "apiVersion"), text(&value, "kind"))),
        Err(message) => return refused(vec![message]),
    };
    let id = match identify(row, &mut value) {
        Ok(id) => id,
        Err(message) => return refused(vec![message]),
    };
    match accept(row, &id, value) {
        Ok(accepted) => Admission::Accepted(Arc::new(accepted)),
        Err(messages) => Admission::Refused { id: Some(id), messages },
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn find_row(value: &Value) -> Result<Lookup, String> {
    if !value.is_object() {
        return Err("not an object: a manifest is a mapping with apiVersion, kind and metadata".to_owned());
    }
    for field in ["apiVersion", "kind"] {
        if text(value, field).is_empty() {
            return Err(format!("{field}: Required value"));
        }
    }
    Ok(lookup(text(value, "apiVersion"), text(value, "kind")))
}

fn no_such_version(row: &Row, value: &Value) -> String {
    let served = row.versions.join(", ");
    format!("no matches for kind \"{}\" in version \"{}\"; versions read: {served}", row.kind, text(value, "apiVersion"))
}

/// Reads the identity, and makes the namespace explicit.
fn identify(row: &Row, value: &mut Value) -> Result<ObjectId, String> {
    let metadata = match value.as_object_mut().map(|fields| fields.entry("metadata").or_insert_with(|| Value::Object(Map::new()))) {
        Some(Value::Object(metadata)) => metadata,
        _ => return Err("metadata: Invalid value: must be a mapping".to_owned()),
    };
    let name = match metadata.get("name") {
        Some(Value::String(name)) if !name.is_empty() => name.clone(),
        Some(Value::String(_) | Value::Null) | None => return Err("metadata.name: Required value".to_owned()),
        Some(_) => return Err("metadata.name: Invalid value: must be a string; quote it".to_owned()),
    };
    if row.scope == Scope::Cluster {
        metadata.remove("namespace");
        return Ok(ObjectId::new(row.kind, "", name));
    }
    let namespace = match metadata.get("namespace") {
        Some(Value::String(namespace)) if !namespace.is_empty() => namespace.clone(),
        Some(Value::String(_) | Value::Null) | None => "default".to_owned(),
        Some(_) => return Err("metadata.namespace: Invalid value: must be a string; quote it".to_owned()),
    };
    metadata.insert("namespace".into(), Value::String(namespace.clone()));
    Ok(ObjectId::new(row.kind, namespace, name))
}

/// Metadata that only an API server writes.
const SERVER_OWNED: &[&str] = &["uid", "resourceVersion", "generation", "managedFields", "selfLink", "deletionTimestamp"];

fn accept(row: &Row, id: &ObjectId, mut value: Value) -> Result<Accepted, Vec<String>> {
    let mut violations = row.checks.metadata(&mut value);
    if let Some(fields) = value.as_object_mut() {
        fields.remove("status");
        if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
            SERVER_OWNED.iter().for_each(|field| drop(metadata.remove(*field)));
            metadata.insert("uid".into(), Value::String(uid(id)));
            if id.kind == Kind::Namespace {
                label_name(metadata, &id.name);
            }
        }
    }
    violations.extend(row.checks.body(&mut value));
    if !violations.is_empty() {
        return Err(violations);
    }
    let content = hash(&value);
    let spec = hash(&without_metadata(&value));
    let object = Object::from_value(id.kind, value).map_err(|error| vec![format!("metadata: Invalid value: {error}")])?;
    if let Some(malformed) = object.malformed() {
        return Err(vec![malformed.to_string()]);
    }
    let warnings = object.unknown().iter().map(|path| format!("unknown field \"{}\"", field_path(path))).collect();
    Ok(Accepted { id: id.clone(), object, content, spec, warnings })
}

/// Every namespace carries its name as a label, so that selectors can name it.
fn label_name(metadata: &mut Map<String, Value>, name: &str) {
    let labels = metadata.entry("labels").or_insert(Value::Null);
    if labels.is_null() {
        *labels = Value::Object(Map::new());
    }
    if let Value::Object(labels) = labels {
        labels.insert("kubernetes.io/metadata.name".into(), Value::String(name.to_owned()));
    }
}

/// `a.0.b` as `a[0].b`. Parts of `?` stand for optional values.
fn field_path(path: &str) -> String {
    let mut written = String::new();
    for part in path.split('.').filter(|part| *part != "?") {
        match part.parse::<usize>() {
            Ok(index) => written.push_str(&format!("[{index}]")),
            Err(_) if written.is_empty() => written.push_str(part),
            Err(_) => written.push_str(&format!(".{part}")),
        }
    }
    written
}

fn without_metadata(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("metadata");
    }
    value
}

/// Map keys are sorted by `serde_json`, so equal objects have equal text.
pub fn hash(value: &Value) -> blake3::Hash {
    blake3::hash(value.to_string().as_bytes())
}

/// A stable uid: the same object has the same one on every machine.
pub fn uid(id: &ObjectId) -> String {
    let hash = blake3::hash(id.to_string().as_bytes()).to_hex();
    let part = |from: usize, to: usize| hash.get(from..to).unwrap_or_default().to_owned();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// The namespace that exists because something lives in it.
pub fn implied_namespace(name: &str) -> Option<Arc<Accepted>> {
    let manifest = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    match admit(manifest) {
        Admission::Accepted(accepted) => Some(accepted),
        _ => None,
    }
}
