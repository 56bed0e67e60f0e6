//! Compiled routes: rules with their matches, ready to be placed in the table.

use std::sync::{Arc, OnceLock};

use super::conditions::Conditions;
use super::patterns::Patterns;
use crate::filter::filters::{Filters, Redirect, Timeouts};
use crate::model::{self, BackendId, BackendTarget, Hostname, InvalidBackend, Kind, ListenerName, ObjectId, Rank, Route};
use crate::traffic::{Pair, Tally, Traffic};

/// One match of one rule on one declared hostname.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) rank: Rank,
    pub(super) conditions: Arc<Conditions>,
    pub(super) rule: Arc<Rule>,
}

/// A compiled rule.
#[derive(Debug)]
pub struct Rule {
    /// The route object.
    pub route: ObjectId,
    /// Position in the route.
    pub index: usize,
    /// Filters.
    pub filters: Filters,
    /// What happens.
    pub action: Action,
    /// Where its requests without a backend are counted, once there were any.
    tally: OnceLock<Arc<Tally>>,
}

/// A compiled action.
#[derive(Debug)]
pub enum Action {
    /// Choose among these.
    Forward(Candidates),
    /// Answer with a redirect.
    Redirect(Redirect),
    /// Answer with a status.
    Answer(u16),
}

/// Backends with their shares. At least one share is greater than zero.
#[derive(Debug)]
pub struct Candidates {
    total: u64,
    list: Vec<Candidate>,
}

/// One backend reference with its share.
#[derive(Debug)]
pub struct Candidate {
    /// Share, relative to the sum.
    pub weight: u32,
    /// Where it goes.
    pub target: BackendTarget,
    /// Filters of this reference only, after the rule's.
    pub filters: Filters,
    /// Where its requests are counted, once there were any.
    tally: OnceLock<Arc<Tally>>,
}

impl Rule {
    /// Where its requests are counted that go to no backend.
    pub fn tally(&self, traffic: &Traffic) -> &Arc<Tally> {
        self.tally.get_or_init(|| traffic.tally(&Pair::of(self.route.clone(), None)))
    }

    /// Where its requests are counted that go to one of its candidates.
    pub fn tally_of<'a>(&self, candidate: &'a Candidate, traffic: &Traffic) -> &'a Arc<Tally> {
        let backend = match &candidate.target {
            BackendTarget::Service(id) => Some(id.clone()),
            BackendTarget::Invalid(_) => None,
        };
        candidate.tally.get_or_init(|| traffic.tally(&Pair::of(self.route.clone(), backend)))
    }
}

impl Candidates {
    /// The sum of the shares, greater than zero.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// All references in the rule's order.
    pub fn list(&self) -> &[Candidate] {
        &self.list
    }

    /// Whether one of them is this backend.
    pub fn lead_to(&self, backend: &BackendId) -> bool {
        self.list.iter().any(|candidate| matches!(&candidate.target, BackendTarget::Service(id) if id == backend))
    }

    /// The reference that owns `point`, a number below [`Candidates::total`], with its position: drawing the point evenly
    /// at random gives each reference its share.
    pub fn at(&self, point: u64) -> Option<(usize, &Candidate)> {
        let mut left = point;
        self.list.iter().enumerate().find(|(_, candidate)| {
            let weight = u64::from(candidate.weight);
            let here = left < weight;
            left = left.saturating_sub(weight);
            here
        })
    }
}

/// A route with its entries, each with the places where it stands.
#[derive(Debug)]
pub(super) struct Compiled {
    /// (listener, effective hostname, entry).
    pub(super) places: Vec<(ListenerName, Hostname, Arc<Entry>)>,
    /// What could not be compiled; those rules or matches answer 500.
    pub(super) problems: Vec<String>,
}

impl Compiled {
    /// Compiles a route.
    pub(super) fn new(route: &Route, patterns: &mut Patterns) -> Self {
        let mut problems = Vec::new();
        let mut expressions = patterns.compiler();
        let mut places = Vec::new();
        for (number, rule) in route.rules.iter().enumerate() {
            let compiled = Arc::new(compile_rule(route, number, rule, &mut problems));
            for (index, matched) in rule.matches.iter().enumerate() {
                let conditions = Arc::new(Conditions::compile(matched, &mut expressions, &mut problems));
                for attachment in &route.attachments {
                    for (declared, effective) in attachment.hostnames.iter().filter(|(declared, _)| rule.is_for(declared)) {
                        let rank = route.rank(declared, number, index, matched);
                        let entry = Entry { rank, conditions: conditions.clone(), rule: compiled.clone() };
                        places.push((attachment.listener.clone(), effective.clone(), Arc::new(entry)));
                    }
                }
            }
        }
        // There are thousands, of one place mostly.
        places.shrink_to_fit();
        Self { places, problems }
    }
}

fn compile_rule(route: &Route, index: usize, rule: &model::Rule, problems: &mut Vec<String>) -> Rule {
    let before = problems.len();
    let mut filters = Filters::of_rule(&rule.filters, problems);
    if route.id.kind == Kind::GrpcRoute {
        filters.timeouts = Timeouts::OF_CALLS;
    }
    let action = match &rule.action {
        model::Action::Answer(status) => Action::Answer(*status),
        model::Action::Redirect(redirect) => Action::Redirect(Redirect::compile(redirect, problems)),
        model::Action::Forward(_) if problems.len() > before => Action::Answer(500),
        model::Action::Forward(refs) => {
            let list: Vec<Candidate> = refs.iter().map(|reference| compile_candidate(reference, problems)).collect();
            let total = list.iter().map(|candidate| u64::from(candidate.weight)).sum();
            let action = if total == 0 { Action::Answer(500) } else { Action::Forward(Candidates { total, list }) };
            return Rule { route: route.id.clone(), index, filters, action, tally: OnceLock::new() };
        }
    };
    let action = if problems.len() > before { Action::Answer(500) } else { action };
    // What is left of a policy is not the policy.
    filters.cors = filters.cors.filter(|_| problems.len() == before);
    Rule { route: route.id.clone(), index, filters, action, tally: OnceLock::new() }
}

/// A reference whose own filters cannot be compiled answers 500 for its share; its siblings keep serving.
fn compile_candidate(reference: &model::BackendRef, problems: &mut Vec<String>) -> Candidate {
    let before = problems.len();
    let filters = Filters::of_backend(&reference.filters, problems);
    let broken = problems.len() > before;
    let target = if broken { BackendTarget::Invalid(InvalidBackend::UnsupportedFilter) } else { reference.target.clone() };
    Candidate { weight: reference.weight, target, filters, tally: OnceLock::new() }
}
