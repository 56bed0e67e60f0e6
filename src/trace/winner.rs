//! The match that takes a request, and what decided for it.

use serde::Serialize;

use super::camel::in_camel;
use super::reports::Problem;
use super::{Candidate, Criterion, Loss};
use crate::model::{Hostname, Kind, Match, ObjectId};

/// The match that takes a request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Winner {
    /// The route.
    pub route: ObjectId,
    /// The field of the route's object in which the match is written.
    pub field: String,
    /// Name of the rule, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The hostname as the route declares it.
    pub hostname: Hostname,
    /// The conditions.
    #[serde(rename = "match", serialize_with = "in_camel")]
    pub matched: Match,
    /// What decided for it; absent when no other match takes the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided: Option<Decided>,
    /// What the route's object reports of the rule.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

/// What decided between the winner and the next match that takes the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decided {
    /// The first criterion by which they differ.
    pub by: Criterion,
    /// Whether they are equally specific.
    pub tie: bool,
    /// The other match: its route.
    pub over: ObjectId,
    /// And the field in which it is written.
    pub field: String,
    /// The criterion in words.
    pub words: String,
}

impl Winner {
    /// The winner among all candidates.
    pub(super) fn of(winner: &Candidate, candidates: &[Candidate]) -> Self {
        let next = candidates.iter().find_map(|candidate| match candidate.losses.as_slice() {
            [Loss::Rank { by }] => Some((candidate, *by)),
            _ => None,
        });
        Self {
            route: winner.route.clone(),
            field: winner.field.clone(),
            name: winner.name.clone(),
            hostname: winner.declared.clone(),
            matched: winner.matched.clone(),
            decided: next.map(|(candidate, by)| Decided {
                by,
                tie: by.is_tie(),
                over: candidate.route.clone(),
                field: candidate.field.clone(),
                words: by.between(winner, candidate),
            }),
            problems: Vec::new(),
        }
    }
}

impl Candidate {
    /// The field of the rule that it is a match of; of an Ingress, that of its path.
    pub(super) fn rule_field(&self) -> &str {
        match self.route.kind {
            Kind::HttpRoute | Kind::GrpcRoute => self.field.split_once('.').map_or(&self.field, |(rule, _)| rule),
            _ => &self.field,
        }
    }

    /// The field of a backend reference of the rule, by its position.
    pub(super) fn backend_field(&self, number: usize) -> String {
        match self.route.kind {
            Kind::HttpRoute | Kind::GrpcRoute => format!("{}.backendRefs[{number}]", self.rule_field()),
            // A host without paths leads where the default backend does.
            Kind::Ingress if self.field.contains(".http.paths[") => format!("{}.backend", self.field),
            Kind::Ingress => "spec.defaultBackend".to_owned(),
            _ => self.field.clone(),
        }
    }
}
