//! HTTPRoute: parsed into the common vocabulary. The only place that knows its types.

mod cors;
mod exclusions;
mod filters;
mod matches;
mod retry;
mod timeouts;

use self::exclusions::Exclusions;
use super::filters::Filters;
use super::{BackendFacts, RouteFacts, RuleAction, RuleFacts, parse};
use crate::api::HttpRoute;
use crate::api::httproutes::{HttpRouteRules, HttpRouteRulesBackendRefs};
use crate::model::{Filter, ObjectId, Timeouts};
use crate::report::{Issue, Scope};

/// Parses a route.
pub(crate) fn read(id: &ObjectId, route: &HttpRoute) -> RouteFacts {
    let spec = &route.spec;
    let declared = parse::Declared {
        hostnames: spec.hostnames.as_deref().unwrap_or_default(),
        parents: spec.parent_refs.iter().flatten().map(|parent| parse::parent!(parent)).collect(),
        default_gateways: spec.use_default_gateways.is_some(),
    };
    // The default of `spec.rules`, a rule that takes everything, for objects that no schema defaulted.
    let default = [HttpRouteRules::default()];
    let rules = spec.rules.as_deref().filter(|rules| !rules.is_empty()).unwrap_or(&default);
    parse::route(id, declared, rules.iter().enumerate().map(|(index, declared)| rule(index, declared)))
}

fn rule(index: usize, declared: &HttpRouteRules) -> (RuleFacts, Vec<(Scope, Issue)>) {
    let (matches, mut found) = parse::matches(declared.matches.as_deref().unwrap_or_default(), matches::one);
    let Filters { mut filters, mirrors, redirect, issues } = Filters::of_rule(declared.filters.as_deref().unwrap_or_default());
    found.extend(issues);
    let exclusions = Exclusions::new(&matches, &filters);
    let has_backends = declared.backend_refs.as_ref().is_some_and(|backends| !backends.is_empty());
    found.extend(exclusions.of_rule(&filters, redirect.as_ref(), has_backends));
    if declared.session_persistence.is_some() {
        found.push(Issue::UnsupportedField { field: "sessionPersistence".to_owned() });
    }
    match declared.timeouts.as_ref().map(timeouts::read) {
        Some(Ok(timeouts)) if timeouts != Timeouts::default() => filters.push(Filter::Timeouts(timeouts)),
        Some(Err(issue)) => found.push(issue),
        Some(Ok(_)) | None => {}
    }
    match declared.retry.as_ref().map(retry::read) {
        Some(Ok(retry)) => filters.push(Filter::Retry(retry)),
        Some(Err(issue)) => found.push(issue),
        None => {}
    }
    let backend = |declared: &HttpRouteRulesBackendRefs| backend(declared, exclusions);
    let (backends, mut issues) = parse::backends(index, declared.backend_refs.as_deref(), backend, &mut found);
    let action = match redirect {
        _ if parse::is_broken(&found) => RuleAction::Broken,
        Some(redirect) => RuleAction::Redirect(redirect),
        None => RuleAction::Forward(backends),
    };
    issues.extend(found.into_iter().map(|issue| (Scope::Rule { rule: index, backend: None }, issue)));
    (RuleFacts { name: declared.name.clone(), matches, filters, mirrors, action }, issues)
}

/// A backend reference and remarks on it, or what bars the whole rule.
fn backend(declared: &HttpRouteRulesBackendRefs, exclusions: Exclusions) -> Result<(BackendFacts, Vec<Issue>), Issue> {
    let weight = parse::weight(declared.weight)?;
    let Filters { filters, mirrors, mut issues, .. } = Filters::of_backend(declared.filters.as_deref().unwrap_or_default());
    issues.extend(exclusions.of_backend(&filters));
    let reference = parse::reference!(declared);
    Ok((BackendFacts { reference, port: declared.port, weight, filters, mirrors, broken: parse::is_broken(&issues) }, issues))
}
