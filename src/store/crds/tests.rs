use kube::core::cel::Validator;
use serde_json::{Value, json};

use super::Crd;

fn crd() -> Crd {
    let spec = json!({
        "type": "object", "required": ["name"],
        "properties": {
            "name": {"type": "string", "maxLength": 3, "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "is immutable"}]},
            "port": {"type": "integer", "default": 80, "minimum": 1},
            "target": {"x-kubernetes-int-or-string": true},
            "note": {"type": "string", "nullable": true, "default": "none"},
            "parts": {
                "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["key"],
                "items": {"type": "object", "properties": {"key": {"type": "string"}, "weight": {"type": "integer", "default": 1}}},
            },
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        },
        "x-kubernetes-validations": [{"rule": "self.port != 81", "message": "81 is taken"}],
    });
    let schema = json!({"type": "object", "required": ["spec"], "properties": {"metadata": {"type": "object"}, "spec": spec}});
    let version = |name: &str, served| json!({"name": name, "served": served, "schema": {"openAPIV3Schema": schema}});
    let definition = json!({
        "spec": {
            "group": "gateway.networking.k8s.io", "names": {"kind": "Gateway"},
            "versions": [version("v1", true), version("v1beta1", false)],
        },
    });
    Crd::compile(&definition).unwrap().unwrap()
}

fn apply(mut value: Value) -> (Value, Vec<String>, Vec<String>) {
    let judged = crd().apply("v1", &mut value, None, &Validator::new()).unwrap();
    (value, judged.unknown, judged.violations)
}

fn violations(spec: Value) -> Vec<String> {
    apply(json!({"metadata": {"name": "a"}, "spec": spec})).2
}

#[test]
fn unknown_fields_go_and_defaults_come() {
    let (value, unknown, violations) = apply(json!({
        "apiVersion": "x/v1", "kind": "X", "metadata": {"name": "a", "labels": {"x": "y"}}, "odd": 1,
        "spec": {"name": "a", "odd": 1, "note": null, "port": null, "parts": [{"key": "a", "odd": 1}], "labels": {"l": "m"}, "free": {"x": 1}},
    }));
    assert_eq!(violations, [""; 0]);
    assert_eq!(unknown, ["odd: unknown field", "spec.odd: unknown field", "spec.parts[0].odd: unknown field"]);
    let spec = json!({
        "name": "a", "note": null, "port": 80, "parts": [{"key": "a", "weight": 1}], "labels": {"l": "m"}, "free": {"x": 1},
    });
    assert_eq!(value, json!({"apiVersion": "x/v1", "kind": "X", "metadata": {"name": "a", "labels": {"x": "y"}}, "spec": spec}));
}

#[test]
fn structure_rules_and_duplicates_are_checked() {
    assert_eq!(violations(json!({"name": "a", "target": "http"})), [""; 0]);
    assert_eq!(violations(json!({"name": "a", "target": 1})), [""; 0]);
    assert_eq!(violations(json!({"name": "a", "port": 81})), ["spec: Invalid value: 81 is taken"]);
    assert_eq!(violations(json!({"name": "a", "parts": [{"key": "x"}, {"key": "x"}]})), ["spec.parts[1]: Duplicate value: \"x\""]);
    for (spec, at) in [
        (json!({}), "spec: "),
        (json!({"name": "long"}), "spec.name: "),
        (json!({"name": 1}), "spec.name: "),
        (json!({"name": "a", "port": 0}), "spec.port: "),
        (json!({"name": "a", "target": true}), "spec.target: "),
    ] {
        let violations = violations(spec.clone());
        assert!(violations.len() == 1 && violations[0].starts_with(at), "{spec}: {violations:?}");
    }
}

#[test]
fn transition_rules_see_the_stored_object() {
    let (old, new) = (json!({"spec": {"name": "a"}}), json!({"spec": {"name": "b"}}));
    let judge = |old: Option<&Value>, new: &Value| crd().apply("v1", &mut new.clone(), old, &Validator::new()).unwrap().violations;
    assert_eq!(judge(Some(&old), &new), ["spec.name: Invalid value: is immutable"]);
    assert_eq!(judge(Some(&old), &old), [""; 0]);
    assert_eq!(judge(None, &new), [""; 0]);
}

#[test]
fn only_served_versions_of_kinds_that_are_read_count() {
    assert!(crd().apply("v1beta1", &mut json!({}), None, &Validator::new()).is_err());
    let other = json!({"spec": {"group": "example.com", "names": {"kind": "Gateway"}, "versions": []}});
    assert!(Crd::compile(&other).unwrap().is_none());
    let bare =
        json!({"spec": {"group": "gateway.networking.k8s.io", "names": {"kind": "Gateway"}, "versions": [{"name": "v1", "served": true}]}});
    assert!(Crd::compile(&bare).is_err());
}
