//! The operator: a cluster's objects in, snapshots and statuses out. Every replica translates, the leader speaks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use imbl::OrdSet;
use kube::Client;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::{Instant, timeout};

use super::EdgeHost;
use super::acks::{Acks, Wake};
use super::claims::Keeper;
use super::complaints::Complaints;
use super::dispatch::controllers;
use super::finalizer::{Finalizers, of_controller};
use super::pipeline::{Outputs, Pipeline};
use super::provisioning::Provisioning;
use super::reconcile::{Context, retries};
use super::view::{OperatorView, WorldView};
use super::world::World;
use super::writer::Writer;
use crate::api::bundle::Bundle;
use crate::edge::plan;
use crate::leader::{Candidate, Leadership, Lost};
use crate::model::{Kind, ObjectId};
use crate::observe::metrics::Metrics;
use crate::snapshot::serve::Counters;
use crate::store::cluster::{Cluster, Namespaces, States};
use crate::store::names::Names;
use crate::translate::{self as translation, Translator};

/// Events of the API server that may wait for the translator.
const EVENTS: usize = 1024;
/// How long a new leader tries to list everything anew before it speaks all the same.
const SETTLE: Duration = Duration::from_secs(20);
/// How long writes that are on their way may take at the end.
const GRACE: Duration = Duration::from_secs(5);

/// What an operator is made of.
pub struct Settings {
    /// Translation.
    pub translation: translation::Settings,
    /// The namespaces that are watched; none: all.
    pub namespaces: Namespaces,
    /// Who asks DNS; none where no external name is served.
    pub names: Option<Names>,
    /// Election.
    pub election: (Candidate, Leadership),
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
        let cluster = Cluster::new(client.clone()).within(settings.namespaces.clone());
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
        let (candidate, leadership) = settings.election;
        let names = (settings.translation.controller_name.clone(), candidate.identity().to_owned());
        let acks = watch::Sender::<Acks>::default();
        let context = Arc::new(Context {
            world: world.subscribe(),
            acks: acks.subscribe(),
            finalizers: Finalizers { name: of_controller(&names.0), hold_attached: settings.hold_routes },
            controller_name: names.0.clone(),
            writer: Writer::new(client.clone(), leadership.clone(), cluster.states(), names),
            metrics: metrics.clone(),
            complaints: Complaints::new(metrics.reconcile_errors.clone()),
            retries: retries(),
            queued,
            memories: Mutex::new(HashMap::new()),
        });
        let claims = settings.translation.ingress.claims.clone().map(|place| {
            let complaints = Complaints::new(metrics.reconcile_errors.clone());
            let keeper = Keeper::new(client.clone(), place, leadership.clone(), (cluster.states(), complaints));
            tokio::spawn(keeper.run(world.subscribe(), epoch.subscribe()))
        });
        let stopping = watch::Sender::new(false);
        let (dispatch, mut controllers) = controllers(&cluster, context, stopping.subscribe());
        let (wakes, woken) = mpsc::unbounded_channel();
        let provisioning = settings.provisioning.map(|it| tokio::spawn(it.run(epoch.subscribe(), world.clone(), wakes.clone())));
        let reporting = tokio::spawn(report_bundle(cluster.bundle(), world.clone(), wakes.clone()));
        let pipeline = Pipeline::new(
            Translator::new(settings.translation),
            host,
            epoch.subscribe(),
            Outputs { world: world.clone(), wakes, metrics: metrics.clone() },
        )
        .asking(settings.names)
        .wanting(Some(cluster.wants()));
        let (events, received) = mpsc::channel(EVENTS);
        let (written, all_written) = (watch::Sender::new(false), stopping.subscribe());
        let released = wait(written.subscribe());
        let elected = take_over(leadership, cluster.freshness(), (world.subscribe(), epoch.clone()), metrics);
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
        for task in [watching, dispatching, electing, reporting].into_iter().chain(provisioning).chain(claims) {
            task.abort();
        }
        done
    }
}

/// Tells the world, and every GatewayClass, which Gateway API is installed.
async fn report_bundle(mut bundle: watch::Receiver<Option<Bundle>>, world: watch::Sender<World>, wakes: mpsc::UnboundedSender<Wake>) {
    while bundle.changed().await.is_ok() {
        let found = bundle.borrow_and_update().clone();
        if let Some(found) = &found {
            let (version, channel) = (found.version(), found.channel());
            if found.is_supported() {
                tracing::info!(version, channel, "Gateway API");
            } else {
                tracing::warn!(version, channel, "Gateway API of a release that is not known; served as far as it is understood");
            }
        }
        let mut classes = Vec::new();
        world.send_modify(|world| {
            world.bundle = found;
            classes.extend(world.objects.keys().filter(|id| id.kind == Kind::GatewayClass).cloned());
        });
        if wakes.send(Wake::Objects(classes)).is_err() {
            return;
        }
    }
}

async fn wait(mut flag: watch::Receiver<bool>) {
    drop(flag.wait_for(|set| *set).await);
}

/// Once elected, lists everything anew and begins when that is known: whatever a leader before had served, it had seen at
/// the API server before. A kind that cannot be listed does not keep edges without a leader for ever.
async fn take_over(
    mut leadership: Leadership,
    freshness: watch::Sender<bool>,
    (mut world, serving): (watch::Receiver<World>, watch::Sender<u64>),
    metrics: Metrics,
) {
    let Some(epoch) = leadership.elected().await else { return };
    metrics.leader.set(1);
    freshness.send_replace(true);
    let elected = Instant::now();
    if world.wait_for(|world| world.published).await.is_err() {
        return;
    }
    match timeout(SETTLE, world.wait_for(|world| world.fresh)).await {
        Ok(Ok(_)) => tracing::info!(epoch, after = ?elected.elapsed(), "everything is known; serving"),
        Ok(Err(_)) => return,
        Err(_) => tracing::warn!(epoch, "not everything could be listed anew; serving what is known"),
    }
    serving.send_replace(epoch);
}
