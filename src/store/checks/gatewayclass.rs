//! GatewayClass.

use serde_json::Value;

use super::Checks;
use super::forms::{ANY, DOMAIN_PREFIXED};
use super::shape::{Absent, Shape};
use super::shared::REFERENCE;

static SPEC: Shape = Shape::Object {
    fields: &[
        ("controllerName", &Shape::Text { min: 1, max: 253, form: &DOMAIN_PREFIXED }, Absent::Refused),
        ("description", &Shape::Text { min: 0, max: 64, form: &ANY }, Absent::Fine),
        ("parametersRef", &REFERENCE, Absent::Fine),
    ],
    rules: &[],
};

/// GatewayClass. `controllerName` cannot be changed.
pub static GATEWAY_CLASS: Checks = Checks {
    transition: |old, new| {
        let controller = |value: &Value| value.pointer("/spec/controllerName").cloned();
        (controller(old) != controller(new)).then(|| "spec.controllerName: Invalid value: Value is immutable".to_owned())
    },
    ..Checks::of(&Shape::Object { fields: &[("spec", &SPEC, Absent::Refused)], rules: &[] })
};
