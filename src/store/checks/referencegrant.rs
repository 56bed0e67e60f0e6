//! ReferenceGrant.

use super::Checks;
use super::shape::{Absent, Shape, Unique};
use super::shared::{GROUP_NAME, KIND_NAME, NAMESPACE_NAME, OBJECT_NAME};

static FROM: Shape = Shape::Object {
    fields: &[
        ("group", &GROUP_NAME, Absent::Refused),
        ("kind", &KIND_NAME, Absent::Refused),
        ("namespace", &NAMESPACE_NAME, Absent::Refused),
    ],
    rules: &[],
};
static TO: Shape = Shape::Object {
    fields: &[("group", &GROUP_NAME, Absent::Refused), ("kind", &KIND_NAME, Absent::Refused), ("name", &OBJECT_NAME, Absent::Fine)],
    rules: &[],
};
static SPEC: Shape = Shape::Object {
    fields: &[
        ("from", &Shape::List { of: &FROM, min: 1, max: 16, unique: Unique::No, rules: &[] }, Absent::Refused),
        ("to", &Shape::List { of: &TO, min: 1, max: 16, unique: Unique::No, rules: &[] }, Absent::Refused),
    ],
    rules: &[],
};

/// ReferenceGrant.
pub static REFERENCE_GRANT: Checks = Checks::of(&Shape::Object { fields: &[("spec", &SPEC, Absent::Refused)], rules: &[] });
