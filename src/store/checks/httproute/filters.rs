//! Filters of an HTTPRoute.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::super::forms::{ANY, Form, HEADER_NAME, HEADER_VALUE, PRECISE_HOSTNAME, is_path};
use super::super::shape::{Absent, Shape, Unique, Violation};
use super::super::shared::{BACKEND_REFERENCE, LOCAL_REFERENCE, PORT, text};

/// Filter types, with the field that holds the parameters of each, and whether it may occur more than once.
const TYPES: &[(&str, &str, bool)] = &[
    ("RequestHeaderModifier", "requestHeaderModifier", false),
    ("ResponseHeaderModifier", "responseHeaderModifier", false),
    ("RequestMirror", "requestMirror", true),
    ("RequestRedirect", "requestRedirect", false),
    ("URLRewrite", "urlRewrite", false),
    ("ExtensionRef", "extensionRef", true),
    ("CORS", "cors", false),
    ("ExternalAuth", "externalAuth", true),
];

/// The parameters of the type, and of no other.
pub fn parameters_fit_the_type(filter: &Value) -> Option<Violation> {
    for (name, field, _) in TYPES {
        match (text(filter, "type") == *name, filter.get(field).is_some()) {
            (true, false) => {
                return Violation::at(format!(".{field}"), format!("Required value: must be specified for {name} filter.type"));
            }
            (false, true) => {
                return Violation::at(
                    format!(".{field}"),
                    format!("Invalid value: must not be specified if the filter.type is not {name}"),
                );
            }
            _ => {}
        }
    }
    None
}

/// What filters of one list may not do together.
pub fn filters_go_together(filters: &Value) -> Option<Violation> {
    let filters = filters.as_array()?;
    let count = |name: &str| filters.iter().filter(|filter| text(filter, "type") == name).count();
    if count("RequestRedirect") > 0 && count("URLRewrite") > 0 {
        return Violation::here("may specify either RequestRedirect or URLRewrite, but not both");
    }
    let (name, ..) = TYPES.iter().find(|(name, _, repeats)| !repeats && count(name) > 1)?;
    Violation::here(format!("{name} filter cannot be repeated"))
}

static NAME: Shape = Shape::Text { min: 1, max: 256, form: &HEADER_NAME };
static HEADER: Shape = Shape::Object {
    fields: &[("name", &NAME, Absent::Refused), ("value", &Shape::Text { min: 1, max: 4096, form: &HEADER_VALUE }, Absent::Refused)],
    rules: &[],
};
static HEADERS: Shape = Shape::List { of: &HEADER, min: 0, max: 16, unique: Unique::By(&["name"]), rules: &[] };
static REMOVED: Shape =
    Shape::List { of: &Shape::Text { min: 0, max: usize::MAX, form: &ANY }, min: 0, max: 16, unique: Unique::Items, rules: &[] };
pub static HEADER_MODIFIER: Shape = Shape::Object {
    fields: &[("set", &HEADERS, Absent::Fine), ("add", &HEADERS, Absent::Fine), ("remove", &REMOVED, Absent::Fine)],
    rules: &[],
};

fn path_modifier_fits_its_type(path: &Value) -> Option<Violation> {
    for (name, field) in [("ReplaceFullPath", "replaceFullPath"), ("ReplacePrefixMatch", "replacePrefixMatch")] {
        match (text(path, "type") == name, path.get(field).is_some()) {
            (true, false) => {
                return Violation::at(format!(".{field}"), format!("Required value: must be specified when type is set to '{name}'"));
            }
            (false, true) => return Violation::at(".type", format!("Invalid value: must be '{name}' when {field} is set")),
            _ => {}
        }
    }
    None
}

static NEW_PATH: Shape = Shape::Text { min: 0, max: 1024, form: &ANY };
static PATH_MODIFIER: Shape = Shape::Object {
    fields: &[
        ("type", &Shape::Choice(&["ReplaceFullPath", "ReplacePrefixMatch"]), Absent::Refused),
        ("replaceFullPath", &NEW_PATH, Absent::Fine),
        ("replacePrefixMatch", &NEW_PATH, Absent::Fine),
    ],
    rules: &[path_modifier_fits_its_type],
};

static NEW_HOSTNAME: Shape = Shape::Text { min: 1, max: 253, form: &PRECISE_HOSTNAME };

fn is_redirect_status(value: &Value) -> Option<Violation> {
    match value.as_i64() {
        Some(301 | 302 | 303 | 307 | 308) => None,
        _ => Violation::at("", "Unsupported value: supported values: 301, 302, 303, 307, 308"),
    }
}

static REDIRECT: Shape = Shape::Object {
    fields: &[
        ("scheme", &Shape::Choice(&["http", "https"]), Absent::Fine),
        ("hostname", &NEW_HOSTNAME, Absent::Fine),
        ("path", &PATH_MODIFIER, Absent::Fine),
        ("port", &PORT, Absent::Fine),
        ("statusCode", &Shape::Any(&[is_redirect_status]), Absent::Default("302")),
    ],
    rules: &[],
};
static REWRITE: Shape =
    Shape::Object { fields: &[("hostname", &NEW_HOSTNAME, Absent::Fine), ("path", &PATH_MODIFIER, Absent::Fine)], rules: &[] };

static FRACTION: Shape = Shape::Object {
    fields: &[
        ("numerator", &Shape::Integer { min: 0, max: i32::MAX as i64 }, Absent::Refused),
        ("denominator", &Shape::Integer { min: 1, max: i32::MAX as i64 }, Absent::Default("100")),
    ],
    rules: &[|fraction| {
        let part = |field: &str| fraction.get(field).and_then(Value::as_i64);
        let is_over = part("numerator") > part("denominator");
        if is_over { Violation::here("numerator must be less than or equal to denominator") } else { None }
    }],
};
pub static MIRROR: Shape = Shape::Object {
    fields: &[
        ("backendRef", &BACKEND_REFERENCE, Absent::Refused),
        ("percent", &Shape::Integer { min: 0, max: 100 }, Absent::Fine),
        ("fraction", &FRACTION, Absent::Fine),
    ],
    rules: &[|mirror| {
        let both = mirror.get("percent").is_some() && mirror.get("fraction").is_some();
        if both { Violation::here("only one of percent or fraction may be specified") } else { None }
    }],
};

static ORIGIN: Form = Form {
    holds: |text| {
        static PATTERN: LazyLock<Option<Regex>> =
            LazyLock::new(|| Regex::new(r"^https?://(\*|(\*\.)?([A-Za-z0-9-]+\.)*[A-Za-z0-9-]+)(:[0-9]{1,5})?$").ok());
        text == "*" || PATTERN.as_ref().is_some_and(|pattern| pattern.is_match(text))
    },
    message: "must be \"*\" or an origin such as https://example.com or https://*.example.com:8443",
};

fn star_stands_alone(list: &Value) -> Option<Violation> {
    let list = list.as_array()?;
    let crowded = list.len() > 1 && list.iter().any(|item| item == "*");
    if crowded { Violation::here("cannot contain '*' alongside other values") } else { None }
}

static METHOD: Shape = Shape::Choice(&["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "*"]);
static CORS: Shape = Shape::Object {
    fields: &[
        (
            "allowOrigins",
            &Shape::List {
                of: &Shape::Text { min: 1, max: 253, form: &ORIGIN },
                min: 0,
                max: 64,
                unique: Unique::Items,
                rules: &[star_stands_alone],
            },
            Absent::Fine,
        ),
        ("allowCredentials", &Shape::Boolean, Absent::Fine),
        ("allowMethods", &Shape::List { of: &METHOD, min: 0, max: 9, unique: Unique::Items, rules: &[star_stands_alone] }, Absent::Fine),
        ("allowHeaders", &Shape::List { of: &NAME, min: 0, max: 64, unique: Unique::Items, rules: &[star_stands_alone] }, Absent::Fine),
        ("exposeHeaders", &Shape::List { of: &NAME, min: 0, max: 64, unique: Unique::Items, rules: &[] }, Absent::Fine),
        ("maxAge", &Shape::Integer { min: 1, max: i32::MAX as i64 }, Absent::Default("5")),
    ],
    rules: &[],
};

fn protocol_has_its_parameters(auth: &Value) -> Option<Violation> {
    for (name, field) in [("GRPC", "grpc"), ("HTTP", "http")] {
        match (text(auth, "protocol") == name, auth.get(field).is_some()) {
            (true, false) => {
                return Violation::at(format!(".{field}"), format!("Required value: must be specified when protocol is set to '{name}'"));
            }
            (false, true) => return Violation::at(".protocol", format!("Invalid value: must be '{name}' when {field} is set")),
            _ => {}
        }
    }
    None
}

static NAMES: Shape =
    Shape::List { of: &Shape::Text { min: 0, max: usize::MAX, form: &ANY }, min: 0, max: 64, unique: Unique::Items, rules: &[] };
static AUTH_PATH: Form = Form { holds: is_path, message: "must only contain characters of a path" };
static EXTERNAL_AUTH: Shape = Shape::Object {
    fields: &[
        ("protocol", &Shape::Choice(&["HTTP", "GRPC"]), Absent::Refused),
        ("backendRef", &BACKEND_REFERENCE, Absent::Refused),
        ("grpc", &Shape::Object { fields: &[("allowedHeaders", &NAMES, Absent::Fine)], rules: &[] }, Absent::Fine),
        (
            "http",
            &Shape::Object {
                fields: &[
                    ("path", &Shape::Text { min: 0, max: 1024, form: &AUTH_PATH }, Absent::Fine),
                    ("allowedHeaders", &NAMES, Absent::Fine),
                    ("allowedResponseHeaders", &NAMES, Absent::Fine),
                ],
                rules: &[],
            },
            Absent::Fine,
        ),
    ],
    rules: &[protocol_has_its_parameters],
};

static TYPE: Shape = Shape::Choice(&[
    "RequestHeaderModifier",
    "ResponseHeaderModifier",
    "RequestMirror",
    "RequestRedirect",
    "URLRewrite",
    "ExtensionRef",
    "CORS",
    "ExternalAuth",
]);

pub static FILTER: Shape = Shape::Object {
    fields: &[
        ("type", &TYPE, Absent::Refused),
        ("requestHeaderModifier", &HEADER_MODIFIER, Absent::Fine),
        ("responseHeaderModifier", &HEADER_MODIFIER, Absent::Fine),
        ("requestMirror", &MIRROR, Absent::Fine),
        ("requestRedirect", &REDIRECT, Absent::Fine),
        ("urlRewrite", &REWRITE, Absent::Fine),
        ("extensionRef", &LOCAL_REFERENCE, Absent::Fine),
        ("cors", &CORS, Absent::Fine),
        ("externalAuth", &EXTERNAL_AUTH, Absent::Fine),
    ],
    rules: &[parameters_fit_the_type],
};
