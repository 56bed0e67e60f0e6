//! ConfigMap.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Checks;
use super::forms::{ANY, DATA_KEY, Form};
use super::shape::{Absent, Shape, Violation};

/// Bytes of all values together, at most.
pub const DATA: usize = 1 << 20;

static BASE64: Form = Form { holds: |text| STANDARD.decode(text).is_ok(), message: "must be base64" };
static BINARY: Shape = Shape::Text { min: 0, max: 2 * DATA, form: &BASE64 };
static TEXT: Shape = Shape::Text { min: 0, max: DATA, form: &ANY };

/// Bytes that a map of strings holds.
pub fn size(map: Option<&Value>) -> usize {
    map.and_then(Value::as_object).into_iter().flat_map(|map| map.values()).map(|value| value.as_str().map_or(0, str::len)).sum()
}

/// ConfigMap.
pub static CONFIG_MAP: Checks = Checks::built_in(&Shape::Object {
    fields: &[
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
});
