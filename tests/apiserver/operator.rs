//! The operator on an API server: true statuses, finalizers that hold nothing up, definitions that come later.

use std::time::Duration;

use kakehi::model::{EdgeId, ListenerName};
use kakehi::snapshot::Key;
use kakehi::snapshot::wire::Refusal;
use kakehi::translate;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use crate::lenient::tomorrow;
use crate::rig::{Edges, Running, api, apply, basics, condition, delete, events, eventually, finalizers, gone, once, programmed, route};
use crate::server::{Server, define, discard, is_foreign, namespace, shared};

const CLASS_FINALIZER: &str = "gateway-exists-finalizer.gateway.networking.k8s.io";

async fn client() -> Client {
    Client::try_from(shared().await).unwrap()
}

#[tokio::test]
async fn objects_get_true_statuses() {
    let client = client().await;
    let space = namespace(&client, "statuses").await;
    let controller = format!("test.kakehi.dev/{space}");
    let operator = Running::start(&client, &controller, &space, Edges::new(true));
    basics(&client, &controller, &space).await;
    apply(&client, "HTTPRoute", &space, "good", route("here", "good.example.com")).await;
    apply(&client, "HTTPRoute", &space, "bad", route("nowhere", "bad.example.com")).await;

    let good = once(&client, ("HTTPRoute", &space, "good"), programmed).await;
    let parent = &good["status"]["parents"][0];
    assert_eq!((condition(parent, "Accepted"), condition(parent, "ResolvedRefs")), ("True", "True"));
    assert_eq!((&parent["controllerName"], &parent["conditions"][0]["observedGeneration"]), (&json!(controller), &json!(1)));
    let bad = once(&client, ("HTTPRoute", &space, "bad"), programmed).await;
    assert_eq!(condition(&bad["status"]["parents"][0], "ResolvedRefs"), "False");

    let is_whole =
        |gateway: &Value| condition(&gateway["status"], "Programmed") == "True" && gateway["status"]["listeners"][0]["attachedRoutes"] == 2;
    once(&client, ("Gateway", &space, "web"), is_whole).await;
    let is_accepted = |class: &Value| condition(&class["status"], "Accepted") == "True" && finalizers(class) == [CLASS_FINALIZER];
    let class = once(&client, ("GatewayClass", "", &space), is_accepted).await;
    assert!(class["status"]["supportedFeatures"].as_array().unwrap().contains(&json!({"name": "HTTPRoute"})));

    let of_ours = || async {
        let told = events(&client, &space, ("HTTPRoute", "bad")).await.into_iter();
        told.filter(|event| event["reportingController"] == controller).collect::<Vec<_>>()
    };
    let told = eventually("an Event", async || Some(of_ours().await).filter(|told| !told.is_empty())).await;
    assert!(told[0]["reason"] == "BackendNotFound" && told[0]["note"].as_str().unwrap().contains("nowhere"), "{told:?}");

    // The Service comes: nothing but that was missing. Whoever leads next has nothing to write and to tell.
    apply(&client, "Service", &space, "nowhere", json!({"spec": {"ports": [{"port": 80}]}})).await;
    let is_resolved = |route: &Value| condition(&route["status"]["parents"][0], "ResolvedRefs") == "True";
    once(&client, ("HTTPRoute", &space, "bad"), is_resolved).await;
    delete(&client, ("Service", &space, "nowhere")).await;
    let before = once(&client, ("HTTPRoute", &space, "bad"), |route| !is_resolved(route)).await;
    eventually("nothing waits", async || operator.scrape().contains("kakehi_queue_depth{kind=\"HTTPRoute\"} 0").then_some(())).await;
    let told = of_ours().await.len();
    let first = *operator.epoch.borrow();
    operator.stop().await.unwrap();
    let next = Running::start(&client, &controller, &space, Edges::new(true));
    let mut epoch = next.epoch.clone();
    tokio::time::timeout(crate::rig::PATIENCE, epoch.wait_for(|epoch| *epoch > first)).await.expect("the Lease was given back").unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = once(&client, ("HTTPRoute", &space, "bad"), |_| true).await;
    assert_eq!(before["status"], after["status"]);
    assert_eq!(of_ours().await.len(), told);
    next.stop().await.unwrap();
    discard(&client, &space).await;
}

#[tokio::test]
async fn a_port_that_an_edge_cannot_bind_is_a_condition_and_an_event() {
    let client = client().await;
    let space = namespace(&client, "refused").await;
    let controller = format!("test.kakehi.dev/{space}");
    let why = "cannot bind 0.0.0.0:80: another process listens there; end it, or choose another port";
    let refusal = Refusal { key: Key::Listener(ListenerName("http".into())), reason: why.to_owned() };
    let _operator = Running::start(&client, &controller, &space, Edges::refusing(vec![refusal]));
    basics(&client, &controller, &space).await;
    apply(&client, "HTTPRoute", &space, "good", route("here", "good.example.com")).await;

    let told = format!("the data plane refused it: {why}");
    let is_told = |gateway: &Value| {
        let conditions = gateway["status"]["listeners"][0]["conditions"].as_array().into_iter().flatten();
        conditions.into_iter().any(|condition| condition["type"] == "Programmed" && condition["message"] == told.as_str())
    };
    once(&client, ("Gateway", &space, "web"), is_told).await;
    let listener = format!("listener http: {why}");
    for (object, note) in [
        (("Gateway", "web"), format!("Gateway/{space}/web {listener}")),
        (("HTTPRoute", "good"), format!("HTTPRoute/{space}/good parent web: {listener}")),
    ] {
        let of_ours = async || {
            let told = events(&client, &space, object).await.into_iter();
            Some(told.filter(|event| event["note"] == note.as_str()).collect::<Vec<_>>()).filter(|told| !told.is_empty())
        };
        let told = eventually(&format!("an Event of {object:?}"), of_ours).await;
        assert_eq!((told.len(), &told[0]["reason"], &told[0]["type"]), (1, &json!("Invalid"), &json!("Warning")), "{told:?}");
    }
}

#[tokio::test]
async fn deletion_waits_for_the_edges_but_not_long() {
    let client = client().await;
    for acknowledge in [true, false] {
        let space = namespace(&client, "finalizers").await;
        let controller = format!("test.kakehi.dev/{space}");
        let edges = Edges::new(acknowledge);
        let held = edges.held();
        let operator = Running::start(&client, &controller, &space, edges);
        basics(&client, &controller, &space).await;
        apply(&client, "HTTPRoute", &space, "route", route("here", "a.example.com")).await;
        apply(&client, "HTTPRoute", &space, "stranger", json!({"spec": {"parentRefs": [{"name": "absent"}]}})).await;
        once(&client, ("HTTPRoute", &space, "route"), |route| finalizers(route) == [controller.as_str()]).await;
        once(&client, ("Gateway", &space, "web"), |gateway| finalizers(gateway) == [controller.as_str()]).await;
        once(&client, ("HTTPRoute", &space, "stranger"), |route| finalizers(route).is_empty()).await;
        delete(&client, ("HTTPRoute", &space, "route")).await;
        let took = gone(&client, ("HTTPRoute", &space, "route")).await;
        if !acknowledge {
            assert!(took > Duration::from_secs(2), "nobody has acknowledged after {took:?}");
        }
        // A class in use stays, and is in effect; with the last Gateway it goes.
        once(&client, ("GatewayClass", "", &space), |class| finalizers(class) == [CLASS_FINALIZER]).await;
        delete(&client, ("GatewayClass", "", &space)).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let gateway = once(&client, ("Gateway", &space, "web"), |_| true).await;
        assert_eq!(condition(&gateway["status"], "Accepted"), "True");
        // An edge is told to serve nothing before its Gateway goes.
        delete(&client, ("Gateway", &space, "web")).await;
        let took = gone(&client, ("Gateway", &space, "web")).await;
        assert_eq!(*held.borrow(), [(EdgeId::of_gateway(&space, "web"), 0)].into());
        assert_eq!(took > Duration::from_secs(2), !acknowledge, "gone after {took:?}");
        gone(&client, ("GatewayClass", "", &space)).await;
        // The same name again is another edge.
        let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP"}]);
        apply(&client, "GatewayClass", "", &space, json!({"spec": {"controllerName": controller}})).await;
        apply(&client, "Gateway", &space, "web", json!({"spec": {"gatewayClassName": space, "listeners": listeners}})).await;
        once(&client, ("Gateway", &space, "web"), |gateway| finalizers(gateway) == [controller.as_str()]).await;
        eventually("it is served", async || (*held.borrow().values().next().unwrap() > 0).then_some(())).await;
        delete(&client, ("Gateway", &space, "web")).await;
        gone(&client, ("Gateway", &space, "web")).await;
        delete(&client, ("GatewayClass", "", &space)).await;
        operator.stop().await.unwrap();
        discard(&client, &space).await;
    }
}

#[tokio::test]
async fn a_route_that_is_not_held_is_deleted_and_made_anew_at_once() {
    let client = client().await;
    let space = namespace(&client, "anew").await;
    let controller = format!("test.kakehi.dev/{space}");
    let translation = translate::Settings { controller_name: controller.clone(), ..translate::Settings::default() };
    let operator = Running::start_with(&client, (translation, false), &space, Edges::new(false));
    basics(&client, &controller, &space).await;
    let accepted = |route: &Value| condition(&route["status"]["parents"][0], "Accepted") == "True";
    for _ in 0..5 {
        apply(&client, "HTTPRoute", &space, "route", route("here", "a.example.com")).await;
        let made = once(&client, ("HTTPRoute", &space, "route"), accepted).await;
        assert!(finalizers(&made).is_empty() && made["metadata"]["deletionTimestamp"].is_null(), "{made}");
        delete(&client, ("HTTPRoute", &space, "route")).await;
    }
    once(&client, ("Gateway", &space, "web"), |gateway| finalizers(gateway) == [controller.as_str()]).await;
    delete(&client, ("Gateway", &space, "web")).await;
    delete(&client, ("GatewayClass", "", &space)).await;
    gone(&client, ("GatewayClass", "", &space)).await;
    operator.stop().await.unwrap();
    discard(&client, &space).await;
}

#[tokio::test]
async fn a_namespace_with_everything_in_it_goes() {
    let client = client().await;
    let space = namespace(&client, "ending").await;
    let home = namespace(&client, "home").await;
    let controller = format!("test.kakehi.dev/{space}");
    let operator = Running::start(&client, &controller, &home, Edges::new(false));
    basics(&client, &controller, &space).await;
    for index in 0..20 {
        let name = format!("route-{index}");
        apply(&client, "HTTPRoute", &space, &name, route("here", &format!("{name}.example.com"))).await;
    }
    once(&client, ("HTTPRoute", &space, "route-19"), |route| !finalizers(route).is_empty()).await;
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
    namespaces.delete(&space, &Default::default()).await.unwrap();
    eventually("the namespace is gone", async || namespaces.get_opt(&space).await.unwrap().is_none().then_some(())).await;
    delete(&client, ("GatewayClass", "", &space)).await;
    gone(&client, ("GatewayClass", "", &space)).await;
    operator.stop().await.unwrap();
    discard(&client, &home).await;
}

/// Another controller's entry in a route's status.
fn other(round: usize) -> Value {
    json!({
        "parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "theirs"}, "controllerName": "other.example.com/controller",
        "conditions": [{
            "type": "Accepted", "status": "True", "reason": "Accepted", "message": format!("round {round}"),
            "observedGeneration": 1, "lastTransitionTime": "2020-01-01T00:00:00Z",
        }],
    })
}

#[tokio::test]
async fn two_controllers_write_one_status_and_neither_undoes_the_other() {
    let client = client().await;
    let space = namespace(&client, "churn").await;
    let controller = format!("test.kakehi.dev/{space}");
    let operator = Running::start(&client, &controller, &space, Edges::new(true));
    basics(&client, &controller, &space).await;
    let routes = api(&client, "HTTPRoute", &space);
    const ROUNDS: usize = 60;
    apply(&client, "HTTPRoute", &space, "shared", route("here", "0.example.com")).await;
    for round in 0..ROUNDS {
        apply(&client, "HTTPRoute", &space, "shared", route("here", &format!("{round}.example.com"))).await;
        // The other controller keeps what it finds there, and puts its entry in; it loses no race for good.
        loop {
            let mut object = routes.get("shared").await.unwrap();
            let entries = object.data["status"]["parents"].as_array().cloned().unwrap_or_default();
            let mut entries: Vec<_> = entries.into_iter().filter(|entry| entry["controllerName"] == json!(controller)).collect();
            entries.insert(0, other(round));
            object.data["status"] = json!({"parents": entries});
            match routes.replace_status("shared", &Default::default(), &object).await {
                Ok(_) => break,
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
    let generation = once(&client, ("HTTPRoute", &space, "shared"), |_| true).await["metadata"]["generation"].clone();
    let is_settled = |route: &Value| {
        let parents = route["status"]["parents"].as_array().unwrap();
        let ours = parents.iter().find(|entry| entry["controllerName"] == json!(controller));
        ours.is_some_and(|ours| {
            condition(ours, "kakehi.dev/Programmed") == "True"
                && ours["conditions"].as_array().unwrap().iter().all(|one| one["observedGeneration"] == generation)
        })
    };
    let settled = once(&client, ("HTTPRoute", &space, "shared"), is_settled).await;
    let parents = settled["status"]["parents"].as_array().unwrap();
    assert!(parents.len() == 2 && parents.contains(&other(ROUNDS - 1)), "{parents:?}");
    let writes = operator.metrics.status_writes.with_label_values(&["HTTPRoute"]).get();
    eprintln!("{ROUNDS} rounds: {writes} status writes");
    assert!(writes <= 2 * ROUNDS as u64, "{writes} writes");
    operator.stop().await.unwrap();
    discard(&client, &space).await;
}

#[tokio::test]
async fn definitions_may_come_later_and_one_object_spoils_nothing() {
    if is_foreign() {
        eprintln!("skipped: it would change the definitions of the cluster that is given");
        return;
    }
    let server = Server::start();
    let client = Client::try_from(server.config().await).unwrap();
    let space = namespace(&client, "later").await;
    let controller = format!("test.kakehi.dev/{space}");
    let operator = Running::start(&client, &controller, &space, Edges::new(true));
    let mut world = operator.world.clone();
    tokio::time::timeout(crate::rig::PATIENCE, world.wait_for(|world| world.published)).await.expect("published").unwrap();
    assert!(operator.scrape().contains("kakehi_watch_state{kind=\"HTTPRoute\",state=\"not-served\"} 1"));
    define(&client, &tomorrow()).await;
    basics(&client, &controller, &space).await;
    let mut bad = route("here", "bad.example.com");
    bad["spec"]["rules"][0]["filters"] = json!([{"type": "Teleport"}]);
    apply(&client, "HTTPRoute", &space, "bad", bad).await;
    apply(&client, "HTTPRoute", &space, "good", route("here", "good.example.com")).await;
    once(&client, ("HTTPRoute", &space, "good"), programmed).await;
    let bad = once(&client, ("HTTPRoute", &space, "bad"), |_| true).await;
    assert!(!programmed(&bad), "{bad}");
    // It can be put right, and deleted.
    let patch = json!([{"op": "remove", "path": "/spec/rules/0/filters"}]);
    let patch: Patch<()> = Patch::Json(serde_json::from_value(patch).unwrap());
    api(&client, "HTTPRoute", &space).patch("bad", &PatchParams::default(), &patch).await.unwrap();
    once(&client, ("HTTPRoute", &space, "bad"), programmed).await;
    operator.stop().await.unwrap();
}
