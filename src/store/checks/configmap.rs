//! ConfigMap.

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, PAD, STANDARD};
use serde_json::Value;

use super::Checks;
use super::forms::{ANY, DATA_KEY, Form};
use super::shape::{Absent, Shape, Violation};

/// Bytes of all values together, at most.
pub const DATA: usize = 1 << 20;

/// Base64 as an API server reads it: over several lines, and with whatever there is in the unused bits of the last letter.
const LENIENT: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, PAD.with_decode_allow_trailing_bits(true));

/// Rewrites the values of a map as an API server stores them. What is not base64 stays, to be refused.
pub fn encode_anew(map: Option<&mut Value>) {
    for value in map.and_then(Value::as_object_mut).into_iter().flat_map(|map| map.values_mut()) {
        if let Some(text) = value.as_str()
            && let Ok(bytes) = LENIENT.decode(text.replace(['\r', '\n'], ""))
        {
            *value = Value::String(STANDARD.encode(bytes));
        }
    }
}

static BASE64: Form = Form { holds: |text| STANDARD.decode(text).is_ok(), message: "must be base64" };
static BINARY: Shape = Shape::Text { min: 0, max: 2 * DATA, form: &BASE64 };
static TEXT: Shape = Shape::Text { min: 0, max: DATA, form: &ANY };

/// Bytes that a map of strings holds.
pub fn size(map: Option<&Value>) -> usize {
    map.and_then(Value::as_object).into_iter().flat_map(|map| map.values()).map(|value| value.as_str().map_or(0, str::len)).sum()
}

static SHAPE: Shape = Shape::Object {
    fields: &[
        ("immutable", &Shape::Boolean, Absent::Fine),
        ("data", &Shape::Map { of: &TEXT, max: usize::MAX, keys: &DATA_KEY }, Absent::Fine),
        ("binaryData", &Shape::Map { of: &BINARY, max: usize::MAX, keys: &DATA_KEY }, Absent::Fine),
    ],
    rules: &[
        |map| {
            let size = size(map.get("data")) + size(map.get("binaryData")) / 4 * 3;
            if size > DATA { Violation::at("", format!("Too long: may not be more than {DATA} bytes")) } else { None }
        },
        |map| {
            let (data, binary) = (map.get("data")?.as_object()?, map.get("binaryData")?.as_object()?);
            let twice = data.keys().find(|key| binary.contains_key(*key))?;
            Violation::at(format!(".data.{twice}"), "Invalid value: the key is also in binaryData")
        },
    ],
};

/// What is immutable stays so, and keeps its content.
pub fn immutable(old: &Value, new: &Value) -> Option<String> {
    let changed = |field: &&str| old.get(field) != new.get(field);
    let field =
        ["immutable", "data", "binaryData"].into_iter().find(changed).filter(|_| old.get("immutable") == Some(&Value::Bool(true)))?;
    Some(format!("{field}: Forbidden: field is immutable when `immutable` is set"))
}

/// ConfigMap.
pub static CONFIG_MAP: Checks =
    Checks { prepare: |map| encode_anew(map.get_mut("binaryData")), transition: immutable, ..Checks::built_in(&SHAPE) };
