//! The definitions of older releases of Gateway API: what they have is served, and which release it is is told.

use kube::Client;
use serde_json::Value;

use crate::crds::gateway_api_of;
use crate::rig::{Edges, Running, apply, basics, condition, once, programmed, route};
use crate::server::{Server, define, is_foreign, namespace, released};

/// What a release serves, and what it does not know.
async fn serves(release: &str, kinds: &[&str], missing: &[&str]) {
    if is_foreign() {
        eprintln!("skipped: it would change the definitions of the cluster that is given");
        return;
    }
    let module = gateway_api_of(release).expect("Go is needed to fetch the definitions of Gateway API");
    let definitions = released(&module, "standard");
    let kind = |definition: &Value| definition["spec"]["names"]["kind"].as_str().unwrap().to_owned();
    let mut defined: Vec<_> = definitions.iter().map(kind).collect();
    defined.sort();
    assert_eq!(defined, kinds);
    let server = Server::start();
    let client = Client::try_from(server.config().await).unwrap();
    define(&client, &definitions).await;
    let space = namespace(&client, "older").await;
    let controller = format!("test.kakehi.dev/{space}");
    let operator = Running::start(&client, &controller, &space, Edges::new(true));
    basics(&client, &controller, &space).await;
    for kind in ["HTTPRoute", "GRPCRoute"].into_iter().filter(|kind| kinds.contains(kind)) {
        apply(&client, kind, &space, "old", route("here", &format!("{}.example.com", kind.to_lowercase()))).await;
        once(&client, (kind, &space, "old"), programmed).await;
    }
    let is_told = |class: &Value| {
        let conditions = class["status"]["conditions"].as_array().into_iter().flatten();
        let told = conditions.filter(|one| one["type"] == "SupportedVersion").any(|one| one["message"].as_str().unwrap().contains(release));
        told && condition(&class["status"], "SupportedVersion") == "True" && condition(&class["status"], "Accepted") == "True"
    };
    once(&client, ("GatewayClass", "", &space), is_told).await;
    let series = operator.scrape();
    assert!(series.contains(&format!("kakehi_gateway_api_info{{channel=\"standard\",version=\"{release}\"}} 1")), "{series}");
    let is_in = |kind: &str, state: &str| series.contains(&format!("kakehi_watch_state{{kind=\"{kind}\",state=\"{state}\"}} 1"));
    assert!(missing.iter().all(|kind| is_in(kind, "not-served")) && kinds.iter().all(|kind| is_in(kind, "synced")), "{series}");
    // A status that its definition does not know wholly is written once, not for ever.
    let writes = || operator.metrics.status_writes.with_label_values(&["GatewayClass"]).get();
    let before = writes();
    apply(&client, "HTTPRoute", &space, "more", route("here", "more.example.com")).await;
    once(&client, ("HTTPRoute", &space, "more"), programmed).await;
    assert_eq!(writes(), before);
    operator.stop().await.unwrap();
}

#[tokio::test]
async fn the_first_release_serves() {
    serves("v1.0.0", &["Gateway", "GatewayClass", "HTTPRoute", "ReferenceGrant"], &["GRPCRoute", "ListenerSet"]).await;
}

#[tokio::test]
async fn a_release_between_serves() {
    serves("v1.2.1", &["GRPCRoute", "Gateway", "GatewayClass", "HTTPRoute", "ReferenceGrant"], &["ListenerSet"]).await;
}
