//! Matches of HTTPRoute rules.

use crate::api::httproutes::{
    HttpRouteRulesMatches, HttpRouteRulesMatchesHeadersType as HeaderType, HttpRouteRulesMatchesMethod as Method,
    HttpRouteRulesMatchesPath, HttpRouteRulesMatchesPathType as PathType, HttpRouteRulesMatchesQueryParamsType as QueryType,
};
use crate::model::{HeaderMatch, Match, PathMatch, Pattern, QueryMatch, ValueMatch};
use crate::report::Issue;
use crate::translate::routes::{headers, paths, shorten};

/// The matches that can be evaluated, and issues. No match at all means the prefix `/` (`HTTPRouteRule.matches`).
pub(super) fn all(declared: &[HttpRouteRulesMatches]) -> (Vec<Match>, Vec<Issue>) {
    let default = [HttpRouteRulesMatches::default()];
    let declared = if declared.is_empty() { &default } else { declared };
    let mut matches = Vec::with_capacity(declared.len());
    let mut issues = Vec::new();
    for declared in declared {
        match one(declared) {
            Ok((parsed, remarks)) => {
                matches.push(parsed);
                issues.extend(remarks);
            }
            Err(issue) => issues.push(issue),
        }
    }
    (matches, issues)
}

fn one(declared: &HttpRouteRulesMatches) -> Result<(Match, Vec<Issue>), Issue> {
    let mut remarks = Vec::new();
    let mut headers: Vec<HeaderMatch> = Vec::new();
    for header in declared.headers.iter().flatten() {
        let name = headers::name(&header.name)?;
        let value = value(&header.value, matches!(header.r#type, Some(HeaderType::RegularExpression)))?;
        if headers.iter().any(|earlier| earlier.name == name) {
            remarks.push(Issue::DuplicateName { name });
        } else {
            headers.push(HeaderMatch { name, value });
        }
    }
    let mut query: Vec<QueryMatch> = Vec::new();
    for parameter in declared.query_params.iter().flatten() {
        let name = parameter.name.clone();
        let value = value(&parameter.value, matches!(parameter.r#type, Some(QueryType::RegularExpression)))?;
        if query.iter().any(|earlier| earlier.name == name) {
            remarks.push(Issue::DuplicateName { name });
        } else {
            query.push(QueryMatch { name, value });
        }
    }
    let method = declared.method.as_ref().map(|method| method_name(method).to_owned());
    Ok((Match { path: path(declared.path.as_ref())?, method, headers, query }, remarks))
}

fn path(declared: Option<&HttpRouteRulesMatchesPath>) -> Result<PathMatch, Issue> {
    let text = declared.and_then(|path| path.value.as_deref()).unwrap_or("/");
    match declared.and_then(|path| path.r#type.as_ref()) {
        Some(PathType::Exact) => paths::exact(text),
        Some(PathType::RegularExpression) => pattern(text).map(PathMatch::Regex),
        Some(PathType::PathPrefix) | None => paths::prefix(text),
    }
}

fn value(text: &str, regular_expression: bool) -> Result<ValueMatch, Issue> {
    if regular_expression { pattern(text).map(ValueMatch::Regex) } else { Ok(ValueMatch::Exact(text.to_owned())) }
}

fn pattern(text: &str) -> Result<String, Issue> {
    match Pattern::compile(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(problem) => Err(Issue::InvalidPattern { pattern: shorten(text), problem }),
    }
}

fn method_name(method: &Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
    }
}
