//! What was decided about each object: findings, and the conditions and statuses that follow from them.
//!
//! A finding is the only record of a problem. Conditions are derived when a status is rendered, never kept beside it.

mod condition;
mod issue;
mod status;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

pub use condition::{ConditionType, Effect};
pub use issue::{CertificateProblem, Issue, Limit, Lost, ProfileProblem};
pub use status::{Acknowledgement, Address, MOST_PARENTS, Observed, Provisioned, left, left_out, status, without_times};

use crate::model::{EdgeId, ListenerName, ObjectId};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Severity {
    /// Everything asked for is served, with a remark.
    Warning,
    /// Something asked for is not served.
    Error,
}

/// A reference to a parent as a route declares it (`spec.parentRefs[]`), absent fields kept absent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// API group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Namespace; the route's own when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// Name of a listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section_name: Option<ListenerName>,
    /// Port of a listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
}

/// Which part of an object a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Scope {
    /// The whole object.
    Object,
    /// A listener of a Gateway.
    Listener(ListenerName),
    /// A parent reference of a route.
    Parent(ParentRef),
    /// A rule of a route, or one of its backend references.
    Rule {
        /// Index in `spec.rules`.
        rule: usize,
        /// Index in `backendRefs` of the rule.
        #[serde(skip_serializing_if = "Option::is_none")]
        backend: Option<usize>,
    },
    /// A field, by its path.
    Field(String),
}

/// One problem of one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The object that has to change.
    pub object: ObjectId,
    /// The part of it.
    pub scope: Scope,
    /// The problem.
    pub issue: Issue,
}

/// What translation decided about one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObjectReport {
    /// The object.
    pub id: ObjectId,
    /// `metadata.generation` that was judged, 0 when absent.
    pub generation: i64,
    /// Problems, sorted.
    pub findings: Vec<Finding>,
    /// What the object's status shows besides conditions.
    pub verdict: Verdict,
}

/// What a status shows besides conditions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// A GatewayClass of ours.
    Class {
        /// Names of supported features, sorted.
        features: &'static [&'static str],
        /// Those that count only where the definitions of the experimental channel are installed.
        experimental: &'static [&'static str],
    },
    /// A Gateway of ours.
    Gateway {
        /// Its listeners in the order of the spec.
        listeners: Vec<ListenerReport>,
        /// Addresses that it is to be reached at.
        addresses: Vec<IpAddr>,
        /// Number of its ListenerSets that it admits and of which a listener is valid.
        sets: usize,
    },
    /// A ListenerSet of a Gateway of ours.
    ListenerSet {
        /// The Gateway.
        edge: EdgeId,
        /// Its listeners in the order of the spec; none when the Gateway does not admit it.
        listeners: Vec<ListenerReport>,
        /// Whether the Gateway is accepted.
        parent_accepted: bool,
    },
    /// A route with a parent of ours.
    Route {
        /// Parents of ours, in the order of the spec.
        parents: Vec<ParentReport>,
        /// Number of rules.
        rules: usize,
    },
    /// An Ingress of a class of ours.
    Ingress {
        /// The edge of its class.
        edge: EdgeId,
        /// Addresses that the edge is to be reached at.
        addresses: Vec<IpAddr>,
        /// Whether anything of it is served.
        served: bool,
    },
    /// An object without a status of ours.
    None,
}

/// What a listener's status shows besides conditions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListenerReport {
    /// Name within the edge.
    pub name: ListenerName,
    /// Route kinds that it admits.
    pub supported_kinds: Vec<RouteKind>,
    /// Number of accepted routes that it admits, whatever its own health.
    pub attached_routes: usize,
}

/// A kind of route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct RouteKind {
    /// API group.
    pub group: String,
    /// Kind.
    pub kind: String,
}

/// A parent of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParentReport {
    /// The reference as declared.
    pub parent: ParentRef,
    /// The Gateway it leads to.
    pub edge: EdgeId,
}

impl ObjectReport {
    /// Of an object about which nothing was decided.
    pub fn empty(id: ObjectId) -> Self {
        Self { id, generation: 0, findings: Vec::new(), verdict: Verdict::None }
    }

    /// The worst severity among the findings.
    pub fn severity(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.issue.severity()).max()
    }

    /// The findings of one scope.
    pub fn findings_of<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a Finding> {
        self.findings.iter().filter(move |finding| finding.scope == *scope)
    }
}

impl fmt::Display for ParentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)?;
        if let Some(section) = &self.section_name {
            write!(f, " section {section}")?;
        }
        if let Some(port) = self.port {
            write!(f, " port {port}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object => Ok(()),
            Self::Listener(name) => write!(f, "listener {name}"),
            Self::Parent(parent) => write!(f, "parent {parent}"),
            Self::Field(path) => f.write_str(path),
            Self::Rule { rule, backend: None } => write!(f, "rules[{rule}]"),
            Self::Rule { rule, backend: Some(backend) } => write!(f, "rules[{rule}].backendRefs[{backend}]"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scope {
            Scope::Object => write!(f, "{}: {}", self.object, self.issue),
            _ => write!(f, "{} {}: {}", self.object, self.scope, self.issue),
        }
    }
}
