//! Claims of hosts on an API server: what a tenant whose Ingress is older can write does not move a host, across leaders too.

use std::time::Duration;

use kakehi::translate::ownership::ClaimsPlace;
use kakehi::translate::{IngressSettings, Settings};
use kube::Client;
use serde_json::{Value, json};

use crate::rig::{Edges, Running, apply, delete, eventually, gone, once};
use crate::server::{discard, namespace, shared};

fn ingress(class: &str, hosts: &[&str]) -> Value {
    let rule = |host: &&str| {
        let backend = json!({"service": {"name": "here", "port": {"number": 80}}});
        json!({"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}})
    };
    json!({"spec": {"ingressClassName": class, "rules": hosts.iter().map(rule).collect::<Vec<_>>()}})
}

fn shown(ingress: &Value) -> &Value {
    &ingress["status"]["loadBalancer"]["ingress"]
}

/// The namespace that a host's rules come from.
fn server_of(operator: &Running, host: &str) -> Option<String> {
    let world = operator.world.borrow();
    let mut edges = world.edges.values().flat_map(|publisher| publisher.current().1.iter().map(|(_, it)| it.clone()).collect::<Vec<_>>());
    edges.find_map(|resource| match resource.as_ref() {
        kakehi::snapshot::Resource::Route(route) => {
            let names = |rule: &kakehi::model::Rule| rule.host.as_ref().is_some_and(|of| of.to_string() == host);
            route.rules.iter().any(names).then(|| route.id.namespace.clone())
        }
        _ => None,
    })
}

#[tokio::test]
async fn an_older_ingress_that_names_a_live_host_changes_nothing_for_its_owner() {
    let client = Client::try_from(shared().await).unwrap();
    let own = namespace(&client, "claims").await;
    let (attacker, victim) = (namespace(&client, "claims").await, namespace(&client, "claims").await);
    let controller = format!("test.kakehi.dev/{own}");
    let place = ClaimsPlace { namespace: own.clone(), prefix: "kakehi-hosts-".to_owned() };
    let ingress_settings =
        IngressSettings { controller_name: controller.clone(), claims: Some(place.clone()), ..IngressSettings::default() };
    let settings = || Settings {
        controller_name: controller.clone(),
        default_address: Some([192, 0, 2, 7].into()),
        ingress: ingress_settings.clone(),
        ..Settings::default()
    };
    let (class, live) = (own.as_str(), format!("live.{own}.example.com"));
    let mine = format!("mine.{own}.example.com");
    let operator = Running::start_with(&client, (settings(), true), &own, Edges::new(true));
    apply(&client, "IngressClass", "", &own, json!({"spec": {"controller": controller}})).await;
    for space in [&attacker, &victim] {
        apply(&client, "Service", space, "here", json!({"spec": {"ports": [{"port": 80}]}})).await;
    }
    let address = json!([{"ip": "192.0.2.7"}]);
    apply(&client, "Ingress", &attacker, "i", ingress(class, &[&mine])).await;
    once(&client, ("Ingress", &attacker, "i"), |ingress| *shown(ingress) == address).await;
    // Ages are whole seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    apply(&client, "Ingress", &victim, "i", ingress(class, &[&live])).await;
    let (of_victim, of_attacker) = (place.name(&victim), place.name(&attacker));
    let claimed = |map: &Value| map["data"][class].as_str().is_some_and(|lines| lines.starts_with(&format!("{live} ")));
    once(&client, ("ConfigMap", &own, &of_victim), claimed).await;

    // The attack: a forged claim, and the older Ingress names the live host.
    apply(&client, "ConfigMap", &attacker, &of_attacker, json!({"data": {class: format!("{live} 1\n")}})).await;
    apply(&client, "Ingress", &attacker, "i", ingress(class, &[&mine, &live])).await;
    let refused = eventually("the finding", async || {
        let world = operator.world.borrow().clone();
        let report = world.reports.iter().find(|(id, _)| id.namespace == attacker).map(|(_, report)| report.clone())?;
        report.findings.iter().map(ToString::to_string).find(|text| text.contains(&live))
    });
    let refused = refused.await;
    assert!(refused.contains(&format!("belongs to namespace {victim}")), "{refused}");
    assert_eq!(server_of(&operator, &live), Some(victim.clone()));

    // Another leader, which knows only what is written.
    operator.stop().await.unwrap();
    let operator = Running::start_with(&client, (settings(), true), &own, Edges::new(true));
    eventually("the host", async || server_of(&operator, &live)).await;
    assert_eq!(server_of(&operator, &live), Some(victim.clone()));

    // The victim leaves: the host is released, and then the other's.
    delete(&client, ("Ingress", &victim, "i")).await;
    gone(&client, ("ConfigMap", &own, &of_victim)).await;
    once(&client, ("ConfigMap", &own, &of_attacker), |map| map["data"][class].as_str().is_some_and(|lines| lines.lines().count() == 2))
        .await;
    assert_eq!(server_of(&operator, &live), Some(attacker.clone()));
    delete(&client, ("Ingress", &attacker, "i")).await;
    gone(&client, ("ConfigMap", &own, &of_attacker)).await;
    operator.stop().await.unwrap();
    delete(&client, ("IngressClass", "", &own)).await;
    for space in [own, attacker, victim] {
        discard(&client, &space).await;
    }
}
