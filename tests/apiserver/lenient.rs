//! Objects of tomorrow on a watch of today.

use std::time::Duration;

use futures::TryStreamExt;
use http::Request;
use kakehi::api::{HttpRoute, Obj};
use kube::Client;
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};

use crate::server::{Server, define, definitions, is_foreign};

/// HTTPRoute as a later release might define it: with a field and a filter that our types do not know.
pub fn tomorrow() -> Vec<Value> {
    let mut definitions = definitions();
    let definition = definitions.iter_mut().find(|definition| definition["spec"]["names"]["kind"] == "HTTPRoute").unwrap();
    for version in definition["spec"]["versions"].as_array_mut().unwrap() {
        let spec = &mut version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
        spec["mood"] = json!({"type": "string"});
        let filters = &mut spec["rules"]["items"]["properties"]["filters"]["items"]["properties"];
        filters["type"]["enum"].as_array_mut().unwrap().push(json!("Teleport"));
    }
    definitions
}

async fn create(client: &Client, name: &str, spec: Value) {
    let route = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": name}, "spec": spec,
    });
    let path = "/apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes";
    let request = Request::post(path).header("content-type", "application/json").body(route.to_string().into_bytes());
    client.request::<Value>(request.unwrap()).await.unwrap();
}

#[tokio::test]
async fn what_our_types_do_not_know_does_not_block_a_watch() {
    if is_foreign() {
        eprintln!("skipped: it would change the definitions of the cluster that is given");
        return;
    }
    let server = Server::start();
    let client = Client::try_from(server.config().await).unwrap();
    define(&client, &tomorrow()).await;
    let teleport = || json!({"rules": [{"filters": [{"type": "Teleport"}]}]});
    create(&client, "listed", teleport()).await;
    create(&client, "plain", json!({})).await;
    let routes: Api<Obj<HttpRoute>> = Api::all(client.clone());
    let mut watch = std::pin::pin!(watcher(routes, watcher::Config::default()).applied_objects());
    let mut next = async || tokio::time::timeout(Duration::from_secs(60), watch.try_next()).await.unwrap().unwrap().unwrap();
    let listed = next().await;
    assert_eq!(listed.name(), "listed");
    assert!(listed.body.unwrap_err().path.starts_with("spec.rules[0].filters[0]"));
    let plain = next().await;
    assert!(plain.name() == "plain" && plain.body.is_ok() && plain.unknown.is_empty());
    create(&client, "watched", teleport()).await;
    create(&client, "moody", json!({"mood": "good", "hostnames": ["example.com"]})).await;
    let watched = next().await;
    assert!(watched.name() == "watched" && watched.body.is_err());
    let moody = next().await;
    assert_eq!((moody.name(), moody.unknown.as_slice()), ("moody", ["spec.mood".to_owned()].as_slice()));
    assert_eq!(moody.body.unwrap().spec.hostnames.unwrap(), ["example.com"]);
}
