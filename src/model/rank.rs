//! Precedence between matches, as one total order (`HTTPRouteRule.matches`, `GRPCRouteRule.matches`, `spec.hostnames` of
//! both).

use std::cmp::Reverse;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Hostname, ObjectId, PathMatch, ValueMatch};

/// Precedence of a match: the greatest rank among the satisfied matches wins. Fields compare in order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rank {
    /// Hostname as the route declares it.
    pub host: HostRank,
    /// Path.
    pub path: PathRank,
    /// The rule is no fallback.
    pub regular: bool,
    /// A method is named.
    pub method: bool,
    /// Number of header conditions.
    pub headers: usize,
    /// Number of query conditions.
    pub query: usize,
    /// Older wins.
    pub age: Reverse<Age>,
    /// Then by alphabetical order of `namespace/name`, then by kind.
    pub object: Reverse<(String, super::Kind)>,
    /// Then the earlier rule.
    pub rule: Reverse<usize>,
    /// Then the earlier match.
    pub index: Reverse<usize>,
}

/// Age of an object, the older the smaller. What has no time of creation is older than what has one.
///
/// ```
/// # use kakehi::model::Age;
/// assert!(Age::File("a.yaml".into()) < Age::File("b.yaml".into()) && Age::File("b.yaml".into()) < Age::Created(0));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Age {
    /// A manifest without a time of creation, by the path of its file.
    File(Arc<str>),
    /// Seconds since the Unix epoch.
    Created(i64),
}

/// Specificity of a declared hostname: characters of an exact name first, then characters of the pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HostRank {
    /// Length of the name when it is no wildcard, else 0.
    pub exact: usize,
    /// Length of the pattern as written, `*.` included; 0 for every host.
    pub length: usize,
}

/// Specificity of a path condition: gRPC call, then exact, then regular expression, then prefix; then length.
///
/// Where regular expressions stand is left to implementations by Gateway API; between exact and prefix is what users of
/// other controllers meet. So is how the matches of a GRPCRoute and of an HTTPRoute on one host stand to each other, which
/// are never merged: calls go to the routes that are for calls alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PathRank {
    /// The prefix `/`, which every path has.
    Root,
    /// Length of the prefix, without its trailing slash; not 0.
    Prefix(usize),
    /// Length of the expression.
    Regex(usize),
    /// Length of the path.
    Exact(usize),
    /// A gRPC call, by the characters of the condition on the service, then of the one on the method, whether names or
    /// expressions; 0 without.
    Call {
        /// Of the service.
        service: usize,
        /// Of the method.
        method: usize,
    },
}

impl HostRank {
    /// The specificity of `declared`.
    pub fn of(declared: &Hostname) -> Self {
        match declared {
            Hostname::Any => Self { exact: 0, length: 0 },
            Hostname::Wildcard(suffix) | Hostname::Label(suffix) => Self { exact: 0, length: suffix.len() + 2 },
            Hostname::Exact(name) => Self { exact: name.len(), length: name.len() },
        }
    }
}

impl PathRank {
    /// The specificity of `path`.
    pub fn of(path: &PathMatch) -> Self {
        match path {
            PathMatch::Prefix(prefix) => match prefix.trim_end_matches('/').len() {
                0 => Self::Root,
                length => Self::Prefix(length),
            },
            PathMatch::Call { service, method } => Self::Call { service: length(service.as_ref()), method: length(method.as_ref()) },
            PathMatch::Regex(expression) => Self::Regex(expression.len()),
            PathMatch::Exact(path) => Self::Exact(path.len()),
        }
    }
}

fn length(name: Option<&ValueMatch>) -> usize {
    match name {
        None => 0,
        Some(ValueMatch::Exact(text) | ValueMatch::Regex(text)) => text.len(),
    }
}

impl Rank {
    pub(super) fn new(host: HostRank, path: PathRank, regular: bool) -> Self {
        let object = Reverse((String::new(), super::Kind::HttpRoute));
        Self {
            host,
            path,
            regular,
            method: false,
            headers: 0,
            query: 0,
            age: Reverse(Age::Created(0)),
            object,
            rule: Reverse(0),
            index: Reverse(0),
        }
    }

    pub(super) fn conditions(self, method: bool, headers: usize, query: usize) -> Self {
        Self { method, headers, query, ..self }
    }

    pub(super) fn origin(self, age: Age, object: &ObjectId, rule: usize, index: usize) -> Self {
        let object = Reverse((format!("{}/{}", object.namespace, object.name), object.kind));
        Self { age: Reverse(age), object, rule: Reverse(rule), index: Reverse(index), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::{Age, HostRank, PathRank, Rank};
    use crate::model::{Hostname, Kind, ObjectId, PathMatch};

    #[test]
    fn ties_go_to_the_first_namespace_and_name_as_one_text() {
        let rank = |namespace: &str, name: &str| {
            let rank = Rank::new(HostRank::of(&Hostname::Any), PathRank::of(&PathMatch::Prefix("/".into())), true);
            rank.origin(Age::Created(0), &ObjectId::new(Kind::HttpRoute, namespace, name), 0, 0)
        };
        assert!(rank("a", "a") > rank("a", "b"));
        // `-` comes before `/`: comparing namespaces first would turn this round.
        assert!(rank("a-b", "z") > rank("a", "a"));
    }
}
