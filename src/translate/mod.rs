//! Objects become snapshots and reports. Pure: no client, no clock, no I/O.
//!
//! Three tiers: [`facts`] (one object, parsed), [`groups`] (what only a Gateway's listeners together decide) with the routes
//! attached to them, and [`rendering`] (keyed resources and reports). The `graph` between them remembers each outcome with
//! the reads it came from, so that a change costs what depends on it. From scratch or step by step, in any order, the same
//! objects give the same snapshots and reports (`tests/properties.rs`).

mod addresses;
mod backend;
mod budget;
mod certificate;
mod external;
mod facts;
mod features;
mod grant;
mod graph;
mod groups;
mod ingress;
mod lost;
pub mod ownership;
mod patterns;
mod queue;
mod reader;
mod rendering;
mod routes;
mod selector;
#[cfg(test)]
mod tests;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use imbl::OrdSet;

use self::graph::Graph;
use self::ownership::{ClaimsPlace, Host};
use self::rendering::Rendering;
use crate::api::{Change, EdgeProfileSpec};
use crate::model::{BackendId, EdgeId, ObjectId, Resolution};
use crate::report::ObjectReport;
use crate::snapshot::{Delta, Snapshot};

const SECONDS_PER_DAY: i64 = 86_400;

/// What translation depends on besides objects.
#[derive(Clone, Debug)]
pub struct Settings {
    /// GatewayClasses with this `spec.controllerName` are ours.
    pub controller_name: String,
    /// Whether endpoints on loopback addresses are accepted: in standalone mode only.
    pub loopback_endpoints: bool,
    /// Whether Services of type ExternalName are served.
    pub external_names: bool,
    /// Address of Gateways that request none.
    pub default_address: Option<IpAddr>,
    /// Whether all edges are on one host, so that two cannot have one address and port: in standalone mode only.
    pub shared_host: bool,
    /// Whether no other controller reads the same objects, so that what is not ours is a mistake: in standalone mode only.
    pub alone: bool,
    /// What Gateways may choose of the pods of their edges.
    pub own_pods: OwnPods,
    /// What concerns Ingress.
    pub ingress: IngressSettings,
}

/// What the EdgeProfile of a Gateway may say of the pods of its edge. That of the class may say everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OwnPods {
    /// Everything, images and placement too.
    All,
    /// How many and how large: they run in the Gateway's namespace, within its quota.
    #[default]
    Size,
    /// Nothing: they run in the operator's namespace.
    Nothing,
}

/// What translation of Ingresses depends on besides objects.
#[derive(Clone, Debug)]
pub struct IngressSettings {
    /// IngressClasses with this `spec.controller` are ours.
    pub controller_name: String,
    /// Ports of the edge of an IngressClass, for HTTP and for HTTPS.
    pub ports: (u16, u16),
    /// What answers requests that no Ingress of a class takes; none: 404.
    pub default_backend: Option<BackendId>,
    /// Whether Ingresses without a class belong to the default class. An API server writes it into new Ingresses, so this is
    /// for where there is none, and for Ingresses that are older than the class.
    pub without_class: bool,
    /// Namespace of EdgeProfiles that IngressClasses refer to for the whole cluster (`parameters.scope: Cluster`): the
    /// operator's own, in which its administrators alone may write; none: they must name a namespace.
    pub cluster_profiles: Option<String>,
    /// Where claims of hosts are kept; none: the age of Ingresses alone decides.
    pub claims: Option<ClaimsPlace>,
}

impl Default for IngressSettings {
    fn default() -> Self {
        Self {
            controller_name: "kakehi.dev/ingress-controller".to_owned(),
            ports: (80, 443),
            default_backend: None,
            without_class: false,
            cluster_profiles: None,
            claims: None,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            controller_name: "kakehi.dev/gateway-controller".to_owned(),
            loopback_endpoints: false,
            external_names: false,
            default_address: None,
            shared_host: false,
            alone: false,
            own_pods: OwnPods::default(),
            ingress: IngressSettings::default(),
        }
    }
}

/// The time that validity of certificates is judged by, as coarse as a day: same objects on the same day, same snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now(i64);

impl Now {
    /// The day of a time in seconds since the Unix epoch.
    pub fn from_unix(seconds: i64) -> Self {
        Self(seconds.div_euclid(SECONDS_PER_DAY))
    }

    fn start_of_day(self) -> i64 {
        self.0.saturating_mul(SECONDS_PER_DAY)
    }
}

/// An edge as translation knows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edge {
    /// What it must hold.
    pub snapshot: Snapshot,
    /// What else concerns it.
    pub data: EdgeData,
}

/// What concerns an edge besides its snapshot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EdgeData {
    /// Addresses that it is to be reached at, from the Gateway or the default.
    pub addresses: Vec<IpAddr>,
    /// Uid of its Gateway, empty where objects have none.
    pub uid: String,
    /// TCP ports of its listeners.
    pub ports: BTreeSet<u16>,
    /// Labels for everything that is made for it (`spec.infrastructure.labels`).
    pub labels: BTreeMap<String, String>,
    /// Annotations for everything that is made for it (`spec.infrastructure.annotations`).
    pub annotations: BTreeMap<String, String>,
    /// Parameters of its Gateway over those of the class.
    pub profile: Arc<EdgeProfileSpec>,
}

/// What happened to an edge.
#[derive(Clone, Debug, PartialEq)]
pub enum EdgeChange {
    /// It is new or different.
    Set {
        /// From the snapshot before (empty for a new edge) to the one now.
        delta: Delta,
        /// The edge now.
        edge: Box<Edge>,
    },
    /// Its Gateway is gone or not ours any more.
    Gone,
}

/// What differs after objects have changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Edges.
    pub edges: BTreeMap<EdgeId, EdgeChange>,
    /// Reports; none for an object that has no report any more.
    pub reports: BTreeMap<ObjectId, Option<Arc<ObjectReport>>>,
    /// Namespaces whose hosts on edges of IngressClasses differ, with those that they are to have claims of.
    pub claims: BTreeMap<String, Arc<BTreeSet<Host>>>,
    /// Number of routes, Gateways, classes, Service ports and certificates that were computed anew.
    pub computed: usize,
}

impl Changes {
    /// These changes and then later ones, as one.
    #[must_use]
    pub fn then(mut self, later: Self) -> Self {
        for (id, change) in later.edges {
            let change = match (self.edges.remove(&id), change) {
                (Some(EdgeChange::Set { delta, .. }), EdgeChange::Set { delta: next, edge }) => {
                    EdgeChange::Set { delta: delta.then(next), edge }
                }
                // The edge is another one of the same name, of which nothing was known.
                (_, change) => change,
            };
            self.edges.insert(id, change);
        }
        self.reports.extend(later.reports);
        self.computed += later.computed;
        self
    }
}

/// Translates objects, remembering everything, so that a change costs what depends on it.
#[derive(Debug)]
pub struct Translator {
    graph: Graph,
    rendering: Rendering,
}

impl Translator {
    /// A translator that knows no object yet.
    pub fn new(settings: Settings) -> Self {
        Self { graph: Graph::new(settings), rendering: Rendering::default() }
    }

    /// Takes changes of objects in, all before anything is decided, and says what differs.
    ///
    /// Call it without changes once a day for certificates that expire.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>, now: Now) -> Changes {
        self.apply_with(changes, [], now)
    }

    /// The same, and takes in what DNS says of names. What it says of others than [`Translator::names`] has no effect.
    pub fn apply_with(
        &mut self,
        changes: impl IntoIterator<Item = Change>,
        names: impl IntoIterator<Item = (String, Resolution)>,
        now: Now,
    ) -> Changes {
        let changed = self.graph.update(changes, names, now);
        let claims = self.graph.held_anew();
        Changes { claims, ..self.rendering.update(&self.graph, changed) }
    }

    /// Names that somebody is to ask DNS for, absolute, without a dot at their end.
    pub fn names(&self) -> &BTreeSet<String> {
        self.graph.names()
    }

    /// Secrets that were looked up, whether they are known or not: nothing depends on others.
    pub fn secrets(&self) -> &OrdSet<ObjectId> {
        self.graph.secrets()
    }

    /// Every edge.
    pub fn edges(&self) -> impl Iterator<Item = (&EdgeId, &Edge)> {
        self.rendering.edges()
    }

    /// Every report.
    pub fn reports(&self) -> &BTreeMap<ObjectId, Arc<ObjectReport>> {
        self.rendering.reports()
    }

    /// Whether no object is known, and nothing is remembered of any.
    pub fn is_empty(&self) -> bool {
        self.graph.is_empty() && self.rendering.is_empty()
    }
}
