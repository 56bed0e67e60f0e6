//! IngressClass.

use serde_json::Value;

use super::Checks;
use super::forms::{DOMAIN_PREFIXED, LABEL, PATH_SEGMENT, SUBDOMAIN};
use super::shape::{Absent, Shape, Violation};
use super::shared::text;

fn scope_and_namespace(parameters: &Value) -> Option<Violation> {
    match (text(parameters, "scope"), text(parameters, "namespace").is_empty()) {
        ("Namespace", true) => Violation::at(".namespace", "Required value: parameters of a namespace name it"),
        ("Cluster", false) => Violation::at(".namespace", "Forbidden: cluster-wide parameters have no namespace"),
        _ => None,
    }
}

static PARAMETERS: Shape = Shape::Object {
    fields: &[
        ("apiGroup", &Shape::Text { min: 1, max: 253, form: &SUBDOMAIN }, Absent::Fine),
        ("kind", &Shape::Text { min: 1, max: usize::MAX, form: &PATH_SEGMENT }, Absent::Refused),
        ("name", &Shape::Text { min: 1, max: usize::MAX, form: &PATH_SEGMENT }, Absent::Refused),
        ("scope", &Shape::Choice(&["Cluster", "Namespace"]), Absent::Default("\"Cluster\"")),
        ("namespace", &Shape::Text { min: 0, max: 63, form: &LABEL_OR_EMPTY }, Absent::Fine),
    ],
    rules: &[scope_and_namespace],
};

static LABEL_OR_EMPTY: super::Form = super::Form { holds: |text| text.is_empty() || (LABEL.holds)(text), message: LABEL.message };

static SPEC: Shape = Shape::Object {
    fields: &[
        ("controller", &Shape::Text { min: 1, max: 250, form: &DOMAIN_PREFIXED }, Absent::Refused),
        ("parameters", &PARAMETERS, Absent::Fine),
    ],
    rules: &[],
};

/// IngressClass. `controller` cannot be changed.
pub static INGRESS_CLASS: Checks = Checks {
    transition: |old, new| {
        let controller = |value: &Value| value.pointer("/spec/controller").cloned();
        (controller(old) != controller(new)).then(|| "spec.controller: Invalid value: field is immutable".to_owned())
    },
    ..Checks::built_in(&Shape::Object { fields: &[("spec", &SPEC, Absent::Refused)], rules: &[] })
};

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::INGRESS_CLASS;

    #[test]
    fn parameters_have_a_scope() {
        let mut class = json!({"spec": {"controller": "a.b/c", "parameters": {"kind": "P", "name": "p"}}});
        assert_eq!(INGRESS_CLASS.body(&mut class), [""; 0]);
        assert_eq!(class["spec"]["parameters"]["scope"], "Cluster");
        let check = |parameters| INGRESS_CLASS.body(&mut json!({"spec": {"controller": "a.b/c", "parameters": parameters}})).len();
        assert_eq!(check(json!({"kind": "P", "name": "p", "scope": "Namespace", "namespace": "a"})), 0);
        for bad in [
            json!({"name": "p"}),
            json!({"kind": "P"}),
            json!({"kind": "P", "name": "p", "scope": "Namespace"}),
            json!({"kind": "P", "name": "p", "namespace": "a"}),
            json!({"kind": "P", "name": "p", "scope": "Else"}),
        ] {
            assert_eq!(check(bad.clone()), 1, "{bad}");
        }
    }

    #[test]
    fn the_controller_is_a_domain_prefixed_path_and_stays() {
        let class = |controller: &str| json!({"spec": {"controller": controller}});
        for bad in ["", "a", "a/", "A/b", &format!("a.b/{}", "c".repeat(250))] {
            assert_eq!(INGRESS_CLASS.body(&mut class(bad)).len(), 1, "{bad}");
        }
        assert!(INGRESS_CLASS.transition(&class("a.b/c"), &class("a.b/d")).is_some());
        assert!(INGRESS_CLASS.transition(&class("a.b/c"), &class("a.b/c")).is_none());
    }
}
