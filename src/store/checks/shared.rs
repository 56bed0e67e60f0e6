//! Shapes that several Gateway API kinds share.

use serde_json::Value;

use super::forms::{ANY, GROUP, KIND, LABEL, SUBDOMAIN};
use super::shape::{Absent, Shape, Violation};

pub static GROUP_NAME: Shape = Shape::Text { min: 0, max: 253, form: &GROUP };
pub static KIND_NAME: Shape = Shape::Text { min: 1, max: 63, form: &KIND };
pub static OBJECT_NAME: Shape = Shape::Text { min: 1, max: 253, form: &ANY };
pub static NAMESPACE_NAME: Shape = Shape::Text { min: 1, max: 63, form: &LABEL };
pub static SECTION_NAME: Shape = Shape::Text { min: 1, max: 253, form: &SUBDOMAIN };
pub static PORT: Shape = Shape::Integer { min: 1, max: 65535 };

/// `LocalParametersReference`, `LocalObjectReference`.
pub static LOCAL_REFERENCE: Shape = Shape::Object {
    fields: &[("group", &GROUP_NAME, Absent::Refused), ("kind", &KIND_NAME, Absent::Refused), ("name", &OBJECT_NAME, Absent::Refused)],
    rules: &[],
};

/// `ParametersReference`, `ObjectReference`.
pub static REFERENCE: Shape = Shape::Object {
    fields: &[
        ("group", &GROUP_NAME, Absent::Refused),
        ("kind", &KIND_NAME, Absent::Refused),
        ("name", &OBJECT_NAME, Absent::Refused),
        ("namespace", &NAMESPACE_NAME, Absent::Fine),
    ],
    rules: &[],
};

/// `SecretObjectReference`.
pub static SECRET_REFERENCE: Shape = Shape::Object {
    fields: &[
        ("group", &GROUP_NAME, Absent::Default("\"\"")),
        ("kind", &KIND_NAME, Absent::Default("\"Secret\"")),
        ("name", &OBJECT_NAME, Absent::Refused),
        ("namespace", &NAMESPACE_NAME, Absent::Fine),
    ],
    rules: &[],
};

/// `BackendObjectReference`.
pub static BACKEND_REFERENCE: Shape = Shape::Object {
    fields: &[
        ("group", &GROUP_NAME, Absent::Default("\"\"")),
        ("kind", &KIND_NAME, Absent::Default("\"Service\"")),
        ("name", &OBJECT_NAME, Absent::Refused),
        ("namespace", &NAMESPACE_NAME, Absent::Fine),
        ("port", &PORT, Absent::Fine),
    ],
    rules: &[service_has_port],
};

/// A reference to a Service names a port.
pub fn service_has_port(reference: &Value) -> Option<Violation> {
    let is_service = text(reference, "group").is_empty() && text(reference, "kind") == "Service";
    if is_service && reference.get("port").is_none() {
        Violation::at(".port", "Required value: a reference to a Service names a port")
    } else {
        None
    }
}

/// The text in a field, empty when there is none.
pub fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The items in a field, none when there is no list.
pub fn items<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
