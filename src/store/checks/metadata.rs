//! Metadata, the same for all kinds.

use serde_json::Value;

use super::forms::{ANNOTATION_KEY, ANY, Form, LABEL, LABEL_VALUE, QUALIFIED_NAME};
use super::shape::{Absent, Null, Shape, Unique, Violation, conform};

/// Bytes of all annotations together, at most.
const ANNOTATIONS: usize = 256 << 10;

static ANNOTATION: Shape = Shape::Text { min: 0, max: ANNOTATIONS, form: &ANY };
static FINALIZERS: Shape = Shape::List {
    of: &Shape::Text { min: 0, max: usize::MAX, form: &QUALIFIED_NAME },
    min: 0,
    max: usize::MAX,
    unique: Unique::No,
    rules: &[],
};
static METADATA: Shape = Shape::Object {
    fields: &[
        ("name", &Shape::Text { min: 1, max: 253, form: &ANY }, Absent::Refused),
        ("namespace", &Shape::Text { min: 1, max: 63, form: &LABEL }, Absent::Fine),
        (
            "labels",
            &Shape::Map { of: &Shape::Text { min: 0, max: 63, form: &LABEL_VALUE }, max: usize::MAX, keys: &QUALIFIED_NAME },
            Absent::Fine,
        ),
        ("annotations", &Shape::Map { of: &ANNOTATION, max: usize::MAX, keys: &ANNOTATION_KEY }, Absent::Fine),
        ("finalizers", &FINALIZERS, Absent::Fine),
    ],
    rules: &[|metadata| {
        let entries = metadata.get("annotations")?.as_object()?;
        let size: usize = entries.iter().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum();
        (size > ANNOTATIONS).then(|| Violation::at(".annotations", format!("Too long: may not be more than {ANNOTATIONS} bytes")))?
    }],
};
static OBJECT: Shape = Shape::Object { fields: &[("metadata", &METADATA, Absent::Refused)], rules: &[] };

pub fn check(name: &Form, value: &mut Value) -> Vec<String> {
    let mut violations = conform(&OBJECT, Null::Empty, value);
    if let Some(text) = value.get("metadata").and_then(|metadata| metadata.get("name")).and_then(Value::as_str)
        && text.len() <= 253
        && !(name.holds)(text)
    {
        violations.push(format!("metadata.name: Invalid value: {text:?}: {}", name.message));
    }
    violations
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::check;
    use crate::store::checks::forms::{SERVICE_NAME, SUBDOMAIN};

    #[test]
    fn names_labels_and_annotations_are_checked() {
        let violations = |name, metadata| check(name, &mut json!({ "metadata": metadata }));
        assert_eq!(violations(&SUBDOMAIN, json!({"name": "a.b", "labels": {"x/y": "z", "e": null}, "annotations": {"a": " "}})), [""; 0]);
        assert_eq!(violations(&SERVICE_NAME, json!({"name": "a.b"})).len(), 1);
        assert_eq!(violations(&SERVICE_NAME, json!({"name": "1a"})).len(), 1);
        assert_eq!(violations(&SUBDOMAIN, json!({"name": "A", "namespace": "b.c"})).len(), 2);
        let violations = violations(&SUBDOMAIN, json!({"name": "a", "labels": {"on": true}}));
        assert!(violations[0].starts_with("metadata.labels.on: Invalid value: must be a string"), "{violations:?}");
    }
}
