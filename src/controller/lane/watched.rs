//! What there is of edges at the API server, as far as decisions need it: Services with their addresses, Deployments with
//! their rollouts, and deletions.

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher as watch_objects};
use kube::{Api, Client, ResourceExt};

use super::stages::Standing;
use crate::model::EdgeId;
use crate::provision::names;
use crate::report::Address;
use crate::store::cluster::watching;

/// Something that happened to an object of ours.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Seen {
    /// The Service of an edge has these addresses.
    Service(EdgeId, Vec<Address>),
    /// The Service of an edge was deleted.
    ServiceGone(EdgeId),
    /// How far the Deployment of an edge is; `None` when it was deleted.
    Deployment(EdgeId, Option<Standing>),
    /// All Services were told, or cannot be.
    Services,
    /// All Deployments follow.
    Listing,
    /// They were told.
    Listed,
}

/// All Services and Deployments that a controller made for edges, for ever.
pub(super) fn watch(client: &Client, controller: &str) -> BoxStream<'static, Seen> {
    let config = || watching().labels(names::EDGE);
    let services = watch_objects(Api::<Service>::all(client.clone()), config()).default_backoff();
    let of = controller.to_owned();
    let services = services.map_ok(move |event| match event {
        Event::Apply(service) | Event::InitApply(service) => {
            names::edge_of(service.annotations(), &of).map(|id| Seen::Service(id, addresses(&service)))
        }
        Event::Delete(service) => names::edge_of(service.annotations(), &of).map(Seen::ServiceGone),
        Event::InitDone => Some(Seen::Services),
        Event::Init => None,
    });
    let services = services.map(|seen| {
        seen.or_else(|error| {
            tracing::warn!(%error, "Services of edges cannot be watched");
            Ok(Some(Seen::Services))
        })
    });
    let deployments = watch_objects(Api::<Deployment>::all(client.clone()), config()).default_backoff();
    let of = controller.to_owned();
    let deployments = deployments.map_ok(move |event| match event {
        Event::Apply(deployment) | Event::InitApply(deployment) => {
            names::edge_of(deployment.annotations(), &of).map(|id| Seen::Deployment(id, Some(Standing::of(&deployment))))
        }
        Event::Delete(deployment) => names::edge_of(deployment.annotations(), &of).map(|id| Seen::Deployment(id, None)),
        Event::Init => Some(Seen::Listing),
        Event::InitDone => Some(Seen::Listed),
    });
    let all = stream::select(services, deployments);
    let all = all.inspect_err(|error| tracing::warn!(%error, "objects of edges cannot be watched"));
    all.filter_map(async |seen| seen.ok().flatten()).boxed()
}

/// Addresses that clients can use: those of the load balancer, else those inside the cluster.
fn addresses(service: &Service) -> Vec<Address> {
    let Some(spec) = &service.spec else { return Vec::new() };
    if spec.type_.as_deref() != Some("LoadBalancer") {
        let ips = spec.cluster_ips.iter().flatten().filter_map(|ip| ip.parse().ok());
        return ips.map(Address::Ip).collect();
    }
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let entries = balancer.and_then(|balancer| balancer.ingress.as_ref()).into_iter().flatten();
    let address = entries.filter_map(|entry| match (&entry.ip, &entry.hostname) {
        (Some(ip), _) => ip.parse().ok().map(Address::Ip),
        (None, Some(name)) => Some(Address::Hostname(name.clone())),
        (None, None) => None,
    });
    address.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::addresses;
    use crate::report::Address;

    #[test]
    fn addresses_are_those_of_the_load_balancer_or_of_the_cluster() {
        let of = |value| addresses(&serde_json::from_value(value).unwrap());
        let inside = json!({"spec": {"type": "ClusterIP", "clusterIPs": ["10.0.0.1", "None"]}});
        assert_eq!(of(inside), [Address::Ip([10, 0, 0, 1].into())]);
        let waiting = json!({"spec": {"type": "LoadBalancer", "clusterIPs": ["10.0.0.1"]}, "status": {"loadBalancer": {}}});
        assert_eq!(of(waiting), []);
        let ingress = json!([{"ip": "192.0.2.1"}, {"hostname": "lb.example"}]);
        let balanced = json!({"spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {"ingress": ingress}}});
        assert_eq!(of(balanced), [Address::Ip([192, 0, 2, 1].into()), Address::Hostname("lb.example".into())]);
    }
}
