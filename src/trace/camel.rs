//! One case of names in JSON: parts of the model have names of their own in snapshots.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// Fields of the model whose value is a text of a user's, or the bare name of a variant of ours.
const VARIANTS: [&str; 6] = ["scheme", "origins", "methods", "headers", "exposed", "path"];

/// Serialises a part of the model, with all names in camelCase.
pub(super) fn in_camel<T: Serialize, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    let value = serde_json::to_value(value).map_err(serde::ser::Error::custom)?;
    bare(camel(value)).serialize(serializer)
}

/// The same value with all names of fields and variants in camelCase.
pub(super) fn camel(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| {
                let value = if VARIANTS.contains(&name.as_str()) { bare(value) } else { value };
                (lower(&name), camel(value))
            });
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(camel).collect()),
        other => other,
    }
}

fn bare(value: Value) -> Value {
    match value {
        Value::String(name) => Value::String(lower(&name)),
        other => other,
    }
}

fn lower(name: &str) -> String {
    let mut words = name.split('_');
    let start = |word: &str, by: fn(&char) -> char| {
        let mut letters = word.chars();
        letters.next().map(|first| by(&first)).into_iter().chain(letters).collect::<String>()
    };
    let first = words.next().map(|word| start(word, char::to_ascii_lowercase)).unwrap_or_default();
    words.fold(first, |name, word| name + &start(word, char::to_ascii_uppercase))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::camel;

    #[test]
    fn names_of_the_model_are_of_one_case() {
        let cors = json!({"Cors": {"origins": "All", "max_age": 5, "headers": {"These": ["X-A_b"]}}});
        assert_eq!(camel(cors), json!({"cors": {"origins": "all", "maxAge": 5, "headers": {"these": ["X-A_b"]}}}));
        let edit = json!([{"RequestHeaders": {"set": [["x-a", "Value_of"]]}}, {"Rewrite": {"path": {"Full": "/A_b"}}}]);
        assert_eq!(camel(edit), json!([{"requestHeaders": {"set": [["x-a", "Value_of"]]}}, {"rewrite": {"path": {"full": "/A_b"}}}]));
    }
}
