//! Matches of HTTPRoute rules.

use crate::api::httproutes::{
    HttpRouteRulesMatches, HttpRouteRulesMatchesHeadersType as HeaderType, HttpRouteRulesMatchesMethod as Method,
    HttpRouteRulesMatchesPath, HttpRouteRulesMatchesPathType as PathType, HttpRouteRulesMatchesQueryParamsType as QueryType,
};
use crate::model::{Match, PathMatch, QueryMatch};
use crate::report::Issue;
use crate::translate::routes::{parse, paths};

/// One match. The default of `HTTPRouteRule.matches` is the prefix `/`.
pub(super) fn one(declared: &HttpRouteRulesMatches) -> Result<(Match, Vec<Issue>), Issue> {
    let of_type = |kind: Option<&HeaderType>| matches!(kind, Some(HeaderType::RegularExpression));
    let headers = declared.headers.iter().flatten();
    let (headers, mut remarks) =
        parse::header_matches(headers.map(|header| (header.name.as_str(), header.value.as_str(), of_type(header.r#type.as_ref()))))?;
    let mut query: Vec<QueryMatch> = Vec::new();
    for parameter in declared.query_params.iter().flatten() {
        let name = parameter.name.clone();
        let value = parse::value(&parameter.value, matches!(parameter.r#type, Some(QueryType::RegularExpression)));
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
        Some(PathType::RegularExpression) => Ok(PathMatch::Regex(text.to_owned())),
        Some(PathType::PathPrefix) | None => paths::prefix(text),
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
