//! The addresses of an edge that has no load balancer and whose ports are ports of nodes: those of the nodes that its pods are on.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher as watch_objects};
use kube::{Api, Client, ResourceExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::super::auth::{Workload, is_of};
use super::super::complaints::Complaints;
use super::super::writer;
use super::Word;
use crate::model::EdgeId;
use crate::provision::names;
use crate::report::Address;
use crate::store::cluster::{variant, watching};

/// How long a node without a ready pod still counts: its pod is being replaced.
const ABSENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether one counts no longer.
const TICK: Duration = Duration::from_secs(10);
/// Most addresses that a status has.
const MOST: usize = 16;
/// Most owners of pods that are remembered.
const OWNERS: usize = 256;
/// The kind that is watched, as metrics name it.
pub(super) const KIND: &str = "EdgePod";

/// Follows the pods of one edge.
pub(super) struct Nodes {
    client: Client,
    /// What makes its pods.
    workload: Workload,
    complaints: Arc<Complaints>,
    /// Owners of pods that were asked about, by uid: whether they are of the edge.
    owners: HashMap<String, bool>,
}

/// The nodes that an edge is at.
#[derive(Default)]
struct Places {
    /// Addresses of the nodes of its pods, and whether the pod is ready; by name of the pod.
    pods: BTreeMap<String, (Vec<IpAddr>, bool)>,
    /// When a pod was last ready at an address.
    ready: BTreeMap<IpAddr, Instant>,
}

impl Places {
    fn put(&mut self, pod: &Pod, counts: bool) {
        let (addresses, ready) = (addresses(pod), is_ready(pod));
        if counts {
            self.ready.extend(addresses.iter().map(|ip| (*ip, Instant::now())));
        }
        self.pods.insert(pod.name_any(), (addresses, ready));
    }

    /// Addresses at which clients are served, a limited number of them.
    fn addresses(&mut self) -> Vec<Address> {
        let now = Instant::now();
        let serving = self.pods.values().filter(|(_, ready)| *ready).flat_map(|(addresses, _)| addresses);
        self.ready.extend(serving.map(|ip| (*ip, now)));
        self.ready.retain(|_, last| now.duration_since(*last) < ABSENCE);
        self.ready.keys().take(MOST).copied().map(Address::Ip).collect()
    }
}

/// The addresses of a pod's node, of the families that it listens on: that of its first address, and of IPv6 both.
fn addresses(pod: &Pod) -> Vec<IpAddr> {
    let Some(status) = &pod.status else { return Vec::new() };
    let own: Vec<IpAddr> = status.pod_ips.iter().flatten().filter_map(|ip| ip.ip.parse().ok()).collect();
    let first = own.first().map(IpAddr::is_ipv6);
    let hears = |ip: &IpAddr| first.is_some_and(|six| six || ip.is_ipv4()) && own.iter().any(|own| own.is_ipv6() == ip.is_ipv6());
    status.host_ips.iter().flatten().filter_map(|host| host.ip.parse().ok()).filter(hears).collect()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

impl Nodes {
    /// For the pods of this workload.
    pub(super) fn new(client: Client, workload: Workload, complaints: Arc<Complaints>) -> Self {
        Self { client, workload, complaints, owners: HashMap::new() }
    }

    /// Says at which addresses the edge is, for ever.
    pub(super) async fn run(self, id: EdgeId, words: mpsc::UnboundedSender<(EdgeId, Word)>) {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.workload.namespace);
        let labels = format!("{}={}", names::EDGE, self.workload.name);
        let events = watch_objects(pods, watching().labels(&labels)).default_backoff();
        let tell = move |addresses| words.send((id.clone(), Word::Nodes(addresses))).is_ok();
        self.follow(events, tell).await;
    }

    async fn follow(mut self, events: impl Stream<Item = watcher::Result<Event<Pod>>>, tell: impl Fn(Vec<Address>) -> bool) {
        let (mut places, mut listed, mut told) = (Places::default(), false, None);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(events);
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(Event::Init)) => places.pods.clear(),
                    // Before the first list is whole, a pod that is not ready may have been so for the leader before.
                    Some(Ok(Event::InitApply(pod))) if self.is_own(&pod).await => places.put(&pod, !listed),
                    Some(Ok(Event::Apply(pod))) if self.is_own(&pod).await => places.put(&pod, false),
                    Some(Ok(Event::InitApply(_) | Event::Apply(_))) => {}
                    Some(Ok(Event::Delete(pod))) => drop(places.pods.remove(&pod.name_any())),
                    Some(Ok(Event::InitDone)) => listed = true,
                    Some(Err(error)) => listed = self.refused(&error).await || listed,
                    None => return,
                },
                _ = tick.tick() => {}
            }
            let now = places.addresses();
            if listed && told.as_ref() != Some(&now) {
                if !tell(now.clone()) {
                    return;
                }
                told = Some(now);
            }
        }
    }

    /// Whether the watch is refused: no address will be known.
    async fn refused(&self, error: &watcher::Error) -> bool {
        let (variant, code) = variant(error);
        if self.complaints.count(KIND, variant).await && code != Some(410) {
            tracing::warn!(kind = KIND, %error, "pods of edges cannot be watched; tried again, and other failures of that sort are counted");
        }
        code == Some(403)
    }

    /// Whether a pod is of the edge, by the uids of its owners.
    async fn is_own(&mut self, pod: &Pod) -> bool {
        let Some(owner) = pod.owner_references().iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.clone()) else {
            return false;
        };
        if let Some(known) = self.owners.get(&owner) {
            return *known;
        }
        match is_of(&self.client, pod, &self.workload).await {
            Ok(own) => {
                if self.owners.len() >= OWNERS {
                    self.owners.clear();
                }
                self.owners.insert(owner, own);
                own
            }
            Err(error) => {
                if self.complaints.count(KIND, writer::variant(&error)).await {
                    tracing::warn!(kind = KIND, %error, "owners of pods of edges cannot be read; asked again with the next change of the pod");
                }
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use k8s_openapi::api::core::v1::Pod;
    use serde_json::{Value, json};
    use tokio::time::advance;

    use super::{ABSENCE, MOST, Places, addresses};
    use crate::report::Address;

    fn pod(name: &str, own: &[&str], node: &[&str], ready: bool) -> Pod {
        let ips = |all: &[&str]| all.iter().map(|ip| json!({"ip": ip})).collect::<Value>();
        let condition = json!({"type": "Ready", "status": if ready { "True" } else { "False" }});
        let status = json!({"podIPs": ips(own), "hostIPs": ips(node), "conditions": [condition]});
        serde_json::from_value(json!({"metadata": {"name": name}, "status": status})).unwrap()
    }

    fn shown(places: &mut Places) -> Vec<String> {
        places.addresses().iter().map(Address::to_string).collect()
    }

    #[test]
    fn a_node_is_reached_by_the_families_that_its_pod_hears() {
        let of = |own: &[&str], node: &[&str]| -> Vec<String> {
            addresses(&pod("a", own, node, true)).iter().map(ToString::to_string).collect()
        };
        let node = ["192.0.2.1", "2001:db8::1"];
        assert_eq!(of(&["10.0.0.1"], &node), ["192.0.2.1"]);
        assert_eq!(of(&["10.0.0.1", "fd00::1"], &node), ["192.0.2.1"], "it listens on all addresses of its first one's family");
        assert_eq!(of(&["fd00::1", "10.0.0.1"], &node), node);
        assert_eq!(of(&["fd00::1"], &node), ["2001:db8::1"]);
        assert_eq!(of(&[], &node), [""; 0], "it has no network yet");
        assert_eq!(of(&["10.0.0.1"], &["no address"]), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_whose_pod_is_replaced_keeps_its_address_for_a_while() {
        let mut places = Places::default();
        places.put(&pod("a", &["10.0.0.1"], &["192.0.2.1"], true), false);
        places.put(&pod("b", &["10.0.0.2"], &["192.0.2.2"], false), false);
        assert_eq!(shown(&mut places), ["192.0.2.1"], "the other was never ready");
        places.pods.remove("a");
        advance(ABSENCE - Duration::from_secs(1)).await;
        assert_eq!(shown(&mut places), ["192.0.2.1"]);
        places.put(&pod("c", &["10.0.0.3"], &["192.0.2.1"], true), false);
        advance(ABSENCE * 2).await;
        assert_eq!(shown(&mut places), ["192.0.2.1"], "as long as a pod is ready there");
        places.put(&pod("c", &["10.0.0.3"], &["192.0.2.1"], false), false);
        advance(ABSENCE).await;
        assert_eq!(shown(&mut places), [""; 0]);
        // A new leader takes no address from a status while a pod is being replaced.
        let mut next = Places::default();
        next.put(&pod("c", &["10.0.0.3"], &["192.0.2.1"], false), true);
        assert_eq!(shown(&mut next), ["192.0.2.1"]);
    }

    #[tokio::test]
    async fn a_status_has_a_limited_number_of_addresses() {
        let mut places = Places::default();
        for number in 1..=40 {
            places.put(&pod(&format!("pod-{number}"), &["10.0.0.1"], &[&format!("192.0.2.{number}")], true), false);
        }
        let some = shown(&mut places);
        assert_eq!((some.len(), some[0].as_str()), (MOST, "192.0.2.1"));
        assert_eq!(shown(&mut places), some, "the same ones each time");
    }
}
