//! Routes: each kind is parsed once into the vocabulary here; attaching and resolving are written once for all kinds.

pub(super) mod attach;
mod demand;
mod expressions;
mod filters;
pub(super) mod grpc;
pub(super) mod headers;
pub(super) mod http;
mod parse;
pub(super) mod paths;
pub(super) mod resolve;
mod translate;

pub(super) use demand::Demand;
pub(super) use translate::{Offer, RouteOutcome, Share, backends_of, translate};

use super::facts::ObjectRef;
use crate::model::{Filter, Hostname, Match, Redirect};
use crate::report::{Issue, ParentRef, RouteKind, Scope};

/// A route of any kind, parsed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RouteFacts {
    /// Its kind, for `allowedRoutes` and grants.
    pub(crate) kind: RouteKind,
    pub(crate) parents: Vec<ParentRef>,
    /// Hostnames as declared; [`Hostname::Any`] alone when there are none.
    pub(crate) hostnames: Vec<Hostname>,
    pub(crate) rules: Vec<RuleFacts>,
    /// What parsing found.
    pub(crate) issues: Vec<(Scope, Issue)>,
}

/// A rule, parsed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RuleFacts {
    pub(crate) name: Option<String>,
    /// Matches that can be evaluated. Empty only when none can: then nothing is known that the rule could answer.
    pub(crate) matches: Matches,
    pub(crate) filters: Vec<Filter>,
    pub(crate) mirrors: Vec<MirrorFacts>,
    pub(crate) action: RuleAction,
}

/// Matches that can be evaluated.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Matches {
    list: Vec<Match>,
    /// Where each is written in the rule.
    written: Vec<usize>,
}

impl Matches {
    fn push(&mut self, matched: Match, written: usize) {
        self.list.push(matched);
        self.written.push(written);
    }
}

impl std::ops::Deref for Matches {
    type Target = [Match];

    fn deref(&self) -> &[Match] {
        &self.list
    }
}

/// What a rule wants to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RuleAction {
    Forward(Vec<BackendFacts>),
    Redirect(Redirect),
    /// Something in the rule cannot be honoured: it answers 500.
    Broken,
}

/// A backend reference, parsed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BackendFacts {
    pub(crate) reference: ObjectRef,
    pub(crate) port: Option<i32>,
    pub(crate) weight: u32,
    pub(crate) filters: Vec<Filter>,
    pub(crate) mirrors: Vec<MirrorFacts>,
    /// One of its filters cannot be honoured: its share answers 500.
    pub(crate) broken: bool,
}

/// A mirror, parsed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MirrorFacts {
    pub(crate) reference: ObjectRef,
    pub(crate) port: Option<i32>,
    /// Share of the requests: numerator and denominator.
    pub(crate) share: (u32, u32),
}

/// At most 80 characters of a text from a user, for a message.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
