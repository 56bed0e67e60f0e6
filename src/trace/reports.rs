//! What translation reported of objects, as far as a trace asks: the page `/debug/report` of a running instance.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{EdgeId, Hostname, ListenerName, Protocol};

/// What translation reported of objects.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Reports {
    objects: Vec<Report>,
}

/// What it reported of one object, and what that object declares.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Report {
    /// `Kind/namespace/name`.
    pub(super) object: String,
    findings: Vec<Finding>,
    /// The edges that the object is for; none when it names none that exists.
    #[serde(default)]
    pub(super) edges: Vec<String>,
    /// Hostnames as the object writes them; none: every host.
    #[serde(default)]
    hostnames: Vec<String>,
    #[serde(default)]
    pub(super) listeners: Vec<Declared>,
}

/// A listener as its Gateway or ListenerSet declares it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Declared {
    pub(super) name: ListenerName,
    port: u64,
    protocol: String,
    pub(super) hostname: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Finding {
    at: String,
    severity: String,
    reason: String,
    message: String,
}

/// A problem that a report names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// The object, as `Kind/namespace/name`.
    pub object: String,
    /// The part of it; empty: all of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub at: String,
    /// The reason, as the object's status has it.
    pub reason: String,
    /// What is wrong.
    pub message: String,
    /// Whether something is not served because of it.
    #[serde(skip)]
    pub(super) error: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.object)?;
        if !self.at.is_empty() {
            write!(f, " {}", self.at)?;
        }
        write!(f, ": {}", Told(self))
    }
}

/// A problem without its place; of a remark, whose reason says that all is well, the message alone.
pub(super) struct Told<'a>(pub(super) &'a Problem);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.error { write!(f, "{}: {}", self.0.reason, self.0.message) } else { f.write_str(&self.0.message) }
    }
}

impl Reports {
    /// Edges of which a report says that they have a listener on a port, with a protocol.
    pub(super) fn listening(&self, port: u16, protocol: Protocol) -> BTreeSet<EdgeId> {
        let declaring = self.objects.iter().filter(|report| report.listeners.iter().any(|listener| listener.is_on(port, protocol)));
        declaring.flat_map(|report| &report.edges).filter_map(|edge| edge.parse().ok()).collect()
    }

    /// The reports that concern an edge.
    pub(super) fn of_edge(&self, edge: &EdgeId) -> impl Iterator<Item = &Report> {
        let name = edge.to_string();
        self.objects.iter().filter(move |report| report.edges.contains(&name))
    }

    /// The reports of objects that belong to no edge.
    pub(super) fn of_none(&self) -> impl Iterator<Item = &Report> {
        self.objects.iter().filter(|report| report.edges.is_empty() && !report.findings.is_empty())
    }

    /// What is reported of one part of an object.
    pub(super) fn at(&self, object: &str, at: &str) -> Vec<Problem> {
        let reports = self.objects.iter().filter(|report| report.object == object);
        reports.flat_map(|report| report.problems(|found| found == at)).collect()
    }
}

impl Report {
    /// The kind of the object.
    pub(super) fn kind(&self) -> &str {
        self.object.split_once('/').map_or(&self.object, |(kind, _)| kind)
    }

    /// Whether one of the object's hostnames covers a host.
    pub(super) fn covers(&self, host: &str) -> bool {
        let parse = if self.kind() == "Ingress" { Hostname::parse_ingress } else { Hostname::parse };
        let is_for = |text: &String| text == "*" || parse(text).is_ok_and(|hostname| hostname.matches(host));
        self.hostnames.is_empty() || self.hostnames.iter().any(is_for)
    }

    /// The problems of the parts that `wanted` picks by name.
    pub(super) fn problems(&self, wanted: impl Fn(&str) -> bool) -> Vec<Problem> {
        let found = self.findings.iter().filter(|finding| wanted(&finding.at));
        found
            .map(|Finding { at, severity, reason, message }| Problem {
                object: self.object.clone(),
                at: at.clone(),
                reason: reason.clone(),
                message: message.clone(),
                error: severity == "Error",
            })
            .collect()
    }
}

impl Declared {
    pub(super) fn is_on(&self, port: u16, protocol: Protocol) -> bool {
        let speaks = match protocol {
            Protocol::Http => "HTTP",
            Protocol::Https => "HTTPS",
        };
        self.port == u64::from(port) && self.protocol == speaks
    }
}
