//! Shapes that all kinds of routes share.

use serde_json::Value;

use super::forms::{ANY, DURATION, HOSTNAME};
use super::shape::{Absent, Shape, Unique, Violation};
use super::shared::{GROUP_NAME, KIND_NAME, NAMESPACE_NAME, OBJECT_NAME, PORT, SECTION_NAME, items, text};

static PARENT: Shape = Shape::Object {
    fields: &[
        ("group", &GROUP_NAME, Absent::Default("\"gateway.networking.k8s.io\"")),
        ("kind", &KIND_NAME, Absent::Default("\"Gateway\"")),
        ("namespace", &NAMESPACE_NAME, Absent::Fine),
        ("name", &OBJECT_NAME, Absent::Refused),
        ("sectionName", &SECTION_NAME, Absent::Fine),
        ("port", &PORT, Absent::Fine),
    ],
    rules: &[],
};

/// Several references to one parent each name another part of it.
fn parents_differ(parents: &Value) -> Option<Violation> {
    let parents = parents.as_array()?;
    for (index, later) in parents.iter().enumerate() {
        for earlier in parents.iter().take(index) {
            let same = |field: &str| earlier.get(field) == later.get(field);
            if !["group", "kind", "namespace", "name"].into_iter().all(same) {
                continue;
            }
            let alike = |field: &str| earlier.get(field).is_some() == later.get(field).is_some();
            let at = format!("[{index}]");
            if !alike("sectionName") || !alike("port") {
                let message =
                    "Invalid value: sectionName or port must be specified when parentRefs includes 2 or more references to the same parent";
                return Violation::at(at, message);
            }
            if same("sectionName") && same("port") {
                let message =
                    "Invalid value: sectionName or port must be unique when parentRefs includes 2 or more references to the same parent";
                return Violation::at(at, message);
            }
        }
    }
    None
}

pub static PARENTS: Shape = Shape::List { of: &PARENT, min: 0, max: 32, unique: Unique::No, rules: &[parents_differ] };
pub static HOSTNAMES: Shape =
    Shape::List { of: &Shape::Text { min: 1, max: 253, form: &HOSTNAME }, min: 0, max: 16, unique: Unique::No, rules: &[] };
pub static DEFAULT_GATEWAYS: Shape = Shape::Choice(&["All", "None"]);
pub static TIME: Shape = Shape::Text { min: 1, max: usize::MAX, form: &DURATION };

fn session_fits(session: &Value) -> Option<Violation> {
    let cookie = session.get("cookieConfig")?;
    if text(session, "type") != "Cookie" {
        return Violation::here("cookieConfig can only be set with type Cookie");
    }
    let is_endless = text(cookie, "lifetimeType") == "Permanent" && session.get("absoluteTimeout").is_none();
    if is_endless { Violation::here("absoluteTimeout must be specified when cookie lifetimeType is Permanent") } else { None }
}

static COOKIE: Shape =
    Shape::Object { fields: &[("lifetimeType", &Shape::Choice(&["Permanent", "Session"]), Absent::Default("\"Session\""))], rules: &[] };
pub static SESSION: Shape = Shape::Object {
    fields: &[
        ("sessionName", &Shape::Text { min: 0, max: 128, form: &ANY }, Absent::Fine),
        ("type", &Shape::Choice(&["Cookie", "Header"]), Absent::Default("\"Cookie\"")),
        ("absoluteTimeout", &TIME, Absent::Fine),
        ("cookieConfig", &COOKIE, Absent::Fine),
    ],
    rules: &[session_fits],
};

/// Matches of all rules together, at most.
const MATCHES: usize = 128;

pub fn matches_are_not_too_many(rules: &Value) -> Option<Violation> {
    let count: usize = rules.as_array()?.iter().map(|rule| items(rule, "matches").len()).sum();
    if count > MATCHES { Violation::at("", format!("Too many: {count} matches in all rules together; at most {MATCHES}")) } else { None }
}

pub fn rule_names_differ(rules: &Value) -> Option<Violation> {
    let mut seen = std::collections::BTreeSet::new();
    let names = rules.as_array()?.iter().enumerate().filter_map(|(index, rule)| Some((index, rule.get("name")?.as_str()?)));
    let (index, name) = { names }.find(|(_, name)| !seen.insert(*name))?;
    Violation::at(format!("[{index}].name"), format!("Duplicate value: {name:?}"))
}
