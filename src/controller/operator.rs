//! The operator: a cluster's objects in, snapshots and statuses out. Every replica translates, the leader speaks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use imbl::OrdSet;
use kube::Client;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::{sleep, timeout};

use super::EdgeHost;
use super::acks::Acks;
use super::dispatch::controllers;
use super::finalizer::{Finalizers, of_controller};
use super::pipeline::{Outputs, Pipeline};
use super::provisioning::Provisioning;
use super::reconcile::Context;
use super::view::{OperatorView, WorldView};
use super::world::World;
use super::writer::Writer;
use crate::edge::plan;
use crate::leader::{self, Candidate, Leadership, Lost};
use crate::model::ObjectId;
use crate::observe::metrics::Metrics;
use crate::snapshot::serve::Counters;
use crate::store::cluster::{Cluster, States};
use crate::translate::{self as translation, Translator};

/// Events of the API server that may wait for the translator.
const EVENTS: usize = 1024;
/// How long a new leader listens before it speaks: its watches may be behind what the leader before it had served.
const SETTLE: Duration = Duration::from_secs(2);
/// How long writes that are on their way may take at the end.
const GRACE: Duration = Duration::from_secs(5);

/// What an operator is made of.
pub struct Settings {
    /// Translation.
    pub translation: translation::Settings,
    /// Election.
    pub leader: leader::Settings,
    /// Whether a deleted route or Ingress stays until edges have withdrawn it.
    pub hold_routes: bool,
    /// What makes edges on the cluster, if anything.
    pub provisioning: Option<Provisioning>,
}

/// An operator that is not yet running.
pub struct Operator {
    client: Client,
    cluster: Cluster,
    settings: Settings,
    metrics: Metrics,
    world: watch::Sender<World>,
    epoch: watch::Sender<u64>,
    queued: watch::Sender<OrdSet<ObjectId>>,
}

impl Operator {
    /// An operator of the cluster that a client leads to.
    pub fn new(client: Client, settings: Settings, metrics: Metrics) -> Self {
        let cluster = Cluster::new(client.clone());
        Self {
            client,
            cluster,
            settings,
            metrics,
            world: watch::Sender::default(),
            epoch: watch::Sender::new(0),
            queued: watch::Sender::default(),
        }
    }

    /// What is known, now and later.
    pub fn world(&self) -> watch::Receiver<World> {
        self.world.subscribe()
    }

    /// How it stands with the watches.
    pub fn states(&self) -> watch::Receiver<States> {
        self.cluster.states()
    }

    /// What people see of it, and of the snapshot port.
    pub fn view(&self, streams: Arc<Counters>) -> OperatorView {
        let (world, metrics) = (self.world.subscribe(), self.metrics.clone());
        let world = WorldView { world, metrics, options: plan::Options::default(), awaits_edges: false };
        OperatorView { world, states: self.cluster.states(), queued: self.queued.subscribe(), streams }
    }

    /// The epoch in which this process serves snapshots and writes; 0 before.
    pub fn epoch(&self) -> watch::Receiver<u64> {
        self.epoch.subscribe()
    }

    /// Runs until `stop` resolves, with edges on `host`.
    ///
    /// # Errors
    /// When the Lease is lost: the process is to end.
    pub async fn run(self, host: impl EdgeHost, stop: impl Future<Output = ()>) -> Result<(), Lost> {
        let Self { client, cluster, settings, metrics, world, epoch, queued } = self;
        let names = (settings.translation.controller_name.clone(), settings.leader.identity.clone());
        let (candidate, leadership) = Candidate::new(client.clone(), settings.leader);
        let acks = watch::Sender::<Acks>::default();
        let context = Arc::new(Context {
            world: world.subscribe(),
            acks: acks.subscribe(),
            finalizers: Finalizers { name: of_controller(&names.0), hold_attached: settings.hold_routes },
            controller_name: names.0.clone(),
            writer: Writer::new(client, leadership.clone(), cluster.states(), names),
            metrics: metrics.clone(),
            queued,
            memories: Mutex::new(HashMap::new()),
        });
        let stopping = watch::Sender::new(false);
        let (dispatch, mut controllers) = controllers(&cluster, context, stopping.subscribe());
        let (wakes, woken) = mpsc::unbounded_channel();
        let provisioning = settings.provisioning.map(|it| tokio::spawn(it.run(epoch.subscribe(), world.clone(), wakes.clone())));
        let pipeline = Pipeline::new(
            Translator::new(settings.translation),
            host,
            epoch.subscribe(),
            Outputs { world: world.clone(), wakes, metrics: metrics.clone() },
        );
        let (events, received) = mpsc::channel(EVENTS);
        let (written, all_written) = (watch::Sender::new(false), stopping.subscribe());
        let released = wait(written.subscribe());
        let elected = take_over(leadership, world.subscribe(), epoch.clone(), metrics);
        let ending = async {
            stop.await;
            stopping.send_replace(true);
            drop(timeout(GRACE, async { while controllers.join_next().await.is_some() {} }).await);
            written.send_replace(true);
        };
        let watching = tokio::spawn(cluster.watch(events));
        let translating = pipeline.run(received, wait(all_written));
        let dispatching = tokio::spawn(dispatch.run(woken, epoch.subscribe(), acks));
        let electing = tokio::spawn(elected);
        let (candidate, translating, ending) = (candidate.run(released), translating.map(Ok), ending.map(Ok));
        let done = tokio::try_join!(candidate, translating, ending).map(drop);
        for task in [watching, dispatching, electing].into_iter().chain(provisioning) {
            task.abort();
        }
        done
    }
}

async fn wait(mut flag: watch::Receiver<bool>) {
    drop(flag.wait_for(|set| *set).await);
}

/// Once elected, waits until what is known is not older than what the leader before knew, and begins.
async fn take_over(mut leadership: Leadership, mut world: watch::Receiver<World>, serving: watch::Sender<u64>, metrics: Metrics) {
    let Some(epoch) = leadership.elected().await else { return };
    metrics.leader.set(1);
    if epoch > 1 {
        sleep(SETTLE).await;
    }
    if world.wait_for(|world| world.published).await.is_ok() {
        serving.send_replace(epoch);
    }
}
