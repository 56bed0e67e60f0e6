//! Regular expressions of routes that are attached to something of ours: which can be run, and how many a namespace may have.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Matches, RouteFacts, RuleAction, RuleFacts, shorten};
use crate::model::{Age, Match, ObjectId, PathMatch, PatternError, Sizes, ValueMatch};
use crate::report::{Issue, Limit, Scope};
use crate::translate::budget::{
    COSTLY_OF_ALL, COSTLY_OF_NAMESPACE, COSTLY_OF_ROUTE, EXPRESSIONS_OF_ALL, EXPRESSIONS_OF_NAMESPACE, EXPRESSIONS_OF_ROUTE, Good,
};
use crate::translate::patterns::price;
use crate::translate::reader::Reader;

/// The expressions of a match.
fn expressions(of: &Match) -> impl Iterator<Item = &str> {
    let path = match &of.path {
        PathMatch::Regex(expression) => Some(expression.as_str()),
        _ => None,
    };
    let call = match &of.path {
        PathMatch::Call { service, method } => [service.as_ref(), method.as_ref()],
        _ => [None, None],
    };
    let values = call.into_iter().flatten().chain(of.headers.iter().map(|header| &header.value));
    let values = values.chain(of.query.iter().map(|parameter| &parameter.value));
    path.into_iter().chain(values.filter_map(|value| match value {
        ValueMatch::Regex(expression) => Some(expression.as_str()),
        ValueMatch::Exact(_) => None,
    }))
}

impl RouteFacts {
    fn expressions(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().flat_map(|rule| rule.matches.iter()).flat_map(expressions)
    }

    /// What its expressions take of the namespace's budget. Nothing if they are too many by themselves.
    pub(super) fn price(&self) -> usize {
        if self.expressions().count() > EXPRESSIONS_OF_ROUTE { 0 } else { self.expressions().map(price).sum() }
    }
}

/// A route without the matches whose expressions cannot be run, or are too many, and how many costly ones it asks for. Their rules
/// answer 500: without a match a rule would take less than it asks for, and another rule more.
pub(super) fn judge(reader: &mut Reader<'_>, (id, age): (&ObjectId, &Age), facts: Arc<RouteFacts>) -> (Arc<RouteFacts>, usize) {
    let found = facts.expressions().count();
    if found == 0 {
        return (facts, 0);
    }
    let mut barred = if found > EXPRESSIONS_OF_ROUTE {
        Some(Issue::Limit(Limit::TooManyExpressions { found, most: EXPRESSIONS_OF_ROUTE }))
    } else if !reader.within(Good::Expressions, (id, age), facts.price()) {
        let (of_namespace, of_all) = (EXPRESSIONS_OF_NAMESPACE, EXPRESSIONS_OF_ALL);
        Some(Issue::Limit(Limit::ExpressionBudget { namespace: id.namespace.clone(), of_namespace, of_all }))
    } else {
        None
    };
    let costly = if barred.is_some() { Costly::default() } else { Costly::of(reader, (id, age), &facts) };
    let mut of_route = Sizes::default();
    let mut judged = RouteFacts::clone(&facts);
    for (index, rule) in judged.rules.iter_mut().enumerate() {
        let mut verdict = |expression: &str| match &barred {
            Some(issue) => Err(issue.clone()),
            None if costly.bars(expression) => Err(Costly::ISSUE),
            None => of_route.judge(expression, |text| reader.size_of(text)).map_err(|problem| {
                // To find out that one is too large costs more than to compile one that is not.
                barred = (problem == PatternError::TooLarge).then_some(Issue::Limit(Limit::ExpressionsNotJudged));
                Issue::InvalidPattern { pattern: shorten(expression), problem }
            }),
        };
        let issues = drop_unusable(rule, &mut verdict);
        judged.issues.extend(issues.into_iter().map(|issue| (Scope::Rule { rule: index, backend: None }, issue)));
    }
    (Arc::new(judged), costly.asked())
}

/// The expressions of a route that are costly to compile, each once, and all after the last that the route may have.
#[derive(Default)]
struct Costly<'f> {
    texts: BTreeSet<&'f str>,
    unknown: BTreeSet<&'f str>,
    granted: bool,
}

impl<'f> Costly<'f> {
    const ISSUE: Issue =
        Issue::Limit(Limit::CostlyExpressions { of_route: COSTLY_OF_ROUTE, of_namespace: COSTLY_OF_NAMESPACE, of_all: COSTLY_OF_ALL });

    fn of(reader: &mut Reader<'_>, (id, age): (&ObjectId, &Age), facts: &'f RouteFacts) -> Self {
        let mut all = Self::default();
        for text in facts.expressions() {
            if all.texts.len() > COSTLY_OF_ROUTE {
                all.unknown.insert(text);
            } else if reader.is_costly(text) {
                all.texts.insert(text);
            }
        }
        all.granted = all.asked() > 0 && reader.within(Good::Costly, (id, age), all.asked());
        all
    }

    /// How many the route asks for. Nothing if they are too many by themselves.
    fn asked(&self) -> usize {
        if self.texts.len() > COSTLY_OF_ROUTE { 0 } else { self.texts.len() }
    }

    fn bars(&self, expression: &str) -> bool {
        !self.granted && (self.texts.contains(expression) || self.unknown.contains(expression))
    }
}

/// Takes the matches out of a rule that cannot be evaluated, and says why.
fn drop_unusable(rule: &mut RuleFacts, verdict: &mut impl FnMut(&str) -> Result<(), Issue>) -> Vec<Issue> {
    let mut issues = Vec::new();
    let Matches { list, written } = std::mem::take(&mut rule.matches);
    for (matched, place) in list.into_iter().zip(written) {
        let usable = expressions(&matched).try_for_each(&mut *verdict);
        match usable {
            Ok(()) => rule.matches.push(matched, place),
            Err(issue) => issues.push(issue),
        }
    }
    if !issues.is_empty() {
        rule.action = RuleAction::Broken;
    }
    issues
}
