//! The structure of a schema, checked by `jsonschema`: OpenAPI v3 as JSON Schema draft 4, of which it is a dialect.

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::{Map, Value, json};

/// Violations listed, at most.
const LISTED: usize = 10;
/// Characters of one violation, at most: they quote the value.
const LENGTH: usize = 300;

pub struct Structure(Validator);

impl Structure {
    /// # Errors
    /// What the schema compiler says.
    pub fn compile(schema: &Value) -> Result<Self, String> {
        let options = jsonschema::options()
            .with_draft(Draft::Draft4)
            .should_validate_formats(true)
            .should_ignore_unknown_formats(true)
            // Linear in the length of the text, whatever the pattern: also what the API server uses.
            .with_pattern_options(PatternOptions::regex());
        options.build(&draft4(schema)).map(Self).map_err(|error| error.to_string())
    }

    pub fn check(&self, value: &Value) -> Vec<String> {
        let mut errors = self.0.iter_errors(value);
        let mut violations: Vec<String> = errors
            .by_ref()
            .take(LISTED)
            .map(|error| {
                let text: String = error.to_string().chars().take(LENGTH).collect();
                format!("{}: Invalid value: {text}", field(error.instance_path().as_str()))
            })
            .collect();
        let more = errors.take(1000).count();
        if more > 0 {
            violations.push(format!("and {more} more"));
        }
        violations
    }
}

/// A JSON pointer as a field path.
fn field(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').skip(1) {
        match part.parse::<usize>() {
            Ok(index) => path.push_str(&format!("[{index}]")),
            Err(_) if path.is_empty() => path.push_str(part),
            Err(_) => path.push_str(&format!(".{part}")),
        }
    }
    path
}

/// What OpenAPI says differently: `nullable`, int-or-string, and keys that are annotations.
fn draft4(schema: &Value) -> Value {
    let Value::Object(schema) = schema else { return schema.clone() };
    let mut converted = Map::new();
    for (key, value) in schema {
        let value = match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                properties.iter().map(|(name, property)| (name.clone(), draft4(property))).collect()
            }
            ("items" | "additionalProperties" | "not", schema) => draft4(schema),
            ("allOf" | "anyOf" | "oneOf", Value::Array(schemas)) => schemas.iter().map(draft4).collect(),
            ("default" | "description" | "example", _) => continue,
            (key, _) if key.starts_with("x-kubernetes-") => continue,
            (_, value) => value.clone(),
        };
        converted.insert(key.clone(), value);
    }
    let flag = |key: &str| schema.get(key) == Some(&Value::Bool(true));
    if flag("x-kubernetes-int-or-string") {
        converted.insert("type".into(), json!(["integer", "string"]));
    }
    if flag("nullable")
        && let Some(kind) = converted.remove("type")
    {
        let mut kinds = match kind {
            Value::Array(kinds) => kinds,
            kind => vec![kind],
        };
        kinds.push(json!("null"));
        converted.insert("type".into(), Value::Array(kinds));
    }
    Value::Object(converted)
}
