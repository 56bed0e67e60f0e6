//! Lenient decoding: an object whose body does not parse still has metadata, a finding and a fate.

use std::borrow::Cow;

use kube::api::ObjectMeta;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// Unknown fields that are listed, at most: each path may be many times as long as the field.
const LISTED: usize = 64;

/// One object as a source delivered it: `K` of every watch, store and controller.
///
/// `T` is the kind's root type; its own `metadata` is left empty, the object's metadata is here.
#[derive(Clone, Debug, PartialEq)]
pub struct Obj<T> {
    /// Metadata, which always parses.
    pub metadata: ObjectMeta,
    /// The typed object without its status, or why it could not be read.
    pub body: Result<T, Malformed>,
    /// The status as it is written, entries of others included.
    pub status: Option<Value>,
    /// Paths of fields that `T` does not know, the first ones; the last says how many others there are.
    pub unknown: Vec<String>,
}

/// The body does not fit the type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize)]
#[error("{path}: {message}")]
pub struct Malformed {
    /// Path of the offending field.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

impl<T: DeserializeOwned> Obj<T> {
    /// Decodes one object.
    ///
    /// # Errors
    /// Only when `metadata` itself cannot be read.
    pub fn from_value(value: Value) -> Result<Self, serde_json::Error> {
        let Value::Object(mut fields) = value else { return Err(serde::de::Error::custom("not an object")) };
        let metadata = serde_json::from_value(fields.remove("metadata").unwrap_or_else(|| Value::Object(Map::new())))?;
        Ok(Self::from_parts(metadata, fields))
    }

    /// Decodes one object whose metadata are known.
    pub fn from_parts(metadata: ObjectMeta, mut fields: Map<String, Value>) -> Self {
        // Every object carries them, not every root type declares them.
        fields.remove("apiVersion");
        fields.remove("kind");
        fields.insert("metadata".into(), Value::Object(Map::new()));
        let status = fields.remove("status").filter(|status| !status.is_null());
        let mut unknown = Vec::new();
        let mut others = 0_usize;
        let mut record = |path: serde_ignored::Path<'_>| match unknown.len() < LISTED {
            true => unknown.push(path.to_string()),
            false => others += 1,
        };
        let mut track = serde_path_to_error::Track::new();
        let tracked = serde_path_to_error::Deserializer::new(Value::Object(fields), &mut track);
        let body = T::deserialize(serde_ignored::Deserializer::new(tracked, &mut record))
            .map_err(|error| Malformed { path: track.path().to_string(), message: error.to_string() });
        if let Some(last) = unknown.last_mut().filter(|_| others > 0) {
            last.push_str(&format!(" and {others} others"));
        }
        Self { metadata, body, status, unknown }
    }
}

impl<T> Obj<T> {
    /// The typed object, when it parsed.
    pub fn ok(&self) -> Option<&T> {
        self.body.as_ref().ok()
    }

    /// Name, empty when absent.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// Namespace, empty for cluster-scoped kinds.
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// `metadata.generation`, 0 when absent.
    pub fn generation(&self) -> i64 {
        self.metadata.generation.unwrap_or_default()
    }

    /// Creation time in seconds since the Unix epoch, 0 when absent.
    pub fn created(&self) -> i64 {
        self.metadata.creation_timestamp.as_ref().map(|time| time.0.as_second()).unwrap_or_default()
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Obj<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::from_value(value).map_err(serde::de::Error::custom)
    }
}

impl<T: kube::Resource> kube::Resource for Obj<T> {
    type DynamicType = T::DynamicType;
    type Scope = T::Scope;

    fn kind(dt: &Self::DynamicType) -> Cow<'_, str> {
        T::kind(dt)
    }

    fn group(dt: &Self::DynamicType) -> Cow<'_, str> {
        T::group(dt)
    }

    fn version(dt: &Self::DynamicType) -> Cow<'_, str> {
        T::version(dt)
    }

    fn plural(dt: &Self::DynamicType) -> Cow<'_, str> {
        T::plural(dt)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::Obj;
    use crate::api::HttpRoute;

    #[test]
    fn a_body_that_does_not_parse_keeps_its_metadata() {
        let value = serde_json::json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": "a", "namespace": "b"},
            "spec": {"rules": [{"filters": [{"type": "Nonsense"}]}]},
        });
        let object: Obj<HttpRoute> = Obj::from_value(value).unwrap();
        assert_eq!((object.namespace(), object.name()), ("b", "a"));
        let malformed = object.body.unwrap_err();
        assert!(malformed.path.starts_with("spec.rules[0].filters[0]"), "{malformed}");
    }

    #[test]
    fn a_status_stays_as_it_is_and_cannot_spoil_the_object() {
        let status = serde_json::json!({"parents": [{"conditions": "nonsense", "tomorrow": 1}]});
        let value = serde_json::json!({"metadata": {"name": "a"}, "spec": {}, "status": status});
        let object: Obj<HttpRoute> = Obj::from_value(value).unwrap();
        assert!(object.body.is_ok() && object.unknown.is_empty());
        assert_eq!(object.status, Some(status));
    }

    #[test]
    fn unknown_fields_are_listed() {
        let value = serde_json::json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": "a"}, "spec": {"hostnames": [], "nonsense": 1},
        });
        let object: Obj<HttpRoute> = Obj::from_value(value).unwrap();
        assert!(object.body.is_ok());
        assert_eq!(object.unknown, ["spec.nonsense"]);
    }

    #[test]
    fn of_many_unknown_fields_the_first_are_listed() {
        let fields: serde_json::Map<_, _> = (0..1_000).map(|number| (format!("f{number:03}"), serde_json::json!(0))).collect();
        let object: Obj<HttpRoute> = Obj::from_value(serde_json::json!({"metadata": {"name": "a"}, "spec": fields})).unwrap();
        assert_eq!((object.unknown.len(), object.unknown[63].as_str()), (64, "spec.f063 and 936 others"));
    }
}
