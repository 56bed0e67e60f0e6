//! Tenants as attackers: what somebody writes into a namespace of their own changes nothing of another's.

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kakehi::model::{EdgeId, Kind};
use kakehi::provision::Installation;
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::rig::{Edges, PATIENCE, Running, api, apply, basics, condition, eventually, gone, once};
use crate::server::{discard, namespace, shared};

/// How long the operator has to see something by a watch before it is asked what it made of it.
const SEEN: Duration = Duration::from_secs(2);

/// The metadata of an object that claims to be of an edge, as the operator itself writes them.
pub fn claims(edge: &str, controller: &str, owner: Option<&str>) -> Value {
    let name = edge.split_once('/').unwrap().1;
    let owners: Vec<_> = owner
        .map(|uid| {
            json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "name": name, "uid": uid, "controller": true, "blockOwnerDeletion": false})
        })
        .into_iter()
        .collect();
    json!({
        "labels": {"kakehi.dev/edge": format!("kakehi-{name}"), "app.kubernetes.io/managed-by": "kakehi"},
        "annotations": {"kakehi.dev/edge-of": edge, "kakehi.dev/controller": controller},
        "ownerReferences": owners,
    })
}

async fn balance(client: &Client, (namespace, name): (&str, &str), address: &str) {
    let balanced = Patch::Merge(json!({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}));
    api(client, "Service", namespace).patch_status(name, &PatchParams::default(), &balanced).await.unwrap();
}

#[tokio::test]
async fn a_service_of_another_namespace_changes_no_gateway_s_addresses() {
    let client = Client::try_from(shared().await).unwrap();
    let (victim, attacker) = (namespace(&client, "victim").await, namespace(&client, "attacker").await);
    let controller = format!("test.kakehi.dev/{victim}");
    let operator = Running::start_making(&client, &controller, &victim);
    basics(&client, &controller, &victim).await;
    let gateway = once(&client, ("Gateway", &victim, "web"), |_| true).await;
    let uid = gateway["metadata"]["uid"].as_str().unwrap();
    once(&client, ("Service", &victim, "kakehi-web"), |_| true).await;
    balance(&client, (&victim, "kakehi-web"), "192.0.2.50").await;
    let shows =
        |address: &'static str| move |gateway: &Value| gateway["status"]["addresses"] == json!([{"type": "IPAddress", "value": address}]);
    once(&client, ("Gateway", &victim, "web"), shows("192.0.2.50")).await;

    let ports = json!([{"name": "http", "port": 80}]);
    let fakes = [
        (&attacker, "kakehi-web", claims(&format!("{victim}/web"), &controller, None)),
        (&attacker, "fake", claims(&format!("{victim}/web"), &controller, Some(uid))),
        // Somebody of the same namespace, under another name.
        (&victim, "fake", claims(&format!("{victim}/web"), &controller, Some(uid))),
    ];
    for (space, name, metadata) in &fakes {
        // The cluster's garbage collector takes an object whose owner is not in its namespace, so the attacker holds on to it.
        let mut metadata = metadata.clone();
        metadata["finalizers"] = json!(["attacker.example/stays"]);
        apply(&client, "Service", space, name, json!({"metadata": metadata, "spec": {"type": "LoadBalancer", "ports": ports}})).await;
        balance(&client, (space, name), "203.0.113.66").await;
    }
    sleep(SEEN).await;
    balance(&client, (&victim, "kakehi-web"), "192.0.2.51").await;
    once(&client, ("Gateway", &victim, "web"), shows("192.0.2.51")).await;
    sleep(SEEN).await;
    once(&client, ("Gateway", &victim, "web"), shows("192.0.2.51")).await;

    // A leader that begins with all of them there.
    operator.stop().await.unwrap();
    let next = Running::start_making(&client, &controller, &victim);
    balance(&client, (&victim, "kakehi-web"), "192.0.2.52").await;
    once(&client, ("Gateway", &victim, "web"), shows("192.0.2.52")).await;
    let told = next.world.borrow().provisioned.clone().unwrap_or_default();
    assert!(told.keys().all(|edge| edge.namespace == victim), "{told:?}");
    next.stop().await.unwrap();
    for (space, name, _) in &fakes {
        let freed = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        api(&client, "Service", space).patch(name, &PatchParams::default(), &freed).await.unwrap();
    }
    discard(&client, &victim).await;
    discard(&client, &attacker).await;
}

/// Says of the pods of a Deployment that they are ready, as a kubelet would, until it is rolled out.
pub async fn roll_out(client: &Client, namespace: &str, deployment: &str) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let of_edge = ListParams::default().labels(&format!("kakehi.dev/edge={deployment}"));
    let ready = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    eventually("it is rolled out", async || {
        for pod in pods.list(&of_edge).await.unwrap().items {
            drop(pods.patch_status(pod.metadata.name.as_deref().unwrap(), &PatchParams::default(), &Patch::Merge(&ready)).await);
        }
        let object = api(client, "Deployment", namespace).get(deployment).await.unwrap();
        let conditions = object.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|one| one["reason"] == "NewReplicaSetAvailable").then_some(())
    })
    .await;
}

#[tokio::test]
async fn deployments_that_claim_to_be_edges_hold_no_rollout() {
    let client = Client::try_from(shared().await).unwrap();
    let (victim, attacker) = (namespace(&client, "rolled").await, namespace(&client, "fakes").await);
    let controller = format!("test.kakehi.dev/{victim}");
    let operator = Running::start_making(&client, &controller, &victim);
    basics(&client, &controller, &victim).await;
    once(&client, ("Deployment", &victim, "kakehi-web"), |_| true).await;
    roll_out(&client, &victim, "kakehi-web").await;
    for number in 0..5 {
        let name = format!("kakehi-fake{number}");
        let template = json!({
            "metadata": {"labels": {"app": name}},
            "spec": {"nodeSelector": {"kakehi.test/nowhere": "true"}, "containers": [{"name": "none", "image": "kakehi.test/none:1"}]},
        });
        let spec = json!({"selector": {"matchLabels": {"app": name}}, "template": template});
        let metadata = claims(&format!("{attacker}/fake{number}"), &controller, None);
        apply(&client, "Deployment", &attacker, &name, json!({"metadata": metadata, "spec": spec})).await;
    }
    sleep(SEEN).await;
    let infrastructure = Patch::Merge(json!({"spec": {"infrastructure": {"labels": {"team": "blue"}}}}));
    api(&client, "Gateway", &victim).patch("web", &PatchParams::default(), &infrastructure).await.unwrap();
    let is_new = |deployment: &Value| deployment["spec"]["template"]["metadata"]["labels"]["team"] == "blue";
    once(&client, ("Deployment", &victim, "kakehi-web"), is_new).await;
    operator.stop().await.unwrap();
    discard(&client, &victim).await;
    discard(&client, &attacker).await;
}

/// The first Secret of the quickstart: a certificate for one.localhost.
fn certificate() -> Value {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/standalone/certificates.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let mut secret: Value = serde_saphyr::from_str(text.split("\n---").next().unwrap()).unwrap();
    secret["metadata"] = json!({"name": "one"});
    secret
}

#[tokio::test]
async fn a_certificate_is_read_before_its_listener_is_spoken_of_and_others_are_not_read() {
    let client = Client::try_from(shared().await).unwrap();
    let space = namespace(&client, "certificate").await;
    let controller = format!("test.kakehi.dev/{space}");
    let operator = Running::start(&client, &controller, &space, Edges::new(true));
    basics(&client, &controller, &space).await;
    once(&client, ("Gateway", &space, "web"), |gateway| condition(&gateway["status"], "Programmed") == "True").await;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &space);
    let mut other = certificate();
    other["metadata"]["name"] = json!("unnamed");
    for secret in [certificate(), other] {
        secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    }
    let mut versions =
        std::pin::pin!(watcher(api(&client, "Gateway", &space), watcher::Config::default()).default_backoff().applied_objects());
    let tls = json!({"certificateRefs": [{"name": "one"}]});
    let listeners = json!([{"name": "https", "port": 443, "protocol": "HTTPS", "hostname": "one.localhost", "tls": tls}]);
    apply(&client, "Gateway", &space, "web", json!({"spec": {"gatewayClassName": space, "listeners": listeners}})).await;
    loop {
        let version = timeout(PATIENCE, versions.next()).await.expect("a version").unwrap().unwrap();
        let version = serde_json::to_value(version).unwrap();
        let status = &version["status"]["listeners"][0];
        if status["name"] != "https" {
            continue;
        }
        assert_eq!(condition(status, "ResolvedRefs"), "True", "{status:#}");
        if condition(status, "Programmed") == "True" {
            break;
        }
    }
    let held = || -> Vec<_> {
        let world = operator.world.borrow();
        world.objects.keys().filter(|id| id.kind == Kind::Secret && id.namespace == space).map(|id| id.name.clone()).collect()
    };
    assert_eq!(held(), ["one"]);
    // Nobody names it any more.
    let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP"}]);
    apply(&client, "Gateway", &space, "web", json!({"spec": {"gatewayClassName": space, "listeners": listeners}})).await;
    eventually("it is let go", async || held().is_empty().then_some(())).await;
    operator.stop().await.unwrap();
    discard(&client, &space).await;
}

#[tokio::test]
async fn an_edge_under_its_name_of_before_serves_until_its_successor_does() {
    const GATEWAY: &str = "web-0123456789";
    let client = Client::try_from(shared().await).unwrap();
    let space = namespace(&client, "renamed").await;
    let controller = format!("test.kakehi.dev/{space}");
    apply(&client, "GatewayClass", "", &space, json!({"spec": {"controllerName": controller}})).await;
    let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP"}]);
    let gateway = apply(&client, "Gateway", &space, GATEWAY, json!({"spec": {"gatewayClassName": space, "listeners": listeners}})).await;
    let former = format!("kakehi-{GATEWAY}");
    let metadata = || claims(&format!("{space}/{GATEWAY}"), &controller, gateway.metadata.uid.as_deref());
    let template = json!({
        "metadata": {"labels": {"app": "former"}},
        "spec": {"nodeSelector": {"kakehi.test/nowhere": "true"}, "containers": [{"name": "none", "image": "kakehi.test/none:1"}]},
    });
    let spec = json!({"selector": {"matchLabels": {"app": "former"}}, "template": template});
    apply(&client, "Deployment", &space, &former, json!({"metadata": metadata(), "spec": spec})).await;
    apply(&client, "Service", &space, &former, json!({"metadata": metadata(), "spec": {"ports": [{"port": 80}]}})).await;
    // Not made for this Gateway, whatever it says.
    let stranger = claims(&format!("{space}/{GATEWAY}"), &controller, None);
    apply(&client, "ConfigMap", &space, &former, json!({"metadata": stranger})).await;
    let operator = Running::start_making(&client, &controller, &space);
    let installation = Installation { namespace: space.clone(), ..Installation::default() };
    let name = installation.name_of(&EdgeId::of_gateway(&space, GATEWAY));
    assert_ne!(name, former);
    once(&client, ("Service", &space, &name), |_| true).await;
    sleep(Duration::from_secs(7)).await;
    for kind in ["Deployment", "Service"] {
        once(&client, (kind, &space, &former), |_| true).await;
    }
    roll_out(&client, &space, &name).await;
    for kind in ["Deployment", "Service"] {
        gone(&client, (kind, &space, &former)).await;
    }
    once(&client, ("ConfigMap", &space, &former), |_| true).await;
    operator.stop().await.unwrap();
    discard(&client, &space).await;
}
