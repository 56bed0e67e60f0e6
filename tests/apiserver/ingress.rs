//! Ingress on an API server: an address when it is served, Events for what is wrong, nothing on those of other classes.

use std::time::Duration;

use kakehi::translate::{IngressSettings, Settings};
use kube::Client;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::rig::{Edges, Running, api, apply, delete, events, eventually, finalizers, gone, once};
use crate::server::{discard, namespace, shared};

fn ingress(class: Option<&str>, host: &str, service: &str) -> Value {
    let backend = json!({"service": {"name": service, "port": {"name": "http"}}});
    let rules = json!([{"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]);
    json!({"spec": {"ingressClassName": class, "rules": rules}})
}

fn shown(ingress: &Value) -> &Value {
    &ingress["status"]["loadBalancer"]["ingress"]
}

async fn show(client: &Client, (space, name): (&str, &str), address: &str) {
    let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}});
    let params = PatchParams { field_manager: Some("another-controller".into()), ..PatchParams::default() };
    api(client, "Ingress", space).patch_status(name, &params, &Patch::Merge(status)).await.unwrap();
}

/// Ingresses that come from another class and go to another, and kinds without conditions, whose problems are told by Events.
#[tokio::test]
async fn an_ingress_that_leaves_shows_our_address_no_more_and_every_kind_tells_what_is_wrong() {
    let client = Client::try_from(shared().await).unwrap();
    let space = namespace(&client, "leaving").await;
    let controller = format!("test.kakehi.dev/{space}");
    let ingress_settings = IngressSettings { controller_name: controller.clone(), ..IngressSettings::default() };
    let default_address = Some([192, 0, 2, 7].into());
    let settings = Settings { controller_name: controller.clone(), default_address, ingress: ingress_settings, ..Settings::default() };
    let operator = Running::start_with(&client, (settings, true), &space, Edges::new(true));
    let (broken, foreign) = (format!("broken-{space}"), format!("foreign-{space}"));
    let port = json!({"name": "http", "port": 80, "appProtocol": "odd"});
    apply(&client, "Service", &space, "here", json!({"spec": {"ports": [port]}})).await;
    let parameters = json!({"apiGroup": "kakehi.dev", "kind": "EdgeProfile", "name": "none", "scope": "Namespace", "namespace": space});
    for (class, spec) in [
        (&space, json!({"controller": controller})),
        (&broken, json!({"controller": controller, "parameters": parameters})),
        (&foreign, json!({"controller": "example.com/other"})),
    ] {
        apply(&client, "IngressClass", "", class, json!({"spec": spec})).await;
    }
    let host = format!("mover.{space}.example.com");
    let of_class = |class: &str| ingress(Some(class), &host, "here");
    apply(&client, "Ingress", &space, "mover", of_class(&foreign)).await;
    show(&client, (&space, "mover"), "203.0.113.5").await;
    apply(&client, "Ingress", &space, "mover", of_class(&space)).await;
    let address = json!([{"ip": "192.0.2.7"}]);
    once(&client, ("Ingress", &space, "mover"), |ingress| *shown(ingress) == address).await;
    apply(&client, "Ingress", &space, "mover", of_class(&foreign)).await;
    once(&client, ("Ingress", &space, "mover"), |ingress| shown(ingress).is_null() && finalizers(ingress).is_empty()).await;
    // What its next controller shows is that one's, also where it is the same.
    show(&client, (&space, "mover"), "192.0.2.7").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    once(&client, ("Ingress", &space, "mover"), |ingress| *shown(ingress) == address).await;

    for (place, kind, name, expected) in
        [(space.as_str(), "Service", "here", "appProtocol odd is not known"), ("default", "IngressClass", &broken, "EdgeProfile")]
    {
        let told = eventually("an Event", async || Some(events(&client, place, (kind, name)).await).filter(|told| !told.is_empty())).await;
        assert!(told.len() == 1 && told[0]["note"].as_str().unwrap().contains(expected), "{kind}: {told:?}");
    }
    operator.stop().await.unwrap();
    for class in [&space, &broken, &foreign] {
        delete(&client, ("IngressClass", "", class)).await;
    }
    discard(&client, &space).await;
}

#[tokio::test]
async fn an_ingress_shows_its_address_and_others_are_left_alone() {
    let client = Client::try_from(shared().await).unwrap();
    let (space, later) = (namespace(&client, "ingress").await, namespace(&client, "ingress").await);
    let controller = format!("test.kakehi.dev/{space}");
    let ingress_settings = IngressSettings { controller_name: controller.clone(), ..IngressSettings::default() };
    let settings = Settings {
        controller_name: controller.clone(),
        default_address: Some([192, 0, 2, 7].into()),
        ingress: ingress_settings,
        ..Settings::default()
    };
    let operator = Running::start_with(&client, (settings, true), &space, Edges::new(true));
    let host = |name: &str| format!("{name}.{space}.example.com");
    let class = Some(space.as_str());
    apply(&client, "Service", &space, "here", json!({"spec": {"ports": [{"name": "http", "port": 80}]}})).await;
    apply(&client, "Ingress", &space, "early", ingress(class, &host("early"), "here")).await;
    apply(&client, "IngressClass", "", &space, json!({"spec": {"controller": controller}})).await;
    apply(&client, "IngressClass", "", &later, json!({"spec": {"controller": "example.com/other"}})).await;
    apply(&client, "Ingress", &space, "wrong", ingress(class, &host("wrong"), "nowhere")).await;
    apply(&client, "Ingress", &space, "foreign", ingress(Some(&later), &host("foreign"), "nowhere")).await;
    apply(&client, "Ingress", &space, "classless", ingress(None, &host("classless"), "nowhere")).await;

    let address = json!([{"ip": "192.0.2.7"}]);
    for name in ["early", "wrong"] {
        let is_shown = |ingress: &Value| *shown(ingress) == address && finalizers(ingress) == [controller.as_str()];
        once(&client, ("Ingress", &space, name), is_shown).await;
    }
    let told =
        eventually("an Event", async || Some(events(&client, &space, ("Ingress", "wrong")).await).filter(|told| !told.is_empty())).await;
    assert!(told[0]["note"].as_str().unwrap().contains("Service") && told[0]["reason"] == "BackendNotFound", "{told:?}");

    // A host that is taken, by an Ingress of another namespace.
    apply(&client, "Service", &later, "here", json!({"spec": {"ports": [{"name": "http", "port": 80}]}})).await;
    // Ages are whole seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    apply(&client, "Ingress", &later, "thief", ingress(class, &host("early"), "here")).await;
    let told =
        eventually("an Event", async || Some(events(&client, &later, ("Ingress", "thief")).await).filter(|told| !told.is_empty())).await;
    assert!(told.iter().any(|event| event["reason"] == "HostTaken"), "{told:?}");
    let thief = once(&client, ("Ingress", &later, "thief"), |_| true).await;
    assert!(shown(&thief).is_null() && finalizers(&thief).is_empty(), "nothing of it is served: {thief}");

    for name in ["foreign", "classless"] {
        let left = once(&client, ("Ingress", &space, name), |_| true).await;
        assert!(shown(&left).is_null() && finalizers(&left).is_empty(), "{left}");
        assert_eq!(events(&client, &space, ("Ingress", name)).await, [Value::Null; 0]);
    }
    delete(&client, ("Ingress", &space, "early")).await;
    gone(&client, ("Ingress", &space, "early")).await;
    // The host is the other one's now.
    once(&client, ("Ingress", &later, "thief"), |ingress| *shown(ingress) == address).await;
    // Without its class nothing holds an Ingress.
    delete(&client, ("IngressClass", "", &space)).await;
    once(&client, ("Ingress", &space, "wrong"), |ingress| finalizers(ingress).is_empty()).await;
    operator.stop().await.unwrap();
    delete(&client, ("IngressClass", "", &later)).await;
    discard(&client, &space).await;
    discard(&client, &later).await;
}
