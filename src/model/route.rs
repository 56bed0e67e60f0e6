//! Routes: attachments, rules, matches and backend references, for every dialect once translated.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use super::{Age, BackendId, Filter, HostRank, Hostname, Kind, ListenerName, ObjectId, PathRank, Rank, Redirect};

/// A list that takes no more room than it needs: there are thousands, of one entry mostly.
fn exact<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let mut list = Vec::deserialize(deserializer)?;
    list.shrink_to_fit();
    Ok(list)
}

/// One route object as far as one edge is concerned.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Route {
    /// The object.
    pub id: ObjectId,
    /// Age for precedence: creation time in seconds since the Unix epoch; older (smaller) wins.
    pub created: i64,
    /// Path of its manifest where that has no time of creation, in place of `created`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<Arc<str>>,
    /// Listeners that accepted it. Never empty in a snapshot.
    #[serde(deserialize_with = "exact")]
    pub attachments: Vec<Attachment>,
    /// Rules in the object's order.
    #[serde(deserialize_with = "exact")]
    pub rules: Vec<Rule>,
    /// Where the matches of all rules, one after the other, are written in the object; empty: where they are here.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "exact")]
    pub written: Vec<Place>,
}

/// Where a match is written: positions in the object, as far as a u16 counts. A rule that cannot be read, or a match of one, is
/// in the object and not in the model; the rules of an Ingress are its paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Position of the rule; none for what is in no rule (`Ingress.spec.defaultBackend`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<u16>,
    /// Position of the match, or of the path; none for the rule as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<u16>,
}

impl Place {
    /// The place of a match, or path, in a rule.
    pub fn new(rule: usize, part: Option<usize>) -> Self {
        let number = |position: usize| u16::try_from(position).unwrap_or(u16::MAX);
        Self { rule: Some(number(rule)), part: part.map(number) }
    }
}

/// An accepted (route, listener) pair.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attachment {
    /// The listener.
    pub listener: ListenerName,
    /// (hostname as the route declares it, its intersection with the listener's hostname). A route without hostnames
    /// has one pair whose declared side is [`Hostname::Any`]. Requests are matched against the second; precedence
    /// counts the characters of the first (`HTTPRoute.spec.hostnames`).
    #[serde(deserialize_with = "exact")]
    pub hostnames: Vec<(Hostname, Hostname)>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rule {
    /// `rules[].name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The one declared hostname of the route that the rule is for; absent: all of them. The rules of an Ingress have a
    /// host each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Hostname>,
    /// The rule takes what no other rule takes: of two rules for every host and the prefix `/` it loses, whatever its age
    /// (`Ingress.spec.defaultBackend`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fallback: bool,
    /// Matches, OR-ed; never empty (the default, prefix `/`, is made explicit).
    #[serde(deserialize_with = "exact")]
    pub matches: Vec<Match>,
    /// Filters in the order of the object, without the redirect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    /// What happens to a request that matches.
    pub action: Action,
}

/// One match: all conditions hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Match {
    /// Path condition, on the raw path up to `?`.
    pub path: PathMatch,
    /// Method, upper-case; case-sensitive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Header conditions; names lower-case and unique.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderMatch>,
    /// Query conditions; names unique, case-sensitive.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<QueryMatch>,
}

/// A path condition. All compare bytes: no decoding, no merging of slashes, case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PathMatch {
    /// The whole path.
    Exact(String),
    /// By path element; stored without a trailing slash except for `/` itself.
    Prefix(String),
    /// A regular expression that must match the whole path (RE2 syntax).
    Regex(String),
    /// A gRPC call, which its content type tells: `application/grpc`, alone or followed by `+` or `;` ("gRPC over HTTP/2").
    Call {
        /// The service, all of the path between its first and its last slash; absent: any, and paths that name none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<ValueMatch>,
        /// The method, all after the last slash; absent: any, and paths that name none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        method: Option<ValueMatch>,
    },
}

impl fmt::Display for PathMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => write!(f, "path {path}"),
            Self::Prefix(prefix) => write!(f, "path prefix {prefix}"),
            Self::Regex(expression) => write!(f, "path ~ {expression}"),
            Self::Call { service, method } => {
                let service = service.as_ref().map(|service| format!("service {service}"));
                let method = method.as_ref().map(|method| format!("method {method}"));
                let names: Vec<String> = service.into_iter().chain(method).collect();
                if names.is_empty() { f.write_str("gRPC call") } else { write!(f, "gRPC call of {}", names.join(", ")) }
            }
        }
    }
}

impl fmt::Display for ValueMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => f.write_str(text),
            Self::Regex(expression) => write!(f, "~ {expression}"),
        }
    }
}

/// A header condition. Several lines of one name count as one value joined by `,`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HeaderMatch {
    /// Name, lower-case.
    pub name: String,
    /// Condition on the value.
    pub value: ValueMatch,
}

/// A query parameter condition, on the first parameter of that name, after percent-decoding.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct QueryMatch {
    /// Name, case-sensitive.
    pub name: String,
    /// Condition on the value.
    pub value: ValueMatch,
}

/// A condition on a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ValueMatch {
    /// Equality.
    Exact(String),
    /// A regular expression that must match the whole value (RE2 syntax).
    Regex(String),
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Action {
    /// Choose a backend by weight. No entry, or a total weight of zero, answers 500.
    Forward(#[serde(deserialize_with = "exact")] Vec<BackendRef>),
    /// Answer with a redirect.
    Redirect(Redirect),
    /// Answer with this status: a rule that cannot be built fails closed with 500.
    Answer(u16),
}

/// A weighted backend of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BackendRef {
    /// Share of requests, relative to the sum over the rule. 0 receives nothing.
    pub weight: u32,
    /// Where the share goes.
    pub target: BackendTarget,
    /// Filters of this reference only, after the rule's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
}

/// Target of a backend reference.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BackendTarget {
    /// A Service port that exists. Without endpoints its share answers 503.
    Service(BackendId),
    /// A reference that does not resolve: its share answers 500.
    Invalid(InvalidBackend),
}

/// Why a backend reference does not resolve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum InvalidBackend {
    /// The Service, or its port, does not exist.
    NotFound,
    /// Another namespace, and no ReferenceGrant allows it.
    NotPermitted,
    /// A group or kind that is not supported.
    UnknownKind,
    /// A filter of the reference cannot be honoured.
    UnsupportedFilter,
    /// The backend's protocol cannot be spoken.
    UnsupportedProtocol,
}

impl Rule {
    /// The rule of an Ingress for a path of a host.
    pub fn for_path(host: Hostname, path: PathMatch, action: Action) -> Self {
        let matches = vec![Match { path, method: None, headers: Vec::new(), query: Vec::new() }];
        Self { name: None, host: Some(host), fallback: false, matches, filters: Vec::new(), action }
    }

    /// The rule of an Ingress for every path of a host, as a fallback or not.
    pub fn for_every_path(host: Hostname, action: Action, fallback: bool) -> Self {
        Self { fallback, ..Self::for_path(host, PathMatch::Prefix("/".to_owned()), action) }
    }

    /// Whether the rule is for requests by this declared hostname of its route.
    pub fn is_for(&self, declared: &Hostname) -> bool {
        self.host.as_ref().is_none_or(|host| host == declared)
    }
}

impl PathMatch {
    /// Service and method that a path calls, neither of them empty. A service may hold slashes, as it may for gRPC's own
    /// servers.
    pub fn called(path: &str) -> Option<(&str, &str)> {
        let (service, method) = path.strip_prefix('/')?.rsplit_once('/')?;
        if service.is_empty() || method.is_empty() { None } else { Some((service, method)) }
    }
}

impl Route {
    /// The same route without the header values that its filters set, for people.
    #[must_use]
    pub fn redacted(&self) -> Self {
        let mut route = self.clone();
        for rule in &mut route.rules {
            rule.filters.iter_mut().for_each(Filter::redact);
            if let Action::Forward(backends) = &mut rule.action {
                backends.iter_mut().flat_map(|backend| &mut backend.filters).for_each(Filter::redact);
            }
        }
        route
    }

    /// The field of the object in which one match of this route is written; positions are in [`Route::rules`] and
    /// [`Rule::matches`].
    pub fn field(&self, rule: usize, index: usize) -> String {
        let before: usize = self.rules.iter().take(rule).map(|rule| rule.matches.len()).sum();
        let place = self.written.get(before + index).copied().unwrap_or_else(|| Place::new(rule, Some(index)));
        match (self.id.kind, place.rule, place.part) {
            (Kind::IngressClass, ..) => "--default-backend".to_owned(),
            (_, None, _) => "spec.defaultBackend".to_owned(),
            (Kind::Ingress, Some(rule), Some(path)) => format!("spec.rules[{rule}].http.paths[{path}]"),
            (Kind::Ingress, Some(rule), None) => format!("spec.rules[{rule}]"),
            (_, Some(rule), Some(index)) => format!("rules[{rule}].matches[{index}]"),
            (_, Some(rule), None) => format!("rules[{rule}]"),
        }
    }

    /// A route of an object of this age: attachments, rules, and where their matches are written.
    pub fn new(id: ObjectId, age: Age, (attachments, rules, written): (Vec<Attachment>, Vec<Rule>, Vec<Place>)) -> Self {
        let (created, file) = match age {
            Age::Created(created) => (created, None),
            Age::File(file) => (0, Some(file)),
        };
        Self { id, created, file, attachments, rules, written }
    }

    /// Its age.
    pub fn age(&self) -> Age {
        self.file.clone().map_or(Age::Created(self.created), Age::File)
    }

    /// The precedence of one match of this route on a host that it declares as `declared`. The greatest rank among the
    /// matches that a request satisfies wins; ranks of different matches are never equal.
    ///
    /// `rule` and `index` are positions in [`Route::rules`] and [`Rule::matches`].
    pub fn rank(&self, declared: &Hostname, rule: usize, index: usize, matched: &Match) -> Rank {
        let regular = self.rules.get(rule).is_none_or(|rule| !rule.fallback);
        Rank::new(HostRank::of(declared), PathRank::of(&matched.path), regular)
            .conditions(matched.method.is_some(), matched.headers.len(), matched.query.len())
            .origin(self.age(), &self.id, rule, index)
    }
}
