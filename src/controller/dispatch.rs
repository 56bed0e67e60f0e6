//! Wakes to the controllers of the kinds they concern, while this process leads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::channel::mpsc as channel;
use futures::{FutureExt, StreamExt, stream};
use kube::runtime::Controller;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::ObjectRef;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::acks::{Acks, Awaited, Wake};
use super::reconcile::{Context, reconcile};
use super::world::World;
use crate::api::Obj;
use crate::model::{Kind, ObjectId};
use crate::store::cluster::Cluster;
use crate::store::kinds::{self, Finalizer, Row, Told, Visitor, row};
use crate::store::pump::Pumped;

/// Reconciles of one kind at the same time. The API server may keep some of them waiting for an answer (admission may take
/// 30 s); how many are written in a second is the writer's to say.
const CONCURRENCY: u16 = 32;
/// Most wakes taken in at once.
const BATCH: usize = 1024;

type Queue = Box<dyn Fn(&ObjectId) + Send>;

/// A controller for every kind that something is written for, and the queues that lead to them.
struct Controllers<'a> {
    cluster: &'a Cluster,
    context: Arc<Context>,
    stop: watch::Receiver<bool>,
    queues: BTreeMap<Kind, Queue>,
    tasks: JoinSet<()>,
}

/// Makes the controllers: what leads to them, and the tasks that run them until told to stop.
pub fn controllers(cluster: &Cluster, context: Arc<Context>, stop: watch::Receiver<bool>) -> (Dispatch, JoinSet<()>) {
    let mut made = Controllers { cluster, context: context.clone(), stop, queues: BTreeMap::new(), tasks: JoinSet::new() };
    kinds::visit(&mut made);
    (Dispatch { queues: made.queues, context, awaited: Awaited::default(), troubled: BTreeSet::new() }, made.tasks)
}

impl Visitor for Controllers<'_> {
    fn visit<K: Pumped>(&mut self, row: &'static Row) {
        let concerns = row.status || row.finalizer != Finalizer::Never || row.told == Told::Events;
        let Some(store) = self.cluster.store::<K>().filter(|_| concerns) else { return };
        let (queue, queued) = channel::unbounded::<ObjectRef<Obj<K>>>();
        let send = move |id: &ObjectId| {
            let object = ObjectRef::new(&id.name);
            let object = if id.namespace.is_empty() { object } else { object.within(&id.namespace) };
            drop(queue.unbounded_send(object));
        };
        self.queues.insert(row.kind, Box::new(send));
        let mut stop = self.stop.clone();
        let stopped = async move { drop(stop.wait_for(|stop| *stop).await) };
        let controller = Controller::for_stream(stream::pending(), store)
            .with_config(Config::default().concurrency(CONCURRENCY))
            .reconcile_on(queued)
            .graceful_shutdown_on(stopped);
        // Errors are dealt with by the reconcile itself; what is left is an object that is gone by now.
        let run = controller.run(reconcile::<K>, |_, _, _| Action::await_change(), self.context.clone());
        self.tasks.spawn(run.for_each(|_| futures::future::ready(())).map(drop));
    }
}

/// The task that wakes objects.
pub struct Dispatch {
    queues: BTreeMap<Kind, Queue>,
    context: Arc<Context>,
    awaited: Awaited,
    /// Objects that are told of their problems by Events alone, and have some.
    troubled: BTreeSet<ObjectId>,
}

/// Whether nothing is written for a kind but Events.
fn has_events_only(kind: Kind) -> bool {
    let row = row(kind);
    !row.status && row.finalizer == Finalizer::Never && row.told == Told::Events
}

impl Dispatch {
    /// Wakes objects until every sender of wakes is gone. When this process begins to lead (`epoch` is not 0), all of them.
    pub async fn run(mut self, mut wakes: mpsc::UnboundedReceiver<Wake>, mut epoch: watch::Receiver<u64>, acks: watch::Sender<Acks>) {
        let mut batch = Vec::new();
        let mut led = false;
        loop {
            tokio::select! {
                received = wakes.recv_many(&mut batch, BATCH) => if received == 0 { return },
                Ok(()) = epoch.changed() => {}
            }
            let world = self.context.world.borrow().clone();
            let mut dirty = self.awaited.take(batch.drain(..), &world);
            acks.send_replace(self.awaited.acks.clone());
            // A wake may come first when both come at once.
            let leads = *epoch.borrow_and_update() > 0;
            if !leads {
                continue;
            }
            if !std::mem::replace(&mut led, leads) {
                dirty.extend(world.objects.keys().cloned());
            }
            self.wake(dirty, &world);
        }
    }

    fn wake(&mut self, mut dirty: BTreeSet<ObjectId>, world: &World) {
        // There are many of these, mostly with nothing to tell.
        dirty.retain(|id| !has_events_only(id.kind) || self.is_troubled(id, world));
        if dirty.iter().any(|id| id.kind == Kind::Gateway) {
            // Whether a class is in use follows from the Gateways.
            let first = ObjectId::new(Kind::GatewayClass, "", "");
            dirty.extend(world.objects.range(first..).map(|(id, _)| id.clone()).take_while(|id| id.kind == Kind::GatewayClass));
        }
        let (awake, gone): (Vec<_>, Vec<_>) =
            dirty.into_iter().filter(|id| self.queues.contains_key(&id.kind)).partition(|id| world.objects.contains_key(id));
        self.context.queued.send_modify(|queued| {
            queued.extend(awake.iter().cloned());
            // One that is gone before its turn has none.
            for id in &gone {
                queued.remove(id);
            }
        });
        for id in awake {
            if let Some(queue) = self.queues.get(&id.kind) {
                queue(&id);
            }
        }
    }

    /// Whether an object has problems, or had some when it was asked last.
    fn is_troubled(&mut self, id: &ObjectId, world: &World) -> bool {
        if world.reports.contains_key(id) {
            self.troubled.insert(id.clone());
            return true;
        }
        self.troubled.remove(id)
    }
}
