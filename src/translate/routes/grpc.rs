//! GRPCRoute: parsed into the common vocabulary. The only place that knows its types.
//!
//! A call is a POST of `/service/method` with a content type of its own, so a method match is a path condition that holds
//! for calls alone.

use super::filters::{Filters, edit, mirror};
use super::{BackendFacts, RouteFacts, RuleAction, RuleFacts, parse, paths, shorten};
use crate::api::GrpcRoute;
use crate::api::grpcroutes::{
    GrpcRouteRules, GrpcRouteRulesBackendRefs, GrpcRouteRulesBackendRefsFilters as BackendFilter,
    GrpcRouteRulesBackendRefsFiltersType as BackendFilterType, GrpcRouteRulesFilters as RuleFilter,
    GrpcRouteRulesFiltersType as RuleFilterType, GrpcRouteRulesMatches, GrpcRouteRulesMatchesHeadersType as HeaderType,
    GrpcRouteRulesMatchesMethod as MethodMatch, GrpcRouteRulesMatchesMethodType as MethodType,
};
use crate::model::{Filter, Match, ObjectId, PathMatch, ValueMatch};
use crate::report::{Issue, Scope};

/// Parses a route.
pub(crate) fn read(id: &ObjectId, route: &GrpcRoute) -> RouteFacts {
    let spec = &route.spec;
    let declared = parse::Declared {
        hostnames: spec.hostnames.as_deref().unwrap_or_default(),
        parents: spec.parent_refs.iter().flatten().map(|parent| parse::parent!(parent)).collect(),
        default_gateways: spec.use_default_gateways.is_some(),
    };
    parse::route(id, declared, spec.rules.iter().flatten().enumerate().map(|(index, declared)| rule(index, declared)))
}

fn rule(index: usize, declared: &GrpcRouteRules) -> (RuleFacts, Vec<(Scope, Issue)>) {
    let (matches, mut found) = parse::matches(declared.matches.as_deref().unwrap_or_default(), one);
    let Filters { filters, mirrors, issues, .. } = of_rule(declared.filters.as_deref().unwrap_or_default());
    found.extend(issues);
    if declared.session_persistence.is_some() {
        found.push(Issue::UnsupportedField { field: "sessionPersistence".to_owned() });
    }
    let (backends, mut issues) = parse::backends(index, declared.backend_refs.as_deref(), backend, &mut found);
    let action = if parse::is_broken(&found) { RuleAction::Broken } else { RuleAction::Forward(backends) };
    issues.extend(found.into_iter().map(|issue| (Scope::Rule { rule: index, backend: None }, issue)));
    (RuleFacts { name: declared.name.clone(), matches, filters, mirrors, action }, issues)
}

fn one(declared: &GrpcRouteRulesMatches) -> Result<(Match, Vec<Issue>), Issue> {
    let of_type = |kind: Option<&HeaderType>| matches!(kind, Some(HeaderType::RegularExpression));
    let headers = declared.headers.iter().flatten();
    let (headers, remarks) =
        parse::header_matches(headers.map(|header| (header.name.as_str(), header.value.as_str(), of_type(header.r#type.as_ref()))))?;
    let path = declared.method.as_ref().map_or(Ok(PathMatch::Call { service: None, method: None }), path)?;
    Ok((Match { path, method: Some("POST".to_owned()), headers, query: Vec::new() }, remarks))
}

/// The path condition of a method match.
fn path(declared: &MethodMatch) -> Result<PathMatch, Issue> {
    let expressions = matches!(declared.r#type, Some(MethodType::RegularExpression));
    let part = |name: &Option<String>| match name.as_deref().filter(|name| !name.is_empty()) {
        None => Ok(None),
        Some(text) if expressions => Ok(Some(ValueMatch::Regex(text.to_owned()))),
        Some(text) => element(text).map(|text| Some(ValueMatch::Exact(text.to_owned()))),
    };
    Ok(PathMatch::Call { service: part(&declared.service)?, method: part(&declared.method)? })
}

/// The text, when it is one element of a path.
fn element(name: &str) -> Result<&str, Issue> {
    if name.contains('/') {
        return Err(Issue::InvalidPath { path: shorten(name) });
    }
    paths::exact(&format!("/{name}")).map(|_| name)
}

fn of_rule(declared: &[RuleFilter]) -> Filters {
    let mut all = Filters::default();
    for filter in declared {
        match filter.r#type {
            RuleFilterType::RequestHeaderModifier => {
                all.edit("RequestHeaderModifier", edit!(filter.request_header_modifier), Filter::RequestHeaders);
            }
            RuleFilterType::ResponseHeaderModifier => {
                all.edit("ResponseHeaderModifier", edit!(filter.response_header_modifier), Filter::ResponseHeaders);
            }
            RuleFilterType::RequestMirror => all.mirror(mirror!(filter.request_mirror)),
            RuleFilterType::ExtensionRef => all.unsupported("ExtensionRef"),
        }
    }
    all
}

fn of_backend(declared: &[BackendFilter]) -> Filters {
    let mut all = Filters::default();
    for filter in declared {
        match filter.r#type {
            BackendFilterType::RequestHeaderModifier => {
                all.edit("RequestHeaderModifier", edit!(filter.request_header_modifier), Filter::RequestHeaders);
            }
            BackendFilterType::ResponseHeaderModifier => {
                all.edit("ResponseHeaderModifier", edit!(filter.response_header_modifier), Filter::ResponseHeaders);
            }
            BackendFilterType::RequestMirror => all.mirror(mirror!(filter.request_mirror)),
            BackendFilterType::ExtensionRef => all.unsupported("ExtensionRef"),
        }
    }
    all
}

/// A backend reference and remarks on it, or what bars the whole rule.
fn backend(declared: &GrpcRouteRulesBackendRefs) -> Result<(BackendFacts, Vec<Issue>), Issue> {
    let weight = parse::weight(declared.weight)?;
    let Filters { filters, mirrors, issues, .. } = of_backend(declared.filters.as_deref().unwrap_or_default());
    let broken = parse::is_broken(&issues);
    Ok((BackendFacts { reference: parse::reference!(declared), port: declared.port, weight, filters, mirrors, broken }, issues))
}

#[cfg(test)]
mod tests {
    use super::path;
    use crate::api::grpcroutes::{GrpcRouteRulesMatchesMethod, GrpcRouteRulesMatchesMethodType};
    use crate::model::{PathMatch, PathRank, ValueMatch};

    fn matched(service: Option<&str>, method: Option<&str>, regular: bool) -> PathMatch {
        let kind = if regular { GrpcRouteRulesMatchesMethodType::RegularExpression } else { GrpcRouteRulesMatchesMethodType::Exact };
        let declared =
            GrpcRouteRulesMatchesMethod { service: service.map(str::to_owned), method: method.map(str::to_owned), r#type: Some(kind) };
        path(&declared).unwrap()
    }

    #[test]
    fn methods_are_calls() {
        let call = |service: Option<ValueMatch>, method| PathMatch::Call { service, method };
        let (exact, regex) = (|text: &str| Some(ValueMatch::Exact(text.into())), |text: &str| Some(ValueMatch::Regex(text.into())));
        assert_eq!(matched(Some("a.B"), Some("C"), false), call(exact("a.B"), exact("C")));
        assert_eq!(matched(Some("a.B"), Some(""), false), call(exact("a.B"), None));
        assert_eq!(matched(None, Some("C"), false), call(None, exact("C")));
        assert_eq!(matched(None, None, false), call(None, None));
        assert_eq!(matched(Some("a.+"), None, true), call(regex("a.+"), None));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let declared = |service: &str, kind| GrpcRouteRulesMatchesMethod { service: Some(service.into()), method: None, r#type: kind };
        assert!(path(&declared("a/b", None)).is_err() && path(&declared("..", None)).is_err());
    }

    /// `GRPCRouteRule.matches`: characters of the service, then of the method, whatever the type.
    #[test]
    fn characters_of_services_count_before_those_of_methods() {
        let rank = |service, method, regular| PathRank::of(&matched(service, method, regular));
        let order = [
            rank(Some("a.Long.+"), None, true),
            rank(Some("shop"), Some("Get"), false),
            rank(Some("shop"), None, false),
            rank(Some(".*"), Some("Get[A-Z][a-z]*"), true),
            rank(Some(".*"), Some("Get"), true),
            rank(None, Some("Method"), false),
            rank(None, Some("Get"), false),
            rank(None, None, false),
            PathRank::of(&PathMatch::Exact("/shop/Get".into())),
        ];
        assert!(order.is_sorted_by(|earlier, later| earlier > later));
    }
}
