//! CustomResourceDefinitions: what they say applies as an API server applies it, in place of our own checks.
//!
//! Unknown fields are pruned and listed, defaults filled in, the structure and the CEL rules checked, in this order.

mod structure;
mod walk;

use std::fmt;

use kube::core::cel::{CompiledSchema, ErrorKind, RootContext, Validator, compile_schema};
use serde_json::Value;

use self::structure::Structure;
use super::kinds::{Origin, Row, table};
use crate::model::Kind;

/// The definition of a kind that Kakehi reads, compiled.
#[derive(Debug)]
pub struct Crd {
    /// Which kind.
    pub kind: Kind,
    /// Hash of the definition.
    pub hash: blake3::Hash,
    versions: Vec<Version>,
}

struct Version {
    name: String,
    schema: Value,
    structure: Structure,
    rules: CompiledSchema,
    context: RootContext,
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Version").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What an object looks like after its definition was applied.
pub struct Judged {
    /// What is said of the fields that the definition does not know; they were removed.
    pub unknown: Vec<String>,
    /// What is wrong with the rest.
    pub violations: Vec<String>,
}

/// Whether the manifest is a CustomResourceDefinition.
pub fn is_crd(value: &Value) -> bool {
    let is = |field: &str, text: &str| value.get(field).and_then(Value::as_str).is_some_and(|found| found.starts_with(text));
    is("apiVersion", "apiextensions.k8s.io/") && is("kind", "CustomResourceDefinition")
}

impl Crd {
    /// Compiles a definition; `None` when it defines a kind that Kakehi does not read.
    ///
    /// # Errors
    /// What makes the definition unusable, as `path: message`.
    pub fn compile(value: &Value) -> Result<Option<Self>, String> {
        let text = |path: &str| value.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let (group, kind) = (text("/spec/group"), text("/spec/names/kind"));
        let Some(row) = table().find(|row| row.origin == Origin::Crd && row.group == group && row.kind.name() == kind) else {
            return Ok(None);
        };
        let versions = value.pointer("/spec/versions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let served = versions.iter().filter(|version| version.get("served") == Some(&Value::Bool(true)));
        let versions = served.map(|version| Version::compile(row, version)).collect::<Result<Vec<_>, _>>()?;
        if versions.is_empty() {
            return Err("spec.versions: Required value: no version is served".to_owned());
        }
        Ok(Some(Self { kind: row.kind, hash: blake3::hash(value.to_string().as_bytes()), versions }))
    }

    /// Applies the definition to an object, metadata left alone. `old` is the stored object that it would replace.
    ///
    /// # Errors
    /// The version is not served.
    pub fn apply(&self, version: &str, value: &mut Value, old: Option<&Value>, validator: &Validator) -> Result<Judged, String> {
        let Some(version) = self.versions.iter().find(|served| served.name == version) else {
            let served: Vec<_> = self.versions.iter().map(|version| version.name.as_str()).collect();
            return Err(format!(
                "no matches for kind {:?} in version {version:?}; versions served: {}",
                self.kind.name(),
                served.join(", ")
            ));
        };
        let mut unknown = Vec::new();
        walk::prune(&version.schema, value, &mut unknown);
        walk::default(&version.schema, value);
        let mut violations = version.structure.check(value);
        walk::duplicates(&version.schema, value, &mut violations);
        // Rules may rely on the structure.
        if violations.is_empty()
            && let Err(errors) = validator.validate_compiled_with_context(&version.rules, value, old, Some(&version.context))
        {
            violations.extend(errors.iter().map(|error| match error.kind {
                ErrorKind::ValidationFailure => format!("{}: Invalid value: {}", error.field_path, error.message),
                _ => format!("{}: the rule {:?} cannot be evaluated: {}", error.field_path, error.rule, error.message),
            }));
        }
        Ok(Judged { unknown, violations })
    }
}

impl Version {
    fn compile(row: &Row, version: &Value) -> Result<Self, String> {
        let name = version.get("name").and_then(Value::as_str).unwrap_or_default();
        let Some(schema) = version.pointer("/schema/openAPIV3Schema") else {
            return Err(format!("spec.versions[{name}].schema.openAPIV3Schema: Required value"));
        };
        let structure =
            Structure::compile(schema).map_err(|error| format!("spec.versions[{name}].schema.openAPIV3Schema: Invalid value: {error}"))?;
        let context =
            RootContext { api_version: format!("{}/{name}", row.group), api_group: row.group.to_owned(), kind: row.kind.name().to_owned() };
        let rules = compile_schema(schema);
        Ok(Self { name: name.to_owned(), schema: schema.clone(), structure, rules, context })
    }
}

#[cfg(test)]
mod tests;
