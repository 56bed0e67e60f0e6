//! What is made for an edge at an API server with its controllers: every part, owned by the Gateway, and gone with it.

use futures::StreamExt;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::rig::{Mode, PATIENCE, Running, api, apply, basics, delete, gone, once, route};
use crate::server::{discard, namespace, shared};

/// All parts of an edge with an autoscaler.
const PARTS: [&str; 7] =
    ["ServiceAccount", "ConfigMap", "NetworkPolicy", "Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler"];

#[tokio::test]
async fn every_part_of_an_edge_is_made_and_goes_with_its_gateway() {
    let client = Client::try_from(shared().await).unwrap();
    let space = namespace(&client, "making").await;
    let controller = format!("test.kakehi.dev/{space}");
    let mode = Mode { network_policies: true, ..Mode::default() };
    let operator = Running::start_making_with(&client, &controller, &space, mode);
    apply(&client, "GatewayClass", "", &space, json!({"spec": {"controllerName": controller}})).await;
    let scaling = json!({"minReplicas": 2, "maxReplicas": 5, "targetCpuPercent": 60});
    let profile = json!({"spec": {"autoscaling": scaling, "service": {"type": "NodePort"}}});
    apply(&client, "EdgeProfile", &space, "scaled", profile).await;
    let parameters = json!({"group": "kakehi.dev", "kind": "EdgeProfile", "name": "scaled"});
    let infrastructure = json!({"labels": {"team": "red"}, "annotations": {"example.com/note": "ours"}, "parametersRef": parameters});
    let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP"}, {"name": "more", "port": 8080, "protocol": "HTTP"}]);
    let spec = json!({"gatewayClassName": space, "listeners": listeners, "infrastructure": infrastructure});
    let gateway = apply(&client, "Gateway", &space, "web", json!({"spec": spec})).await;
    let uid = gateway.metadata.uid.unwrap();
    for kind in PARTS {
        let part = once(&client, (kind, &space, "kakehi-web"), |_| true).await;
        let metadata = &part["metadata"];
        assert_eq!(metadata["ownerReferences"][0]["uid"], uid, "{kind}");
        assert!(metadata["labels"]["team"] == "red" && metadata["annotations"]["example.com/note"] == "ours", "{kind}: {metadata}");
    }
    let scaler = once(&client, ("HorizontalPodAutoscaler", &space, "kakehi-web"), |_| true).await;
    assert_eq!((&scaler["spec"]["minReplicas"], &scaler["spec"]["maxReplicas"]), (&json!(2), &json!(5)));
    assert_eq!(scaler["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 60);
    let service = once(&client, ("Service", &space, "kakehi-web"), |_| true).await;
    let ports: Vec<_> = service["spec"]["ports"].as_array().unwrap().iter().map(|port| port["port"].clone()).collect();
    assert_eq!((ports, &service["spec"]["type"]), (vec![json!(80), json!(8080)], &json!("NodePort")));

    let policy = once(&client, ("NetworkPolicy", &space, "kakehi-web"), |_| true).await;
    let ports: Vec<_> = policy["spec"]["ingress"][0]["ports"].as_array().unwrap().iter().map(|port| port["port"].clone()).collect();
    assert_eq!(
        (ports, &policy["spec"]["podSelector"]),
        (vec![json!(80), json!(8080), json!(19902)], &json!({"matchLabels": {"kakehi.dev/edge": "kakehi-web"}}))
    );

    // What is made is kept, and the profile followed.
    delete(&client, ("Service", &space, "kakehi-web")).await;
    once(&client, ("Service", &space, "kakehi-web"), |again| again["metadata"]["uid"] != service["metadata"]["uid"]).await;
    apply(&client, "EdgeProfile", &space, "scaled", json!({"spec": {"service": {"type": "NodePort"}}})).await;
    gone(&client, ("HorizontalPodAutoscaler", &space, "kakehi-web")).await;
    once(&client, ("Deployment", &space, "kakehi-web"), |deployment| deployment["spec"]["replicas"] == 2).await;
    delete(&client, ("Gateway", &space, "web")).await;
    for kind in PARTS {
        gone(&client, (kind, &space, "kakehi-web")).await;
    }
    operator.stop().await.unwrap();
    discard(&client, &space).await;
}

#[tokio::test]
async fn a_new_leader_takes_no_address_from_a_status() {
    let client = Client::try_from(shared().await).unwrap();
    let space = namespace(&client, "addresses").await;
    let controller = format!("test.kakehi.dev/{space}");
    let first = Running::start_making(&client, &controller, &space);
    basics(&client, &controller, &space).await;
    once(&client, ("Service", &space, "kakehi-web"), |_| true).await;
    let balanced = Patch::Merge(json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.50"}]}}}));
    api(&client, "Service", &space).patch_status("kakehi-web", &PatchParams::default(), &balanced).await.unwrap();
    let has_address = |gateway: &Value| gateway["status"]["addresses"][0]["value"] == "192.0.2.50";
    once(&client, ("Gateway", &space, "web"), has_address).await;
    let gateways: Api<DynamicObject> = api(&client, "Gateway", &space);
    let mut versions = std::pin::pin!(watcher(gateways, watcher::Config::default()).default_backoff().applied_objects());
    first.stop().await.unwrap();
    for round in 0..3 {
        let next = Running::start_making(&client, &controller, &space);
        apply(&client, "HTTPRoute", &space, &format!("route-{round}"), route("here", "a.example.com")).await;
        // Every state of the Gateway up to the one that counts the route.
        loop {
            let version = timeout(PATIENCE, versions.next()).await.expect("a version").unwrap().unwrap();
            let version = serde_json::to_value(version).unwrap();
            assert!(has_address(&version), "round {round}: {:#}", version["status"]);
            if version["status"]["listeners"][0]["attachedRoutes"] == round + 1 {
                break;
            }
        }
        next.stop().await.unwrap();
    }
    discard(&client, &space).await;
}
