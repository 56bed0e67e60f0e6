//! What cannot stand together in a rule (`HTTPRouteRule`, `HTTPBackendRef.filters`).

use crate::model::{Filter, Match, PathMatch, PathModifier, Redirect, Rewrite};
use crate::report::Issue;

/// What a rule's matches and filters leave open to the rest of it.
#[derive(Clone, Copy)]
pub(super) struct Exclusions {
    rewrites: bool,
    only_prefixes: bool,
}

impl Exclusions {
    /// Of a rule with these matches and filters.
    pub(super) fn new(matches: &[Match], filters: &[Filter]) -> Self {
        let only_prefixes = matches.iter().all(|matched| matches!(matched.path, PathMatch::Prefix(_)));
        Self { rewrites: rewrites(filters).next().is_some(), only_prefixes }
    }

    /// What the rule's own filters are at odds with.
    pub(super) fn of_rule(self, filters: &[Filter], redirect: Option<&Redirect>, has_backends: bool) -> Vec<Issue> {
        let mut issues = self.of_rewrites(filters);
        if redirect.is_some() && self.rewrites {
            issues.push(exclusion("RequestRedirect", "URLRewrite"));
        }
        if filters.iter().filter(|filter| matches!(filter, Filter::Cors(_))).count() > 1 {
            issues.push(exclusion("CORS", "CORS"));
        }
        if redirect.is_some() && has_backends {
            issues.push(exclusion("RequestRedirect", "backendRefs"));
        }
        issues.extend(redirect.and_then(|redirect| self.of_path(redirect.path.as_ref())));
        issues
    }

    /// What the filters of one of its backend references are at odds with. Nothing says which of two rewrites comes first.
    pub(super) fn of_backend(self, filters: &[Filter]) -> Vec<Issue> {
        let mut issues = self.of_rewrites(filters);
        if self.rewrites && rewrites(filters).next().is_some() {
            issues.push(exclusion("URLRewrite of the rule", "URLRewrite of the backend reference"));
        }
        issues
    }

    fn of_rewrites(self, filters: &[Filter]) -> Vec<Issue> {
        let twice = (rewrites(filters).count() > 1).then(|| exclusion("URLRewrite", "URLRewrite"));
        twice.into_iter().chain(rewrites(filters).find_map(|rewrite| self.of_path(rewrite.path.as_ref()))).collect()
    }

    fn of_path(self, modifier: Option<&PathModifier>) -> Option<Issue> {
        let replaces = matches!(modifier, Some(PathModifier::Prefix(_)));
        (replaces && !self.only_prefixes).then(|| exclusion("ReplacePrefixMatch", "matches other than PathPrefix"))
    }
}

fn rewrites(filters: &[Filter]) -> impl Iterator<Item = &Rewrite> {
    filters.iter().filter_map(|filter| match filter {
        Filter::Rewrite(rewrite) => Some(rewrite),
        _ => None,
    })
}

fn exclusion(first: &str, second: &str) -> Issue {
    Issue::IncompatibleFilters { first: first.to_owned(), second: second.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::Exclusions;
    use crate::model::{Filter, Match, PathMatch, PathModifier, Redirect, Rewrite};

    fn rewrite(path: Option<PathModifier>) -> Filter {
        Filter::Rewrite(Rewrite { hostname: None, path })
    }

    fn on(path: PathMatch) -> [Match; 2] {
        [PathMatch::Prefix("/a".into()), path].map(|path| Match { path, method: None, headers: Vec::new(), query: Vec::new() })
    }

    #[test]
    fn a_prefix_is_replaced_only_where_every_match_has_one() {
        let (prefix, full) = (PathModifier::Prefix("/b".into()), PathModifier::Full("/b".into()));
        for (matched, alone) in [(PathMatch::Prefix("/".into()), true), (PathMatch::Exact("/x".into()), false)] {
            let exclusions = Exclusions::new(&on(matched), &[]);
            assert_eq!(exclusions.of_backend(&[rewrite(Some(prefix.clone()))]).is_empty(), alone);
            assert_eq!(exclusions.of_rule(&[rewrite(Some(prefix.clone()))], None, true).is_empty(), alone);
            let redirect = Redirect { scheme: None, hostname: None, port: None, path: Some(prefix.clone()), status: 302 };
            assert_eq!(exclusions.of_rule(&[], Some(&redirect), false).is_empty(), alone);
            assert!(exclusions.of_backend(&[rewrite(Some(full.clone()))]).is_empty());
        }
    }

    #[test]
    fn one_request_is_rewritten_once() {
        let matches = on(PathMatch::Prefix("/".into()));
        let (with, without) = (Exclusions::new(&matches, &[rewrite(None)]), Exclusions::new(&matches, &[]));
        assert_eq!((with.of_backend(&[rewrite(None)]).len(), with.of_backend(&[]).len()), (1, 0));
        let twice = [rewrite(None), rewrite(None)];
        assert_eq!((without.of_backend(&twice).len(), without.of_rule(&twice, None, true).len()), (1, 1));
        assert_eq!((without.of_backend(&twice[..1]).len(), without.of_rule(&twice[..1], None, true).len()), (0, 0));
    }
}
