//! Edges as objects of the cluster: what the lane makes of them, told to everybody.

use imbl::OrdMap;
use tokio::sync::{mpsc, watch};

use super::acks::Wake;
use super::lane::{Lane, Order};
use super::world::World;
use crate::leader::Leadership;
use crate::model::{EdgeId, Kind, ObjectId};
use crate::observe::metrics::Metrics;
use crate::provision::Installation;
use crate::report::{Provisioned, Verdict};
use crate::store::cluster::Namespaces;

/// How edges are made.
pub struct Settings {
    /// What they have in common.
    pub installation: Installation,
    /// The namespaces that are watched, the operator's own among them; none: all.
    pub namespaces: Namespaces,
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
                let mut dirty = Vec::new();
                world.send_modify(|world| {
                    dirty = concerned(world, &id);
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

/// The objects whose statuses depend on what an edge has. Its Gateway shows its addresses, and so does every Ingress of a class;
/// before anything is known of it, nothing is written of ListenerSets either, also of those that it serves nothing of.
fn concerned(world: &World, id: &EdgeId) -> Vec<ObjectId> {
    let is_first = world.provisioned.as_ref().is_none_or(|all| !all.contains_key(id));
    let kind = match id.kind() {
        Kind::IngressClass => Some(Kind::Ingress),
        _ => is_first.then_some(Kind::ListenerSet),
    };
    let reports = kind.into_iter().flat_map(|kind| {
        world.reports.range(ObjectId::new(kind, "", "")..).map(|(_, report)| report).take_while(move |report| report.id.kind == kind)
    });
    let of_edge = reports.filter(|report| match &report.verdict {
        Verdict::ListenerSet { edge, .. } | Verdict::Ingress { edge, .. } => edge == id,
        _ => false,
    });
    // A new operator does not know yet which Ingresses left while none ran.
    let is_new = is_first && id.kind() == Kind::IngressClass;
    let ingresses = is_new.then(|| world.objects.range(ObjectId::new(Kind::Ingress, "", "")..)).into_iter().flatten();
    let ingresses = ingresses.take_while(|(id, _)| id.kind == Kind::Ingress);
    let left = ingresses.filter(|(id, object)| !world.reports.contains_key(*id) && object.status().is_some());
    std::iter::once(id.owner()).chain(of_edge.map(|report| report.id.clone())).chain(left.map(|(id, _)| id.clone())).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::concerned;
    use crate::controller::world::World;
    use crate::model::{EdgeId, Kind, ObjectId};
    use crate::report::{ObjectReport, Provisioned, Verdict};

    fn report(id: ObjectId, verdict: Verdict) -> (ObjectId, Arc<ObjectReport>) {
        (id.clone(), Arc::new(ObjectReport { id, generation: 1, findings: Vec::new(), verdict }))
    }

    #[test]
    fn who_waited_for_an_edge_is_woken_although_nothing_of_it_is_served() {
        let (edge, other) = (EdgeId::of_gateway("n", "web"), EdgeId::of_gateway("n", "other"));
        let class = EdgeId::of_class("web");
        let set = |edge: &EdgeId| Verdict::ListenerSet { edge: edge.clone(), listeners: Vec::new(), parent_accepted: true };
        let ingress = Verdict::Ingress { edge: class.clone(), addresses: Vec::new(), served: false };
        let (ours, foreign) = (ObjectId::new(Kind::ListenerSet, "n", "a"), ObjectId::new(Kind::ListenerSet, "n", "b"));
        let refused = ObjectId::new(Kind::Ingress, "n", "c");
        let reports = [report(ours.clone(), set(&edge)), report(foreign, set(&other)), report(refused.clone(), ingress)];
        let mut world = World { reports: reports.into_iter().collect(), ..World::default() };
        assert_eq!(concerned(&world, &edge), [edge.owner(), ours]);
        assert_eq!(concerned(&world, &class), [class.owner(), refused.clone()]);
        world.provisioned = Some([edge.clone(), class.clone()].into_iter().map(|id| (id, Provisioned::default())).collect());
        assert_eq!(concerned(&world, &edge), [edge.owner()], "nobody waits any more");
        assert_eq!(concerned(&world, &class), [class.owner(), refused], "it shows the addresses");
    }
}
