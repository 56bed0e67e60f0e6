//! What all kinds of routes declare alike. Each kind has its own generated types of one shape, hence the macros.

use super::{BackendFacts, Matches, RouteFacts, RuleFacts, shorten};
use crate::model::{HeaderMatch, Hostname, Match, ObjectId, ValueMatch};
use crate::report::{Issue, ParentRef, RouteKind, Scope, Severity};
use crate::translate::facts::GATEWAY_GROUP;
use crate::translate::routes::headers;

/// Largest weight (`HTTPBackendRef.weight`).
const MAX_WEIGHT: i32 = 1_000_000;

/// A parent reference.
macro_rules! parent {
    ($parent:expr) => {
        $crate::report::ParentRef {
            group: $parent.group.clone(),
            kind: $parent.kind.clone(),
            namespace: $parent.namespace.clone(),
            name: $parent.name.clone(),
            section_name: $parent.section_name.clone().map($crate::model::ListenerName),
            port: $parent.port,
        }
    };
}
pub(super) use parent;

/// The object that a backend reference names.
macro_rules! reference {
    ($backend:expr) => {
        $crate::translate::facts::ObjectRef {
            group: $backend.group.clone().unwrap_or_default(),
            kind: $backend.kind.clone().unwrap_or_else(|| "Service".to_owned()),
            namespace: $backend.namespace.clone(),
            name: $backend.name.clone(),
        }
    };
}
pub(super) use reference;

/// What a route declares besides its rules.
pub(super) struct Declared<'d> {
    pub(super) hostnames: &'d [String],
    pub(super) parents: Vec<ParentRef>,
    /// Whether it has `spec.useDefaultGateways`.
    pub(super) default_gateways: bool,
}

/// A route of these rules, each with what was found in it.
pub(super) fn route(id: &ObjectId, declared: Declared<'_>, rules: impl Iterator<Item = (RuleFacts, Vec<(Scope, Issue)>)>) -> RouteFacts {
    let (hostnames, mut issues) = hostnames(declared.hostnames);
    if declared.default_gateways {
        issues.push((Scope::Object, Issue::UnsupportedField { field: "spec.useDefaultGateways".into() }));
    }
    let mut parsed = Vec::new();
    for (rule, found) in rules {
        parsed.push(rule);
        issues.extend(found);
    }
    let kind = RouteKind { group: GATEWAY_GROUP.to_owned(), kind: id.kind.name().to_owned() };
    RouteFacts { kind, parents: declared.parents, hostnames, rules: parsed, issues }
}

/// The matches that can be evaluated, and issues. No match at all means the kind's default, which takes everything.
pub(super) fn matches<D: Default>(declared: &[D], one: impl Fn(&D) -> Result<(Match, Vec<Issue>), Issue>) -> (Matches, Vec<Issue>) {
    let default = [D::default()];
    let declared = if declared.is_empty() { &default } else { declared };
    let (mut list, mut written, mut issues) = (Vec::with_capacity(declared.len()), Vec::new(), Vec::new());
    for (number, declared) in declared.iter().enumerate() {
        match one(declared) {
            Ok((parsed, remarks)) => {
                list.push(parsed);
                written.push(number);
                issues.extend(remarks);
            }
            Err(issue) => issues.push(issue),
        }
    }
    (Matches { list, written }, issues)
}

/// The backend references of rule number `rule` with remarks on them. What bars the whole rule goes to `found`.
pub(super) fn backends<D>(
    rule: usize,
    declared: Option<&[D]>,
    one: impl Fn(&D) -> Result<(BackendFacts, Vec<Issue>), Issue>,
    found: &mut Vec<Issue>,
) -> (Vec<BackendFacts>, Vec<(Scope, Issue)>) {
    let (mut backends, mut issues) = (Vec::new(), Vec::new());
    for (number, reference) in declared.unwrap_or_default().iter().enumerate() {
        match one(reference) {
            Ok((backend, remarks)) => {
                backends.push(backend);
                issues.extend(remarks.into_iter().map(|issue| (Scope::Rule { rule, backend: Some(number) }, issue)));
            }
            Err(issue) => found.push(issue),
        }
    }
    (backends, issues)
}

/// Declared hostnames, each once. One that cannot be read bars the whole route: without it the route would take more
/// hosts than it asks for, or none.
fn hostnames(declared: &[String]) -> (Vec<Hostname>, Vec<(Scope, Issue)>) {
    let mut hostnames = Vec::new();
    let mut issues = Vec::new();
    for text in declared {
        match Hostname::parse(text) {
            Ok(hostname) if hostname != Hostname::Any => {
                if !hostnames.contains(&hostname) {
                    hostnames.push(hostname);
                }
            }
            _ => issues.push((Scope::Object, Issue::InvalidHostname { hostname: shorten(text) })),
        }
    }
    if declared.is_empty() {
        hostnames.push(Hostname::Any);
    }
    (hostnames, issues)
}

/// A weight; absent counts as 1.
pub(super) fn weight(declared: Option<i32>) -> Result<u32, Issue> {
    let weight = declared.unwrap_or(1);
    match u32::try_from(weight) {
        Ok(valid) if weight <= MAX_WEIGHT => Ok(valid),
        _ => Err(Issue::InvalidValue { field: "backendRefs.weight".into(), value: weight.to_string() }),
    }
}

/// A duration in milliseconds: up to four numbers of up to five digits, each with its unit (GEP-2257).
pub(super) fn duration(field: &str, text: &str) -> Result<u64, Issue> {
    let invalid = || Issue::InvalidValue { field: field.to_owned(), value: shorten(text) };
    let (mut rest, mut total, mut parts) = (text, 0_u64, 0);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at_checked(digits).ok_or_else(invalid)?;
        let (factor, length) = match tail.as_bytes() {
            [b'm', b's', ..] => (1, 2),
            [b'h', ..] => (3_600_000, 1),
            [b'm', ..] => (60_000, 1),
            [b's', ..] => (1_000, 1),
            _ => return Err(invalid()),
        };
        parts += 1;
        if digits > 5 || parts > 4 {
            return Err(invalid());
        }
        total += number.parse::<u64>().map_err(|_| invalid())? * factor;
        rest = tail.get(length..).unwrap_or_default();
    }
    if parts == 0 { Err(invalid()) } else { Ok(total) }
}

/// Header conditions from names, values and whether the value is a regular expression. Of several with one name the first
/// counts (`HTTPHeaderMatch.name`); the others are remarked on.
pub(super) fn header_matches<'a>(
    declared: impl Iterator<Item = (&'a str, &'a str, bool)>,
) -> Result<(Vec<HeaderMatch>, Vec<Issue>), Issue> {
    let (mut matches, mut remarks): (Vec<HeaderMatch>, _) = (Vec::new(), Vec::new());
    for (name, text, regular_expression) in declared {
        let name = headers::name(name)?;
        let value = value(text, regular_expression);
        if matches.iter().any(|earlier| earlier.name == name) {
            remarks.push(Issue::DuplicateName { name });
        } else {
            matches.push(HeaderMatch { name, value });
        }
    }
    Ok((matches, remarks))
}

/// A condition on a value. Whether a regular expression can be run is judged for routes that are served
/// ([`super::expressions`]).
pub(super) fn value(text: &str, regular_expression: bool) -> ValueMatch {
    let condition = if regular_expression { ValueMatch::Regex } else { ValueMatch::Exact };
    condition(text.to_owned())
}

/// Whether a rule with these issues cannot be served.
pub(super) fn is_broken(issues: &[Issue]) -> bool {
    issues.iter().any(|issue| issue.severity() == Severity::Error)
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_are_those_of_gep_2257() {
        let table =
            [("0s", 0), ("500ms", 500), ("1h30m10s5ms", 5_410_005), ("99999h", 359_996_400_000), ("1s1s", 2_000), ("00001m", 60_000)];
        for (text, millis) in table {
            assert_eq!(duration("f", text), Ok(millis), "{text}");
        }
        for bad in ["", "1", "s", "1.5s", "-1s", "100000s", "1s2s3s4s5s", "1us", " 1s", "1s ", "1 s", "1é", "٣s"] {
            assert!(duration("f", bad).is_err(), "{bad:?}");
        }
    }
}
