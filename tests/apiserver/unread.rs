//! What is never read is not kept.

use kakehi::api::Secret;
use kakehi::store::Event;
use kakehi::store::cluster::Cluster;
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::rig::PATIENCE;
use crate::server::{discard, namespace, shared};

const HELM: &str = "helm.sh/release.v1";

#[tokio::test]
async fn helm_releases_and_managed_fields_are_not_kept() {
    let client = Client::try_from(shared().await).unwrap();
    let space = namespace(&client, "unkept").await;
    let secrets: Api<k8s_openapi::api::core::v1::Secret> = Api::namespaced(client.clone(), &space);
    let create = async |name: &str, kind: &str| {
        let annotations = json!({"kubectl.kubernetes.io/last-applied-configuration": "{}", "kept": "yes"});
        let metadata = json!({"name": name, "annotations": annotations});
        let secret = serde_json::from_value(json!({"metadata": metadata, "type": kind, "stringData": {"release": "much"}}));
        let made = secrets.create(&PostParams::default(), &secret.unwrap()).await.unwrap();
        assert!(made.metadata.managed_fields.is_some_and(|fields| !fields.is_empty()));
    };
    create("sh.helm.release.v1.listed.v1", HELM).await;
    create("listed", "Opaque").await;
    let cluster = Cluster::new(client.clone());
    let store = cluster.store::<Secret>().unwrap();
    let (events, mut received) = mpsc::channel(1024);
    tokio::spawn(cluster.watch(events));
    let mut next = async || timeout(PATIENCE, received.recv()).await.expect("an event").expect("it watches");
    let mut objects = 0;
    let mut check = |event: &Event| {
        let Event::Changes(changes) = event else { return false };
        for object in changes.iter().filter_map(|change| change.new.as_ref()) {
            objects += 1;
            let metadata = object.metadata();
            assert_eq!(metadata.managed_fields, None, "{}", object.id());
            assert!(metadata.annotations.iter().flatten().all(|(name, _)| !name.contains("last-applied")), "{}", object.id());
        }
        changes.iter().any(|change| change.id.namespace == space && change.id.name == "watched")
    };
    loop {
        match next().await {
            Event::Synced => break,
            event => drop(check(&event)),
        }
    }
    create("sh.helm.release.v1.watched.v1", HELM).await;
    create("watched", "Opaque").await;
    while !check(&next().await) {}
    let mut held: Vec<_> =
        store.state().iter().filter(|secret| secret.namespace() == space).map(|secret| secret.name().to_owned()).collect();
    held.sort();
    assert_eq!(held, ["listed", "watched"]);
    assert!(store.state().iter().all(|secret| secret.metadata.managed_fields.is_none()));
    eprintln!("{objects} objects");
    discard(&client, &space).await;
}
