//! HTTPRoute.

pub(super) mod filters;
mod matches;

use serde_json::Value;

use self::filters::{FILTER, filters_go_together};
use self::matches::MATCH;
use super::Checks;
use super::forms::duration;
use super::routes::{DEFAULT_GATEWAYS, HOSTNAMES, PARENTS, SESSION, TIME, matches_are_not_too_many, rule_names_differ};
use super::shape::{Absent, Shape, Unique, Violation};
use super::shared::{GROUP_NAME, KIND_NAME, NAMESPACE_NAME, OBJECT_NAME, PORT, SECTION_NAME, items, service_has_port, text};

static FILTERS: Shape = Shape::List { of: &FILTER, min: 0, max: 16, unique: Unique::No, rules: &[filters_go_together] };

static BACKEND: Shape = Shape::Object {
    fields: &[
        ("group", &GROUP_NAME, Absent::Default("\"\"")),
        ("kind", &KIND_NAME, Absent::Default("\"Service\"")),
        ("name", &OBJECT_NAME, Absent::Refused),
        ("namespace", &NAMESPACE_NAME, Absent::Fine),
        ("port", &PORT, Absent::Fine),
        ("weight", &Shape::Integer { min: 0, max: 1_000_000 }, Absent::Default("1")),
        ("filters", &FILTERS, Absent::Fine),
    ],
    rules: &[service_has_port],
};

fn backend_request_ends_first(timeouts: &Value) -> Option<Violation> {
    let (request, backend) = (duration(text(timeouts, "request"))?, duration(text(timeouts, "backendRequest"))?);
    let is_longer = request != 0 && backend > request;
    if is_longer { Violation::here("backendRequest timeout cannot be longer than request timeout") } else { None }
}

static TIMEOUTS: Shape = Shape::Object {
    fields: &[("request", &TIME, Absent::Fine), ("backendRequest", &TIME, Absent::Fine)],
    rules: &[backend_request_ends_first],
};
static CODES: Shape =
    Shape::List { of: &Shape::Integer { min: 400, max: 599 }, min: 0, max: usize::MAX, unique: Unique::Items, rules: &[] };
static RETRY: Shape = Shape::Object {
    fields: &[
        ("codes", &CODES, Absent::Fine),
        ("attempts", &Shape::Integer { min: 1, max: i64::MAX }, Absent::Fine),
        ("backoff", &TIME, Absent::Fine),
    ],
    rules: &[],
};

/// A redirect answers by itself.
fn redirects_have_no_backends(rule: &Value) -> Option<Violation> {
    let redirects = items(rule, "filters").iter().any(|filter| filter.get("requestRedirect").is_some());
    let has_both = redirects && !items(rule, "backendRefs").is_empty();
    if has_both { Violation::here("RequestRedirect filter must not be used together with backendRefs") } else { None }
}

/// Replacing the prefix that matched needs a prefix that matched.
fn prefixes_are_replaced_where_matched(rule: &Value) -> Option<Violation> {
    let is_prefix = |rule_match: &Value| rule_match.pointer("/path/type").is_some_and(|kind| kind == "PathPrefix");
    let [only] = items(rule, "matches") else { return replaces_prefix(rule) };
    if is_prefix(only) { None } else { replaces_prefix(rule) }
}

fn replaces_prefix(rule: &Value) -> Option<Violation> {
    let of_backends = items(rule, "backendRefs").iter().flat_map(|backend| items(backend, "filters"));
    for filter in items(rule, "filters").iter().chain(of_backends) {
        for (field, name) in [("requestRedirect", "RequestRedirect"), ("urlRewrite", "URLRewrite")] {
            let replaces =
                filter.get(field).and_then(|edit| edit.get("path")).is_some_and(|path| text(path, "type") == "ReplacePrefixMatch");
            if replaces {
                let message =
                    format!("When using {name} filter with path.replacePrefixMatch, exactly one PathPrefix match must be specified");
                return Violation::here(message);
            }
        }
    }
    None
}

static RULE: Shape = Shape::Object {
    fields: &[
        ("name", &SECTION_NAME, Absent::Fine),
        (
            "matches",
            &Shape::List { of: &MATCH, min: 0, max: 64, unique: Unique::No, rules: &[] },
            Absent::Default(r#"[{"path": {"type": "PathPrefix", "value": "/"}}]"#),
        ),
        ("filters", &FILTERS, Absent::Fine),
        ("backendRefs", &Shape::List { of: &BACKEND, min: 0, max: 16, unique: Unique::No, rules: &[] }, Absent::Fine),
        ("timeouts", &TIMEOUTS, Absent::Fine),
        ("retry", &RETRY, Absent::Fine),
        ("sessionPersistence", &SESSION, Absent::Fine),
    ],
    rules: &[redirects_have_no_backends, prefixes_are_replaced_where_matched],
};

static SPEC: Shape = Shape::Object {
    fields: &[
        ("parentRefs", &PARENTS, Absent::Fine),
        ("hostnames", &HOSTNAMES, Absent::Fine),
        (
            "rules",
            &Shape::List { of: &RULE, min: 1, max: 16, unique: Unique::No, rules: &[matches_are_not_too_many, rule_names_differ] },
            Absent::Default("[{}]"),
        ),
        ("useDefaultGateways", &DEFAULT_GATEWAYS, Absent::Fine),
    ],
    rules: &[],
};

/// HTTPRoute.
pub static HTTP_ROUTE: Checks = Checks::of(&Shape::Object { fields: &[("spec", &SPEC, Absent::Refused)], rules: &[] });
