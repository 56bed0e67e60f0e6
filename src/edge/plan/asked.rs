//! What the routes of a listener ask of its port.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Filter, Hostname, Kind, ObjectId, Rule};

/// Seconds for which client and backend may be silent where no rule says otherwise. Longer than what WebSockets and slow answers
/// need, since Sōzu has one value per listener, and the filter keeps its own clocks.
pub const USUAL_SILENCE: u32 = 180;
/// Milliseconds that a bound must leave below Sōzu's, so that it is the filter's that ends a request.
const MARGIN: u64 = 10_000;

/// What the routes of a listener ask of its port.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Asked {
    /// Routes whose clients may come with HTTP/2 and prior knowledge.
    pub http2: BTreeSet<ObjectId>,
    /// Routes with a rule that may take longer than [`USUAL_SILENCE`].
    pub patient: BTreeSet<ObjectId>,
    /// Routes by kind, counted.
    pub kinds: BTreeMap<Kind, usize>,
    /// Effective hosts by their number of labels, counted.
    pub labels: BTreeMap<usize, usize>,
}

/// Whether a rule lets its backends be silent for longer than is usual: its bounds are longer, there is none (0), or they are
/// those of single tries.
pub(super) fn is_patient(rule: &Rule) -> bool {
    let mut bounds = None;
    let mut retries = false;
    for filter in &rule.filters {
        match filter {
            Filter::Timeouts(timeouts) => bounds = Some(*timeouts),
            Filter::Retry(_) => retries = true,
            _ => {}
        }
    }
    let given = |bound: Option<u64>| bound.filter(|millis| *millis > 0);
    match bounds {
        Some(bounds) => match given(bounds.request).or_else(|| given(bounds.backend).filter(|_| !retries)) {
            Some(bound) => bound + MARGIN > u64::from(USUAL_SILENCE) * 1000,
            None => true,
        },
        None => retries,
    }
}

/// Number of labels of a host, a wildcard counting as one.
pub(super) fn labels_of(host: &Hostname) -> usize {
    match host {
        Hostname::Any => 0,
        Hostname::Exact(name) => labels(name),
        Hostname::Wildcard(suffix) | Hostname::Label(suffix) => labels(suffix) + 1,
    }
}

/// Number of labels of a name.
pub(super) fn labels(name: &str) -> usize {
    name.split('.').count()
}

#[cfg(test)]
mod tests {
    use super::is_patient;
    use crate::model::{Action, Filter, Retry, Rule, Timeouts};

    #[test]
    fn a_rule_is_patient_when_its_bounds_may_outlast_sozus() {
        // (request, backend, retries, patient)
        let table = [
            (None, None, false, false),
            (None, None, true, true),
            (Some(0), None, false, true),
            (None, Some(0), false, true),
            (Some(5_000), None, true, false),
            (Some(5_000), Some(0), false, false),
            (Some(0), Some(5_000), false, false),
            (Some(0), Some(5_000), true, true),
            (Some(169_000), None, false, false),
            (Some(180_000), None, false, true),
            (None, Some(600_000), false, true),
        ];
        for (request, backend, retries, patient) in table {
            let mut filters = Vec::new();
            if request.is_some() || backend.is_some() {
                filters.push(Filter::Timeouts(Timeouts { request, backend }));
            }
            if retries {
                filters.push(Filter::Retry(Retry { codes: Vec::new(), attempts: 1, backoff: 0 }));
            }
            let rule = Rule { name: None, host: None, fallback: false, matches: Vec::new(), filters, action: Action::Answer(500) };
            assert_eq!(is_patient(&rule), patient, "{request:?} {backend:?} {retries}");
        }
    }
}
