//! Gateway.

use serde_json::Value;

use super::Checks;
use super::forms::{ADDRESS_TYPE, ANY, HOSTNAME, LABEL_VALUE, PROTOCOL, QUALIFIED_NAME, ip};
use super::shape::{Absent, Shape, Unique, Violation};
use super::shared::{GROUP_NAME, KIND_NAME, LOCAL_REFERENCE, OBJECT_NAME, PORT, REFERENCE, SECRET_REFERENCE, SECTION_NAME, text};

static LABELS: Shape = Shape::Map { of: &Shape::Text { min: 0, max: 63, form: &LABEL_VALUE }, max: 8, keys: &QUALIFIED_NAME };
static ANNOTATIONS: Shape = Shape::Map { of: &Shape::Text { min: 0, max: 4096, form: &ANY }, max: 16, keys: &QUALIFIED_NAME };
static INFRASTRUCTURE: Shape = Shape::Object {
    fields: &[
        ("labels", &LABELS, Absent::Fine),
        ("annotations", &ANNOTATIONS, Absent::Fine),
        ("parametersRef", &LOCAL_REFERENCE, Absent::Fine),
    ],
    rules: &[],
};

fn address_fits_its_type(address: &Value) -> Option<Violation> {
    let value = address.get("value")?.as_str()?;
    let invalid = |message| Violation::at(".value", format!("Invalid value: {value:?}: {message}"));
    match text(address, "type") {
        "IPAddress" if ip(value).is_none() => invalid("must be an IPv4 or IPv6 address, as the type is IPAddress"),
        "Hostname" if !(HOSTNAME.holds)(value) => invalid(HOSTNAME.message),
        _ => None,
    }
}

fn addresses_differ(addresses: &Value) -> Option<Violation> {
    let typed = |address: &Value| {
        let kind = text(address, "type").to_owned();
        let value = address.get("value")?.as_str()?.to_owned();
        ["IPAddress", "Hostname"].contains(&kind.as_str()).then_some((kind, value))
    };
    let mut seen = std::collections::BTreeSet::new();
    let (kind, _) = addresses.as_array()?.iter().filter_map(typed).find(|address| !seen.insert(address.clone()))?;
    Violation::here(format!("{kind} values must be unique"))
}

static ADDRESSES: Shape = Shape::List {
    of: &Shape::Object {
        fields: &[
            ("type", &Shape::Text { min: 1, max: 253, form: &ADDRESS_TYPE }, Absent::Default("\"IPAddress\"")),
            ("value", &Shape::Text { min: 0, max: 253, form: &ANY }, Absent::Fine),
        ],
        rules: &[address_fits_its_type],
    },
    min: 0,
    max: 16,
    unique: Unique::No,
    rules: &[addresses_differ],
};

static ROUTE_KINDS: Shape = Shape::List {
    of: &Shape::Object {
        fields: &[("group", &GROUP_NAME, Absent::Default("\"gateway.networking.k8s.io\"")), ("kind", &KIND_NAME, Absent::Refused)],
        rules: &[],
    },
    min: 0,
    max: 8,
    unique: Unique::No,
    rules: &[],
};

static REQUIREMENT: Shape = Shape::Object {
    fields: &[
        ("key", &Shape::Text { min: 0, max: usize::MAX, form: &ANY }, Absent::Refused),
        ("operator", &Shape::Text { min: 0, max: usize::MAX, form: &ANY }, Absent::Refused),
    ],
    rules: &[],
};
static SELECTOR: Shape = Shape::Object {
    fields: &[
        ("matchExpressions", &Shape::List { of: &REQUIREMENT, min: 0, max: usize::MAX, unique: Unique::No, rules: &[] }, Absent::Fine),
        (
            "matchLabels",
            &Shape::Map { of: &Shape::Text { min: 0, max: usize::MAX, form: &ANY }, max: usize::MAX, keys: &ANY },
            Absent::Fine,
        ),
    ],
    rules: &[],
};

static ROUTE_NAMESPACES: Shape = Shape::Object {
    fields: &[("from", &Shape::Choice(&["All", "Selector", "Same"]), Absent::Default("\"Same\"")), ("selector", &SELECTOR, Absent::Fine)],
    rules: &[],
};
static ALLOWED_ROUTES: Shape = Shape::Object {
    fields: &[("namespaces", &ROUTE_NAMESPACES, Absent::Default("{}")), ("kinds", &ROUTE_KINDS, Absent::Fine)],
    rules: &[],
};
static LISTENER_NAMESPACES: Shape = Shape::Object {
    fields: &[
        ("from", &Shape::Choice(&["All", "Selector", "Same", "None"]), Absent::Default("\"None\"")),
        ("selector", &SELECTOR, Absent::Fine),
    ],
    rules: &[],
};
static ALLOWED_LISTENERS: Shape = Shape::Object { fields: &[("namespaces", &LISTENER_NAMESPACES, Absent::Default("{}"))], rules: &[] };

fn terminating_needs_certificates(tls: &Value) -> Option<Violation> {
    let has = |field: &str| match tls.get(field) {
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(entries)) => !entries.is_empty(),
        _ => false,
    };
    let is_bare = text(tls, "mode") == "Terminate" && !has("certificateRefs") && !has("options");
    if is_bare { Violation::here("certificateRefs or options must be specified when mode is Terminate") } else { None }
}

static TLS: Shape = Shape::Object {
    fields: &[
        ("mode", &Shape::Choice(&["Terminate", "Passthrough"]), Absent::Default("\"Terminate\"")),
        ("certificateRefs", &Shape::List { of: &SECRET_REFERENCE, min: 0, max: 64, unique: Unique::No, rules: &[] }, Absent::Fine),
        ("options", &Shape::Map { of: &Shape::Text { min: 0, max: 4096, form: &ANY }, max: 16, keys: &ANY }, Absent::Fine),
    ],
    rules: &[terminating_needs_certificates],
};

fn tls_fits_the_protocol(listener: &Value) -> Option<Violation> {
    let (protocol, mode) = (text(listener, "protocol"), listener.get("tls").map(|tls| text(tls, "mode")));
    match (protocol, mode) {
        ("HTTP" | "TCP" | "UDP", Some(_)) => Violation::at(".tls", format!("Invalid value: must not be specified for protocol {protocol}")),
        ("HTTPS", Some(mode)) if mode != "Terminate" => Violation::at(".tls.mode", "Invalid value: must be Terminate for protocol HTTPS"),
        ("TLS", None) => Violation::at(".tls", "Required value: must be set for protocol TLS"),
        _ => None,
    }
}

fn hostname_fits_the_protocol(listener: &Value) -> Option<Violation> {
    let is_plain = ["TCP", "UDP"].contains(&text(listener, "protocol")) && listener.get("hostname").is_some();
    if is_plain { Violation::at(".hostname", "Invalid value: must not be specified for protocols TCP and UDP") } else { None }
}

static LISTENER: Shape = Shape::Object {
    fields: &[
        ("name", &SECTION_NAME, Absent::Refused),
        ("hostname", &Shape::Text { min: 1, max: 253, form: &HOSTNAME }, Absent::Fine),
        ("port", &PORT, Absent::Refused),
        ("protocol", &Shape::Text { min: 1, max: 255, form: &PROTOCOL }, Absent::Refused),
        ("tls", &TLS, Absent::Fine),
        ("allowedRoutes", &ALLOWED_ROUTES, Absent::Default("{}")),
    ],
    rules: &[tls_fits_the_protocol, hostname_fits_the_protocol],
};

fn listeners_differ(listeners: &Value) -> Option<Violation> {
    let mut seen = std::collections::BTreeMap::new();
    for (index, listener) in listeners.as_array()?.iter().enumerate() {
        let key = (listener.get("port")?.as_i64()?, text(listener, "protocol"), text(listener, "hostname"));
        if let Some(first) = seen.insert(key, text(listener, "name")) {
            return Violation::at(
                format!("[{index}]"),
                format!("Invalid value: port, protocol and hostname are those of listener {first:?}; their combination must be unique"),
            );
        }
    }
    None
}

static VALIDATION: Shape = Shape::Object {
    fields: &[
        ("caCertificateRefs", &Shape::List { of: &REFERENCE, min: 1, max: 16, unique: Unique::No, rules: &[] }, Absent::Refused),
        ("mode", &Shape::Choice(&["AllowValidOnly", "AllowInsecureFallback"]), Absent::Default("\"AllowValidOnly\"")),
    ],
    rules: &[],
};
static FRONTEND_TLS: Shape = Shape::Object { fields: &[("validation", &VALIDATION, Absent::Fine)], rules: &[] };
static PORT_TLS: Shape = Shape::Object { fields: &[("port", &PORT, Absent::Refused), ("tls", &FRONTEND_TLS, Absent::Refused)], rules: &[] };
static GATEWAY_TLS: Shape = Shape::Object {
    fields: &[
        ("backend", &Shape::Object { fields: &[("clientCertificateRef", &SECRET_REFERENCE, Absent::Fine)], rules: &[] }, Absent::Fine),
        (
            "frontend",
            &Shape::Object {
                fields: &[
                    ("default", &FRONTEND_TLS, Absent::Refused),
                    ("perPort", &Shape::List { of: &PORT_TLS, min: 0, max: 64, unique: Unique::By(&["port"]), rules: &[] }, Absent::Fine),
                ],
                rules: &[],
            },
            Absent::Fine,
        ),
    ],
    rules: &[],
};

pub static LISTENERS: Shape = Shape::List { of: &LISTENER, min: 1, max: 64, unique: Unique::By(&["name"]), rules: &[listeners_differ] };
static SPEC: Shape = Shape::Object {
    fields: &[
        ("gatewayClassName", &OBJECT_NAME, Absent::Refused),
        ("listeners", &LISTENERS, Absent::Refused),
        ("addresses", &ADDRESSES, Absent::Fine),
        ("infrastructure", &INFRASTRUCTURE, Absent::Fine),
        ("allowedListeners", &ALLOWED_LISTENERS, Absent::Fine),
        ("tls", &GATEWAY_TLS, Absent::Fine),
        ("defaultScope", &Shape::Choice(&["All", "None"]), Absent::Fine),
    ],
    rules: &[],
};

/// Gateway.
pub static GATEWAY: Checks = Checks::of(&Shape::Object { fields: &[("spec", &SPEC, Absent::Refused)], rules: &[] });
