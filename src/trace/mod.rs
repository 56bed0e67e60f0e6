//! Why a request goes where it goes: the listener, every candidate with its rank, the winner, the stage and the answer.
//!
//! Pure. The candidates are judged here one by one; what the winner answers comes from the filter's own table, and the
//! stage from the plan. A property holds all three to one winner. What is known besides (reports, acknowledgements, endpoints
//! that do not answer) is added to a trace as values.

mod answer;
mod camel;
mod candidate;
mod grpc;
mod listeners;
mod outcome;
mod page;
mod reach;
mod reports;
mod request;
mod said;
#[cfg(test)]
mod tests;
mod text;
mod tls;
mod told;
mod unattached;
mod winner;
mod words;

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};

pub use answer::{Answer, Fails, Share, Why};
pub use candidate::{Candidate, Criterion, Loss};
pub use grpc::Grpc;
pub use listeners::{Choice, Judged};
pub use outcome::{Expected, Outcome};
pub use page::{VERSION, page};
pub use reach::Unanswered;
pub use reports::{Problem, Reports};
pub use request::{Request, RequestError};
pub use said::{Progress, Said, Standing};
pub use told::traces;
pub use unattached::{Apart, Elsewhere, MOST_UNATTACHED, Unattached};
pub use winner::{Decided, Winner};

use self::camel::camel;
use self::tls::Bar;
use crate::edge::plan::explain::Region;
use crate::edge::plan::{self, Bouncer, Lookup, Planner, PortId, PortKind, RelayReason, Target, bouncers};
use crate::filter::router::Table;
use crate::model::{CertificateId, Listener, ListenerName, Protocol, Rule};
use crate::snapshot::{Resource, Snapshot};

/// What becomes of one request on one edge.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    /// Listeners of the port, the chosen one first.
    pub listeners: Vec<Judged>,
    /// Secrets of the certificate that the client is shown; absent for HTTP. Of several the client's abilities choose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificates: Option<Vec<CertificateId>>,
    /// What Ingresses with this server name report of their certificates; those of Gateways are with the listeners.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificate_problems: Vec<Problem>,
    /// The match that takes the request; none does, or the edge answers before it looks.
    pub winner: Option<Winner>,
    /// Who decides.
    pub stage: Stage,
    /// What the client gets.
    pub answer: Answer,
    /// What that is in terms of gRPC; absent when the request is no gRPC call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<Grpc>,
    /// Filters and further settings of the winning rule, as the snapshot has them.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub policy: Map<String, Value>,
    /// What the edge said of what this rests on; empty when no running instance was asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub acknowledged: Vec<Said>,
    /// Every match of the listener's routes that is for this host, greatest rank first.
    pub candidates: Vec<Candidate>,
    /// Number of matches of the listener's routes that are for other hosts only.
    pub other_hosts: usize,
    /// Routes for this host that this request does not reach, because they are not attached to the chosen listener.
    #[serde(skip_serializing_if = "Unattached::is_none")]
    pub unattached: Unattached,
}

/// Who decides a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "camelCase")]
pub enum Stage {
    /// Sōzu alone, by this entry; none takes it: 404.
    Native {
        /// The entry.
        entry: Option<Region>,
    },
    /// The filter proxy, to which this entry leads.
    Hop {
        /// Why Sōzu does not decide it.
        reason: String,
        /// The entry.
        entry: Region,
    },
    /// The filter proxy, to which every request with a certain field goes.
    Bounced {
        /// The field, lower-case.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The filter proxy, to which the port's connections go as they are.
    Relay {
        /// Why Sōzu does not read them.
        reason: String,
    },
}

/// What becomes of a request on the edge that holds this snapshot.
pub fn trace(snapshot: &Snapshot, options: plan::Options, request: &Request) -> Trace {
    let form = listeners(snapshot).find(|listener| listener.port == request.port).map(|listener| listener.tuning.paths);
    let settled = form.unwrap_or_default().settle(&request.target).map(Cow::into_owned).ok();
    let refused = settled.is_none();
    let request = &Request { target: settled.unwrap_or_else(|| request.target.clone()), ..request.clone() };
    let mut planner = Planner::new(options);
    planner.apply(&snapshot.as_delta());
    let target = planner.target();
    let listeners = listeners::judged(snapshot, request);
    let chosen = chosen(&listeners).cloned();
    let table = Table::from_snapshot(snapshot);
    let relay = target.relays.get(&PortId { number: request.port, kind: PortKind::Relay });
    let tls = (request.protocol == Protocol::Https).then(|| match relay {
        Some(_) => tls::relayed(&table, snapshot, request),
        None => tls::native(target, request),
    });
    let bars = tls.as_ref().and_then(|tls| tls.bars.as_ref());
    let found = candidate::all(snapshot, chosen.as_ref().filter(|_| bars.is_none()), request);
    let winner = found.candidates.iter().find(|candidate| candidate.losses.is_empty());
    let rule = winner.and_then(|winner| winner.rule_in(snapshot));
    let stage = stage(target, relay, request, bars.is_some());
    let mut answer = match bars {
        _ if form.is_none() => Answer::Unreachable { why: Why::NotListening },
        Some(Bar::Misdirected) => Answer::Status { status: 421, why: Why::Misdirected },
        Some(Bar::Closed(why)) => Answer::Closed { why: why.clone() },
        None if refused => Answer::Status { status: 400, why: Why::AmbiguousPath },
        None => answer::answer(&table, snapshot, chosen.is_some(), (winner, rule), request),
    };
    Trace {
        grpc: Grpc::of(request, &stage, &mut answer),
        stage,
        certificates: tls.map(|tls| tls.shown),
        certificate_problems: Vec::new(),
        winner: winner.map(|winner| Winner::of(winner, &found.candidates)),
        acknowledged: Vec::new(),
        answer,
        policy: rule.map(policy).unwrap_or_default(),
        unattached: unattached::find(snapshot, chosen.as_ref(), request, None),
        other_hosts: found.other_hosts,
        candidates: found.candidates,
        listeners,
    }
}

impl Trace {
    /// The candidate that takes the request.
    fn winning(&self) -> Option<&Candidate> {
        self.candidates.iter().find(|candidate| candidate.losses.is_empty())
    }
}

/// The listener among the judged that the request belongs to.
fn chosen(judged: &[Judged]) -> Option<&ListenerName> {
    judged.iter().find(|listener| listener.outcome == Choice::Chosen).map(|listener| &listener.name)
}

/// Listeners of a snapshot.
fn listeners(snapshot: &Snapshot) -> impl Iterator<Item = &Listener> {
    snapshot.iter().filter_map(|(_, resource)| match &**resource {
        Resource::Listener(listener) => Some(listener),
        _ => None,
    })
}

/// Whether an edge has the port of a request, with its protocol.
pub fn listens(snapshot: &Snapshot, request: &Request) -> bool {
    listeners(snapshot).any(|listener| listener.port == request.port && listener.protocol == request.protocol)
}

/// Ports of an edge with their protocols, for people.
pub fn ports(snapshot: &Snapshot) -> Vec<String> {
    let mut ports: Vec<_> = listeners(snapshot).map(|listener| (listener.port, listener.protocol)).collect();
    ports.sort_unstable();
    ports.dedup();
    ports.iter().map(|(port, protocol)| format!("{} {port}", text::scheme(*protocol))).collect()
}

fn stage(target: &Target, relay: Option<&RelayReason>, request: &Request, barred: bool) -> Stage {
    if let Some(reason) = relay {
        return Stage::Relay { reason: reason.to_string() };
    }
    let caught = |bouncer: &&Bouncer| request.headers.get(&bouncer.name).is_some_and(|value| bouncer.takes(value.as_bytes()));
    let port = PortId { number: request.port, kind: request.protocol.into() };
    if let Some(bouncer) = target.keeps_claims(port).map(bouncers).into_iter().flatten().find(caught) {
        return Stage::Bounced { field: bouncer.name.clone(), reason: bouncer.why.text().to_owned() };
    }
    let lookup = Lookup { port: request.port, host: &request.host, target: &request.target, method: &request.method };
    match target.frontend(&lookup).filter(|_| !barred) {
        None => Stage::Native { entry: None },
        Some(frontend) => match &frontend.stage {
            plan::Stage::Native { .. } => Stage::Native { entry: Some(Region::of(frontend)) },
            plan::Stage::Hop(reason) => Stage::Hop { reason: reason.to_string(), entry: Region::of(frontend) },
        },
    }
}

/// Everything that a rule says beside what it matches and where it leads.
fn policy(rule: &Rule) -> Map<String, Value> {
    without(serde_json::to_value(rule), &["name", "host", "fallback", "matches", "action"])
}

/// The fields of an object but these, which are named in camelCase.
fn without(value: serde_json::Result<Value>, fields: &[&str]) -> Map<String, Value> {
    let Ok(Value::Object(mut object)) = value.map(camel) else { return Map::new() };
    object.retain(|name, _| !fields.contains(&name.as_str()));
    object
}
