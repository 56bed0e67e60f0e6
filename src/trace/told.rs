//! What reports say beside a trace.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::reports::Reports;
use super::{Answer, Request, Trace, chosen, listeners, listens, trace, unattached};
use crate::edge::plan;
use crate::model::{EdgeId, Kind, Protocol};
use crate::snapshot::Snapshot;

/// Problems of certificates of Ingresses that are told, at most: any Ingress may name the host.
const MOST_PROBLEMS: usize = 20;

/// What becomes of a request on each edge that has its port, or of which a report says that it is to have it.
pub fn traces(edges: &BTreeMap<EdgeId, (Snapshot, plan::Options)>, reports: &Reports, request: &Request) -> BTreeMap<String, Trace> {
    let declaring = reports.listening(request.port, request.protocol);
    let having = edges.iter().filter(|(_, (snapshot, _))| listens(snapshot, request)).map(|(id, _)| id);
    let wanted: BTreeSet<&EdgeId> = declaring.iter().chain(having).collect();
    let nothing = (Snapshot::default(), plan::Options::default());
    wanted
        .into_iter()
        .map(|id| {
            // An edge of which nothing can be served is in reports alone.
            let (snapshot, options) = edges.get(id).unwrap_or(&nothing);
            (id.to_string(), trace(snapshot, *options, request).beside((id, snapshot), reports, request))
        })
        .collect()
}

impl Trace {
    /// Adds what the reports say of what the trace rests on, and of what is not there: listeners that do not serve, routes that
    /// are not attached, references that do not resolve, certificates that cannot be used.
    #[must_use]
    pub fn beside(mut self, (edge, snapshot): (&EdgeId, &Snapshot), reports: &Reports, request: &Request) -> Self {
        listeners::tell(&mut self.listeners, (edge, reports), request);
        self.unattached = unattached::find(snapshot, chosen(&self.listeners), request, Some((edge, reports)));
        if request.protocol == Protocol::Https {
            let name = request.server_name.as_ref().unwrap_or(&request.host);
            let ingresses = reports.of_edge(edge).filter(|report| report.kind() == Kind::Ingress.name() && report.covers(name));
            let problems = ingresses.flat_map(|report| report.problems(|at| at.starts_with("spec.tls")));
            self.certificate_problems = problems.take(MOST_PROBLEMS).collect();
        }
        let Some(candidate) = self.winning() else { return self };
        let (route, rule) = (candidate.route.to_string(), candidate.rule_field().to_owned());
        // An Ingress writes a default backend and its rule in one field.
        let problems = if self.shares().iter().any(|share| share.field == rule) { Vec::new() } else { reports.at(&route, &rule) };
        if let Some(winner) = &mut self.winner {
            winner.problems = problems;
        }
        if let Answer::Forward { shares } = &mut self.answer {
            for share in shares {
                share.problems = reports.at(&route, &share.field);
            }
        }
        self
    }
}
