//! The matches that could take a request, and why all but one do not.

use std::cmp::Ordering;

use serde::Serialize;

use super::Request;
use super::camel::in_camel;
use crate::filter::filters::is_call;
use crate::filter::router::first_parameter;
use crate::model::{Hostname, ListenerName, Match, ObjectId, PathMatch, PathRank, Pattern, Rank, Route, Rule, ValueMatch};
use crate::snapshot::{Key, Resource, Snapshot};

/// One match of one rule, on one hostname that its route declares.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// The route.
    pub route: ObjectId,
    /// The field of the route's object in which the match is written.
    pub field: String,
    /// Position of the rule in the snapshot's route.
    #[serde(skip)]
    pub rule: usize,
    /// Name of the rule, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Position of the match in that rule.
    #[serde(skip)]
    pub index: usize,
    /// The hostname as the route declares it, which precedence counts.
    pub declared: Hostname,
    /// What of it the listener lets through.
    pub effective: Hostname,
    /// The conditions.
    #[serde(rename = "match", serialize_with = "in_camel")]
    pub matched: Match,
    /// The precedence.
    #[serde(serialize_with = "in_camel")]
    pub rank: Rank,
    /// Why it does not take the request; empty for the winner.
    pub losses: Vec<Loss>,
}

/// One reason why a candidate does not take a request.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "because", rename_all = "camelCase")]
pub enum Loss {
    /// It is for gRPC calls alone, which the content type tells.
    NotCall {
        /// The request's content type; absent: it has none.
        found: Option<String>,
    },
    /// It is for other gRPC calls.
    Call {
        /// The service that the path names; absent: it names no call.
        service: Option<String>,
        /// The method that the path names; absent: it names no call.
        method: Option<String>,
    },
    /// Its path condition does not hold.
    Path,
    /// It is for another method.
    Method,
    /// A header condition does not hold.
    Header {
        /// Name of the header.
        name: String,
        /// The request's value; absent: it has no such header.
        found: Option<String>,
    },
    /// A query condition does not hold.
    Query {
        /// Name of the parameter.
        name: String,
        /// The request's value; absent: it has no such parameter.
        found: Option<String>,
    },
    /// It holds, but another one ranks higher.
    Rank {
        /// The first criterion by which they differ.
        by: Criterion,
    },
}

/// Criteria of precedence, the strongest first (the fields of [`Rank`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Criterion {
    /// The winner's route declares a more specific hostname.
    Host,
    /// The winner is for gRPC calls alone: calls go to such matches first.
    Call,
    /// The winner's path condition is more specific.
    Path,
    /// This one is a default backend, which takes what nothing else takes.
    Fallback,
    /// The winner names a method.
    Method,
    /// The winner has more header conditions.
    Headers,
    /// The winner has more query conditions.
    Query,
    /// The winner's route is older.
    Age,
    /// The winner's route is first by namespace and name.
    Name,
    /// The winner's kind comes first; age, namespace and name are the same.
    Kind,
    /// The winner's rule comes first.
    RuleOrder,
    /// The winner's match comes first in the rule.
    MatchOrder,
}

impl Criterion {
    /// Whether both matches are equally specific, so that something else decides.
    pub fn is_tie(self) -> bool {
        matches!(self, Self::Age | Self::Name | Self::Kind | Self::RuleOrder | Self::MatchOrder)
    }
}

/// What [`all`] finds.
pub(super) struct Found {
    /// Greatest rank first.
    pub(super) candidates: Vec<Candidate>,
    /// Matches that are for other hosts only.
    pub(super) other_hosts: usize,
}

impl Candidate {
    /// The rule that it is a match of.
    pub(super) fn rule_in<'s>(&self, snapshot: &'s Snapshot) -> Option<&'s Rule> {
        match &**snapshot.get(&Key::Route(self.route.clone()))? {
            Resource::Route(route) => route.rules.get(self.rule),
            _ => None,
        }
    }
}

/// Judges every match of the routes that are attached to a listener.
pub(super) fn all(snapshot: &Snapshot, listener: Option<&ListenerName>, request: &Request) -> Found {
    let mut found = Found { candidates: Vec::new(), other_hosts: 0 };
    for (_, resource) in snapshot.iter() {
        if let Resource::Route(route) = &**resource {
            of_route(route, listener, request, &mut found);
        }
    }
    found.candidates.sort_by(|a, b| b.rank.cmp(&a.rank));
    // One match on two declared patterns of one length, such as `*.a.com` for several labels and for one.
    found.candidates.dedup_by(|a, b| a.rank == b.rank);
    let winner = found.candidates.iter().find(|candidate| candidate.losses.is_empty()).map(|winner| winner.rank.clone());
    for candidate in &mut found.candidates {
        if let Some(by) = winner.as_ref().filter(|_| candidate.losses.is_empty()).and_then(|winner| criterion(winner, &candidate.rank)) {
            candidate.losses.push(Loss::Rank { by });
        }
    }
    found
}

fn of_route(route: &Route, listener: Option<&ListenerName>, request: &Request, found: &mut Found) {
    let attachments = route.attachments.iter().filter(|attachment| Some(&attachment.listener) == listener);
    for (declared, effective) in attachments.flat_map(|attachment| &attachment.hostnames) {
        for (number, rule) in route.rules.iter().enumerate().filter(|(_, rule)| rule.is_for(declared)) {
            if !effective.matches(&request.host) {
                found.other_hosts += rule.matches.len();
                continue;
            }
            let candidates = rule.matches.iter().enumerate().map(|(index, matched)| Candidate {
                route: route.id.clone(),
                field: route.field(number, index),
                rule: number,
                name: rule.name.clone(),
                index,
                declared: declared.clone(),
                effective: effective.clone(),
                matched: matched.clone(),
                rank: route.rank(declared, number, index, matched),
                losses: losses(matched, request),
            });
            found.candidates.extend(candidates);
        }
    }
}

/// The conditions that do not hold.
fn losses(matched: &Match, request: &Request) -> Vec<Loss> {
    let mut losses = Vec::new();
    let for_calls = matches!(matched.path, PathMatch::Call { .. });
    if for_calls && !is_call(&request.headers) {
        let found = request.headers.get(http::header::CONTENT_TYPE);
        losses.push(Loss::NotCall { found: found.map(|found| String::from_utf8_lossy(found.as_bytes()).into_owned()) });
    }
    if !takes(&matched.path, request.path()) {
        let called = PathMatch::called(request.path());
        let (service, method) = (called.map(|called| called.0.to_owned()), called.map(|called| called.1.to_owned()));
        losses.push(if for_calls { Loss::Call { service, method } } else { Loss::Path });
    }
    if matched.method.as_ref().is_some_and(|method| *method != request.method) {
        losses.push(Loss::Method);
    }
    let text = |found: Option<Vec<u8>>| found.map(|found| String::from_utf8_lossy(&found).into_owned());
    for header in &matched.headers {
        let lines: Vec<_> = request.headers.get_all(header.name.as_str()).iter().map(http::HeaderValue::as_bytes).collect();
        let found = (!lines.is_empty()).then(|| lines.join(&b','));
        if !found.as_deref().is_some_and(|found| fits(&header.value, found)) {
            losses.push(Loss::Header { name: header.name.clone(), found: text(found) });
        }
    }
    for parameter in &matched.query {
        let found = first_parameter(request.query(), parameter.name.as_bytes());
        if !found.as_deref().is_some_and(|found| fits(&parameter.value, found)) {
            losses.push(Loss::Query { name: parameter.name.clone(), found: text(found.map(|found| found.into_owned())) });
        }
    }
    losses
}

fn takes(condition: &PathMatch, path: &str) -> bool {
    match condition {
        _ if !path.starts_with('/') => false,
        PathMatch::Exact(text) => path == text,
        PathMatch::Prefix(text) => {
            path.strip_prefix(text.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        PathMatch::Call { service, method } => {
            let called = PathMatch::called(path);
            let names = |wanted: &Option<ValueMatch>, name: Option<&str>| {
                wanted.as_ref().is_none_or(|wanted| name.is_some_and(|name| fits(wanted, name.as_bytes())))
            };
            names(service, called.map(|called| called.0)) && names(method, called.map(|called| called.1))
        }
        PathMatch::Regex(expression) => expressed(expression, path.as_bytes()),
    }
}

fn fits(wanted: &ValueMatch, found: &[u8]) -> bool {
    match wanted {
        ValueMatch::Exact(text) => text.as_bytes() == found,
        ValueMatch::Regex(expression) => expressed(expression, found),
    }
}

/// As in the filter, an expression that cannot be compiled counts as satisfied; its match then answers 500.
fn expressed(expression: &str, value: &[u8]) -> bool {
    Pattern::compile(expression).map_or(true, |pattern| pattern.matches(value))
}

/// The first criterion by which a winner is ahead; none for equals.
fn criterion(winner: &Rank, other: &Rank) -> Option<Criterion> {
    let criteria = [
        (winner.host.cmp(&other.host), Criterion::Host),
        (is_call_rank(winner).cmp(&is_call_rank(other)), Criterion::Call),
        (winner.path.cmp(&other.path), Criterion::Path),
        (winner.regular.cmp(&other.regular), Criterion::Fallback),
        (winner.method.cmp(&other.method), Criterion::Method),
        (winner.headers.cmp(&other.headers), Criterion::Headers),
        (winner.query.cmp(&other.query), Criterion::Query),
        (winner.age.cmp(&other.age), Criterion::Age),
        (other.object.0.0.cmp(&winner.object.0.0), Criterion::Name),
        (other.object.0.1.cmp(&winner.object.0.1), Criterion::Kind),
        (winner.rule.cmp(&other.rule), Criterion::RuleOrder),
        (winner.index.cmp(&other.index), Criterion::MatchOrder),
    ];
    criteria.into_iter().find(|(order, _)| *order == Ordering::Greater).map(|(_, criterion)| criterion)
}

fn is_call_rank(rank: &Rank) -> bool {
    matches!(rank.path, PathRank::Call { .. })
}
