//! GRPCRoute.

use serde_json::Value;

use super::Checks;
use super::forms::{ANY, HEADER_NAME};
use super::httproute::filters::{HEADER_MODIFIER, MIRROR, filters_go_together, parameters_fit_the_type};
use super::routes::{DEFAULT_GATEWAYS, HOSTNAMES, PARENTS, SESSION, matches_are_not_too_many, rule_names_differ};
use super::shape::{Absent, Shape, Unique, Violation};
use super::shared::{GROUP_NAME, KIND_NAME, LOCAL_REFERENCE, NAMESPACE_NAME, OBJECT_NAME, PORT, SECTION_NAME, service_has_port, text};

static FILTER: Shape = Shape::Object {
    fields: &[
        ("type", &Shape::Choice(&["ResponseHeaderModifier", "RequestHeaderModifier", "RequestMirror", "ExtensionRef"]), Absent::Refused),
        ("requestHeaderModifier", &HEADER_MODIFIER, Absent::Fine),
        ("responseHeaderModifier", &HEADER_MODIFIER, Absent::Fine),
        ("requestMirror", &MIRROR, Absent::Fine),
        ("extensionRef", &LOCAL_REFERENCE, Absent::Fine),
    ],
    rules: &[parameters_fit_the_type],
};
static FILTERS: Shape = Shape::List { of: &FILTER, min: 0, max: 16, unique: Unique::No, rules: &[filters_go_together] };

static BACKEND: Shape = Shape::Object {
    fields: &[
        ("group", &GROUP_NAME, Absent::Default("\"\"")),
        ("kind", &KIND_NAME, Absent::Default("\"Service\"")),
        ("name", &OBJECT_NAME, Absent::Refused),
        ("namespace", &NAMESPACE_NAME, Absent::Fine),
        ("port", &PORT, Absent::Fine),
        ("weight", &Shape::Integer { min: 0, max: 1_000_000 }, Absent::Default("1")),
        ("filters", &FILTERS, Absent::Fine),
    ],
    rules: &[service_has_port],
};

/// Whether the text is a name of a protobuf definition.
fn is_identifier(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn names_something(method: &Value) -> Option<Violation> {
    if method.get("service").is_none() && method.get("method").is_none() {
        return Violation::here("One or both of 'service' or 'method' must be specified");
    }
    if text(method, "type") != "Exact" {
        return None;
    }
    let service = method.get("service").and_then(Value::as_str);
    if service.is_some_and(|service| !service.strip_prefix('.').unwrap_or(service).split('.').all(is_identifier)) {
        return Violation::at(".service", "Invalid value: service must only contain names joined by dots");
    }
    let called = method.get("method").and_then(Value::as_str);
    if called.is_some_and(|called| !is_identifier(called)) {
        return Violation::at(".method", "Invalid value: method must only contain letters, digits and underscores");
    }
    None
}

static NAME: Shape = Shape::Text { min: 0, max: 1024, form: &ANY };
static TYPE: Shape = Shape::Choice(&["Exact", "RegularExpression"]);
static METHOD: Shape = Shape::Object {
    fields: &[("type", &TYPE, Absent::Default("\"Exact\"")), ("service", &NAME, Absent::Fine), ("method", &NAME, Absent::Fine)],
    rules: &[names_something],
};
static HEADER: Shape = Shape::Object {
    fields: &[
        ("type", &TYPE, Absent::Default("\"Exact\"")),
        ("name", &Shape::Text { min: 1, max: 256, form: &HEADER_NAME }, Absent::Refused),
        ("value", &Shape::Text { min: 1, max: 4096, form: &ANY }, Absent::Refused),
    ],
    rules: &[],
};
static MATCH: Shape = Shape::Object {
    fields: &[
        ("method", &METHOD, Absent::Fine),
        ("headers", &Shape::List { of: &HEADER, min: 0, max: 16, unique: Unique::By(&["name"]), rules: &[] }, Absent::Fine),
    ],
    rules: &[],
};

static RULE: Shape = Shape::Object {
    fields: &[
        ("name", &SECTION_NAME, Absent::Fine),
        ("matches", &Shape::List { of: &MATCH, min: 0, max: 64, unique: Unique::No, rules: &[] }, Absent::Fine),
        ("filters", &FILTERS, Absent::Fine),
        ("backendRefs", &Shape::List { of: &BACKEND, min: 0, max: 16, unique: Unique::No, rules: &[] }, Absent::Fine),
        ("sessionPersistence", &SESSION, Absent::Fine),
    ],
    rules: &[],
};
static SPEC: Shape = Shape::Object {
    fields: &[
        ("parentRefs", &PARENTS, Absent::Fine),
        ("hostnames", &HOSTNAMES, Absent::Fine),
        (
            "rules",
            &Shape::List { of: &RULE, min: 0, max: 16, unique: Unique::No, rules: &[matches_are_not_too_many, rule_names_differ] },
            Absent::Fine,
        ),
        ("useDefaultGateways", &DEFAULT_GATEWAYS, Absent::Fine),
    ],
    rules: &[],
};

/// GRPCRoute.
pub static GRPC_ROUTE: Checks = Checks::of(&Shape::Object { fields: &[("spec", &SPEC, Absent::Fine)], rules: &[] });
