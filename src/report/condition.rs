//! Conditions: how they follow from findings, and how they merge with what is written already.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Finding, Scope};

/// Longest message that the API server takes.
const MAX_MESSAGE: usize = 32_768;

/// The conditions that findings speak through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum ConditionType {
    /// The object is valid and will be served.
    Accepted,
    /// Everything it refers to is there and permitted.
    ResolvedRefs,
    /// The data plane serves it.
    Programmed,
    /// A listener clashes with another one.
    Conflicted,
    /// Some rules of a route are not served.
    PartiallyInvalid,
}

/// What a finding means for a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The condition.
    pub condition: ConditionType,
    /// Its status.
    pub status: bool,
    /// Its reason.
    pub reason: &'static str,
}

impl Effect {
    /// Whether the condition stays as it is without findings.
    pub fn is_good(&self) -> bool {
        match self.condition {
            ConditionType::Accepted | ConditionType::ResolvedRefs | ConditionType::Programmed => self.status,
            ConditionType::Conflicted | ConditionType::PartiallyInvalid => !self.status,
        }
    }
}

/// A condition to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) name: &'static str,
    pub(super) status: bool,
    pub(super) reason: String,
    pub(super) message: String,
}

impl Condition {
    pub(super) fn new(name: &'static str, status: bool, reason: &str, message: impl Into<String>) -> Self {
        Self { name, status, reason: reason.to_owned(), message: message.into() }
    }
}

/// Whether one of `findings` turns one of the `conditions`.
pub(super) fn turns<'a>(mut findings: impl Iterator<Item = &'a Finding>, conditions: &[ConditionType]) -> bool {
    findings.any(|finding| {
        let effect = finding.issue.effect();
        conditions.contains(&effect.condition) && !effect.is_good()
    })
}

/// The condition that `findings` lead to: `healthy` with their remarks, or what the first bad one says.
pub(super) fn derive<'a>(findings: impl Iterator<Item = &'a Finding>, kind: ConditionType, healthy: Condition) -> Condition {
    let relevant: Vec<_> = findings.filter(|finding| finding.issue.effect().condition == kind).collect();
    let bad: Vec<_> = relevant.iter().filter(|finding| !finding.issue.effect().is_good()).copied().collect();
    match bad.first() {
        Some(first) => {
            let effect = first.issue.effect();
            Condition { status: effect.status, reason: effect.reason.to_owned(), message: message(&bad), ..healthy }
        }
        None if relevant.is_empty() => healthy,
        None if healthy.message.is_empty() => Condition { message: message(&relevant), ..healthy },
        None => Condition { message: cut(format!("{}; {}", healthy.message, message(&relevant))), ..healthy },
    }
}

/// Findings as one message.
pub(super) fn message(findings: &[&Finding]) -> String {
    let lines = findings.iter().map(|finding| match finding.scope {
        Scope::Rule { .. } | Scope::Field(_) => format!("{}: {}", finding.scope, finding.issue),
        _ => finding.issue.to_string(),
    });
    cut(lines.collect::<Vec<_>>().join("; "))
}

/// A text that the API server takes.
fn cut(mut text: String) -> String {
    if text.len() > MAX_MESSAGE {
        let end = (0..=MAX_MESSAGE - 4).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        text.truncate(end);
        text.push_str(" ...");
    }
    text
}

/// The list of conditions to write. Those of types that are not `ours` stay as they are; `lastTransitionTime` moves only
/// when a status does.
pub(super) fn merge(previous: Option<&Value>, wanted: &[Condition], ours: &[&str], stamp: &Stamp<'_>) -> Value {
    let written = previous.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let foreign = written.iter().filter(|condition| !condition["type"].as_str().is_some_and(|name| ours.contains(&name)));
    let ours = wanted.iter().map(|condition| {
        let status = if condition.status { "True" } else { "False" };
        let unmoved = written.iter().find(|old| old["type"] == condition.name && old["status"] == status);
        let since = unmoved.and_then(|old| old["lastTransitionTime"].as_str()).unwrap_or(stamp.now);
        json!({
            "type": condition.name, "status": status, "reason": condition.reason, "message": condition.message,
            "observedGeneration": stamp.generation, "lastTransitionTime": since,
        })
    });
    Value::Array(ours.chain(foreign.cloned()).collect())
}

/// Generation and time of a write.
pub(super) struct Stamp<'a> {
    pub(super) generation: i64,
    pub(super) now: &'a str,
}

/// Whether `name` is written as True for this very generation: a data plane that is still catching up with other
/// changes, or a node that joins, does not take that back.
pub(super) fn latched(previous: Option<&Value>, name: &str, generation: i64) -> bool {
    let written = previous.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    written.iter().any(|old| old["type"] == name && old["status"] == "True" && old["observedGeneration"] == generation)
}
