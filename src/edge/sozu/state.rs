//! The shadow of a Sōzu's state: what was applied, and what was refused.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use sozu_command_lib::proto::command::request::RequestType;
use sozu_command_lib::response::HttpFrontend;
use sozu_command_lib::state::{ConfigState, StateError};

use super::watch::reachable;
use super::{Item, Step, Wire};
use crate::edge::plan::{ChainId, Frontend, HostRule, PortId, PortKind, Target, Upstream, VhostId};
use crate::model::Hostname;
use crate::snapshot::Key;
use crate::snapshot::wire::Refusal;

/// What a Sōzu holds as far as we know: the same code as its own state, fed with the same requests.
#[derive(Clone, Debug)]
pub struct Shadow {
    state: ConfigState,
    applied: Target,
    refused: BTreeMap<Item, Refused>,
    wire: Wire,
}

/// A request that Sōzu, or its shadow, refused.
#[derive(Clone)]
pub struct Refused {
    request: RequestType,
    /// Resources that asked for it.
    pub keys: Arc<BTreeSet<Key>>,
    /// Why.
    pub reason: String,
}

impl fmt::Debug for Refused {
    /// The request may hold a private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("keys", &self.keys).field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl Shadow {
    /// The shadow of an empty Sōzu.
    pub fn new(wire: Wire) -> Self {
        Self { state: ConfigState::new(), applied: Target::default(), refused: BTreeMap::new(), wire }
    }

    /// The target that was applied last; what it holds and [`Shadow::is_refused`] is not there.
    pub fn applied(&self) -> &Target {
        &self.applied
    }

    /// Sōzu's state as it should be.
    pub fn state(&self) -> &ConfigState {
        &self.state
    }

    /// The address of a port, as one can connect to it from this machine.
    pub fn address(&self, port: PortId) -> SocketAddr {
        reachable(self.wire.address(port))
    }

    /// The ports that take connections.
    pub(super) fn bound(&self) -> impl Iterator<Item = PortId> {
        self.applied.bound().filter(|port| !self.is_refused(&Item::Bound(*port)))
    }

    /// Where it takes connections.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.bound().map(|port| self.wire.address(port)).collect()
    }

    /// Where Sōzu itself reads what clients send.
    pub fn read_ports(&self) -> Vec<SocketAddr> {
        self.bound().filter(|port| port.kind != PortKind::Relay).map(|port| self.wire.address(port)).collect()
    }

    pub(super) fn wire(&self) -> &Wire {
        &self.wire
    }

    pub(super) fn is_refused(&self, item: &Item) -> bool {
        self.refused.contains_key(item)
    }

    /// Whether this very request was refused before. What asks for something else is tried again.
    pub(super) fn refuses(&self, item: &Item, request: &RequestType) -> bool {
        self.refused.get(item).is_some_and(|refused| refused.request == *request)
    }

    /// Takes a step, as Sōzu will.
    ///
    /// # Errors
    /// Why the state refuses it.
    pub fn take(&mut self, step: &Step) -> Result<(), String> {
        if let Some(reason) = self.lacks(step) {
            return Err(reason);
        }
        self.state.dispatch(&step.request.clone().into()).map_err(|error: StateError| error.to_string())
    }

    /// A frontend without its cluster would answer 503 in the name of somebody else's mistake.
    pub(super) fn lacks(&self, step: &Step) -> Option<String> {
        let cluster = match &step.request {
            RequestType::AddHttpFrontend(front) | RequestType::AddHttpsFrontend(front) => front.cluster_id.as_deref().unwrap_or_default(),
            RequestType::AddTcpFrontend(front) => &front.cluster_id,
            _ => return None,
        };
        let missing = !self.state.clusters.contains_key(cluster);
        missing.then(|| format!("its cluster {cluster} was refused"))
    }

    /// Takes back an addition that Sōzu refused.
    pub(super) fn revert(&mut self, step: &Step) {
        let inverse = match &step.request {
            RequestType::AddHttpFrontend(front) => RequestType::RemoveHttpFrontend(front.clone()),
            RequestType::AddHttpsFrontend(front) => RequestType::RemoveHttpsFrontend(front.clone()),
            RequestType::AddTcpFrontend(front) => RequestType::RemoveTcpFrontend(front.clone()),
            RequestType::AddCluster(cluster) => RequestType::RemoveCluster(cluster.cluster_id.clone()),
            RequestType::AddBackend(backend) | RequestType::AddUnixBackend(backend) => {
                RequestType::RemoveBackend(sozu_command_lib::proto::command::RemoveBackend {
                    cluster_id: backend.cluster_id.clone(),
                    backend_id: backend.backend_id.clone(),
                    address: backend.address,
                })
            }
            _ => match &step.item {
                Item::Certificate(port, print) => self.wire.remove_certificate(*port, print),
                Item::Listener(port) => self.wire.remove_listener(*port),
                Item::Bound(port) => self.wire.deactivate(*port),
                Item::Cluster(_) | Item::Backend(..) | Item::Frontend(..) | Item::Relay(_) | Item::Bouncer(..) | Item::Limits(_) => return,
            },
        };
        if let Err(error) = self.state.dispatch(&inverse.into()) {
            tracing::debug!(item = ?step.item, %error, "nothing to take back");
        }
    }

    /// Remembers a refusal.
    pub(super) fn refuse(&mut self, step: &Step, reason: String) {
        // The supervisor tells people, once for all Sōzus and tries.
        tracing::debug!(item = ?step.item, reason, "Sōzu refuses");
        let refused = Refused { request: step.request.clone(), keys: step.keys.clone(), reason };
        self.refused.insert(step.item.clone(), refused);
    }

    /// A step is tried: what was said about its item before no longer counts.
    pub(super) fn forgive(&mut self, item: &Item) {
        self.refused.remove(item);
    }

    /// The target is applied, except for what is refused. Refusals of what it no longer asks for are forgotten.
    pub(super) fn settle(&mut self, target: Target) {
        self.refused.retain(|item, _| asks(&target, item));
        self.applied = target;
    }

    /// The hashes that these clusters may have in a worker; none for a cluster that must not be there.
    ///
    /// Removed backends leave an empty list behind, which is hashed too, but which a worker that restarted does not get.
    pub(super) fn hashes<'a>(&self, clusters: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, BTreeSet<u64>> {
        let mut part = ConfigState::new();
        let mut hashes = BTreeMap::new();
        for id in clusters {
            hashes.insert(id.to_owned(), BTreeSet::new());
            if let Some((id, cluster)) = self.state.clusters.get_key_value(id) {
                part.clusters.insert(id.clone(), cluster.clone());
                part.backends.insert(id.clone(), self.state.backends.get(id).cloned().unwrap_or_default());
                if let Some(fronts) = self.state.tcp_fronts.get(id) {
                    part.tcp_fronts.insert(id.clone(), fronts.clone());
                }
            }
        }
        let named = |front: &HttpFrontend| front.cluster_id.as_deref().is_some_and(|cluster| hashes.contains_key(cluster));
        let pick = |fronts: &BTreeMap<String, HttpFrontend>| {
            fronts.iter().filter(|(_, front)| named(front)).map(|(key, front)| (key.clone(), front.clone())).collect()
        };
        part.http_fronts = pick(&self.state.http_fronts);
        part.https_fronts = pick(&self.state.https_fronts);
        let mut note = |part: &ConfigState| {
            for (cluster, hash) in part.hash_state() {
                hashes.entry(cluster.to_string()).or_default().insert(hash);
            }
        };
        note(&part);
        part.backends.retain(|_, backends| !backends.is_empty());
        note(&part);
        hashes
    }

    /// Everything that is refused now, by item.
    pub fn refused(&self) -> &BTreeMap<Item, Refused> {
        &self.refused
    }

    /// Everything that is refused now, by key.
    pub fn refusals(&self) -> Vec<Refusal> {
        let mut reasons: BTreeMap<&Key, &str> = BTreeMap::new();
        for refused in self.refused.values() {
            for key in &*refused.keys {
                reasons.entry(key).or_insert(&refused.reason);
            }
        }
        reasons.into_iter().map(|(key, reason)| Refusal { key: key.clone(), reason: reason.to_owned() }).collect()
    }
}

fn asks(target: &Target, item: &Item) -> bool {
    match item {
        Item::Listener(port) | Item::Limits(port) | Item::Relay(port) | Item::Bouncer(port, _) => target.ports.contains_key(port),
        Item::Bound(port) => target.is_bound(*port),
        Item::Certificate(port, print) => target.certificates.contains_key(&(*port, print.clone())),
        Item::Cluster(id) => target.clusters.contains_key(id),
        Item::Backend(id, address) => match (target.clusters.get(id), address) {
            (Some(Upstream::Endpoints(addresses, _)), Some(address)) => addresses.contains(address),
            (upstream, _) => upstream.is_some(),
        },
        Item::Frontend(port, host, path, method) => {
            let (host_pattern, text) = match host {
                HostRule::Exact(name) => (Hostname::Exact(name.clone()), Some(path.text.clone())),
                HostRule::Label(suffix) => (Hostname::Wildcard(suffix.clone()), Some(path.text.clone())),
                HostRule::Labels(_) | HostRule::Any => (Hostname::Any, None),
            };
            let chain = target.chains.get(&ChainId { vhost: VhostId { port: *port, host: host_pattern }, text });
            let asked = |front: &Frontend| front.host == *host && front.path == *path && front.method == *method;
            chain.is_some_and(|chain| chain.frontends.iter().any(asked))
        }
    }
}

/// Frontends of the target whose cluster the state lacks; a safe state has none.
pub fn orphans(state: &ConfigState) -> Vec<String> {
    let fronts = state.http_fronts.values().chain(state.https_fronts.values());
    fronts
        .filter(|front| front.cluster_id.as_deref().is_none_or(|cluster| !state.clusters.contains_key(cluster)))
        .map(|front| front.hostname.clone())
        .collect()
}
