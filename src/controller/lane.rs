//! Applies what edges need, in the leader: server-side apply, one keeper task per edge, so that a slow or refused write of
//! one edge never holds up another.
//!
//! An object of a wanted name that was not made for this very Gateway is left alone and reported.

mod keeper;
mod nodes;
mod predecessor;
mod stages;
mod watched;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::Client;
use prometheus::IntCounterVec;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::interval;

use self::keeper::{Keeper, Wanted};
use self::nodes::Nodes;
use self::stages::Stages;
pub use self::watched::KINDS as WATCHED;
use self::watched::Seen;
use super::auth::Workload;
use super::complaints::Complaints;
use super::provisioning::Settings;
use crate::leader::Leadership;
use crate::model::EdgeId;
use crate::provision::{Claimed, EdgeSpec, Installation};
use crate::report::{Address, Provisioned};
use crate::store::cluster::Namespaces;

/// Name under which fields are owned at the API server.
const FIELD_MANAGER: &str = "kakehi-provision";
/// Edges that are written at a time. The API server may keep some of them waiting for an answer.
const AT_ONCE: usize = 32;
/// Edges that are tried again at a time, after something was refused or not answered.
const RETRIES: usize = 8;
/// How often it is looked whether a rollout takes too long.
const TICK: Duration = Duration::from_secs(30);

/// What the lane is told.
#[derive(Clone, Debug)]
pub enum Order {
    /// An edge is to run like this.
    Want(Box<EdgeSpec>),
    /// An edge is not to run any more.
    Gone(EdgeId),
    /// Every edge that is to run was named; whatever else was made earlier is taken away.
    Settled,
}

/// Everything that is made for edges.
pub struct Lane {
    shared: Arc<Shared>,
    /// The CA bundle (PEM) that edges are given.
    ca: watch::Receiver<String>,
    /// Where it says what an edge has.
    told: mpsc::UnboundedSender<(EdgeId, Provisioned)>,
    words: mpsc::UnboundedSender<(EdgeId, Word)>,
    heard: mpsc::UnboundedReceiver<(EdgeId, Word)>,
    stages: Stages,
    /// Where Gateways are.
    namespaces: Namespaces,
    /// What is said about watches of what edges have.
    complaints: Arc<Complaints>,
    edges: BTreeMap<EdgeId, Edge>,
    /// The Services that were seen where edges have them, and what each says of whom it is.
    seen: BTreeMap<EdgeId, SeenService>,
    /// Whether an edge that was not seen there has no address.
    listed: bool,
    settled: bool,
}

/// What all keepers share.
struct Shared {
    client: Client,
    leadership: Leadership,
    installation: Installation,
    writing: Semaphore,
    /// Like `writing`, for edges of which something was refused or not answered: they do not hold up others.
    retrying: Semaphore,
    /// `kakehi_reconcile_errors_total{kind,variant}`.
    errors: IntCounterVec,
}

/// What a keeper says.
enum Word {
    /// Everything is made, or something cannot be.
    Problem(Option<String>),
    /// Its pods are to be replaced: it waits for its turn.
    Ask(oneshot::Sender<()>),
    /// It wrote its Deployment or DaemonSet, which is of this generation now.
    Written(i64),
    /// The addresses of the nodes that its pods are on.
    Nodes(Vec<Address>),
    /// It makes no use of its turn.
    Pass,
}

/// The Service of an edge at the API server.
struct SeenService {
    claimed: Claimed,
    addresses: Vec<Address>,
}

struct Edge {
    wanted: watch::Sender<Wanted>,
    keeper: JoinHandle<()>,
    /// Who follows its pods, where clients reach it by the addresses of their nodes.
    nodes: JoinSet<()>,
    /// These addresses, as far as they are known.
    at: Option<Vec<Address>>,
    /// Those of its Service, as it was seen last.
    balanced: Vec<Address>,
    /// Why something of it cannot be made.
    problem: Option<String>,
    /// What was told of it.
    told: Option<Provisioned>,
}

impl Lane {
    /// A lane that has made nothing yet.
    pub fn new((client, leadership): (Client, Leadership), settings: Settings, told: mpsc::UnboundedSender<(EdgeId, Provisioned)>) -> Self {
        let Settings { installation, namespaces, ca, rollouts, metrics } = settings;
        let (words, heard) = mpsc::unbounded_channel();
        let (writing, retrying) = (Semaphore::new(AT_ONCE), Semaphore::new(RETRIES));
        let shared = Arc::new(Shared { client, leadership, installation, writing, retrying, errors: metrics.reconcile_errors });
        Self {
            shared,
            ca,
            told,
            words,
            heard,
            stages: Stages::new(rollouts, metrics.edge_rollouts),
            namespaces,
            complaints: Arc::new(Complaints::new(metrics.watch_errors)),
            edges: BTreeMap::new(),
            seen: BTreeMap::new(),
            listed: false,
            settled: false,
        }
    }

    /// Carries orders out until every sender of orders is gone. What was made stays.
    pub async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        // What is seen counts for edges that are wanted alone: they are to be known before anything is looked at.
        while !self.settled {
            match orders.recv().await {
                Some(order) => self.take(order),
                None => return,
            }
        }
        let mut seen = watched::watch(&self.shared.client, (&self.shared.installation, &self.namespaces), &self.complaints);
        let mut ca = self.ca.clone();
        let mut tick = interval(TICK);
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.take(order),
                    None => break,
                },
                Some(seen) = seen.next() => self.see(seen),
                Some((id, word)) = self.heard.recv() => self.hear(id, word),
                _ = tick.tick() => self.stages.tick(),
                changed = ca.changed() => match changed {
                    Ok(()) => self.edges.values().for_each(|edge| edge.wanted.send_modify(|wanted| wanted.again += 1)),
                    Err(_) => break,
                },
            }
        }
        for edge in self.edges.into_values() {
            edge.keeper.abort();
        }
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Want(spec) => {
                let id = spec.id.clone();
                let mut edge = self.edges.remove(&id).unwrap_or_else(|| self.start(&id));
                let before = edge.wanted.borrow().spec.clone();
                let same = before.as_ref().is_some_and(|before| (before.is_at_nodes(), &before.uid) == (spec.is_at_nodes(), &spec.uid));
                if !same {
                    (edge.nodes, edge.at) = (self.follow_nodes(&spec), None);
                }
                if before.is_some_and(|before| before.workload() != spec.workload()) {
                    // How far the other one is says nothing of this one.
                    self.stages.see(id.clone(), None);
                }
                edge.wanted.send_modify(|wanted| wanted.spec = Some(Arc::from(spec)));
                self.edges.insert(id.clone(), edge);
                let balanced = self.own_service(&id).map(|service| service.addresses.clone()).unwrap_or_default();
                self.change(&id, |edge| edge.balanced = balanced);
            }
            Order::Gone(id) => self.withdraw(id),
            Order::Settled => self.settled = true,
        }
    }

    /// The Service of an edge that is wanted, when it was made for this very Gateway or IngressClass.
    fn own_service(&self, id: &EdgeId) -> Option<&SeenService> {
        self.seen.get(id).filter(|service| self.is_wanted(&service.claimed))
    }

    /// Whether an object is of an edge that is wanted, by the uid of its Gateway or IngressClass.
    fn is_wanted(&self, claimed: &Claimed) -> bool {
        self.spec(&claimed.edge).is_some_and(|spec| claimed.is_of(&spec.uid))
    }

    /// How an edge is to run, if it is.
    fn spec(&self, id: &EdgeId) -> Option<Arc<EdgeSpec>> {
        self.edges.get(id)?.wanted.borrow().spec.clone()
    }

    fn start(&self, id: &EdgeId) -> Edge {
        let (wanted, spec) = watch::channel(Wanted::default());
        let keeper = Keeper::new(self.shared.clone(), id.clone(), self.ca.clone(), self.words.clone());
        let (nodes, at) = Default::default();
        Edge { wanted, keeper: tokio::spawn(keeper.run(spec)), nodes, at, balanced: Vec::new(), problem: None, told: None }
    }

    /// Follows the pods of an edge that is reached by the addresses of their nodes; nothing else's.
    fn follow_nodes(&self, spec: &EdgeSpec) -> JoinSet<()> {
        let mut nodes = JoinSet::new();
        if spec.is_at_nodes() {
            let workload = workload(&self.shared.installation, spec);
            let follower = Nodes::new(self.shared.client.clone(), workload, self.complaints.clone());
            nodes.spawn(follower.run(spec.id.clone(), self.words.clone()));
        }
        nodes
    }

    /// Has everything of an edge deleted; its keeper ends by itself then.
    fn withdraw(&mut self, id: EdgeId) {
        let edge = self.edges.remove(&id).unwrap_or_else(|| self.start(&id));
        edge.wanted.send_modify(|wanted| wanted.spec = None);
        // Closed without a wish: the keeper knows that none will come.
        drop(edge.wanted);
    }

    fn hear(&mut self, id: EdgeId, word: Word) {
        match word {
            Word::Problem(problem) => self.change(&id, |edge| edge.problem = problem),
            Word::Nodes(addresses) => self.change(&id, |edge| edge.at = Some(addresses)),
            Word::Ask(turn) => self.stages.ask(id, turn),
            Word::Written(generation) => self.stages.applied(id, generation),
            Word::Pass => self.stages.withdraw(&id),
        }
    }

    fn see(&mut self, seen: Seen) {
        match seen {
            Seen::Service(claimed, addresses) => {
                let (id, is_wanted) = (claimed.edge.clone(), self.is_wanted(&claimed));
                self.seen.insert(id.clone(), SeenService { claimed, addresses: addresses.clone() });
                if is_wanted {
                    self.change(&id, |edge| edge.balanced = addresses);
                }
            }
            Seen::ServiceGone(claimed) => {
                self.seen.remove(&claimed.edge);
                self.look_again(&claimed.edge);
            }
            Seen::Workload(part, claimed, standing) => {
                if standing.is_none() {
                    self.look_again(&claimed.edge);
                }
                // No rollout of others is waited for: their authors decide how long it takes.
                if self.is_wanted(&claimed) && self.spec(&claimed.edge).is_some_and(|spec| spec.workload() == part) {
                    self.stages.see(claimed.edge, standing);
                }
            }
            Seen::Services => {
                self.listed = true;
                let strays: Vec<_> = self.seen.keys().filter(|id| !self.edges.contains_key(id)).cloned().collect();
                strays.into_iter().for_each(|id| self.withdraw(id));
                let edges: Vec<_> = self.edges.keys().cloned().collect();
                edges.iter().for_each(|id| self.tell(id));
            }
            Seen::Listing => self.stages.unlist(),
            Seen::Listed => self.stages.list(),
        }
    }

    fn look_again(&self, id: &EdgeId) {
        if let Some(edge) = self.edges.get(id) {
            edge.wanted.send_modify(|wanted| wanted.again += 1);
        }
    }

    /// Notes something of an edge, and tells it.
    fn change(&mut self, id: &EdgeId, change: impl FnOnce(&mut Edge)) {
        if let Some(edge) = self.edges.get_mut(id) {
            change(edge);
            self.tell(id);
        }
    }

    /// Tells what an edge has, as soon as that is known: a new leader must not take addresses from a status that are there.
    fn tell(&mut self, id: &EdgeId) {
        let Some(spec) = self.spec(id) else { return };
        let is_known = self.listed || self.own_service(id).is_some();
        let Some(edge) = self.edges.get_mut(id) else { return };
        let addresses = if spec.is_at_nodes() { edge.at.clone() } else { is_known.then(|| edge.balanced.clone()) };
        let Some(addresses) = addresses else { return };
        let provisioned = Provisioned { addresses, problem: edge.problem.clone() };
        if edge.told.as_ref() == Some(&provisioned) {
            return;
        }
        edge.told = Some(provisioned.clone());
        if self.told.send((id.clone(), provisioned)).is_err() {
            tracing::debug!(edge = %id, "nobody asks what edges have any more");
        }
    }
}

/// What makes the pods of an edge, to tell them from others.
fn workload(installation: &Installation, spec: &EdgeSpec) -> Workload {
    let (of, made_for) = (installation.clone(), spec.clone());
    Workload {
        namespace: installation.namespace_of(&spec.id).to_owned(),
        name: installation.name_of(&spec.id),
        is_made: Arc::new(move |made| of.owns(&made_for, made)),
    }
}

impl Shared {
    /// Whether an object was made for an edge by us: for its Gateway, or for an earlier one of its name.
    fn is_ours(&self, metadata: &kube::api::ObjectMeta, id: &EdgeId) -> bool {
        self.installation.claimed(metadata).is_some_and(|claimed| claimed.edge == *id)
    }
}
