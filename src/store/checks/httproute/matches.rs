//! Matches of an HTTPRoute.

use serde_json::Value;

use super::super::forms::{ANY, HEADER_NAME, HEADER_VALUE, is_path};
use super::super::shape::{Absent, Shape, Unique, Violation};
use super::super::shared::text;

/// What an exact path or a prefix may not contain.
const FORBIDDEN: &[&str] = &["//", "/./", "/../", "%2f", "%2F", "#"];
/// What it may not end with.
const ENDINGS: &[&str] = &["/..", "/."];

fn path_is_plain(path: &Value) -> Option<Violation> {
    if text(path, "type") == "RegularExpression" {
        return None;
    }
    let value = text(path, "value");
    let invalid =
        |message: &str| Violation::at(".value", format!("Invalid value: {value:?}: {message} when type one of ['Exact', 'PathPrefix']"));
    if !value.starts_with('/') {
        return invalid("must be an absolute path and start with '/'");
    }
    if let Some(part) = FORBIDDEN.iter().find(|part| value.contains(**part)) {
        return invalid(&format!("must not contain '{part}'"));
    }
    if let Some(ending) = ENDINGS.iter().find(|ending| value.ends_with(**ending)) {
        return invalid(&format!("must not end with '{ending}'"));
    }
    if is_path(value) { None } else { invalid("must only contain letters, digits, -/._~!$&'()*+,;=:@ and percent-encoded octets") }
}

static PATH: Shape = Shape::Object {
    fields: &[
        ("type", &Shape::Choice(&["Exact", "PathPrefix", "RegularExpression"]), Absent::Default("\"PathPrefix\"")),
        ("value", &Shape::Text { min: 0, max: 1024, form: &ANY }, Absent::Default("\"/\"")),
    ],
    rules: &[path_is_plain],
};

static VALUE_TYPE: Shape = Shape::Choice(&["Exact", "RegularExpression"]);
static HEADER: Shape = Shape::Object {
    fields: &[
        ("type", &VALUE_TYPE, Absent::Default("\"Exact\"")),
        ("name", &Shape::Text { min: 1, max: 256, form: &HEADER_NAME }, Absent::Refused),
        ("value", &Shape::Text { min: 1, max: 4096, form: &HEADER_VALUE }, Absent::Refused),
    ],
    rules: &[],
};
static QUERY: Shape = Shape::Object {
    fields: &[
        ("type", &VALUE_TYPE, Absent::Default("\"Exact\"")),
        ("name", &Shape::Text { min: 1, max: 256, form: &HEADER_NAME }, Absent::Refused),
        ("value", &Shape::Text { min: 1, max: 1024, form: &ANY }, Absent::Refused),
    ],
    rules: &[],
};
static METHOD: Shape = Shape::Choice(&["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]);

pub static MATCH: Shape = Shape::Object {
    fields: &[
        ("path", &PATH, Absent::Default("{}")),
        ("headers", &Shape::List { of: &HEADER, min: 0, max: 16, unique: Unique::By(&["name"]), rules: &[] }, Absent::Fine),
        ("queryParams", &Shape::List { of: &QUERY, min: 0, max: 16, unique: Unique::By(&["name"]), rules: &[] }, Absent::Fine),
        ("method", &METHOD, Absent::Fine),
    ],
    rules: &[],
};
