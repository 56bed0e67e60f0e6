//! Why a candidate loses, in words.

use std::fmt;

use k8s_openapi::jiff::Timestamp;

use super::{Candidate, Criterion, Loss};
use crate::model::{Age, PathMatch};

impl Candidate {
    /// Why this does not take the request, which `winner` takes.
    pub(super) fn why(&self, loss: &Loss, winner: Option<&Self>) -> String {
        let value = |found: &Option<String>| found.as_ref().map_or_else(|| "absent".to_owned(), |found| format!("{found:?}"));
        match loss {
            Loss::NotCall { found } => format!("no gRPC call: content-type is {}", value(found)),
            Loss::Call { service: Some(service), method: Some(method) } => format!("the call is of service {service}, method {method}"),
            Loss::Call { .. } => "the path names no service and method".to_owned(),
            Loss::Path => "path does not match".to_owned(),
            Loss::Method if matches!(self.matched.path, PathMatch::Call { .. }) => "gRPC calls are POST requests".to_owned(),
            Loss::Method => "method does not match".to_owned(),
            Loss::Header { name, found } => format!("header {name} is {}", value(found)),
            Loss::Query { name, found } => format!("query parameter {name} is {}", value(found)),
            Loss::Rank { by } => {
                let words = winner.map_or_else(|| by.to_string(), |winner| by.between(winner, self));
                format!("{}, but ranks lower: {words}", if by.is_tie() { "matches equally" } else { "matches" })
            }
        }
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "the winner declares a more specific hostname",
            Self::Call => "gRPC calls go to matches for calls alone first",
            Self::Path => "the winner's path is more specific",
            Self::Fallback => "a default backend takes only what nothing else takes",
            Self::Method => "the winner names a method",
            Self::Headers => "the winner has more header conditions",
            Self::Query => "the winner has more query conditions",
            Self::Age => "the winner is older",
            Self::Name => "the winner is first by namespace and name",
            Self::Kind => "the winner's kind comes first",
            Self::RuleOrder => "the winner's rule comes first",
            Self::MatchOrder => "the winner's match comes first",
        })
    }
}

impl Criterion {
    /// The criterion in words, with what it compared.
    pub(super) fn between(self, winner: &Candidate, other: &Candidate) -> String {
        let (first, second) = (&winner.route, &other.route);
        match self {
            Self::Call => format!("gRPC calls go to {}s before {}s", first.kind, second.kind),
            Self::Age => match (&winner.rank.age.0, &other.rank.age.0) {
                (Age::Created(one), Age::Created(two)) => {
                    format!("{first} is older (created {}, {second} {})", time(*one), time(*two))
                }
                (Age::File(one), Age::File(two)) => {
                    format!("neither has a time of creation, and the file of {first}, {one}, comes before {two}")
                }
                _ => format!("{first} has no time of creation, so it counts as older"),
            },
            Self::Name => format!("they are of one age, and {first} is first by namespace and name"),
            Self::Kind => format!("they are of one age and name, and {}s come before {}s", first.kind, second.kind),
            other => other.to_string(),
        }
    }
}

/// A time as people write it.
fn time(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}
