//! What a new leader knows before it speaks.

use std::time::Duration;

use http::Request;
use http::uri::PathAndQuery;
use kakehi::model::Kind;
use kakehi::store::Event;
use kakehi::store::cluster::Cluster;
use kube::Client;
use kube::client::{Body, ClientBuilder};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tower::util::MapRequestLayer;

use crate::rig::{PATIENCE, apply};
use crate::server::{discard, namespace, shared};

/// Every watch is one that says nothing.
fn silent(mut request: Request<Body>) -> Request<Body> {
    let query = request.uri().query().unwrap_or_default();
    if query.contains("watch=true") {
        let others = query.split('&').filter(|pair| !pair.starts_with("fieldSelector="));
        let query = others.chain(["fieldSelector=metadata.name%3Dnone"]).collect::<Vec<_>>().join("&");
        let path = format!("{}?{query}", request.uri().path());
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(path).unwrap());
        *request.uri_mut() = parts.try_into().unwrap();
    }
    request
}

/// Whether an event tells of the ConfigMap.
fn tells(event: &Event, space: &str) -> bool {
    let Event::Changes(changes) = event else { return false };
    changes.iter().any(|change| change.id.kind == Kind::ConfigMap && change.id.namespace == space && change.id.name == "late")
}

#[tokio::test]
async fn freshness_does_not_rest_on_what_watches_say() {
    let config = shared().await;
    let client = Client::try_from(config.clone()).unwrap();
    let space = namespace(&client, "fresh").await;
    let deaf = ClientBuilder::try_from(config).unwrap().with_layer(&MapRequestLayer::new(silent)).build();
    let cluster = Cluster::new(deaf);
    let freshness = cluster.freshness();
    let (events, mut received) = mpsc::channel(1024);
    tokio::spawn(cluster.watch(events));
    let mut next = async || timeout(PATIENCE, received.recv()).await.expect("an event").expect("it watches");
    while !matches!(next().await, Event::Synced) {}
    apply(&client, "ConfigMap", &space, "late", json!({})).await;
    let quiet = timeout(Duration::from_secs(1), async { while !tells(&next().await, &space) {} }).await;
    assert!(quiet.is_err(), "a silent watch has spoken");
    freshness.send_replace(true);
    let mut told = false;
    loop {
        match next().await {
            Event::Fresh => break,
            event => told |= tells(&event, &space),
        }
    }
    assert!(told, "fresh without what was there");
    discard(&client, &space).await;
}
