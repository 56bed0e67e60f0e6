//! Log lines about findings: each once when it comes up, and once when it is gone.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::ObjectId;
use crate::report::{Finding, ObjectReport, Severity};

/// What was told.
#[derive(Debug, Default)]
pub(super) struct Telling(BTreeMap<ObjectId, BTreeSet<Finding>>);

impl Telling {
    /// Tells what changed among the findings of an object.
    pub(super) fn tell(&mut self, id: &ObjectId, report: Option<&ObjectReport>) {
        let now: BTreeSet<Finding> = report.into_iter().flat_map(|report| &report.findings).cloned().collect();
        let (came, gone) = self.change(id, now);
        for finding in came {
            let (object, field, reason) = (&finding.object, &finding.scope, finding.issue.effect().reason);
            match finding.issue.severity() {
                Severity::Error => tracing::error!(%object, %field, reason, "{}", finding.issue),
                Severity::Warning => tracing::warn!(%object, %field, reason, "{}", finding.issue),
            }
        }
        for finding in gone {
            let (object, field, reason) = (&finding.object, &finding.scope, finding.issue.effect().reason);
            tracing::info!(%object, %field, reason, "no longer: {}", finding.issue);
        }
    }

    /// What came up, and what is gone.
    fn change(&mut self, id: &ObjectId, now: BTreeSet<Finding>) -> (Vec<Finding>, Vec<Finding>) {
        let before = self.0.remove(id).unwrap_or_default();
        let (came, gone) = (now.difference(&before).cloned().collect(), before.difference(&now).cloned().collect());
        if !now.is_empty() {
            self.0.insert(id.clone(), now);
        }
        (came, gone)
    }
}

#[cfg(test)]
mod tests {
    use super::Telling;
    use crate::model::{Kind, ObjectId};
    use crate::report::{Finding, Issue, Scope};

    #[test]
    fn a_finding_is_told_when_it_comes_and_when_it_goes() {
        let id = ObjectId::new(Kind::HttpRoute, "demo", "one");
        let finding = |name: &str| Finding {
            object: id.clone(),
            scope: Scope::Object,
            issue: Issue::BackendNotFound { namespace: "demo".into(), name: name.into(), port: None },
        };
        let (a, b) = (finding("a"), finding("b"));
        let mut telling = Telling::default();
        assert_eq!(telling.change(&id, [a.clone()].into()), (vec![a.clone()], vec![]));
        assert_eq!(telling.change(&id, [a.clone()].into()), (vec![], vec![]), "a status that flips says nothing new");
        assert_eq!(telling.change(&id, [b.clone()].into()), (vec![b.clone()], vec![a]));
        assert_eq!(telling.change(&id, [].into()), (vec![], vec![b]));
        assert!(telling.0.is_empty());
    }
}
