//! Status of routes, for every kind of route.

use serde_json::{Value, json};

use super::{Observed, count, programmed};
use crate::report::condition::{Condition, ConditionType, Stamp, derive, merge, message};
use crate::report::{Finding, ObjectReport, ParentReport, Scope, Verdict};
use crate::snapshot::Key;

/// On routes Programmed is no condition of Gateway API, so the name is ours.
const PROGRAMMED: &str = "kakehi.dev/Programmed";
const OURS: &[&str] = &["Accepted", "ResolvedRefs", "PartiallyInvalid", PROGRAMMED];

/// Entries that the API server takes in `status.parents`, of all controllers together.
pub const MOST_PARENTS: usize = 32;

pub(super) struct Rendering<'a> {
    pub(super) report: &'a ObjectReport,
    pub(super) parents: &'a [ParentReport],
    pub(super) rules: usize,
    pub(super) previous: Option<&'a Value>,
    pub(super) observed: &'a Observed<'a>,
    pub(super) stamp: Stamp<'a>,
}

impl Rendering<'_> {
    pub(super) fn status(&self) -> Option<Value> {
        let controller = self.observed.controller_name;
        let ours = self.parents.iter().take(room(self.previous, controller)).map(|parent| self.parent(parent));
        let entries: Vec<_> = foreign(self.previous, controller).cloned().chain(ours).collect();
        (!entries.is_empty()).then(|| json!({"parents": entries}))
    }

    /// What is said of parents that have no entry.
    fn left_out(&self) -> Option<String> {
        let left = left_out(self.report, self.previous, self.observed.controller_name)?;
        let left = count(left, "further parent", ("has", "have"));
        Some(format!("{left} no entry here: the status holds {MOST_PARENTS}, those of other controllers included"))
    }

    /// Findings that count for one parent: its own, and those of the whole route.
    fn findings(&self, parent: &ParentReport) -> impl Iterator<Item = &Finding> {
        let parent = parent.parent.clone();
        self.report.findings.iter().filter(move |finding| match &finding.scope {
            Scope::Parent(of) => *of == parent,
            _ => true,
        })
    }

    /// Findings of rules that are not served at all, and how many rules that makes.
    fn dropped(&self) -> (Vec<&Finding>, usize) {
        let of_rule = |finding: &&Finding| {
            matches!(finding.scope, Scope::Rule { .. }) && finding.issue.effect().condition == ConditionType::PartiallyInvalid
        };
        let findings: Vec<_> = self.report.findings.iter().filter(of_rule).collect();
        let mut rules: Vec<_> = findings
            .iter()
            .filter_map(|finding| match finding.scope {
                Scope::Rule { rule, backend: None } => Some(rule),
                _ => None,
            })
            .collect();
        rules.sort_unstable();
        rules.dedup();
        (findings, rules.len())
    }

    fn accepted(&self, parent: &ParentReport) -> Condition {
        let (findings, dropped) = self.dropped();
        let healthy = match findings.first() {
            Some(first) if dropped == self.rules => Condition::new("Accepted", false, first.issue.effect().reason, message(&findings)),
            _ => {
                let taken = self.taken(("is accepted", "are accepted"));
                let said: Vec<_> = std::iter::once(taken).chain(self.left_out()).collect();
                Condition::new("Accepted", true, "Accepted", said.join("; "))
            }
        };
        derive(self.findings(parent), ConditionType::Accepted, healthy)
    }

    /// Rules that cannot be built are dropped, which means that their requests are answered with 500
    /// (`RouteConditionPartiallyInvalid`, the first of the two ways it allows).
    fn partially_invalid(&self, accepted: bool) -> Option<Condition> {
        let (findings, _) = self.dropped();
        let message = || format!("Dropped Rule(s), answered with 500 wherever a match can be told: {}", message(&findings));
        (accepted && !findings.is_empty()).then(|| Condition::new("PartiallyInvalid", true, "UnsupportedValue", message()))
    }

    fn programmed(&self, parent: &ParentReport, accepted: &Condition, written: Option<&Value>) -> Condition {
        if !accepted.status {
            return Condition::new(PROGRAMMED, false, "Invalid", accepted.message.clone());
        }
        let acknowledgement = self.observed.edges.get(&parent.edge);
        let key = Key::Route(self.report.id.clone());
        let refused = acknowledgement.and_then(|said| said.refused.iter().find(|(refused, _)| *refused == key));
        let healthy = programmed(
            Condition::new(PROGRAMMED, true, "Programmed", format!("{} by edge {}", self.taken(("is served", "are served")), parent.edge)),
            refused.map(|(_, reason)| reason.clone()),
            acknowledgement.is_some_and(|said| said.programmed),
            (written, self.stamp.generation),
        );
        derive(self.findings(parent), ConditionType::Programmed, healthy)
    }

    /// How many rules are not dropped, with what that means for them.
    fn taken(&self, verbs: (&str, &str)) -> String {
        count(self.rules.saturating_sub(self.dropped().1), "rule", verbs)
    }

    fn parent(&self, parent: &ParentReport) -> Value {
        let reference = json!(parent.parent);
        let entries = self.previous.and_then(|status| status["parents"].as_array()).map(Vec::as_slice).unwrap_or_default();
        let written = entries.iter().find(|entry| entry["parentRef"] == reference && is_ours(entry, self.observed.controller_name));
        let written = written.and_then(|entry| entry.get("conditions"));
        let accepted = self.accepted(parent);
        let resolved = Condition::new("ResolvedRefs", true, "ResolvedRefs", "all references resolve");
        let resolved = derive(self.findings(parent), ConditionType::ResolvedRefs, resolved);
        let programmed = self.programmed(parent, &accepted, written);
        let partially_invalid = self.partially_invalid(accepted.status);
        let wanted: Vec<_> = [Some(accepted), Some(resolved), partially_invalid, Some(programmed)].into_iter().flatten().collect();
        json!({
            "parentRef": reference,
            "controllerName": self.observed.controller_name,
            "conditions": merge(written, &wanted, OURS, &self.stamp),
        })
    }
}

/// The status of a route that has no parent of ours, when an entry of ours is still written there.
pub(super) fn without_ours(previous: Option<&Value>, controller_name: &str) -> Option<Value> {
    let entries = previous.and_then(|status| status["parents"].as_array())?;
    let others = || foreign(previous, controller_name).collect::<Vec<_>>();
    entries.iter().any(|entry| is_ours(entry, controller_name)).then(|| json!({"parents": others()}))
}

/// How many parents of a route have no entry in its status, because those of other controllers leave no room; none when all have one.
pub fn left_out(report: &ObjectReport, previous: Option<&Value>, controller_name: &str) -> Option<usize> {
    let Verdict::Route { parents, .. } = &report.verdict else { return None };
    parents.len().checked_sub(room(previous, controller_name)).filter(|left| *left > 0)
}

/// How many entries those of other controllers leave to us.
fn room(previous: Option<&Value>, controller_name: &str) -> usize {
    MOST_PARENTS.saturating_sub(foreign(previous, controller_name).count())
}

fn is_ours(entry: &Value, controller_name: &str) -> bool {
    entry["controllerName"] == controller_name
}

/// Entries that other controllers wrote, as they are.
fn foreign<'a>(previous: Option<&'a Value>, controller_name: &str) -> impl Iterator<Item = &'a Value> {
    let entries = previous.and_then(|status| status["parents"].as_array());
    entries.into_iter().flatten().filter(move |entry| !is_ours(entry, controller_name))
}
