//! Admission, authority and the way to the leader, against a real API server with its controllers: real Deployments, real
//! ServiceAccount tokens bound to their pods.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::authentication::v1::BoundObjectReference;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, Secret, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kakehi::controller::auth::{AUDIENCE, TokenReviewer, Workload};
use kakehi::controller::ca::Keeper;
use kakehi::controller::endpoint::{Replica, announce};
use kakehi::controller::port::{Port, Settings};
use kakehi::leader::{self, Candidate, Leadership};
use kakehi::model::EdgeId;
use kakehi::snapshot::Delta;
use kakehi::snapshot::fetch::Remote;
use kakehi::snapshot::publish::Publisher;
use kakehi::snapshot::serve::{Admit, Admitted, Publishers};
use kakehi::snapshot::wire::{Hello, Token};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::server::{discard, namespace, shared};

const LONG: Duration = Duration::from_secs(60);

/// Edges `NAMESPACE/NAME` run in Deployment `kakehi-NAME`.
fn workload(edge: &str) -> Option<(EdgeId, Workload)> {
    let (namespace, name) = edge.split_once('/')?;
    let id = EdgeId { namespace: namespace.into(), name: name.into() };
    Some((id, Workload { namespace: namespace.into(), name: format!("kakehi-{name}"), is_made: Arc::new(|_| true) }))
}

async fn client() -> Client {
    Client::try_from(shared().await).unwrap()
}

/// A Deployment of one pod, which no node ever runs; its pod.
async fn edge(client: &Client, namespace: &str, name: &str) -> Pod {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let account = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    accounts.create(&PostParams::default(), &account).await.unwrap();
    let labels = json!({"app": name});
    let deployment: Deployment = serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "serviceAccountName": name,
                    "nodeSelector": {"kakehi.test/nowhere": "true"},
                    "containers": [{"name": "edge", "image": "kakehi.test/none:1"}],
                },
            },
        },
    }))
    .unwrap();
    Api::<Deployment>::namespaced(client.clone(), namespace).create(&PostParams::default(), &deployment).await.unwrap();
    pod_of(client, namespace, name).await
}

pub async fn pod_of(client: &Client, namespace: &str, name: &str) -> Pod {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let find = async {
        loop {
            let list = pods.list(&ListParams::default().labels(&format!("app={name}"))).await.unwrap();
            if let Some(pod) = list.items.into_iter().find(|pod| pod.metadata.deletion_timestamp.is_none()) {
                return pod;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(LONG, find).await.expect("the Deployment makes a pod")
}

/// What the kubelet would mount into the pod.
pub async fn token(client: &Client, pod: &Pod, audience: &str) -> String {
    let bound =
        BoundObjectReference { api_version: Some("v1".into()), kind: Some("Pod".into()), name: Some(pod.name_any()), uid: pod.uid() };
    let account = pod.spec.as_ref().unwrap().service_account_name.clone().unwrap();
    request(client, &pod.namespace().unwrap(), &account, (audience, Some(bound))).await
}

async fn request(client: &Client, namespace: &str, account: &str, what: (&str, Option<BoundObjectReference>)) -> String {
    let spec = TokenRequestSpec { audiences: vec![what.0.into()], expiration_seconds: Some(600), bound_object_ref: what.1 };
    let request = TokenRequest { spec, ..Default::default() };
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    accounts.create_token_request(account, &PostParams::default(), &request).await.unwrap().status.unwrap().token
}

fn hello(edge: &str, token: &str) -> Hello {
    Hello { wire: 1, edge: edge.into(), token: Token(token.into()), have: None }
}

/// A reviewer that remembers nothing of earlier questions.
pub async fn verdict(client: &Client, edge: &str, token: &str) -> Result<Admitted, String> {
    TokenReviewer::new(client.clone(), workload).admit(&hello(edge, token)).await.map_err(|refused| refused.refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_of_the_edge_is_admitted_to_its_own_edge() {
    let client = client().await;
    let (shop, bank) = (namespace(&client, "shop").await, namespace(&client, "bank").await);
    let pod = edge(&client, &shop, "kakehi-web").await;
    edge(&client, &shop, "kakehi-other").await;
    edge(&client, &bank, "kakehi-web").await;
    let own = token(&client, &pod, AUDIENCE).await;
    let web = format!("{shop}/web");

    let admitted = verdict(&client, &web, &own).await.unwrap();
    assert_eq!((admitted.edge.to_string(), admitted.node), (web.clone(), pod.name_any()));

    // As an attacker would.
    let foreign = "the pod is not of the edge's Deployment or DaemonSet";
    assert_eq!(verdict(&client, &format!("{shop}/other"), &own).await.unwrap_err(), foreign, "another Gateway of the namespace");
    let abroad = verdict(&client, &format!("{bank}/web"), &own).await.unwrap_err();
    assert_eq!(abroad, "the token is of a pod in another namespace");
    let useless = "no token for snapshots, or expired";
    let for_api = token(&client, &pod, "https://kubernetes.default.svc").await;
    assert_eq!(verdict(&client, &web, &for_api).await.unwrap_err(), useless, "a token for the API server");
    assert_eq!(verdict(&client, &web, "garbage").await.unwrap_err(), useless);
    let mut forged: Vec<&str> = own.split('.').collect();
    let signature: String = forged[2].chars().rev().collect();
    forged[2] = &signature;
    assert_eq!(verdict(&client, &web, &forged.join(".")).await.unwrap_err(), "the token is not valid");
    let unbound = request(&client, &shop, "kakehi-web", (AUDIENCE, None)).await;
    assert_eq!(verdict(&client, &web, &unbound).await.unwrap_err(), "the token is bound to no pod");
    let by_hand =
        |edge: &str| workload(edge).map(|(id, of)| (id, Workload { is_made: Arc::new(|made| made.owner_references.is_some()), ..of }));
    let refused = TokenReviewer::new(client.clone(), by_hand).admit(&hello(&web, &own)).await.unwrap_err().refused;
    assert_eq!(refused, foreign, "a Deployment of the right name that was not made for the Gateway");
    discard(&client, &shop).await;
    discard(&client, &bank).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_only_looks_like_one_of_the_edge_is_refused() {
    let client = client().await;
    let shop = namespace(&client, "shop").await;
    let real = edge(&client, &shop, "kakehi-web").await;
    let web = format!("{shop}/web");
    let template = json!({
        "metadata": {"labels": {"app": "evil"}},
        "spec": {
            "serviceAccountName": "kakehi-web",
            "nodeSelector": {"kakehi.test/nowhere": "true"},
            "containers": [{"name": "edge", "image": "kakehi.test/none:1"}],
        },
    });
    // The edge's ServiceAccount in a pod of one's own, and in one of a ReplicaSet of one's own.
    let mut alone = template.clone();
    alone["metadata"]["name"] = json!(format!("{}-x", real.owner_references()[0].name));
    let pods: Api<Pod> = Api::namespaced(client.clone(), &shop);
    let alone = pods.create(&PostParams::default(), &serde_json::from_value(alone).unwrap()).await.unwrap();
    refused(&client, &web, &alone).await;
    pods.delete(&alone.name_any(), &DeleteParams::default().grace_period(0)).await.unwrap();
    let set: ReplicaSet = serde_json::from_value(json!({
        "metadata": {"name": "kakehi-web"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "evil"}}, "template": template},
    }))
    .unwrap();
    Api::<ReplicaSet>::namespaced(client.clone(), &shop).create(&PostParams::default(), &set).await.unwrap();
    refused(&client, &web, &pod_of(&client, &shop, "evil").await).await;
    discard(&client, &shop).await;
}

async fn refused(client: &Client, edge: &str, pod: &Pod) {
    let token = token(client, pod, AUDIENCE).await;
    assert_eq!(verdict(client, edge, &token).await.unwrap_err(), "the pod is not of the edge's Deployment or DaemonSet");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_has_ended_is_refused_and_a_verdict_is_asked_for_once() {
    let client = client().await;
    let shop = namespace(&client, "shop").await;
    let pod = edge(&client, &shop, "kakehi-web").await;
    let (web, own) = (format!("{shop}/web"), token(&client, &pod, AUDIENCE).await);
    let reviewer = TokenReviewer::new(client.clone(), workload);
    assert!(reviewer.admit(&hello(&web, &own)).await.is_ok());
    let pods: Api<Pod> = Api::namespaced(client.clone(), &shop);
    let failed = json!({"status": {"phase": "Failed"}});
    pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(failed)).await.unwrap();
    assert_eq!(verdict(&client, &web, &own).await.unwrap_err(), "the pod has ended");
    pods.delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await.unwrap();
    let gone = timeout(LONG, async {
        while verdict(&client, &web, &own).await.is_ok() {
            sleep(Duration::from_millis(100)).await;
        }
        verdict(&client, &web, &own).await.unwrap_err()
    });
    // The API server itself may notice first.
    assert!(["the pod is gone", "the token is not valid", "the pod has ended"].contains(&gone.await.unwrap().as_str()));
    assert!(reviewer.admit(&hello(&web, &own)).await.is_ok(), "a verdict holds for a while without questions");
    discard(&client, &shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authority_is_made_once_and_mended() {
    let client = client().await;
    let home = namespace(&client, "home").await;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &home);
    let leadership = leading(&client, &home).await;
    let keeper =
        |bundle: &watch::Sender<String>| Keeper::new((secrets.clone(), leadership.clone()), "ca", vec!["kakehi".into()], bundle.clone());
    // Two replicas that believe to lead at once make one authority.
    let (first, second) = (watch::Sender::default(), watch::Sender::default());
    let (mut one, mut two) = (keeper(&first), keeper(&second));
    let (a, b) = tokio::join!(one.open(), two.open());
    assert!(a.is_ok() && b.is_ok());
    assert_eq!(*first.borrow(), *second.borrow());
    assert!(first.borrow().contains("BEGIN CERTIFICATE") && !first.borrow().contains("PRIVATE"));
    // Somebody damages it.
    let damage = json!({"data": {"ca.crt": "eA=="}});
    secrets.patch("ca", &PatchParams::default(), &Patch::Merge(damage)).await.unwrap();
    let third = watch::Sender::default();
    keeper(&third).open().await.unwrap();
    assert!(!third.borrow().is_empty() && *third.borrow() != *first.borrow());
    discard(&client, &home).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_leader_is_the_one_that_edges_find() {
    let client = client().await;
    let home = namespace(&client, "home").await;
    let replica = |pod: &str, address: &str| Replica {
        namespace: home.clone(),
        service: "kakehi-snapshot".into(),
        pod: pod.into(),
        address: address.parse().unwrap(),
        port: ("snapshot".into(), 9443),
    };
    let follower = Candidate::new(client.clone(), leader::Settings::new(&home, "kakehi", "follower")).1;
    announce(client.clone(), &follower, &replica("kakehi-2", "10.1.0.3")).await.unwrap_err();
    let leadership = leading(&client, &home).await;
    announce(client.clone(), &leadership, &replica("kakehi-0", "10.1.0.1")).await.unwrap();
    announce(client.clone(), &leadership, &replica("kakehi-1", "10.1.0.2")).await.unwrap();
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), &home);
    let all = slices.list(&ListParams::default().labels("kubernetes.io/service-name=kakehi-snapshot")).await.unwrap().items;
    assert_eq!(all.len(), 1);
    let addresses: Vec<_> = all[0].endpoints.iter().flat_map(|endpoint| &endpoint.addresses).collect();
    assert_eq!(addresses, ["10.1.0.2"]);
    discard(&client, &home).await;
}

/// Leads for as long as the test lasts.
async fn leading(client: &Client, space: &str) -> Leadership {
    let (candidate, mut leadership) = Candidate::new(client.clone(), leader::Settings::new(space, "kakehi", "leader"));
    tokio::spawn(candidate.run(std::future::pending()));
    leadership.elected().await.unwrap();
    leadership
}

/// Everything together: leader's port, a pod's token, its own snapshot.
#[tokio::test(flavor = "multi_thread")]
async fn an_edge_gets_its_snapshot_from_the_leader() {
    let client = client().await;
    let shop = namespace(&client, "shop").await;
    let pod = edge(&client, &shop, "kakehi-web").await;
    let id = workload(&format!("{shop}/web")).unwrap().0;
    let (publishers, publisher) = (Publishers::default(), Publisher::new(1));
    publishers.insert(id.clone(), publisher.clone());
    let stamp = publisher.publish(&Delta::default());
    let (bundle, mut trusted) = watch::channel(String::new());
    let (epoch, elected) = watch::channel(0);
    let listen: SocketAddr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = Settings { listen, secret: "ca".into(), names: vec!["127.0.0.1".into()], replica: None, namespace: shop.clone() };
    let leadership = leading(&client, &shop).await;
    let port = Port { client: client.clone(), leadership, publishers, workloads: workload, bundle, counters: Arc::default() };
    let serving = tokio::spawn(port.run(elected, settings));
    sleep(Duration::from_millis(300)).await;
    assert!(tokio::net::TcpStream::connect(listen).await.is_err(), "a follower serves nobody");
    epoch.send_replace(1);
    timeout(LONG, trusted.wait_for(|bundle| !bundle.is_empty())).await.unwrap().unwrap();

    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| -> PathBuf {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let ca = file("ca.crt", &trusted.borrow().clone());
    let token = file("token", &token(&client, &pod, AUDIENCE).await);
    let remote = Remote::new(&format!("https://{listen}"), ca, token, id.to_string()).unwrap();
    let (mut updates, _acks) = timeout(LONG, async {
        loop {
            match remote.connect(None).await {
                Ok(connected) => return connected,
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    })
    .await
    .unwrap();
    let update = timeout(LONG, updates.next()).await.unwrap().unwrap().unwrap();
    assert_eq!((update.stamp, update.full), (stamp, true));
    assert_eq!(publisher.nodes().keys().cloned().collect::<Vec<_>>(), [pod.name_any()]);
    serving.abort();
    discard(&client, &shop).await;
}
