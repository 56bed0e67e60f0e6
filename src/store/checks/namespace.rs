//! Namespace.

use super::Checks;
use super::forms::LABEL;
use super::shape::Shape;

/// Namespace.
pub static NAMESPACE: Checks = Checks { name: &LABEL, ..Checks::built_in(&Shape::Object { fields: &[], rules: &[] }) };
