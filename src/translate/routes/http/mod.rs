//! HTTPRoute: parsed into the common vocabulary. The only place that knows its types.

mod cors;
mod filters;
mod matches;
mod retry;
mod timeouts;

use super::filters::Filters;
use super::{BackendFacts, RouteFacts, RuleAction, RuleFacts, parse};
use crate::api::HttpRoute;
use crate::api::httproutes::{HttpRouteRules, HttpRouteRulesBackendRefs};
use crate::model::{Filter, Match, ObjectId, PathMatch, PathModifier, Redirect, Rewrite, Timeouts};
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
    if redirect.is_some() && !mirrors.is_empty() {
        found.push(Issue::IncompatibleFilters { first: "RequestRedirect".into(), second: "RequestMirror".into() });
    }
    found.extend(exclusions(declared, &matches, &filters, redirect.as_ref()));
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
    let (backends, mut issues) = parse::backends(index, declared.backend_refs.as_deref(), backend, &mut found);
    let action = match redirect {
        _ if parse::is_broken(&found) => RuleAction::Broken,
        Some(redirect) => RuleAction::Redirect(redirect),
        None => RuleAction::Forward(backends),
    };
    issues.extend(found.into_iter().map(|issue| (Scope::Rule { rule: index, backend: None }, issue)));
    (RuleFacts { name: declared.name.clone(), matches, filters, mirrors, action }, issues)
}

/// What cannot stand together in one rule.
fn exclusions(declared: &HttpRouteRules, matches: &[Match], filters: &[Filter], redirect: Option<&Redirect>) -> Vec<Issue> {
    let mut issues = Vec::new();
    let mut exclude = |first: &str, second: &str| issues.push(Issue::IncompatibleFilters { first: first.into(), second: second.into() });
    let rewrites = filters.iter().filter(|filter| matches!(filter, Filter::Rewrite(_))).count();
    if redirect.is_some() && rewrites > 0 {
        exclude("RequestRedirect", "URLRewrite");
    }
    if rewrites > 1 {
        exclude("URLRewrite", "URLRewrite");
    }
    if filters.iter().filter(|filter| matches!(filter, Filter::Cors(_))).count() > 1 {
        exclude("CORS", "CORS");
    }
    if redirect.is_some() && declared.backend_refs.as_ref().is_some_and(|backends| !backends.is_empty()) {
        exclude("RequestRedirect", "backendRefs");
    }
    let modifier = redirect.and_then(|redirect| redirect.path.as_ref()).or_else(|| {
        filters.iter().find_map(|filter| match filter {
            Filter::Rewrite(Rewrite { path, .. }) => path.as_ref(),
            _ => None,
        })
    });
    let only_prefixes = matches.iter().all(|matched| matches!(matched.path, PathMatch::Prefix(_)));
    if matches!(modifier, Some(PathModifier::Prefix(_))) && !only_prefixes {
        exclude("ReplacePrefixMatch", "matches other than PathPrefix");
    }
    issues
}

/// A backend reference and remarks on it, or what bars the whole rule.
fn backend(declared: &HttpRouteRulesBackendRefs) -> Result<(BackendFacts, Vec<Issue>), Issue> {
    let weight = parse::weight(declared.weight)?;
    let Filters { filters, mirrors, issues, .. } = Filters::of_backend(declared.filters.as_deref().unwrap_or_default());
    let reference = parse::reference!(declared);
    Ok((BackendFacts { reference, port: declared.port, weight, filters, mirrors, broken: parse::is_broken(&issues) }, issues))
}
