//! An operator in this process, whose edges acknowledge everything, or nothing; and one as a process of its own.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use kakehi::controller::EdgeHost;
use kakehi::controller::fleet::Fleet;
use kakehi::controller::operator::{Operator, Settings};
use kakehi::controller::provisioning::{self, Provisioning};
use kakehi::controller::view::OperatorView;
use kakehi::controller::world::World;
use kakehi::leader::{self, Candidate, Leadership};
use kakehi::model::EdgeId;
use kakehi::observe::admin::{self, View};
use kakehi::observe::metrics::Metrics;
use kakehi::provision::{Installation, Place};
use kakehi::snapshot::publish::Publisher;
use kakehi::snapshot::wire::{Ack, Refusal};
use kakehi::snapshot::{Snapshot, fetch};
use kakehi::store::cluster::Namespaces;
use kakehi::translate::{self, EdgeData};
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// How long anything may take on a machine that does much else.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long an edge that is to end has to say so.
const PATIENCE_OF_EDGES: Duration = Duration::from_secs(3);

/// Edges in this process.
pub struct Edges {
    publishers: BTreeMap<EdgeId, Publisher>,
    folder: tempfile::TempDir,
    acknowledge: bool,
    /// What each refuses.
    refused: Vec<Refusal>,
    held: watch::Sender<BTreeMap<EdgeId, usize>>,
}

impl Edges {
    pub fn new(acknowledge: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { publishers: BTreeMap::new(), folder, acknowledge, refused: Vec::new(), held: watch::Sender::default() }
    }

    /// Such that hold everything but this.
    pub fn refusing(refused: Vec<Refusal>) -> Self {
        Self { refused, ..Self::new(true) }
    }

    /// How many resources each edge holds.
    pub fn held(&self) -> watch::Receiver<BTreeMap<EdgeId, usize>> {
        self.held.subscribe()
    }
}

impl EdgeHost for Edges {
    type Error = Infallible;

    async fn run(&mut self, id: &EdgeId, _: &EdgeData, epoch: u64) -> Result<Option<Publisher>, Infallible> {
        if let Some(publisher) = self.publishers.get(id) {
            return Ok(Some(publisher.clone()));
        }
        let publisher = Publisher::new(epoch);
        self.publishers.insert(id.clone(), publisher.clone());
        let path = self.folder.path().join(format!("{:08x}", rand::random::<u32>()));
        let listener = UnixListener::bind(&path).unwrap();
        let server = publisher.clone();
        tokio::spawn(async move { server.serve(listener).await });
        let (acknowledge, held, id, refused) = (self.acknowledge, self.held.clone(), id.clone(), self.refused.clone());
        tokio::spawn(async move {
            let (mut updates, mut acks) = fetch::connect(&path).await.unwrap();
            let mut snapshot = Snapshot::default();
            while let Ok(Some(update)) = updates.next().await {
                snapshot.apply(&update.delta);
                held.send_modify(|held| {
                    held.insert(id.clone(), snapshot.len());
                });
                if acknowledge {
                    acks.send(&Ack { stamp: update.stamp, refused: refused.clone() }).await.unwrap();
                }
            }
        });
        Ok(Some(publisher))
    }

    fn patience(&self) -> Duration {
        PATIENCE_OF_EDGES
    }

    async fn stop(&mut self, id: &EdgeId) {
        self.publishers.remove(id);
    }

    async fn stop_all(&mut self) {
        self.publishers.clear();
    }
}

fn election(client: &Client, namespace: &str) -> (Candidate, Leadership) {
    let leader = leader::Settings::new(namespace, "kakehi", format!("test-{:08x}", rand::random::<u32>()));
    Candidate::new(client.clone(), leader)
}

/// Where an operator has its edges and looks for objects.
#[derive(Default)]
pub struct Mode {
    pub place: Place,
    pub namespaces: Namespaces,
    pub network_policies: bool,
}

/// An operator in this process. It goes with this value.
pub struct Running {
    pub world: watch::Receiver<World>,
    pub epoch: watch::Receiver<u64>,
    pub metrics: Metrics,
    view: Arc<OperatorView>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), leader::Lost>>,
}

impl Running {
    /// Starts one whose controller name, Lease and replica are named so.
    pub fn start(client: &Client, controller: &str, namespace: &str, edges: Edges) -> Self {
        let ingress = translate::IngressSettings { controller_name: controller.to_owned(), ..translate::IngressSettings::default() };
        let translation = translate::Settings { controller_name: controller.to_owned(), ingress, ..translate::Settings::default() };
        Self::start_with(client, (translation, true), namespace, edges)
    }

    /// Starts one with these settings of translation, which holds routes or does not.
    pub fn start_with(client: &Client, (translation, hold_routes): (translate::Settings, bool), namespace: &str, edges: Edges) -> Self {
        let election = election(client, namespace);
        let settings = Settings { translation, namespaces: None, names: None, election, hold_routes, provisioning: None };
        Self::run(client, settings, Metrics::new().unwrap(), edges)
    }

    /// Starts one that makes its edges at the API server, of which nothing ever runs.
    pub fn start_making(client: &Client, controller: &str, namespace: &str) -> Self {
        Self::start_making_with(client, controller, namespace, Mode::default())
    }

    /// The same, in this mode.
    pub fn start_making_with(client: &Client, controller: &str, namespace: &str, mode: Mode) -> Self {
        let Mode { place, namespaces, network_policies } = mode;
        let metrics = Metrics::new().unwrap();
        let (candidate, leadership) = election(client, namespace);
        let installation = Installation {
            controller: controller.to_owned(),
            edge_image: "kakehi.test/none".into(),
            sozu_image: "kakehi.test/none".into(),
            namespace: namespace.to_owned(),
            place,
            network_policies,
            ..Installation::default()
        };
        // Edges are made once there is something to trust.
        let (bundle, ca) = watch::channel("a certificate".to_owned());
        tokio::spawn(async move { bundle.closed().await });
        let settings = provisioning::Settings { installation, namespaces: namespaces.clone(), ca, rollouts: 5, metrics: metrics.clone() };
        let provisioning = Provisioning::new((client.clone(), leadership.clone()), settings);
        let fleet = Fleet::new(Default::default()).made_by(provisioning.orders());
        let translation = translate::Settings { controller_name: controller.to_owned(), ..translate::Settings::default() };
        let (election, provisioning) = ((candidate, leadership), Some(provisioning));
        let settings = Settings { translation, namespaces, names: None, election, hold_routes: false, provisioning };
        Self::run(client, settings, metrics, fleet)
    }

    fn run(client: &Client, settings: Settings, metrics: Metrics, host: impl EdgeHost + 'static) -> Self {
        let operator = Operator::new(client.clone(), settings, metrics.clone());
        let (world, epoch, view) = (operator.world(), operator.epoch(), Arc::new(operator.view(Arc::default())));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(operator.run(host, async { drop(stopped.await) }));
        Self { world, epoch, metrics, view, stop: Some(stop), task }
    }

    /// Ends it as a signal would.
    pub async fn stop(mut self) -> Result<(), leader::Lost> {
        drop(self.stop.take());
        tokio::time::timeout(PATIENCE, &mut self.task).await.expect("it ends in time").unwrap()
    }

    /// Serves its admin pages on loopback, as long as the runtime lasts.
    pub async fn admin(&self) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(admin::serve(listener, self.view.clone(), self.metrics.clone()));
        address
    }

    /// All series as text.
    pub fn scrape(&self) -> String {
        self.view.refresh();
        self.metrics.text().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits for something that answers.
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// Events about an object; those about objects without a namespace are in `default`.
pub async fn events(client: &Client, space: &str, (kind, name): (&str, &str)) -> Vec<Value> {
    let list = api(client, "Event", space).list(&ListParams::default()).await.unwrap();
    let values = list.items.into_iter().map(|event| serde_json::to_value(event).unwrap());
    values.filter(|event| event["regarding"]["kind"] == kind && event["regarding"]["name"] == name).collect()
}

/// Objects of a kind.
pub fn api(client: &Client, kind: &str, namespace: &str) -> Api<DynamicObject> {
    let (group, plural) = match kind {
        "Gateway" => ("gateway.networking.k8s.io", "gateways"),
        "GatewayClass" => ("gateway.networking.k8s.io", "gatewayclasses"),
        "HTTPRoute" => ("gateway.networking.k8s.io", "httproutes"),
        "GRPCRoute" => ("gateway.networking.k8s.io", "grpcroutes"),
        "EdgeProfile" => ("kakehi.dev", "edgeprofiles"),
        "Service" => ("", "services"),
        "ServiceAccount" => ("", "serviceaccounts"),
        "ConfigMap" => ("", "configmaps"),
        "Deployment" => ("apps", "deployments"),
        "DaemonSet" => ("apps", "daemonsets"),
        "NetworkPolicy" => ("networking.k8s.io", "networkpolicies"),
        "PodDisruptionBudget" => ("policy", "poddisruptionbudgets"),
        "HorizontalPodAutoscaler" => ("autoscaling", "horizontalpodautoscalers"),
        "EndpointSlice" => ("discovery.k8s.io", "endpointslices"),
        "IngressClass" => ("networking.k8s.io", "ingressclasses"),
        "Ingress" => ("networking.k8s.io", "ingresses"),
        "Event" => ("events.k8s.io", "events"),
        "Lease" => ("coordination.k8s.io", "leases"),
        other => panic!("no kind {other}"),
    };
    let version = match kind {
        "EdgeProfile" => "v1alpha1",
        "HorizontalPodAutoscaler" => "v2",
        _ => "v1",
    };
    let resource = ApiResource {
        group: group.into(),
        version: version.into(),
        api_version: if group.is_empty() { version.into() } else { format!("{group}/{version}") },
        kind: kind.into(),
        plural: plural.into(),
    };
    match namespace {
        "" => Api::all_with(client.clone(), &resource),
        namespace => Api::namespaced_with(client.clone(), namespace, &resource),
    }
}

/// Writes an object as `kubectl apply` would.
pub async fn apply(client: &Client, kind: &str, namespace: &str, name: &str, body: Value) -> DynamicObject {
    let api = api(client, kind, namespace);
    let mut object = body;
    let version = match kind {
        "Service" | "ConfigMap" => "v1",
        "Deployment" | "DaemonSet" => "apps/v1",
        "EdgeProfile" => "kakehi.dev/v1alpha1",
        "EndpointSlice" => "discovery.k8s.io/v1",
        "IngressClass" | "Ingress" | "NetworkPolicy" => "networking.k8s.io/v1",
        _ => "gateway.networking.k8s.io/v1",
    };
    object["apiVersion"] = json!(version);
    object["kind"] = json!(kind);
    object["metadata"]["name"] = json!(name);
    api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&object))
        .await
        .unwrap_or_else(|error| panic!("{kind} {name}: {error}"))
}

/// A class, a Gateway `web` of it, and a Service `here` with one endpoint.
pub async fn basics(client: &Client, controller: &str, namespace: &str) {
    apply(client, "GatewayClass", "", namespace, json!({"spec": {"controllerName": controller}})).await;
    let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP"}]);
    apply(client, "Gateway", namespace, "web", json!({"spec": {"gatewayClassName": namespace, "listeners": listeners}})).await;
    apply(client, "Service", namespace, "here", json!({"spec": {"ports": [{"name": "http", "port": 80}]}})).await;
    let slice = json!({
        "metadata": {"labels": {"kubernetes.io/service-name": "here"}},
        "addressType": "IPv4", "endpoints": [{"addresses": ["10.1.2.3"]}], "ports": [{"name": "http", "port": 8080}],
    });
    apply(client, "EndpointSlice", namespace, "here", slice).await;
}

/// The spec of a route to a Service.
pub fn route(service: &str, hostname: &str) -> Value {
    json!({"spec": {
        "parentRefs": [{"name": "web"}], "hostnames": [hostname],
        "rules": [{"backendRefs": [{"name": service, "port": 80}]}],
    }})
}

/// The object once it is as wanted.
pub async fn once(client: &Client, (kind, namespace, name): (&str, &str, &str), wanted: impl Fn(&Value) -> bool) -> Value {
    let api = api(client, kind, namespace);
    let last = std::cell::RefCell::new(Value::Null);
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(object) = api.get_opt(name).await.unwrap() {
                let object = serde_json::to_value(object).unwrap();
                if wanted(&object) {
                    return object;
                }
                last.replace(object);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("{kind} {name} is not as wanted: {:#}", last.borrow()))
}

/// Waits until an object is gone, and says how long that took.
pub async fn gone(client: &Client, (kind, namespace, name): (&str, &str, &str)) -> Duration {
    let (api, started) = (api(client, kind, namespace), tokio::time::Instant::now());
    eventually(&format!("{kind} {name} is gone"), async || api.get_opt(name).await.unwrap().is_none().then_some(())).await;
    started.elapsed()
}

pub async fn delete(client: &Client, (kind, namespace, name): (&str, &str, &str)) {
    api(client, kind, namespace).delete(name, &DeleteParams::default()).await.unwrap();
}

/// `True`, `False` or nothing.
pub fn condition<'a>(of: &'a Value, name: &str) -> &'a str {
    let conditions = of["conditions"].as_array().into_iter().flatten();
    conditions.filter(|one| one["type"] == name).filter_map(|one| one["status"].as_str()).next().unwrap_or_default()
}

/// The finalizers of an object.
pub fn finalizers(object: &Value) -> Vec<&str> {
    object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Whether a route is served, as its first parent's entry of ours says.
pub fn programmed(object: &Value) -> bool {
    let parents = object["status"]["parents"].as_array().into_iter().flatten();
    parents.clone().count() > 0 && parents.into_iter().any(|parent| condition(parent, "kakehi.dev/Programmed") == "True")
}
