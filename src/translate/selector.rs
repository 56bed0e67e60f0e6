//! Label selectors.

use std::collections::BTreeMap;

/// A label selector: all requirements hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selector(Vec<Requirement>);

/// A requirement on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    DoesNotExist(String),
    /// The operator is not known or lacks its values: nothing fits.
    Invalid(String),
}

impl Requirement {
    pub(super) fn equals(key: &str, value: &str) -> Self {
        Self::In(key.to_owned(), vec![value.to_owned()])
    }

    pub(super) fn new(key: &str, operator: &str, values: &[String]) -> Self {
        let key = key.to_owned();
        match (operator, values.is_empty()) {
            ("In", false) => Self::In(key, values.to_vec()),
            ("NotIn", false) => Self::NotIn(key, values.to_vec()),
            ("Exists", true) => Self::Exists(key),
            ("DoesNotExist", true) => Self::DoesNotExist(key),
            _ => Self::Invalid(operator.to_owned()),
        }
    }

    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Self::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
            Self::Exists(key) => labels.contains_key(key),
            Self::DoesNotExist(key) => !labels.contains_key(key),
            Self::Invalid(_) => false,
        }
    }
}

impl Selector {
    pub(super) fn new(requirements: impl Iterator<Item = Requirement>) -> Self {
        Self(requirements.collect())
    }

    /// The selector that is missing where one is required.
    pub(super) fn nothing() -> Self {
        Self(vec![Requirement::Invalid(String::new())])
    }

    /// Whether all requirements hold. A selector without requirements takes everything.
    pub(super) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| requirement.holds(labels))
    }

    /// The first operator that cannot be evaluated.
    pub(super) fn invalid(&self) -> Option<&str> {
        self.0.iter().find_map(|requirement| match requirement {
            Requirement::Invalid(operator) => Some(operator.as_str()),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Requirement, Selector};

    #[test]
    fn operators() {
        let labels: BTreeMap<_, _> = [("team".to_owned(), "a".to_owned())].into();
        let values = ["a".to_owned(), "b".to_owned()];
        for (key, operator, values, expected) in [
            ("team", "In", &values[..], true),
            ("team", "NotIn", &values[..], false),
            ("other", "NotIn", &values[..], true),
            ("other", "In", &values[..], false),
            ("team", "Exists", &[][..], true),
            ("team", "DoesNotExist", &[][..], false),
            ("other", "DoesNotExist", &[][..], true),
            ("team", "In", &[][..], false),
            ("team", "Like", &values[..], false),
        ] {
            let selector = Selector::new([Requirement::new(key, operator, values)].into_iter());
            assert_eq!(selector.matches(&labels), expected, "{key} {operator} {values:?}");
        }
        assert!(Selector::new(std::iter::empty()).matches(&labels));
        assert!(!Selector::nothing().matches(&labels));
    }
}
