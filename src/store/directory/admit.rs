//! What an API server would do with one manifest before it stores it: defaults, checks, metadata of its own.

use std::sync::Arc;

use kube::core::cel::Validator;
use serde_json::{Map, Value};

use super::judge::Judge;
use crate::api::Object;
use crate::model::{Kind, ObjectId};
use crate::store::crds::is_crd;
use crate::store::fields::{self, Fields, body};
use crate::store::kinds::{Lookup, Row, Scope, lookup, row, table};

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
    /// Whether its namespace is that of manifests that name none.
    pub assumed_namespace: bool,
}

impl Accepted {
    /// Whether its age is that of its file.
    pub fn goes_by_path(&self) -> bool {
        row(self.id.kind).aged && self.object.metadata().creation_timestamp.is_none()
    }
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
    /// A usable CustomResourceDefinition.
    Definition,
    /// A kind that Kakehi does not read (`apiVersion` and kind).
    Unknown(String),
}

/// Judges one manifest of `file`.
pub fn admit(judge: &Judge<'_>, file: &str, mut value: Value) -> Admission {
    let refused = |messages| Admission::Refused { id: None, messages };
    if is_crd(&value) {
        return match judge.definitions.complaint(&value) {
            Some(complaint) => refused(vec![complaint.to_owned()]),
            None => Admission::Definition,
        };
    }
    let row = match find_row(&value) {
        Ok(Lookup::Row(row)) => row,
        Ok(Lookup::Version(row)) => return refused(vec![no_such_version(row, &value)]),
        Ok(Lookup::Unknown) => {
            let (version, kind) = (text(&value, "apiVersion"), text(&value, "kind"));
            return match misspelt(version, kind) {
                Some(meant) => refused(vec![format!("no matches for kind {kind:?} in version {version:?}; did you mean {meant:?}?")]),
                None => Admission::Unknown(format!("{version} {kind}")),
            };
        }
        Err(message) => return refused(vec![message]),
    };
    let assumed = row.scope == Scope::Namespaced && value.pointer("/metadata/namespace").is_none_or(|name| name.is_null() || name == "");
    let id = match identify(row, &mut value) {
        Ok(id) => id,
        Err(message) => return refused(vec![message]),
    };
    match accept(judge, row, &id, (file, value), assumed) {
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

/// Metadata that objects have.
const METADATA: &[&str] = &[
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Metadata that only an API server writes.
const SERVER_OWNED: &[&str] = &["uid", "resourceVersion", "generation", "managedFields", "selfLink", "deletionTimestamp"];

fn accept(
    judge: &Judge<'_>,
    row: &Row,
    id: &ObjectId,
    (file, mut value): (&str, Value),
    assumed_namespace: bool,
) -> Result<Accepted, Vec<String>> {
    let version = text(&value, "apiVersion").rsplit('/').next().unwrap_or_default().to_owned();
    let mut violations = row.checks.metadata(&mut value);
    violations.extend(unknown_metadata(&value));
    take_over(id, &mut value);
    let old = judge.catalog.stored(file, id);
    let unknown = match judge.definitions.of(id.kind) {
        Some(definition) => {
            let validator = judge.validator.get_or_init(Validator::new);
            let judged = definition.apply(&version, &mut value, old.as_ref(), validator).map_err(|message| vec![message])?;
            violations.extend(judged.violations);
            judged.unknown
        }
        None => {
            violations.extend(row.checks.body(&mut value));
            if violations.is_empty() {
                violations.extend(old.and_then(|old| row.checks.transition(&old, &value)));
                Vec::new()
            } else {
                // What is missing may be there under a misspelt name.
                Object::from_value(id.kind, value.clone()).map(|object| unknown_fields(&object)).unwrap_or_default()
            }
        }
    };
    violations.extend(unknown);
    if !violations.is_empty() {
        return Err(violations);
    }
    // A definition may have a default for it.
    drop_status(&mut value);
    let content = hash(&value);
    let spec = hash(&without_metadata(&value));
    let object = Object::from_value(id.kind, value).map_err(|error| vec![format!("metadata: Invalid value: {error}")])?;
    if let Some(malformed) = object.malformed() {
        // The decoder quotes the value, which may be secret.
        let is_secret = id.kind == Kind::Secret;
        return Err(vec![if is_secret { format!("{}: Invalid value", malformed.path) } else { malformed.to_string() }]);
    }
    match unknown_fields(&object) {
        unknown if !unknown.is_empty() => Err(unknown),
        _ => Ok(Accepted { id: id.clone(), object, content, spec, assumed_namespace }),
    }
}

/// The kind of the same group that differs in capital letters alone.
fn misspelt(version: &str, kind: &str) -> Option<&'static str> {
    let (group, _) = version.split_once('/').unwrap_or_default();
    table().find(|row| row.group == group && row.kind.name().eq_ignore_ascii_case(kind)).map(|row| row.kind.name())
}

/// What is said of fields that the object's kind does not have.
fn unknown_fields(object: &Object) -> Vec<String> {
    if object.unknown().is_empty() {
        return Vec::new();
    }
    let fields = Fields::of(object.kind(), &body(&object.to_value().unwrap_or_default()));
    object.unknown().iter().map(|path| fields.unknown(&field_path(path))).collect()
}

/// What is said of metadata that no object has.
fn unknown_metadata(value: &Value) -> Vec<String> {
    let metadata = value.get("metadata").and_then(Value::as_object);
    let unknown = metadata.into_iter().flatten().filter(|(name, _)| !METADATA.contains(&name.as_str()));
    unknown.map(|(name, _)| fields::unknown(&format!("metadata.{name}"), METADATA.iter().copied())).collect()
}

/// Status is written by controllers, not by manifests.
fn drop_status(value: &mut Value) {
    if let Some(fields) = value.as_object_mut() {
        fields.remove("status");
    }
}

/// Drops what a manifest cannot decide, and adds what an API server adds.
fn take_over(id: &ObjectId, value: &mut Value) {
    drop_status(value);
    let Some(fields) = value.as_object_mut() else { return };
    if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
        SERVER_OWNED.iter().for_each(|field| drop(metadata.remove(*field)));
        metadata.insert("uid".into(), Value::String(uid(id)));
        if id.kind == Kind::Namespace {
            label_name(metadata, &id.name);
        }
    }
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
    let id = ObjectId::new(Kind::Namespace, "", name);
    let mut value = serde_json::json!({"metadata": {"name": name}});
    take_over(&id, &mut value);
    let (content, spec) = (hash(&value), hash(&without_metadata(&value)));
    let object = Object::from_value(Kind::Namespace, value).ok()?;
    Some(Arc::new(Accepted { id, object, content, spec, assumed_namespace: false }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{field_path, hash, uid};
    use crate::model::{Kind, ObjectId};

    #[test]
    fn equal_objects_have_equal_hashes_whatever_their_order() {
        assert_eq!(hash(&json!({"a": 1, "b": {"c": 2, "d": 3}})), hash(&json!({"b": {"d": 3, "c": 2}, "a": 1})));
    }

    #[test]
    fn uids_look_like_uids_and_tell_objects_apart() {
        let (one, two) = (uid(&ObjectId::new(Kind::Secret, "a", "b")), uid(&ObjectId::new(Kind::Secret, "ab", "")));
        assert!(one != two && one.len() == 36 && one.split('-').map(str::len).eq([8, 4, 4, 4, 12]), "{one}");
    }

    #[test]
    fn paths_of_unknown_fields_are_field_paths() {
        assert_eq!(field_path("spec.?.rules.0.?.filters.12.odd"), "spec.rules[0].filters[12].odd");
    }
}
