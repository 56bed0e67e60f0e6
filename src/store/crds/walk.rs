//! Walks over a schema and an object together: pruning, defaults, duplicates.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::store::fields;

fn flag(schema: &Value, key: &str) -> bool {
    schema.get(key) == Some(&Value::Bool(true))
}

/// Removes the fields that the schema does not name, and says so of each. Type and object metadata are not its business.
pub fn prune(schema: &Value, value: &mut Value, removed: &mut Vec<String>) {
    let mut path = String::new();
    let Value::Object(object) = value else { return };
    object.retain(|key, _| {
        let known = ["apiVersion", "kind", "metadata"].contains(&key.as_str()) || property(schema, key).is_some();
        if !known {
            removed.push(fields::unknown(key, names(schema)));
        }
        known
    });
    for (key, value) in object.iter_mut().filter(|(key, _)| key.as_str() != "metadata") {
        if let Some(schema) = property(schema, key) {
            path.push_str(key);
            prune_below(schema, value, &mut path, removed);
            path.clear();
        }
    }
}

fn prune_below(schema: &Value, value: &mut Value, path: &mut String, removed: &mut Vec<String>) {
    let length = path.len();
    match value {
        Value::Object(object) => {
            let is_map = schema.get("additionalProperties").is_some_and(|schema| *schema != Value::Bool(false));
            if !is_map && !flag(schema, "x-kubernetes-preserve-unknown-fields") {
                object.retain(|key, _| {
                    let known = property(schema, key).is_some();
                    if !known {
                        removed.push(fields::unknown(&format!("{path}.{key}"), names(schema)));
                    }
                    known
                });
            }
            for (key, value) in object.iter_mut() {
                if let Some(schema) = property(schema, key) {
                    path.push('.');
                    path.push_str(key);
                    prune_below(schema, value, path, removed);
                    path.truncate(length);
                }
            }
        }
        Value::Array(items) => {
            let Some(schema) = schema.get("items") else { return };
            for (index, item) in items.iter_mut().enumerate() {
                path.push_str(&format!("[{index}]"));
                prune_below(schema, item, path, removed);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

/// The fields that a schema names.
fn names(schema: &Value) -> impl Iterator<Item = &str> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.as_str())
}

/// The schema of one key: a property's, or that of all values of a map.
fn property<'a>(schema: &'a Value, key: &str) -> Option<&'a Value> {
    let named = schema.get("properties").and_then(|properties| properties.get(key));
    named.or_else(|| schema.get("additionalProperties").filter(|schema| schema.is_object()))
}

/// Fills in defaults. Where the schema does not allow a null, it gives way to the default, or goes.
pub fn default(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (key, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                let Some(default) = schema.get("default") else { continue };
                let is_absent = object.get(key).is_none_or(|value| value.is_null() && !flag(schema, "nullable"));
                if is_absent {
                    object.insert(key.clone(), default.clone());
                }
            }
            object.retain(|key, value| !value.is_null() || property(schema, key).is_none_or(|schema| flag(schema, "nullable")));
            for (key, value) in object.iter_mut() {
                if let Some(schema) = property(schema, key) {
                    default(schema, value);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                items.iter_mut().for_each(|item| default(schema, item));
            }
        }
        _ => {}
    }
}

/// Lists that are sets or maps hold nothing twice (`x-kubernetes-list-type`).
pub fn duplicates(schema: &Value, value: &Value, violations: &mut Vec<String>) {
    duplicates_below(schema, value, &mut String::new(), violations);
}

fn duplicates_below(schema: &Value, value: &Value, path: &mut String, violations: &mut Vec<String>) {
    let length = path.len();
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                if let Some(schema) = property(schema, key) {
                    path.push_str(if length == 0 { "" } else { "." });
                    path.push_str(key);
                    duplicates_below(schema, value, path, violations);
                    path.truncate(length);
                }
            }
        }
        Value::Array(items) => {
            let mut seen = BTreeSet::new();
            for (index, item) in items.iter().enumerate() {
                path.push_str(&format!("[{index}]"));
                if let Some(key) = identity(schema, item)
                    && !seen.insert(key.clone())
                {
                    violations.push(format!("{path}: Duplicate value: {key}"));
                }
                if let Some(schema) = schema.get("items") {
                    duplicates_below(schema, item, path, violations);
                }
                path.truncate(length);
            }
        }
        _ => {}
    }
}

/// What tells an item from the others in its list.
fn identity(schema: &Value, item: &Value) -> Option<String> {
    match schema.get("x-kubernetes-list-type")?.as_str()? {
        "set" => Some(item.to_string()),
        "map" => {
            let keys = schema.get("x-kubernetes-list-map-keys")?.as_array()?.iter().filter_map(Value::as_str);
            Some(keys.map(|key| item.get(key).map(Value::to_string).unwrap_or_default()).collect::<Vec<_>>().join(", "))
        }
        _ => None,
    }
}
