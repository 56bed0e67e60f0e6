//! What is beyond a limit of tenants (`docs/tenants.md`).

use serde::Serialize;

use crate::model::BackendId;

/// More than one route, one namespace or all of them together may have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, thiserror::Error)]
pub enum Limit {
    /// A route is attached by more pairs of listener and hostname than are served of one.
    #[error(
        "this route is attached to more than {most} pairs of listener and hostname, so it is not served; \
         name listeners by sectionName, or split the hostnames over several routes"
    )]
    TooManyPlaces {
        /// How many are served.
        most: usize,
    },
    /// A route has more matches, each counted at every listener and hostname, than are served of one.
    #[error(
        "this route has {found} combinations of listener, hostname and match, more than {most}, so it is not served; \
         split it into several routes"
    )]
    TooManyEntries {
        /// How many it has.
        found: usize,
        /// How many are served.
        most: usize,
    },
    /// The routes of a namespace together have more of these than are served of one namespace, or of its share of what all namespaces
    /// may have together.
    #[error(
        "the routes of namespace {namespace} have more combinations of listener, hostname and match than it may have, {of_namespace}, \
         or its share of the {of_all} of all namespaces together, so the youngest, this one among them, are not served"
    )]
    EntryBudget {
        /// The namespace.
        namespace: String,
        /// How many a namespace may have.
        of_namespace: usize,
        /// How many all namespaces may have.
        of_all: usize,
    },
    /// The Ingresses of a namespace name more hosts than can be claimed for one namespace.
    #[error(
        "the Ingresses of namespace {namespace} name more than {most} bytes of hosts together, so the youngest, this one among \
         them, are not served"
    )]
    HostBudget {
        /// The namespace.
        namespace: String,
        /// How many are served.
        most: usize,
    },
    /// Entries of `spec.tls` name hosts that earlier entries named, too often to look at all of them.
    #[error("more than {most} hosts are named again by later entries, which are not looked at from there on")]
    TooManyTlsHosts {
        /// How many may be.
        most: usize,
    },
    /// A route has more regular expressions than are used of one.
    #[error("this route has {found} regular expressions, more than {most}, so matches with one are not used")]
    TooManyExpressions {
        /// How many it has.
        found: usize,
        /// How many are used.
        most: usize,
    },
    /// The routes of a namespace together have more regular expressions than are used of one namespace, or of its share of what all
    /// namespaces may have together.
    #[error(
        "the regular expressions of namespace {namespace} take more units than it may have, {of_namespace}, or its share of the \
         {of_all} of all namespaces together, so those of the youngest routes, this one among them, are not used"
    )]
    ExpressionBudget {
        /// The namespace.
        namespace: String,
        /// How many a namespace may have.
        of_namespace: usize,
        /// How many all namespaces may have.
        of_all: usize,
    },
    /// Regular expressions that are costly to compile, and more than a route, its namespace or all namespaces together may have.
    #[error(
        "its costly regular expressions are not used: a route may have {of_route}, a namespace {of_namespace}, all namespaces \
         {of_all} together, and the youngest routes go without; write repetitions that do not overlap with what is before them"
    )]
    CostlyExpressions {
        /// How many a route may have.
        of_route: usize,
        /// How many a namespace may have.
        of_namespace: usize,
        /// How many all namespaces may have.
        of_all: usize,
    },
    /// An earlier regular expression of the route is too large; those after it were not judged.
    #[error("its regular expressions are not used: an earlier one of this route is too large")]
    ExpressionsNotJudged,
    /// A Service has more ports than are served of one.
    #[error("{backend} is not served: the first {most} ports of a Service are")]
    TooManyPorts {
        /// The Service port.
        backend: BackendId,
        /// How many are served.
        most: usize,
    },
}
