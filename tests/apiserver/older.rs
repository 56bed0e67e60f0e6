//! Definitions of an older release: what they have is served, and which release it is is told.

use kube::Client;
use serde_json::{Value, json};

use crate::rig::{Edges, Running, apply, basics, condition, once, programmed, route};
use crate::server::{Server, define, definitions, is_foreign, namespace};

/// Gateway API much as v1.0.0 had it: three kinds, without fields that came later.
fn older() -> Vec<Value> {
    let kinds = ["GatewayClass", "Gateway", "HTTPRoute"];
    let mut definitions: Vec<_> =
        definitions().into_iter().filter(|one| kinds.contains(&one["spec"]["names"]["kind"].as_str().unwrap_or_default())).collect();
    assert_eq!(definitions.len(), kinds.len());
    for definition in &mut definitions {
        definition["metadata"]["annotations"]["gateway.networking.k8s.io/bundle-version"] = json!("v1.0.0");
        definition["metadata"]["annotations"]["gateway.networking.k8s.io/channel"] = json!("standard");
        for version in definition["spec"]["versions"].as_array_mut().unwrap() {
            let schema = &mut version["schema"]["openAPIV3Schema"]["properties"];
            let spec = schema["spec"]["properties"].as_object_mut().unwrap();
            for later in ["allowedListeners", "defaultScope", "tls", "useDefaultGateways"] {
                spec.remove(later);
            }
            if let Some(status) = schema["status"]["properties"].as_object_mut() {
                status.remove("supportedFeatures");
                status.remove("attachedListenerSets");
            }
        }
    }
    definitions
}

#[tokio::test]
async fn definitions_of_an_older_release_serve() {
    if is_foreign() {
        eprintln!("skipped: it would change the definitions of the cluster that is given");
        return;
    }
    let server = Server::start();
    let client = Client::try_from(server.config().await).unwrap();
    define(&client, &older()).await;
    let space = namespace(&client, "older").await;
    let controller = format!("test.kakehi.dev/{space}");
    let operator = Running::start(&client, &controller, &space, Edges::new(true));
    basics(&client, &controller, &space).await;
    apply(&client, "HTTPRoute", &space, "old", route("here", "old.example.com")).await;
    once(&client, ("HTTPRoute", &space, "old"), programmed).await;
    let is_told = |class: &Value| {
        let conditions = class["status"]["conditions"].as_array().into_iter().flatten();
        let told =
            conditions.filter(|one| one["type"] == "SupportedVersion").any(|one| one["message"].as_str().unwrap().contains("v1.0.0"));
        told && condition(&class["status"], "SupportedVersion") == "True" && condition(&class["status"], "Accepted") == "True"
    };
    once(&client, ("GatewayClass", "", &space), is_told).await;
    let series = operator.scrape();
    assert!(series.contains("kakehi_gateway_api_info{channel=\"standard\",version=\"v1.0.0\"} 1"), "{series}");
    assert!(series.contains("kakehi_watch_state{kind=\"ReferenceGrant\",state=\"not-served\"} 1"), "{series}");
    operator.stop().await.unwrap();
}
