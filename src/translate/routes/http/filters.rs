//! Filters of HTTPRoute rules and of their backend references.

use super::cors;
use crate::api::httproutes::{
    HttpRouteRulesBackendRefsFilters as BackendFilter, HttpRouteRulesBackendRefsFiltersType as BackendFilterType,
    HttpRouteRulesBackendRefsFiltersUrlRewritePathType as BackendPathType, HttpRouteRulesFilters as RuleFilter,
    HttpRouteRulesFiltersRequestRedirect as RedirectFilter, HttpRouteRulesFiltersRequestRedirectPathType as RedirectPathType,
    HttpRouteRulesFiltersRequestRedirectScheme as RedirectScheme, HttpRouteRulesFiltersType as RuleFilterType,
    HttpRouteRulesFiltersUrlRewritePathType as RulePathType,
};
use crate::model::{Filter, Hostname, PathModifier, Redirect, Rewrite, Scheme};
use crate::report::Issue;
use crate::translate::routes::filters::{Filters, edit, mirror};
use crate::translate::routes::{paths, shorten};

/// Redirect statuses of Gateway API.
const STATUSES: &[i64] = &[301, 302, 303, 307, 308];

/// A rewrite of any place. Each place has its own generated types of one shape.
macro_rules! rewrite {
    ($rewrite:expr, $kind:ident) => {
        $rewrite.as_ref().map(|declared| {
            let path = declared.path.as_ref().map(|path| match path.r#type {
                $kind::ReplaceFullPath => paths::full(path.replace_full_path.as_deref().unwrap_or_default()),
                $kind::ReplacePrefixMatch => paths::replaced_prefix(path.replace_prefix_match.as_deref().unwrap_or_default()),
            });
            rewrite(declared.hostname.as_deref(), path)
        })
    };
}

impl Filters {
    /// The filters of a rule.
    pub(super) fn of_rule(declared: &[RuleFilter]) -> Self {
        let mut all = Self::default();
        for filter in declared {
            match filter.r#type {
                RuleFilterType::RequestHeaderModifier => {
                    all.edit("RequestHeaderModifier", edit!(filter.request_header_modifier), Filter::RequestHeaders);
                }
                RuleFilterType::ResponseHeaderModifier => {
                    all.edit("ResponseHeaderModifier", edit!(filter.response_header_modifier), Filter::ResponseHeaders);
                }
                RuleFilterType::RequestRedirect => all.redirect(filter.request_redirect.as_ref()),
                RuleFilterType::UrlRewrite => all.rewrite(rewrite!(filter.url_rewrite, RulePathType)),
                RuleFilterType::RequestMirror => all.mirror(mirror!(filter.request_mirror)),
                RuleFilterType::ExtensionRef => all.unsupported("ExtensionRef"),
                RuleFilterType::Cors => match filter.cors.as_ref().map(cors::read) {
                    Some(Ok(cors)) => all.filters.push(Filter::Cors(cors)),
                    Some(Err(issue)) => all.issues.push(issue),
                    None => all.issues.push(Issue::EmptyFilter { filter: "CORS".into() }),
                },
                RuleFilterType::ExternalAuth => all.unsupported("ExternalAuth"),
            }
        }
        all
    }

    /// The filters of a backend reference: what concerns its share of the requests alone.
    pub(super) fn of_backend(declared: &[BackendFilter]) -> Self {
        let mut all = Self::default();
        for filter in declared {
            match filter.r#type {
                BackendFilterType::RequestHeaderModifier => {
                    all.edit("RequestHeaderModifier", edit!(filter.request_header_modifier), Filter::RequestHeaders);
                }
                BackendFilterType::ResponseHeaderModifier => {
                    all.edit("ResponseHeaderModifier", edit!(filter.response_header_modifier), Filter::ResponseHeaders);
                }
                BackendFilterType::RequestRedirect => all.unsupported("RequestRedirect"),
                BackendFilterType::UrlRewrite => all.rewrite(rewrite!(filter.url_rewrite, BackendPathType)),
                BackendFilterType::RequestMirror => all.mirror(mirror!(filter.request_mirror)),
                BackendFilterType::ExtensionRef => all.unsupported("ExtensionRef"),
                BackendFilterType::Cors => all.unsupported("CORS"),
                BackendFilterType::ExternalAuth => all.unsupported("ExternalAuth"),
            }
        }
        all
    }

    fn redirect(&mut self, declared: Option<&RedirectFilter>) {
        let Some(declared) = declared else { return self.issues.push(Issue::EmptyFilter { filter: "RequestRedirect".into() }) };
        if self.redirect.is_some() {
            self.issues.push(Issue::IncompatibleFilters { first: "RequestRedirect".into(), second: "RequestRedirect".into() });
        }
        match redirect(declared) {
            Ok(redirect) => self.redirect = Some(redirect),
            Err(issue) => self.issues.push(issue),
        }
    }

    fn rewrite(&mut self, rewrite: Option<Result<Rewrite, Issue>>) {
        match rewrite {
            Some(Ok(rewrite)) => self.filters.push(Filter::Rewrite(rewrite)),
            Some(Err(issue)) => self.issues.push(issue),
            None => self.issues.push(Issue::EmptyFilter { filter: "URLRewrite".into() }),
        }
    }
}

fn redirect(declared: &RedirectFilter) -> Result<Redirect, Issue> {
    let status = declared.status_code.unwrap_or(302);
    let invalid = |field: &str, value: String| Issue::InvalidValue { field: field.to_owned(), value };
    let port = match declared.port.map(u16::try_from) {
        Some(Ok(port)) if port > 0 => Some(port),
        Some(_) => return Err(invalid("requestRedirect.port", declared.port.unwrap_or_default().to_string())),
        None => None,
    };
    let path = declared.path.as_ref().map(|path| match path.r#type {
        RedirectPathType::ReplaceFullPath => paths::full(path.replace_full_path.as_deref().unwrap_or_default()),
        RedirectPathType::ReplacePrefixMatch => paths::replaced_prefix(path.replace_prefix_match.as_deref().unwrap_or_default()),
    });
    Ok(Redirect {
        scheme: declared.scheme.as_ref().map(|scheme| match scheme {
            RedirectScheme::Http => Scheme::Http,
            RedirectScheme::Https => Scheme::Https,
        }),
        hostname: declared.hostname.as_deref().map(hostname).transpose()?,
        port,
        path: path.transpose()?,
        status: u16::try_from(status)
            .ok()
            .filter(|_| STATUSES.contains(&status))
            .ok_or_else(|| invalid("requestRedirect.statusCode", status.to_string()))?,
    })
}

fn rewrite(name: Option<&str>, path: Option<Result<PathModifier, Issue>>) -> Result<Rewrite, Issue> {
    Ok(Rewrite { hostname: name.map(hostname).transpose()?, path: path.transpose()? })
}

/// A hostname without wildcard (`PreciseHostname`).
fn hostname(text: &str) -> Result<String, Issue> {
    match Hostname::parse(text) {
        Ok(Hostname::Exact(name)) => Ok(name),
        _ => Err(Issue::InvalidValue { field: "hostname".into(), value: shorten(text) }),
    }
}
