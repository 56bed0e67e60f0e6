//! Secret. No message quotes a value.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::Checks;
use super::configmap::{DATA, encode_anew, immutable, size};
use super::forms::{ANY, DATA_KEY};
use super::shape::{Absent, Shape, Violation};
use super::shared::text;

/// Types that need keys, and which.
const KEYS: &[(&str, &[&str])] = &[
    ("kubernetes.io/tls", &["tls.crt", "tls.key"]),
    ("kubernetes.io/ssh-auth", &["ssh-privatekey"]),
    ("kubernetes.io/dockerconfigjson", &[".dockerconfigjson"]),
    ("kubernetes.io/dockercfg", &[".dockercfg"]),
];

/// `stringData` is written into `data`, over what is there.
fn merge_string_data(secret: &mut Value) {
    let Some(secret) = secret.as_object_mut() else { return };
    // What is no map of strings stays where it is, to be refused there.
    let is_plain = |map: &Map<String, Value>| map.values().all(|value| value.is_string() || value.is_null());
    if !secret.get("stringData").and_then(Value::as_object).is_some_and(is_plain) {
        return;
    }
    let data = secret.get("data").unwrap_or(&Value::Null);
    if !(data.is_null() || data.is_object()) {
        return;
    }
    let Some(Value::Object(plain)) = secret.remove("stringData") else { return };
    let data = secret.entry("data").or_insert(Value::Null);
    if data.is_null() {
        *data = Value::Object(Map::new());
    }
    if let Value::Object(data) = data {
        let encode = |value: Value| Value::String(STANDARD.encode(value.as_str().unwrap_or_default()));
        data.extend(plain.into_iter().map(|(key, value)| (key, encode(value))));
    }
}

fn is_base64(value: &Value) -> Option<Violation> {
    match value.as_str() {
        None => Violation::here("must be a string"),
        Some(text) if STANDARD.decode(text).is_err() => Violation::here("must be base64; plain text belongs in stringData"),
        Some(_) => None,
    }
}

fn has_its_keys(secret: &Value) -> Option<Violation> {
    let (_, keys) = KEYS.iter().find(|(name, _)| *name == text(secret, "type"))?;
    let missing = keys.iter().find(|key| has(secret, key).is_none())?;
    Violation::at(format!(".data[{missing}]"), "Required value")
}

fn has_a_user_or_a_password(secret: &Value) -> Option<Violation> {
    let is_bare = text(secret, "type") == "kubernetes.io/basic-auth" && has(secret, "username").or(has(secret, "password")).is_none();
    if is_bare { Violation::at(".data[username]", "Required value") } else { None }
}

/// Credentials of a registry are JSON.
fn credentials_are_json(secret: &Value) -> Option<Violation> {
    let (_, keys) = KEYS.iter().find(|(name, _)| *name == text(secret, "type") && name.starts_with("kubernetes.io/docker"))?;
    let key = keys.first()?;
    let content = STANDARD.decode(has(secret, key)?.as_str()?).ok()?;
    let is_mapping = serde_json::from_slice::<Map<String, Value>>(&content).is_ok();
    if is_mapping { None } else { Violation::at(format!(".data[{key}]"), "Invalid value: must be a JSON object") }
}

fn has<'a>(secret: &'a Value, key: &str) -> Option<&'a Value> {
    secret.get("data")?.get(key)
}

/// Secret.
pub static SECRET: Checks = Checks {
    prepare: |secret| {
        encode_anew(secret.get_mut("data"));
        merge_string_data(secret);
    },
    transition: |old, new| {
        let is_other = text(old, "type") != text(new, "type");
        is_other.then(|| "type: Invalid value: field is immutable; give the Secret another name".to_owned()).or_else(|| immutable(old, new))
    },
    ..Checks::built_in(&Shape::Object {
        fields: &[
            ("type", &Shape::Text { min: 0, max: DATA, form: &ANY }, Absent::OrEmpty("\"Opaque\"")),
            ("immutable", &Shape::Boolean, Absent::Fine),
            ("data", &Shape::Map { of: &Shape::Any(&[is_base64]), max: usize::MAX, keys: &DATA_KEY }, Absent::Fine),
            (
                "stringData",
                &Shape::Map { of: &Shape::Text { min: 0, max: DATA, form: &ANY }, max: usize::MAX, keys: &DATA_KEY },
                Absent::Fine,
            ),
        ],
        rules: &[has_its_keys, has_a_user_or_a_password, credentials_are_json, |secret| {
            let is_long = size(secret.get("data")) / 4 * 3 > DATA;
            if is_long { Violation::at(".data", format!("Too long: may not be more than {DATA} bytes")) } else { None }
        }],
    })
};

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::SECRET;

    #[test]
    fn string_data_goes_over_data() {
        let mut secret = json!({"data": {"a": "YQ==", "b": "Yg=="}, "stringData": {"b": "x", "c": "y", "d": null}});
        assert_eq!(SECRET.body(&mut secret), [""; 0]);
        assert_eq!(secret, json!({"type": "Opaque", "data": {"a": "YQ==", "b": "eA==", "c": "eQ==", "d": ""}}));
    }

    #[test]
    fn base64_may_be_broken_into_lines() {
        let mut secret = json!({"data": {"a": "YW\r\nI=\n", "b": "YR=="}});
        assert_eq!(SECRET.body(&mut secret), [""; 0]);
        assert_eq!(secret["data"], json!({"a": "YWI=", "b": "YQ=="}));
    }

    #[test]
    fn no_violation_quotes_a_value() {
        for data in [json!({"data": {"a": "topsecret!"}}), json!({"data": {"a": 424_242}}), json!({"stringData": {"a": 424_242}})] {
            let violations = SECRET.body(&mut data.clone());
            assert_eq!(violations.len(), 1, "{data}");
            assert!(!violations[0].contains("topsecret") && !violations[0].contains("424242"), "{violations:?}");
        }
    }

    #[test]
    fn types_need_their_keys() {
        let violations = SECRET.body(&mut json!({"type": "kubernetes.io/tls", "data": {"tls.crt": ""}}));
        assert_eq!(violations, ["data[tls.key]: Required value"]);
    }
}
