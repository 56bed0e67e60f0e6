//! Edges that are DaemonSets: how one takes a Deployment's place and gives it back, whose pods are believed, and which addresses
//! they have. Nodes are names here: the test says what their kubelets would.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::rig::{Running, api, apply, condition, delete, eventually, gone, once};
use crate::server::{discard, namespace, shared};
use crate::stream::{token, verdict};
use crate::tenants::claims;

/// Longer than the operator takes between two looks at what ends.
const LOOK: Duration = Duration::from_secs(7);

/// Nodes on which the pods of a namespace may be alone.
async fn nodes(client: &Client, space: &str, count: usize) {
    let nodes: Api<Node> = Api::all(client.clone());
    for number in 0..count {
        let labels = json!({"kubernetes.io/os": "linux", "kakehi.test/space": space});
        let node = json!({"metadata": {"name": format!("{space}-{number}"), "labels": labels}});
        nodes.create(&PostParams::default(), &serde_json::from_value(node).unwrap()).await.unwrap();
    }
}

async fn discard_nodes(client: &Client, space: &str) {
    let nodes: Api<Node> = Api::all(client.clone());
    let of_space = ListParams::default().labels(&format!("kakehi.test/space={space}"));
    for node in nodes.list(&of_space).await.unwrap().items {
        nodes.delete(&node.metadata.name.unwrap(), &Default::default()).await.unwrap();
    }
}

/// A class whose edges have pods on these nodes alone, with the ports of the nodes.
async fn class(client: &Client, controller: &str, space: &str, workload: &str) {
    // No kubelet says that these nodes are alive, so they are tainted after a while.
    let (selector, tolerations) = (json!({"kakehi.test/space": space}), json!([{"operator": "Exists"}]));
    let placement = json!({"workload": workload, "network": "HostPorts", "nodeSelector": selector, "tolerations": tolerations});
    let profile = json!({"spec": {"placement": placement, "service": {"type": "ClusterIP"}}});
    apply(client, "EdgeProfile", space, "class", profile).await;
    let parameters = json!({"group": "kakehi.dev", "kind": "EdgeProfile", "name": "class", "namespace": space});
    apply(client, "GatewayClass", "", space, json!({"spec": {"controllerName": controller, "parametersRef": parameters}})).await;
}

async fn gateway(client: &Client, space: &str) {
    let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP"}]);
    apply(client, "Gateway", space, "web", json!({"spec": {"gatewayClassName": space, "listeners": listeners}})).await;
}

fn pods(client: &Client, space: &str) -> Api<Pod> {
    Api::namespaced(client.clone(), space)
}

/// The pods of the edge that an object of a kind makes, directly or not.
async fn pods_of(client: &Client, space: &str, kind: &str) -> Vec<Pod> {
    let list = pods(client, space).list(&ListParams::default().labels("kakehi.dev/edge=kakehi-web")).await.unwrap();
    let owned = |pod: &Pod| pod.metadata.owner_references.iter().flatten().any(|owner| owner.kind == kind);
    list.items.into_iter().filter(owned).collect()
}

/// Says of a pod what a kubelet would: that it is ready, on a node of this address.
async fn ready(client: &Client, space: &str, (pod, node): (&str, &str)) {
    let conditions = json!([{"type": "Ready", "status": "True"}]);
    let (own, of_node) = (json!([{"ip": "10.9.0.9"}]), json!([{"ip": node}, {"ip": "2001:db8::9"}]));
    let status =
        json!({"phase": "Running", "conditions": conditions, "podIP": "10.9.0.9", "podIPs": own, "hostIP": node, "hostIPs": of_node});
    pods(client, space).patch_status(pod, &PatchParams::default(), &Patch::Merge(json!({"status": status}))).await.unwrap();
}

/// Has so many pods of a kind ready, on nodes 192.0.2.FIRST and so on.
async fn all_ready(client: &Client, space: &str, (kind, count, first): (&str, usize, u8)) {
    let what = format!("{kind} has {count} pods");
    let all = eventually(&what, async || Some(pods_of(client, space, kind).await).filter(|pods| pods.len() == count)).await;
    for (pod, number) in all.iter().zip(first..) {
        ready(client, space, (pod.metadata.name.as_deref().unwrap(), &format!("192.0.2.{number}"))).await;
    }
}

fn at(numbers: &[u8]) -> impl Fn(&Value) -> bool {
    let wanted: BTreeSet<_> = numbers.iter().map(|number| format!("192.0.2.{number}")).collect();
    move |gateway: &Value| {
        let addresses = gateway["status"]["addresses"].as_array().into_iter().flatten();
        addresses.map(|address| address["value"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>() == wanted
    }
}

#[tokio::test]
async fn a_daemon_set_takes_a_deployment_s_place_when_its_pods_serve_and_gives_it_back() {
    let client = Client::try_from(shared().await).unwrap();
    let space = namespace(&client, "daemons").await;
    let controller = format!("test.kakehi.dev/{space}");
    nodes(&client, &space, 3).await;
    class(&client, &controller, &space, "Deployment").await;
    let operator = Running::start_making(&client, &controller, &space);
    gateway(&client, &space).await;
    all_ready(&client, &space, ("ReplicaSet", 2, 1)).await;
    let web = once(&client, ("Gateway", &space, "web"), at(&[1, 2])).await;
    let service = once(&client, ("Service", &space, "kakehi-web"), |_| true).await;

    class(&client, &controller, &space, "DaemonSet").await;
    let daemons = once(&client, ("DaemonSet", &space, "kakehi-web"), |daemons| daemons["status"]["desiredNumberScheduled"] == 3).await;
    assert_eq!(daemons["metadata"]["ownerReferences"][0]["uid"], web["metadata"]["uid"]);
    gone(&client, ("PodDisruptionBudget", &space, "kakehi-web")).await;
    // Two of three serve, and the old pods are not what the third waits for.
    let new = eventually("a pod a node", async || Some(pods_of(&client, &space, "DaemonSet").await).filter(|pods| pods.len() == 3)).await;
    let names: Vec<_> = new.iter().map(|pod| pod.metadata.name.clone().unwrap()).collect();
    ready(&client, &space, (&names[0], "192.0.2.11")).await;
    ready(&client, &space, (&names[1], "192.0.2.12")).await;
    once(&client, ("Gateway", &space, "web"), at(&[1, 2, 11, 12])).await;
    sleep(LOOK).await;
    let deployment = once(&client, ("Deployment", &space, "kakehi-web"), |_| true).await;
    assert_eq!((&deployment["spec"]["replicas"], &deployment["status"]["readyReplicas"]), (&json!(2), &json!(2)));
    ready(&client, &space, (&names[2], "192.0.2.13")).await;
    gone(&client, ("Deployment", &space, "kakehi-web")).await;

    // And back, across a change of the leader.
    class(&client, &controller, &space, "Deployment").await;
    once(&client, ("Deployment", &space, "kakehi-web"), |_| true).await;
    operator.stop().await.unwrap();
    let next = Running::start_making(&client, &controller, &space);
    sleep(LOOK).await;
    once(&client, ("DaemonSet", &space, "kakehi-web"), |_| true).await;
    all_ready(&client, &space, ("ReplicaSet", 2, 21)).await;
    gone(&client, ("DaemonSet", &space, "kakehi-web")).await;
    once(&client, ("PodDisruptionBudget", &space, "kakehi-web"), |_| true).await;
    let same = once(&client, ("Service", &space, "kakehi-web"), |_| true).await;
    assert_eq!(same["metadata"]["uid"], service["metadata"]["uid"]);
    delete(&client, ("Gateway", &space, "web")).await;
    for kind in ["Deployment", "DaemonSet", "Service"] {
        gone(&client, (kind, &space, "kakehi-web")).await;
    }
    next.stop().await.unwrap();
    discard_nodes(&client, &space).await;
    discard(&client, &space).await;
}

#[tokio::test]
async fn pods_that_have_the_ports_of_all_nodes_leave_one_by_one() {
    let client = Client::try_from(shared().await).unwrap();
    let space = namespace(&client, "ports").await;
    let controller = format!("test.kakehi.dev/{space}");
    nodes(&client, &space, 2).await;
    class(&client, &controller, &space, "Deployment").await;
    let operator = Running::start_making(&client, &controller, &space);
    gateway(&client, &space).await;
    all_ready(&client, &space, ("ReplicaSet", 2, 1)).await;
    once(&client, ("Deployment", &space, "kakehi-web"), |deployment| deployment["status"]["availableReplicas"] == 2).await;
    class(&client, &controller, &space, "DaemonSet").await;
    // Neither new pod can start: after half a minute one of the old ones makes way, and not the other.
    let waiting = tokio::time::timeout(Duration::from_secs(90), async {
        while api(&client, "Deployment", &space).get("kakehi-web").await.unwrap().data["spec"]["replicas"] != 1 {
            sleep(Duration::from_millis(200)).await;
        }
    });
    waiting.await.expect("one of them leaves");
    sleep(Duration::from_secs(40)).await;
    let deployment = once(&client, ("Deployment", &space, "kakehi-web"), |_| true).await;
    assert_eq!(deployment["spec"]["replicas"], 1, "its successor's pod is not ready");
    all_ready(&client, &space, ("DaemonSet", 2, 11)).await;
    gone(&client, ("Deployment", &space, "kakehi-web")).await;
    operator.stop().await.unwrap();
    discard_nodes(&client, &space).await;
    discard(&client, &space).await;
}

/// Whether a Gateway says that there is a DaemonSet of its edge's name already.
fn says_it_exists(gateway: &Value) -> bool {
    let is_so = |one: &Value| one["reason"] == "NoResources" && one["message"].as_str().unwrap().contains("DaemonSet kakehi-web exists");
    gateway["status"]["conditions"].as_array().into_iter().flatten().any(is_so)
}

#[tokio::test]
async fn daemon_sets_and_pods_of_others_are_not_the_edge_s() {
    let client = Client::try_from(shared().await).unwrap();
    let (space, attacker) = (namespace(&client, "own-daemons").await, namespace(&client, "other-daemons").await);
    let controller = format!("test.kakehi.dev/{space}");
    nodes(&client, &space, 1).await;
    class(&client, &controller, &space, "DaemonSet").await;
    let labels = json!({"kakehi.dev/edge": "kakehi-web"});
    let template = json!({
        "metadata": {"labels": labels},
        "spec": {"nodeSelector": {"kakehi.test/nowhere": "true"}, "containers": [{"name": "none", "image": "kakehi.test/none:1"}]},
    });
    let spec = json!({"selector": {"matchLabels": labels}, "template": template});
    // Under the very name, and not of the edge: it is left alone, and the Gateway says so.
    apply(&client, "DaemonSet", &space, "kakehi-web", json!({"metadata": {"labels": labels}, "spec": spec})).await;
    let operator = Running::start_making(&client, &controller, &space);
    gateway(&client, &space).await;
    once(&client, ("Gateway", &space, "web"), says_it_exists).await;
    assert_eq!(condition(&once(&client, ("Gateway", &space, "web"), |_| true).await["status"], "Programmed"), "False");
    // It says that it is of the edge, and is of an earlier Gateway: it is replaced.
    let earlier = claims(&format!("{space}/web"), &controller, None);
    apply(&client, "DaemonSet", &space, "kakehi-web", json!({"metadata": earlier, "spec": spec})).await;
    let uid = once(&client, ("Gateway", &space, "web"), |_| true).await["metadata"]["uid"].clone();
    once(&client, ("DaemonSet", &space, "kakehi-web"), |daemons| daemons["metadata"]["ownerReferences"][0]["uid"] == uid).await;

    // Its pod is admitted and has an address; pods that only look like it are not and have none.
    all_ready(&client, &space, ("DaemonSet", 1, 1)).await;
    let own = pods_of(&client, &space, "DaemonSet").await.remove(0);
    let edge = format!("{space}/web");
    let shown = token(&client, &own, kakehi::controller::auth::AUDIENCE).await;
    assert_eq!(verdict(&client, &edge, &shown).await.unwrap().node, own.metadata.name.clone().unwrap());
    let mut other = serde_json::to_value(&own.metadata.owner_references).unwrap();
    other[0]["uid"] = json!("00000000-0000-4000-8000-000000000000");
    let mut set = other.clone();
    set[0]["kind"] = json!("ReplicaSet");
    // A pod without any controller is no attempt: a DaemonSet adopts what has its labels, and who makes pods here is trusted.
    for (name, owners, address) in [("other-uid", other, "203.0.113.66"), ("other-set", set, "203.0.113.67")] {
        let metadata = json!({"name": name, "labels": labels, "ownerReferences": owners, "finalizers": ["attacker.example/stays"]});
        let containers = json!([{"name": "none", "image": "kakehi.test/none:1"}]);
        let spec = json!({"serviceAccountName": "kakehi-web", "automountServiceAccountToken": false, "containers": containers});
        let pod = serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap();
        let pod = pods(&client, &space).create(&PostParams::default(), &pod).await.unwrap();
        ready(&client, &space, (name, address)).await;
        let shown = token(&client, &pod, kakehi::controller::auth::AUDIENCE).await;
        let refused = verdict(&client, &edge, &shown).await.unwrap_err();
        assert!(["the pod is not of the edge's Deployment or DaemonSet", "the pod has ended"].contains(&&*refused), "{name}: {refused}");
    }
    // One of another namespace, whatever it says.
    let fake = claims(&edge, &controller, uid.as_str());
    let mut fake = json!({"metadata": fake, "spec": spec});
    fake["metadata"]["finalizers"] = json!(["attacker.example/stays"]);
    apply(&client, "DaemonSet", &attacker, "kakehi-web", fake).await;
    sleep(Duration::from_secs(2)).await;
    once(&client, ("Gateway", &space, "web"), at(&[1])).await;
    operator.stop().await.unwrap();
    let freed = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    for name in ["other-uid", "other-set"] {
        pods(&client, &space).patch(name, &PatchParams::default(), &freed).await.unwrap();
    }
    api(&client, "DaemonSet", &attacker).patch("kakehi-web", &PatchParams::default(), &freed).await.unwrap();
    discard_nodes(&client, &space).await;
    discard(&client, &attacker).await;
    discard(&client, &space).await;
}
