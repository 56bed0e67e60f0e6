//! What there is of edges at the API server, as far as decisions need it: Services with their addresses, Deployments
//! and DaemonSets with their rollouts, and deletions.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::Service;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher as watch_objects};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::super::complaints::Complaints;
use super::nodes;
use super::stages::Standing;
use crate::provision::{Claimed, Installation, Part, Place, names};
use crate::report::Address;
use crate::store::cluster::{Namespaces, variant, watching};

/// The kinds that are watched, as metrics name them: the Services, Deployments and DaemonSets of edges, and
/// the pods of those whose ports are ports of nodes.
pub const KINDS: [&str; 4] = ["EdgeService", "EdgeDeployment", "EdgeDaemonSet", nodes::KIND];

/// Something that happened to an object of ours.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Seen {
    /// A Service where an edge has its own, and its addresses.
    Service(Claimed, Vec<Address>),
    /// Such a Service was deleted.
    ServiceGone(Claimed),
    /// A Deployment or DaemonSet where an edge has its own, and how far it is; `None` when it was deleted.
    Workload(Part, Claimed, Option<Standing>),
    /// All Services were told, or may not be read.
    Services,
    /// All Deployments, or all DaemonSets, follow.
    Listing,
    /// All of both were told.
    Listed,
}

/// What one watch says.
type Watch = BoxStream<'static, watcher::Result<Option<Seen>>>;
/// Where edges are looked for.
type Apis<K> = Vec<Api<K>>;

/// All Services, Deployments and DaemonSets that are where edges of an installation have theirs, for ever. By a label they are found; what
/// counts is where they are and whose uid they carry.
pub(super) fn watch(client: &Client, of: (&Installation, &Namespaces), complaints: &Arc<Complaints>) -> BoxStream<'static, Seen> {
    let [of_services, of_deployments, of_daemons, _] = KINDS;
    let installation = of.0.clone();
    let services = each(client, of, move |event: Event<Service>| match event {
        Event::Apply(service) | Event::InitApply(service) => {
            installation.claimed(&service.metadata).map(|claimed| Seen::Service(claimed, addresses(&service)))
        }
        Event::Delete(service) => installation.claimed(&service.metadata).map(Seen::ServiceGone),
        Event::InitDone => Some(Seen::Services),
        Event::Init => None,
    });
    let deployments = workloads::<Deployment>(client, of, Part::Deployment, Standing::of);
    let daemons = workloads::<DaemonSet>(client, of, Part::DaemonSet, Standing::of_daemons);
    let named = |kind, watches: Vec<_>| watches.into_iter().map(move |watch| (kind, watch));
    let workloads = named(of_deployments, deployments).chain(named(of_daemons, daemons));
    let services = whole(named(of_services, services), complaints, Some(Seen::Services));
    let workloads = whole(workloads, complaints, None);
    stream::select(services, workloads).boxed()
}

/// The watches of a kind of workload.
fn workloads<K>(client: &Client, of: (&Installation, &Namespaces), part: Part, standing: fn(&K) -> Standing) -> Vec<Watch>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let installation = of.0.clone();
    each(client, of, move |event: Event<K>| match event {
        Event::Apply(live) | Event::InitApply(live) => {
            installation.claimed(live.meta()).map(|claimed| Seen::Workload(part, claimed, Some(standing(&live))))
        }
        Event::Delete(live) => installation.claimed(live.meta()).map(|claimed| Seen::Workload(part, claimed, None)),
        Event::Init => Some(Seen::Listing),
        Event::InitDone => Some(Seen::Listed),
    })
}

/// The watches of a kind where edges may be.
fn each<K>(
    client: &Client,
    (installation, namespaces): (&Installation, &Namespaces),
    see: impl Fn(Event<K>) -> Option<Seen> + Clone + Send + 'static,
) -> Vec<Watch>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let within = |namespace: &String| Api::namespaced(client.clone(), namespace);
    let apis: Apis<K> = match (installation.place, namespaces) {
        (Place::Operator, _) => vec![within(&installation.namespace)],
        (Place::Gateway, None) => vec![Api::all(client.clone())],
        (Place::Gateway, Some(namespaces)) => namespaces.iter().map(within).collect(),
    };
    let watch = |api| watch_objects(api, watching().labels(names::EDGE)).default_backoff().map_ok(see.clone()).boxed();
    apis.into_iter().map(watch).collect()
}

/// Several watches as one: a list has begun when one has, and is told when all are.
fn whole(
    watches: impl Iterator<Item = (&'static str, Watch)>,
    complaints: &Arc<Complaints>,
    refused: Option<Seen>,
) -> impl Stream<Item = Seen> + Send + 'static {
    let watches: Vec<_> = watches
        .enumerate()
        .map(|(place, (kind, events))| told(events, kind, complaints.clone(), refused.clone()).map(move |seen| (place, seen)).boxed())
        .collect();
    let mut listing: BTreeSet<usize> = (0..watches.len()).collect();
    stream::select_all(watches).filter_map(move |(place, seen)| {
        let seen = match seen {
            Seen::Listing => {
                listing.insert(place);
                Some(Seen::Listing)
            }
            Seen::Listed | Seen::Services => {
                listing.remove(&place);
                listing.is_empty().then_some(seen)
            }
            seen => Some(seen),
        };
        futures::future::ready(seen)
    })
}

/// What a watch sees. What else fails than by a refusal passes, and is waited for.
fn told(
    events: impl Stream<Item = watcher::Result<Option<Seen>>> + Send + 'static,
    kind: &'static str,
    complaints: Arc<Complaints>,
    refused: Option<Seen>,
) -> impl Stream<Item = Seen> + Send + 'static {
    events.filter_map(move |event| {
        let (complaints, refused) = (complaints.clone(), refused.clone());
        async move {
            let error = match event {
                Ok(seen) => return seen,
                Err(error) => error,
            };
            let (variant, code) = variant(&error);
            // With 410 the server has forgotten where the watch left off, which is no failure.
            if complaints.count(kind, variant).await && code != Some(410) {
                tracing::warn!(kind, %error, "what edges have cannot be watched; tried again, and other failures of that sort are counted");
            }
            refused.filter(|_| code == Some(403))
        }
    })
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
    use std::io::Write;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    use futures::StreamExt;
    use http::{Request, Response, StatusCode};
    use kube::Client;
    use kube::client::Body;
    use prometheus::{IntCounterVec, Opts};
    use serde_json::{Value, json};
    use tokio::time::timeout;

    use super::{KINDS, Seen, addresses, watch};
    use crate::controller::complaints::Complaints;
    use crate::model::EdgeId;
    use crate::provision::{Claimed, Installation, names};
    use crate::report::Address;

    const CONTROLLER: &str = "example.com/test";

    fn edge() -> EdgeId {
        EdgeId::of_gateway("shop", "web")
    }

    fn installation() -> Installation {
        Installation { controller: CONTROLLER.into(), ..Installation::default() }
    }

    fn seen() -> Seen {
        Seen::Service(Claimed { edge: edge(), uid: None }, vec![Address::Ip([10, 0, 0, 1].into())])
    }

    fn answer(code: StatusCode, body: &Value) -> Response<Body> {
        Response::builder().status(code).body(Body::from(body.to_string().into_bytes())).unwrap()
    }

    /// An API server with the Service of one edge, which answers so many lists with this code first.
    fn server(failures: usize, code: StatusCode) -> Client {
        let failures = Arc::new(AtomicUsize::new(failures));
        let serve = move |request: Request<Body>| {
            let failures = failures.clone();
            async move {
                if request.uri().query().unwrap_or_default().contains("watch=true") {
                    std::future::pending::<()>().await;
                }
                let services = request.uri().path().ends_with("/services");
                if services && failures.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
                    let status = json!({"kind": "Status", "status": "Failure", "message": "not now", "reason": "", "code": code.as_u16()});
                    return Ok(answer(code, &status));
                }
                let annotations = names::annotations(&edge(), CONTROLLER, &Default::default());
                let service = json!({
                    "metadata": {"name": "kakehi-web", "namespace": "shop", "annotations": annotations},
                    "spec": {"clusterIPs": ["10.0.0.1"]},
                });
                let items = if services { vec![service] } else { Vec::new() };
                Ok::<_, kube::Error>(answer(StatusCode::OK, &json!({"metadata": {"resourceVersion": "1"}, "items": items})))
            }
        };
        Client::new(tower::service_fn(serve), "default")
    }

    fn complaints() -> (Arc<Complaints>, IntCounterVec) {
        let counter = IntCounterVec::new(Opts::new("errors", "of watches"), &["kind", "variant"]).unwrap();
        (Arc::new(Complaints::new(counter.clone())), counter)
    }

    /// What is said of Services until they were told with their addresses.
    async fn services_of(client: &Client) -> (Vec<Seen>, u64) {
        let (complaints, counter) = complaints();
        let mut all = watch(client, (&installation(), &None), &complaints);
        let mut seen = Vec::new();
        while !seen.ends_with(&[self::seen(), Seen::Services]) {
            let next = all.next().await.unwrap();
            seen.extend(Some(next).filter(|seen| matches!(seen, Seen::Service(..) | Seen::Services)));
        }
        (seen, counter.with_label_values(&[KINDS[0], "list"]).get())
    }

    /// A leader that took a passing failure for "there are none" would take addresses from statuses.
    #[tokio::test(start_paused = true)]
    async fn only_a_refusal_means_that_services_cannot_be_told() {
        let whole = [seen(), Seen::Services];
        for code in [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::TOO_MANY_REQUESTS, StatusCode::UNAUTHORIZED] {
            assert_eq!(services_of(&server(3, code)).await, (whole.to_vec(), 3), "{code}");
        }
        let (seen, failures) = services_of(&server(3, StatusCode::FORBIDDEN)).await;
        assert_eq!((&seen[..3], &seen[3..], failures), (&vec![Seen::Services; 3][..], &whole[..], 3));
    }

    #[derive(Clone)]
    struct Pen(mpsc::Sender<String>);

    impl Write for Pen {
        fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
            self.0.send(String::from_utf8_lossy(text).into_owned()).unwrap();
            Ok(text.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_failure_is_counted_and_said_once_a_minute() {
        let ((pen, lines), (complaints, counter)) = (mpsc::channel(), complaints());
        let pen = Pen(pen);
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || pen.clone()).finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let all = watch(&server(usize::MAX, StatusCode::FORBIDDEN), (&installation(), &None), &complaints);
        assert!(timeout(Duration::from_secs(150), all.for_each(async |_| ())).await.is_err());
        let lines: Vec<_> = lines.try_iter().filter(|line| line.contains("cannot be watched")).collect();
        let failures = counter.with_label_values(&[KINDS[0], "list"]).get();
        assert!((2..=3).contains(&lines.len()) && failures > 5, "{failures} failures: {lines:#?}");
    }

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
