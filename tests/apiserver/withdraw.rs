//! The end of an installation: whatever becomes of the operator, nothing waits for it.

use std::time::Duration;

use kakehi::controller::withdraw::{Settings, WithdrawError, Withdrawn, withdraw};
use kakehi::leader;
use kakehi::provision::names;
use kakehi::translate::{self, IngressSettings};
use kube::Client;
use kube::api::{Api, ObjectMeta, Patch, PatchParams};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::failover::{Replica, led_by};
use crate::rig::{Edges, PATIENCE, Running, api, apply, basics, delete, eventually, finalizers, gone, once, route};
use crate::server::{Server, discard, is_foreign, namespace, shared, shared_kubeconfig};

const LEASE: &str = "kakehi-controller";

fn controller(space: &str) -> String {
    format!("test.kakehi.dev/{space}")
}

fn settings(space: &str, deployment: Option<&str>) -> Settings {
    let identity = format!("withdraw_{:08x}", rand::random::<u32>());
    Settings {
        controller_name: controller(space),
        leader: leader::Settings::new(space, LEASE, identity),
        deployment: deployment.map(str::to_owned),
        service: "kakehi".into(),
        ca_secret: "kakehi-ca".into(),
        limit: PATIENCE,
    }
}

/// A class, a Gateway, a route and an Ingress in the operator's own namespace, all with finalizers; one more finalizer of
/// somebody else's on the route. `wait`: waits until they carry ours.
async fn installed(client: &Client, space: &str, wait: bool) {
    basics(client, &controller(space), space).await;
    apply(client, "IngressClass", "", space, json!({"spec": {"controller": controller(space)}})).await;
    let mut shared = route("here", &format!("{space}.example.com"));
    shared["metadata"] = json!({"finalizers": ["example.com/other"]});
    apply(client, "HTTPRoute", space, "route", shared).await;
    let backend = json!({"service": {"name": "here", "port": {"name": "http"}}});
    let paths = json!([{"path": "/", "pathType": "Prefix", "backend": backend}]);
    let rules = json!([{"host": format!("ingress.{space}.example.com"), "http": {"paths": paths}}]);
    apply(client, "Ingress", space, "ingress", json!({"spec": {"ingressClassName": space, "rules": rules}})).await;
    for (kind, namespace, name) in held(space).into_iter().filter(|_| wait) {
        let is_ours = |object: &Value| finalizers(object).iter().any(|finalizer| *finalizer != "example.com/other");
        once(client, (kind, namespace, name), is_ours).await;
    }
}

/// What carries a finalizer of ours.
fn held(space: &str) -> [(&'static str, &str, &str); 4] {
    [("HTTPRoute", space, "route"), ("Ingress", space, "ingress"), ("Gateway", space, "web"), ("GatewayClass", "", space)]
}

/// Everything goes, now that nobody is there to let it go.
async fn everything_goes(client: &Client, space: &str) {
    let route = once(client, ("HTTPRoute", space, "route"), |_| true).await;
    assert_eq!(finalizers(&route), ["example.com/other"]);
    let patch: Patch<()> = Patch::Json(serde_json::from_value(json!([{"op": "remove", "path": "/metadata/finalizers"}])).unwrap());
    api(client, "HTTPRoute", space).patch("route", &PatchParams::default(), &patch).await.unwrap();
    for object in held(space) {
        delete(client, object).await;
        gone(client, object).await;
    }
    delete(client, ("IngressClass", "", space)).await;
}

#[tokio::test]
async fn the_operator_stops_and_nothing_waits_for_it() {
    let client = Client::try_from(shared().await).unwrap();
    let space = namespace(&client, "withdraw").await;
    let replica = Replica::start("only", &shared_kubeconfig().await, &space);
    let container = json!({"name": "c", "image": "none.test/none"});
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container], "nodeSelector": {"no": "node"}}});
    let spec = json!({"replicas": 2, "selector": {"matchLabels": {"a": "b"}}, "template": template});
    apply(&client, "Deployment", &space, "operator", json!({"spec": spec})).await;
    installed(&client, &space, true).await;

    // Edges, as they are told apart: ours of an IngressClass goes.
    for (name, edge, by) in [
        ("ours", format!("IngressClass/{space}"), controller(&space)),
        ("of-a-gateway", format!("{space}/web"), controller(&space)),
        ("another-s", format!("IngressClass/{space}"), "test.kakehi.dev/other".to_owned()),
    ] {
        let annotations = names::annotations(&edge.parse().unwrap(), &by, &Default::default());
        let metadata = ObjectMeta {
            labels: Some([(names::EDGE.to_owned(), name.to_owned())].into()),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        };
        apply(&client, "ConfigMap", &space, name, json!({"metadata": metadata})).await;
    }

    // Whoever runs Deployments ends the process when there is to be none.
    let scaled = async {
        once(&client, ("Deployment", &space, "operator"), |deployment| deployment["spec"]["replicas"] == 0).await;
        replica.signal(Signal::TERM);
    };
    let (done, ()) = tokio::join!(withdraw(client.clone(), settings(&space, Some("operator"))), scaled);
    assert_eq!(done.unwrap(), Withdrawn { released: 4, deleted: 1, cleared: 0 });
    for (kind, namespace, name) in held(&space) {
        let object = once(&client, (kind, namespace, name), |_| true).await;
        assert!(finalizers(&object).iter().all(|finalizer| *finalizer == "example.com/other"), "{object}");
    }
    let left = api(&client, "ConfigMap", &space).list_metadata(&Default::default()).await.unwrap();
    let mut left: Vec<_> = left.items.into_iter().filter_map(|map| map.metadata.name).collect();
    left.retain(|name| name != "kube-root-ca.crt");
    assert_eq!(left, ["another-s", "of-a-gateway"]);
    let lease = once(&client, ("Lease", &space, LEASE), |_| true).await;
    assert!(lease["spec"]["holderIdentity"].as_str().unwrap().starts_with("withdraw_"));
    assert_eq!(lease["metadata"]["ownerReferences"][0]["name"], "operator", "the Lease goes with the Deployment");

    // Again, while the Lease is still held, and with the Deployment gone.
    delete(&client, ("Deployment", &space, "operator")).await;
    gone(&client, ("Deployment", &space, "operator")).await;
    assert_eq!(withdraw(client.clone(), settings(&space, Some("operator"))).await.unwrap(), Withdrawn::default());
    gone(&client, ("Lease", &space, LEASE)).await;
    everything_goes(&client, &space).await;
    discard(&client, &space).await;
}

#[tokio::test]
async fn a_leader_that_is_dead_is_not_waited_for_beyond_its_lease() {
    let client = Client::try_from(shared().await).unwrap();
    let space = namespace(&client, "withdraw-dead").await;
    let replica = Replica::start("dead", &shared_kubeconfig().await, &space);
    installed(&client, &space, true).await;
    replica.signal(Signal::KILL);
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
    // A namespace that is being deleted already is not held up either.
    let patch: Patch<()> = Patch::Json(serde_json::from_value(json!([{"op": "remove", "path": "/metadata/finalizers/0"}])).unwrap());
    api(&client, "HTTPRoute", &space).patch("route", &PatchParams::default(), &patch).await.unwrap();
    let started = Instant::now();
    let done = withdraw(client.clone(), settings(&space, None)).await.unwrap();
    assert_eq!(done, Withdrawn { released: 4, deleted: 0, cleared: 0 });
    assert!(started.elapsed() > Duration::from_secs(8), "taken after {:?}, while the leader may believe in itself", started.elapsed());
    namespaces.delete(&space, &Default::default()).await.unwrap();
    eventually("the namespace is gone", async || namespaces.get_opt(&space).await.unwrap().is_none().then_some(())).await;
    delete(&client, ("GatewayClass", "", &space)).await;
    gone(&client, ("GatewayClass", "", &space)).await;
    delete(&client, ("IngressClass", "", &space)).await;
}

#[tokio::test]
async fn a_leader_that_lives_is_not_robbed() {
    let client = Client::try_from(shared().await).unwrap();
    let space = namespace(&client, "withdraw-alive").await;
    let replica = Replica::start("alive", &shared_kubeconfig().await, &space);
    led_by(&client, &space, "alive").await;
    let limit = Duration::from_secs(5);
    let refused = withdraw(client.clone(), Settings { limit, ..settings(&space, None) }).await.unwrap_err();
    assert!(matches!(&refused, WithdrawError::Led { holder, .. } if holder.starts_with("alive")), "{refused}");
    drop(replica);
    discard(&client, &space).await;
}

#[tokio::test]
async fn definitions_that_are_missing_are_not_missed() {
    if is_foreign() {
        eprintln!("skipped: it would change the definitions of the cluster that is given");
        return;
    }
    let server = Server::start();
    let client = Client::try_from(server.config().await).unwrap();
    let space = namespace(&client, "withdraw-bare").await;
    let operator = Running::start(&client, &controller(&space), &space, Edges::new(true));
    let mut epoch = operator.epoch.clone();
    tokio::time::timeout(PATIENCE, epoch.wait_for(|epoch| *epoch > 0)).await.expect("it leads").unwrap();
    operator.stop().await.unwrap();
    assert_eq!(withdraw(client, settings(&space, None)).await.unwrap(), Withdrawn::default());
}

#[tokio::test]
async fn addresses_that_were_ours_are_shown_no_more() {
    let client = Client::try_from(shared().await).unwrap();
    let space = namespace(&client, "withdraw-shown").await;
    let ingress = IngressSettings { controller_name: controller(&space), ..IngressSettings::default() };
    let translation = translate::Settings {
        controller_name: controller(&space),
        default_address: Some([192, 0, 2, 7].into()),
        ingress,
        ..translate::Settings::default()
    };
    let operator = Running::start_with(&client, (translation, false), &space, Edges::new(true));
    installed(&client, &space, false).await;
    let shown = |ingress: &Value| ingress["status"]["loadBalancer"]["ingress"].clone();
    let spec =
        once(&client, ("Ingress", &space, "ingress"), |ingress| shown(ingress) == json!([{"ip": "192.0.2.7"}])).await["spec"].clone();
    // Others that show addresses: of another class, and one that was ours until somebody else took it.
    for (name, class) in [("foreign", "example.com-other"), ("taken", space.as_str())] {
        let mut spec = spec.clone();
        spec["ingressClassName"] = json!(class);
        spec["rules"][0]["host"] = json!(format!("{name}.{space}.example.com"));
        apply(&client, "Ingress", &space, name, json!({"spec": spec})).await;
    }
    once(&client, ("Ingress", &space, "taken"), |ingress| shown(ingress) == json!([{"ip": "192.0.2.7"}])).await;
    operator.stop().await.unwrap();
    let theirs = json!([{"ip": "192.0.2.99"}]);
    for name in ["foreign", "taken"] {
        let status = Patch::Merge(json!({"status": {"loadBalancer": {"ingress": theirs}}}));
        api(&client, "Ingress", &space).patch_status(name, &PatchParams::default(), &status).await.unwrap();
    }
    let done = withdraw(client.clone(), settings(&space, None)).await.unwrap();
    assert_eq!(done.cleared, 1);
    assert_eq!(shown(&once(&client, ("Ingress", &space, "ingress"), |_| true).await), Value::Null);
    for name in ["foreign", "taken"] {
        assert_eq!(shown(&once(&client, ("Ingress", &space, name), |_| true).await), theirs);
    }
    delete(&client, ("Gateway", &space, "web")).await;
    delete(&client, ("GatewayClass", "", &space)).await;
    delete(&client, ("IngressClass", "", &space)).await;
    discard(&client, &space).await;
}
