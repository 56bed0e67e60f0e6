//! Edges as objects of the cluster: what the lane makes of them, told to everybody.

use imbl::OrdMap;
use tokio::sync::{mpsc, watch};

use super::acks::Wake;
use super::lane::{Lane, Order};
use super::world::World;
use crate::leader::Leadership;
use crate::model::{EdgeId, Kind};
use crate::observe::metrics::Metrics;
use crate::provision::Installation;
use crate::report::Provisioned;

/// How edges are made.
pub struct Settings {
    /// What they have in common.
    pub installation: Installation,
    /// The CA bundle (PEM) that they are given.
    pub ca: watch::Receiver<String>,
    /// How many may have their pods replaced at a time.
    pub rollouts: usize,
    /// Where it is counted how many do.
    pub metrics: Metrics,
}

/// What makes edges, before anybody leads.
pub struct Provisioning {
    lane: Lane,
    orders: mpsc::UnboundedSender<Order>,
    received: mpsc::UnboundedReceiver<Order>,
    told: mpsc::UnboundedReceiver<(EdgeId, Provisioned)>,
}

impl Provisioning {
    /// Makes edges while this process leads.
    pub fn new(writing: (kube::Client, Leadership), settings: Settings) -> Self {
        let (orders, received) = mpsc::unbounded_channel();
        let (tell, told) = mpsc::unbounded_channel();
        Self { lane: Lane::new(writing, settings, tell), orders, received, told }
    }

    /// Where it is told which edges there are to be.
    pub fn orders(&self) -> mpsc::UnboundedSender<Order> {
        self.orders.clone()
    }

    /// Makes edges from the moment at which `epoch` is no longer 0. What they have is told to the world and to whoever
    /// writes statuses.
    pub async fn run(self, mut epoch: watch::Receiver<u64>, world: watch::Sender<World>, wakes: mpsc::UnboundedSender<Wake>) {
        let Self { lane, orders, received, mut told } = self;
        world.send_modify(|world| world.provisioned = Some(OrdMap::new()));
        if epoch.wait_for(|epoch| *epoch > 0).await.is_err() {
            return;
        }
        // Everything that existed at the start was ordered before this process could lead.
        drop(orders.send(Order::Settled));
        let telling = async {
            while let Some((id, provisioned)) = told.recv().await {
                // The status of a Gateway shows its addresses, and so does that of every Ingress of a class.
                let mut dirty = vec![id.owner()];
                world.send_modify(|world| {
                    if id.kind() == Kind::IngressClass {
                        let served = world.served.keys().filter(|(_, edge)| *edge == id);
                        dirty.extend(served.map(|(object, _)| object.clone()));
                    }
                    world.provisioned.get_or_insert_default().insert(id, provisioned);
                });
                if wakes.send(Wake::Objects(dirty)).is_err() {
                    return;
                }
            }
        };
        tokio::join!(lane.run(received), telling);
    }
}
