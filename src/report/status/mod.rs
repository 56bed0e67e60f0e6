//! Reports and acknowledgements, rendered as the `status` of Gateway API objects.

mod class;
mod gateway;
mod ingress;
mod listener_set;
mod listeners;
mod route;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

pub use ingress::left;
pub use route::{MOST_PARENTS, left_out};

use super::condition::{Condition, Stamp, latched};
use super::{ObjectReport, Verdict};
use crate::api::bundle::Bundle;
use crate::model::{EdgeId, Kind};
use crate::snapshot::Key;

/// What the data plane of one edge said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acknowledgement {
    /// It holds everything that concerns the object whose status is rendered.
    pub programmed: bool,
    /// Keys that it refused, each with its reason.
    pub refused: Vec<(Key, String)>,
}

/// What was made of an edge on a cluster, so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provisioned {
    /// Addresses that its Service has.
    pub addresses: Vec<Address>,
    /// Why something of it cannot be made, in the words of the API server.
    pub problem: Option<String>,
}

/// An address of a Gateway.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// An IP address.
    Ip(IpAddr),
    /// A host name, as some load balancers have.
    Hostname(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Hostname(name) => f.write_str(name),
        }
    }
}

/// What a status depends on besides the report.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// Name of this controller, as GatewayClasses carry it.
    pub controller_name: &'a str,
    /// What the edges said; an edge that is missing has said nothing.
    pub edges: &'a BTreeMap<EdgeId, Acknowledgement>,
    /// What is there of the edge of the Gateway or Ingress whose status is rendered; none where edges are processes of this machine,
    /// whose addresses are those of the report.
    pub provisioned: Option<&'a Provisioned>,
    /// Time of the write, in seconds since the Unix epoch.
    pub now: i64,
    /// Which Gateway API is installed, where that is known.
    pub bundle: Option<&'a Bundle>,
}

/// Addresses that clients can use: those of what was made, else those of the report.
fn present(provisioned: Option<&Provisioned>, reported: &[IpAddr]) -> Vec<Address> {
    match provisioned {
        Some(provisioned) => provisioned.addresses.clone(),
        None => reported.iter().copied().map(Address::Ip).collect(),
    }
}

/// A status without the times of its conditions, so that it says the same each time.
#[must_use]
pub fn without_times(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            fields.remove("lastTransitionTime");
            fields.values_mut().for_each(|field| *field = without_times(field.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = without_times(item.take())),
        _ => {}
    }
    value
}

/// The whole `status` that an object is to have, or none when it needs none of ours.
///
/// `report` is none when nothing of ours concerns the object (any more); `previous` is the status as written now. What
/// other controllers wrote stays as it is. Rendering twice gives the same value.
pub fn status(kind: Kind, report: Option<&ObjectReport>, previous: Option<&Value>, observed: &Observed<'_>) -> Option<Value> {
    let now = Timestamp::from_second(observed.now).unwrap_or(Timestamp::UNIX_EPOCH).to_string();
    let stamp = Stamp { generation: report.map(|report| report.generation).unwrap_or_default(), now: &now };
    match (kind, report.map(|report| (report, &report.verdict))) {
        (_, Some((report, Verdict::Class { features, experimental }))) => {
            Some(class::status(report, (features, experimental), (previous, observed.bundle), &stamp))
        }
        (_, Some((report, Verdict::Gateway { listeners, addresses, sets }))) => {
            let edge = EdgeId::of_gateway(&report.id.namespace, &report.id.name);
            let listeners = listeners::Rendering { report, edge: &edge, listeners, previous, observed, stamp };
            Some(gateway::status(&listeners, addresses, *sets))
        }
        (_, Some((report, Verdict::ListenerSet { edge, listeners, parent_accepted }))) => {
            let listeners = listeners::Rendering { report, edge, listeners, previous, observed, stamp };
            Some(listener_set::status(&listeners, *parent_accepted))
        }
        (_, Some((report, Verdict::Route { parents, rules }))) => {
            route::Rendering { report, parents, rules: *rules, previous, observed, stamp }.status()
        }
        (_, Some((_, Verdict::Ingress { edge, addresses, served }))) => {
            let addresses = present(observed.provisioned, addresses);
            ingress::status(&addresses, previous, served.then(|| observed.edges.get(edge)))
        }
        (Kind::HttpRoute | Kind::GrpcRoute, None | Some((_, Verdict::None))) => route::without_ours(previous, observed.controller_name),
        (_, _) => None,
    }
}

/// The Programmed condition: refused, acknowledged, or as it was until the data plane has spoken. `healthy` is True with what is
/// served in words.
fn programmed(healthy: Condition, refused: Option<String>, acknowledged: bool, written: (Option<&Value>, i64)) -> Condition {
    let ((previous, generation), name) = (written, healthy.name);
    match refused {
        Some(reason) => Condition::new(name, false, "Invalid", format!("the data plane refused it: {reason}")),
        None if acknowledged || latched(previous, name, generation) => healthy,
        None => Condition::new(name, false, "Pending", "waiting for the data plane"),
    }
}

/// So many of something that do something: "1 listener is", "2 listeners are".
fn count(number: usize, what: &str, (one, many): (&str, &str)) -> String {
    if number == 1 { format!("1 {what} {one}") } else { format!("{number} {what}s {many}") }
}
