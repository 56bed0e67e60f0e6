//! The listeners of a port, and why one of them is chosen.

use serde::Serialize;

use super::reports::{Problem, Reports};
use super::{Request, listeners};
use crate::model::{EdgeId, Hostname, Listener, ListenerName};
use crate::snapshot::Snapshot;

/// A listener of the port, and why it is chosen or not.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// Its name.
    pub name: ListenerName,
    /// Its hostname.
    pub hostname: Hostname,
    /// What became of it.
    pub outcome: Choice,
    /// What its Gateway or ListenerSet reports of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

/// What became of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Choice {
    /// Its hostname is the most specific of those that cover the host.
    Chosen,
    /// It covers the host, but the chosen one is more specific.
    LessSpecific,
    /// It does not cover the host.
    OtherHost,
    /// It is declared, but the edge does not have it.
    NotServing,
}

/// Judges the listeners of the request's port, the chosen one first.
pub(super) fn judged(snapshot: &Snapshot, request: &Request) -> Vec<Judged> {
    let of_port = listeners(snapshot).filter(|listener| listener.port == request.port);
    let mut all: Vec<_> = of_port.map(|listener| (listener.hostname.matches(&request.host), listener)).collect();
    // Patterns that cover one host lie within each other, so the longest is the narrowest.
    all.sort_by_key(|(covers, listener)| (!covers, std::cmp::Reverse(specificity(&listener.hostname)), &listener.name));
    let judge = |(place, (covers, listener)): (usize, (bool, &Listener))| Judged {
        name: listener.name.clone(),
        hostname: listener.hostname.clone(),
        outcome: match (covers, place) {
            (false, _) => Choice::OtherHost,
            (true, 0) => Choice::Chosen,
            (true, _) => Choice::LessSpecific,
        },
        problems: Vec::new(),
    };
    all.into_iter().enumerate().map(judge).collect()
}

/// Adds what is reported of the listeners, and those that are declared for the port and do not serve.
pub(super) fn tell(judged: &mut Vec<Judged>, (edge, reports): (&EdgeId, &Reports), request: &Request) {
    for report in reports.of_edge(edge) {
        for declared in report.listeners.iter().filter(|listener| listener.is_on(request.port, request.protocol)) {
            let at = format!("listener {}", declared.name);
            let problems = report.problems(|found| found == at);
            if let Some(known) = judged.iter_mut().find(|known| known.name == declared.name) {
                known.problems = problems;
                continue;
            }
            // What is wrong with the whole object keeps its listeners from serving too.
            let whole = report.problems(str::is_empty).into_iter().filter(|problem| problem.error);
            judged.push(Judged {
                name: declared.name.clone(),
                hostname: Hostname::parse(&declared.hostname).unwrap_or(Hostname::Any),
                outcome: Choice::NotServing,
                problems: problems.into_iter().chain(whole).collect(),
            });
        }
    }
}

/// Exact, then one label before a suffix, then wildcards, the longer first.
fn specificity(hostname: &Hostname) -> (u8, usize) {
    match hostname {
        Hostname::Any => (0, 0),
        Hostname::Wildcard(suffix) => (1, suffix.len()),
        Hostname::Label(suffix) => (2, suffix.len()),
        Hostname::Exact(name) => (3, name.len()),
    }
}
