//! Routes for the host that are not attached to the chosen listener, and why.

use std::collections::BTreeSet;

use serde::Serialize;

use super::reports::{Problem, Report, Reports};
use super::{Request, listeners};
use crate::model::{EdgeId, Kind, ListenerName};
use crate::snapshot::{Resource, Snapshot};

/// Routes that are named, at most.
pub const MOST_UNATTACHED: usize = 20;

/// Routes for the host that are not attached to the chosen listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unattached {
    /// The first [`MOST_UNATTACHED`], with those that are refused before those that are attached elsewhere.
    pub routes: Vec<Apart>,
    /// How many more there are.
    pub left_out: usize,
}

/// A route that is not attached to the chosen listener.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Apart {
    /// The route, as `Kind/namespace/name`.
    pub route: String,
    /// Why.
    #[serde(flatten)]
    pub why: Elsewhere,
}

/// Why a route is not attached to the chosen listener.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "because", rename_all = "camelCase")]
pub enum Elsewhere {
    /// Its report says so.
    Refused(Problem),
    /// It is attached to another listener of the port, which listener isolation keeps apart.
    OtherListener {
        /// That listener.
        listener: ListenerName,
    },
    /// It is attached to a listener of another port.
    OtherPort {
        /// That listener.
        listener: ListenerName,
        /// Its port.
        port: u16,
    },
}

impl Unattached {
    fn of(mut routes: Vec<Apart>) -> Self {
        routes.sort();
        routes.dedup();
        // Refusals are what a user looks for.
        routes.sort_by_key(|apart| !matches!(apart.why, Elsewhere::Refused(_)));
        let left_out = routes.len().saturating_sub(MOST_UNATTACHED);
        routes.truncate(MOST_UNATTACHED);
        Self { routes, left_out }
    }

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.routes.is_empty()
    }
}

/// Finds the routes of an edge. Without reports only those are known that are attached to something.
pub(super) fn find(snapshot: &Snapshot, chosen: Option<&ListenerName>, request: &Request, told: Option<(&EdgeId, &Reports)>) -> Unattached {
    let mut reached = BTreeSet::new();
    let mut found = Vec::new();
    for (_, resource) in snapshot.iter() {
        let Resource::Route(route) = &**resource else { continue };
        let name = route.id.to_string();
        let to_chosen = route.attachments.iter().filter(|attachment| Some(&attachment.listener) == chosen);
        if to_chosen.flat_map(|attachment| &attachment.hostnames).any(|(_, host)| host.matches(&request.host)) {
            reached.insert(name);
            continue;
        }
        for attachment in &route.attachments {
            if !attachment.hostnames.iter().any(|(_, host)| host.matches(&request.host)) {
                continue;
            }
            let Some(of) = listeners(snapshot).find(|listener| listener.name == attachment.listener) else { continue };
            let listener = of.name.clone();
            let why = match of.port {
                port if port == request.port => Elsewhere::OtherListener { listener },
                port => Elsewhere::OtherPort { listener, port },
            };
            found.push(Apart { route: name.clone(), why });
        }
    }
    if let Some((edge, reports)) = told {
        let lost = reports.of_none().filter(|report| is_lost_to(report, edge));
        let candidates = reports.of_edge(edge).chain(lost).filter(|report| is_route(report) && report.covers(&request.host));
        for report in candidates.filter(|report| !reached.contains(&report.object)) {
            let refused = report.problems(concerns_all).into_iter().filter(|problem| problem.error);
            found.extend(refused.map(|problem| Apart { route: report.object.clone(), why: Elsewhere::Refused(problem) }));
        }
    }
    Unattached::of(found)
}

fn is_route(report: &Report) -> bool {
    [Kind::HttpRoute, Kind::GrpcRoute, Kind::Ingress].iter().any(|kind| kind.name() == report.kind())
}

/// Whether a route that names no edge could have meant this one.
fn is_lost_to(report: &Report, edge: &EdgeId) -> bool {
    (report.kind() == Kind::Ingress.name()) == (edge.kind() == Kind::IngressClass)
}

/// Whether a problem keeps a route, or a host of it, from being served: not one of a rule or path, nor one of a certificate.
fn concerns_all(at: &str) -> bool {
    !at.starts_with("rules[") && !at.contains(".http.paths[") && !at.starts_with("spec.tls") && !at.starts_with("spec.defaultBackend")
}
