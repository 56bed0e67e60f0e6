//! ListenerSet.

use super::Checks;
use super::gateway::LISTENERS;
use super::shape::{Absent, Shape};
use super::shared::{GROUP_NAME, KIND_NAME, NAMESPACE_NAME, OBJECT_NAME};

static PARENT: Shape = Shape::Object {
    fields: &[
        ("group", &GROUP_NAME, Absent::Default("\"gateway.networking.k8s.io\"")),
        ("kind", &KIND_NAME, Absent::Default("\"Gateway\"")),
        ("namespace", &NAMESPACE_NAME, Absent::Fine),
        ("name", &OBJECT_NAME, Absent::Refused),
    ],
    rules: &[],
};
static SPEC: Shape =
    Shape::Object { fields: &[("parentRef", &PARENT, Absent::Refused), ("listeners", &LISTENERS, Absent::Refused)], rules: &[] };

/// ListenerSet.
pub static LISTENER_SET: Checks = Checks::of(&Shape::Object { fields: &[("spec", &SPEC, Absent::Refused)], rules: &[] });
