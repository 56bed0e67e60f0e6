//! Why a request goes where it goes: the listener, every candidate with its rank, the winner, the stage and the answer.
//!
//! Pure. The candidates are judged here one by one; what the winner answers comes from the filter's own table, and the
//! stage from the plan. A property holds all three to one winner.

mod answer;
mod candidate;
mod request;
mod said;
#[cfg(test)]
mod tests;
mod text;
mod tls;

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};

pub use answer::{Answer, Share, Why};
pub use candidate::{Candidate, Criterion, Loss};
pub use request::{Request, RequestError};
pub use said::{Progress, Said, Standing};

use self::tls::Bar;
use crate::edge::plan::explain::Region;
use crate::edge::plan::{self, Bouncer, Lookup, Planner, PortId, PortKind, RelayReason, Target, bouncers};
use crate::filter::router::Table;
use crate::model::{CertificateId, Hostname, Listener, ListenerName, Protocol, Rule};
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
    /// Who decides.
    pub stage: Stage,
    /// What the client gets.
    pub answer: Answer,
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
    /// Routes for this host that are attached to other listeners of the port, which this request does not reach.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub isolated: Vec<Isolated>,
}

/// A listener of the port, and why it is chosen or not.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// Its name.
    pub name: ListenerName,
    /// Its hostname.
    pub hostname: Hostname,
    /// What became of it.
    pub outcome: Choice,
}

/// What became of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Choice {
    /// Its hostname is the most specific of those that cover the host.
    Chosen,
    /// It covers the host, but the chosen one is more specific.
    LessSpecific,
    /// It does not cover the host.
    OtherHost,
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

/// A route that listener isolation keeps away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Isolated {
    /// The route.
    pub route: String,
    /// The listener that it is attached to.
    pub listener: ListenerName,
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
    let listeners = judged(snapshot, request);
    let chosen = listeners.first().filter(|listener| listener.outcome == Choice::Chosen).map(|listener| listener.name.clone());
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
    let answer = match bars {
        Some(Bar::Misdirected) => Answer::Status { status: 421, why: Why::Misdirected },
        Some(Bar::Closed(why)) => Answer::Closed { why: why.clone() },
        None if refused => Answer::Status { status: 400, why: Why::AmbiguousPath },
        None => answer::answer(&table, snapshot, chosen.is_some(), rule, request),
    };
    Trace {
        stage: stage(target, relay, request, bars.is_some()),
        certificates: tls.map(|tls| tls.shown),
        acknowledged: Vec::new(),
        answer,
        policy: rule.map(policy).unwrap_or_default(),
        isolated: isolated(snapshot, &listeners, request),
        other_hosts: found.other_hosts,
        candidates: found.candidates,
        listeners,
    }
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

fn judged(snapshot: &Snapshot, request: &Request) -> Vec<Judged> {
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
    };
    all.into_iter().enumerate().map(judge).collect()
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

/// The fields of an object but these.
fn without(value: serde_json::Result<Value>, fields: &[&str]) -> Map<String, Value> {
    let Ok(Value::Object(mut object)) = value else { return Map::new() };
    object.retain(|name, _| !fields.contains(&name.as_str()));
    object
}

fn isolated(snapshot: &Snapshot, listeners: &[Judged], request: &Request) -> Vec<Isolated> {
    let others: Vec<_> =
        listeners.iter().filter(|listener| listener.outcome == Choice::LessSpecific).map(|listener| &listener.name).collect();
    let mut found = Vec::new();
    for (_, resource) in snapshot.iter() {
        let Resource::Route(route) = &**resource else { continue };
        let covering = |attachment: &&crate::model::Attachment| attachment.hostnames.iter().any(|(_, host)| host.matches(&request.host));
        for attachment in route.attachments.iter().filter(covering).filter(|attachment| others.contains(&&attachment.listener)) {
            found.push(Isolated { route: route.id.to_string(), listener: attachment.listener.clone() });
        }
    }
    found
}
