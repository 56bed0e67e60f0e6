//! Ingress.

use serde_json::Value;

use super::Checks;
use super::forms::{ANY, Form, HOSTNAME, PATH_SEGMENT, PORT_NAME, SERVICE_NAME, SUBDOMAIN, ip};
use super::shape::{Absent, Shape, Unique, Violation};
use super::shared::{items, text};

/// What no path may hold: another proxy would normalise it away.
const SEQUENCES: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
const SUFFIXES: [&str; 2] = ["/..", "/."];

static HOST: Form = Form {
    holds: |text| text.is_empty() || ((HOSTNAME.holds)(text) && ip(text).is_none()),
    message: "must be a lower-case DNS name, optionally with \"*.\" in front; no address, port or trailing dot",
};
static TLS_HOST: Form = Form { holds: HOSTNAME.holds, message: HOSTNAME.message };
static OPTIONAL_PORT_NAME: Form = Form { holds: |text| text.is_empty() || (PORT_NAME.holds)(text), message: PORT_NAME.message };
static OPTIONAL_SECRET: Form = Form { holds: |text| text.is_empty() || (SUBDOMAIN.holds)(text), message: SUBDOMAIN.message };

/// The path type decides what the path may be.
fn path_of_type(path: &Value) -> Option<Violation> {
    let (kind, path) = (text(path, "pathType"), text(path, "path"));
    if kind == "ImplementationSpecific" {
        let relative = !path.is_empty() && !path.starts_with('/');
        return if relative { Violation::at(".path", format!("Invalid value: {path:?}: must be an absolute path")) } else { None };
    }
    if !path.starts_with('/') {
        return Violation::at(".path", format!("Invalid value: {path:?}: must be an absolute path"));
    }
    if let Some(sequence) = SEQUENCES.iter().find(|sequence| path.contains(**sequence)) {
        return Violation::at(".path", format!("Invalid value: {path:?}: must not contain '{sequence}'"));
    }
    let suffix = SUFFIXES.iter().find(|suffix| path.ends_with(**suffix))?;
    Violation::at(".path", format!("Invalid value: {path:?}: cannot end with '{suffix}'"))
}

fn one_backend(backend: &Value) -> Option<Violation> {
    match (backend.get("service").is_some(), backend.get("resource").is_some()) {
        (true, true) => Violation::here("\"\": cannot set both resource and service backends"),
        (false, false) => Violation::here("\"\": resource or service backend is required"),
        _ => None,
    }
}

fn one_port(service: &Value) -> Option<Violation> {
    let port = service.get("port").unwrap_or(&Value::Null);
    let number = port.get("number").and_then(Value::as_i64).unwrap_or_default();
    match (text(port, "name").is_empty(), number) {
        (true, 0) => Violation::at("", "Required value: port name or number is required"),
        (false, 1..) => Violation::here("\"\": cannot set both port name & port number"),
        _ => None,
    }
}

fn something_to_serve(spec: &Value) -> Option<Violation> {
    let empty = items(spec, "rules").is_empty() && spec.get("defaultBackend").is_none();
    if empty { Violation::here("[]: either `defaultBackend` or `rules` must be specified") } else { None }
}

/// The annotation that is older than the field says the same as the field.
fn one_class(ingress: &Value) -> Option<Violation> {
    let annotation = ingress.pointer("/metadata/annotations/kubernetes.io~1ingress.class")?;
    let differs = ingress.pointer("/spec/ingressClassName").is_some_and(|field| field != annotation);
    let message = format!("Invalid value: {annotation}: must match `ingressClassName` when both are specified");
    if differs { Violation::at(".metadata.annotations[kubernetes.io/ingress.class]", message) } else { None }
}

static PORT: Shape = Shape::Object {
    fields: &[
        ("name", &Shape::Text { min: 0, max: 63, form: &OPTIONAL_PORT_NAME }, Absent::Fine),
        // 0 is what a client sends for no number.
        ("number", &Shape::Integer { min: 0, max: 65535 }, Absent::Fine),
    ],
    rules: &[],
};
static SERVICE: Shape = Shape::Object {
    fields: &[("name", &Shape::Text { min: 1, max: 63, form: &SERVICE_NAME }, Absent::Refused), ("port", &PORT, Absent::Fine)],
    rules: &[one_port],
};
static RESOURCE: Shape = Shape::Object {
    fields: &[
        ("apiGroup", &Shape::Text { min: 1, max: 253, form: &SUBDOMAIN }, Absent::Fine),
        ("kind", &Shape::Text { min: 1, max: usize::MAX, form: &PATH_SEGMENT }, Absent::Refused),
        ("name", &Shape::Text { min: 1, max: usize::MAX, form: &PATH_SEGMENT }, Absent::Refused),
    ],
    rules: &[],
};
static BACKEND: Shape =
    Shape::Object { fields: &[("service", &SERVICE, Absent::Fine), ("resource", &RESOURCE, Absent::Fine)], rules: &[one_backend] };
static PATH: Shape = Shape::Object {
    fields: &[
        ("path", &Shape::Text { min: 0, max: usize::MAX, form: &ANY }, Absent::Fine),
        ("pathType", &Shape::Choice(&["Exact", "ImplementationSpecific", "Prefix"]), Absent::Refused),
        ("backend", &BACKEND, Absent::Refused),
    ],
    rules: &[path_of_type],
};
static RULE: Shape = Shape::Object {
    fields: &[
        ("host", &Shape::Text { min: 0, max: 253, form: &HOST }, Absent::Fine),
        (
            "http",
            &Shape::Object {
                fields: &[("paths", &Shape::List { of: &PATH, min: 1, max: usize::MAX, unique: Unique::No, rules: &[] }, Absent::Refused)],
                rules: &[],
            },
            Absent::Fine,
        ),
    ],
    rules: &[],
};
static TLS: Shape = Shape::Object {
    fields: &[
        (
            "hosts",
            &Shape::List {
                of: &Shape::Text { min: 1, max: 253, form: &TLS_HOST },
                min: 0,
                max: usize::MAX,
                unique: Unique::No,
                rules: &[],
            },
            Absent::Fine,
        ),
        ("secretName", &Shape::Text { min: 0, max: 253, form: &OPTIONAL_SECRET }, Absent::Fine),
    ],
    rules: &[],
};
static SPEC: Shape = Shape::Object {
    fields: &[
        ("ingressClassName", &Shape::Text { min: 1, max: 253, form: &SUBDOMAIN }, Absent::Fine),
        ("defaultBackend", &BACKEND, Absent::Fine),
        ("rules", &Shape::List { of: &RULE, min: 0, max: usize::MAX, unique: Unique::No, rules: &[] }, Absent::Fine),
        ("tls", &Shape::List { of: &TLS, min: 0, max: usize::MAX, unique: Unique::No, rules: &[] }, Absent::Fine),
    ],
    rules: &[something_to_serve],
};

/// Ingress.
pub static INGRESS: Checks = Checks::built_in(&Shape::Object { fields: &[("spec", &SPEC, Absent::Default("{}"))], rules: &[one_class] });

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::INGRESS;

    fn check(spec: Value) -> Vec<String> {
        INGRESS.body(&mut json!({ "spec": spec }))
    }

    fn backend() -> Value {
        json!({"service": {"name": "shop", "port": {"number": 80}}})
    }

    fn path(kind: &str, path: &str) -> Value {
        json!({"rules": [{"http": {"paths": [{"pathType": kind, "path": path, "backend": backend()}]}}]})
    }

    #[test]
    fn there_is_a_rule_or_a_default_backend() {
        assert_eq!(check(json!({})), ["spec: Invalid value: []: either `defaultBackend` or `rules` must be specified"]);
        assert_eq!(check(json!({"defaultBackend": backend()})), [""; 0]);
        assert_eq!(check(json!({"rules": [{"host": "a.com"}]})), [""; 0]);
        assert_eq!(check(json!({"rules": [{"http": {}}]})), ["spec.rules[0].http.paths: Required value"]);
        assert_eq!(check(json!({"rules": [{"http": {"paths": []}}]})).len(), 1);
    }

    #[test]
    fn the_path_type_is_required_and_says_what_a_path_is() {
        let untyped = json!({"rules": [{"http": {"paths": [{"path": "/", "backend": backend()}]}}]});
        assert_eq!(check(untyped), ["spec.rules[0].http.paths[0].pathType: Required value"]);
        assert_eq!(check(path("Glob", "/")).len(), 1);
        for kind in ["Exact", "Prefix"] {
            assert_eq!(check(path(kind, "/a/b")), [""; 0]);
            for bad in ["", "a", "/a//b", "/./a", "/a/../b", "/a%2fb", "/a/.", "/a/.."] {
                assert_eq!(check(path(kind, bad)).len(), 1, "{kind} {bad:?}");
            }
        }
        for good in ["", "/", "/a//b"] {
            assert_eq!(check(path("ImplementationSpecific", good)), [""; 0]);
        }
        assert_eq!(check(path("ImplementationSpecific", "a")).len(), 1);
    }

    #[test]
    fn hosts_are_names_with_at_most_one_wildcard_label_in_front() {
        let host = |host: &str| check(json!({"rules": [{"host": host}]})).len();
        for good in ["", "a.com", "*.a.com"] {
            assert_eq!(host(good), 0, "{good:?}");
        }
        for bad in ["*", "*a.com", "a.*.com", "1.2.3.4", "A.com", "a.com:80", "a.com.", "*.*.com"] {
            assert_eq!(host(bad), 1, "{bad:?}");
        }
    }

    #[test]
    fn a_backend_is_a_service_port_or_a_resource() {
        let check = |backend: Value| check(json!({"defaultBackend": backend})).len();
        let service = |port: Value| json!({"service": {"name": "shop", "port": port}});
        for good in [service(json!({"number": 80})), service(json!({"name": "http"})), json!({"resource": {"kind": "Bucket", "name": "b"}})]
        {
            assert_eq!(check(good.clone()), 0, "{good}");
        }
        for bad in [
            json!({}),
            json!({"service": {"name": "shop"}}),
            json!({"service": {"port": {"number": 80}}}),
            service(json!({})),
            service(json!({"number": 0})),
            service(json!({"number": 70_000})),
            service(json!({"name": "http", "number": 80})),
            service(json!({"name": "not--a-name"})),
            json!({"resource": {"kind": "Bucket"}}),
            json!({"resource": {"kind": "Bucket", "name": "b"}, "service": {"name": "shop", "port": {"number": 80}}}),
        ] {
            assert_eq!(check(bad.clone()), 1, "{bad}");
        }
    }

    #[test]
    fn tls_names_hosts_and_a_secret() {
        let check = |tls: Value| check(json!({"defaultBackend": backend(), "tls": [tls]})).len();
        for good in [json!({}), json!({"hosts": ["a.com", "*.b.com"], "secretName": "s"}), json!({"secretName": ""})] {
            assert_eq!(check(good.clone()), 0, "{good}");
        }
        for bad in [json!({"hosts": [""]}), json!({"hosts": ["a b"]}), json!({"secretName": "A"})] {
            assert_eq!(check(bad.clone()), 1, "{bad}");
        }
    }
}
