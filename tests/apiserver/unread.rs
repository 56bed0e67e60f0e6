//! What is never read is not kept.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kakehi::model::{Kind, ObjectId};
use kakehi::store::Event;
use kakehi::store::cluster::Cluster;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::rig::PATIENCE;
use crate::server::{discard, namespace, shared};

const HELM: &str = "helm.sh/release.v1";
/// What nobody has any business with.
const CANARY: &str = "Y2FuYXJ5LWNhbmFyeQ==";

#[tokio::test]
async fn managed_fields_and_last_applied_texts_are_not_kept() {
    let client = Client::try_from(shared().await).unwrap();
    let space = namespace(&client, "unkept").await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &space);
    let annotations = json!({"kubectl.kubernetes.io/last-applied-configuration": "{}", "kept": "yes"});
    let map = serde_json::from_value(json!({"metadata": {"name": "listed", "annotations": annotations}, "data": {"a": "b"}}));
    let made = maps.create(&PostParams::default(), &map.unwrap()).await.unwrap();
    assert!(made.metadata.managed_fields.is_some_and(|fields| !fields.is_empty()));
    let cluster = Cluster::new(client.clone());
    let (events, mut received) = mpsc::channel(1024);
    tokio::spawn(cluster.watch(events));
    let mut found = false;
    loop {
        let event = timeout(PATIENCE, received.recv()).await.expect("an event").expect("it watches");
        let changes = match event {
            Event::Synced => break,
            Event::Changes(changes) => changes,
            _ => continue,
        };
        for object in changes.iter().filter_map(|change| change.new.as_ref()) {
            let metadata = object.metadata();
            assert_eq!(metadata.managed_fields, None, "{}", object.id());
            assert!(metadata.annotations.iter().flatten().all(|(name, _)| !name.contains("last-applied")), "{}", object.id());
            found |= object.id() == ObjectId::new(Kind::ConfigMap, &space, "listed");
        }
    }
    assert!(found);
    discard(&client, &space).await;
}

/// What a source has told of Secrets of a namespace so far.
struct Told {
    events: mpsc::Receiver<Event>,
    space: String,
    /// By name: nothing, or the data.
    held: Vec<(String, Option<Value>)>,
}

impl Told {
    /// Up to the answer to wishes.
    async fn until(&mut self, wishes: u64) -> Vec<(String, Option<Value>)> {
        self.up_to(|event| matches!(event, Event::Secrets(answered) if *answered >= wishes)).await
    }

    async fn up_to(&mut self, is_last: impl Fn(&Event) -> bool) -> Vec<(String, Option<Value>)> {
        loop {
            let event = timeout(PATIENCE, self.events.recv()).await.expect("an event").expect("it watches");
            if let Event::Changes(changes) = &event {
                let ours = changes.iter().filter(|change| change.id.kind == Kind::Secret);
                for change in ours.inspect(|change| assert_eq!(change.id.namespace, self.space, "nobody wants {}", change.id)) {
                    let text = change.new.as_ref().map(|object| object.to_value().unwrap());
                    assert!(text.as_ref().is_none_or(|text| !text.to_string().contains(CANARY)), "{}", change.id);
                    self.held.push((change.id.name.clone(), text.map(|object| object["data"].clone())));
                }
            }
            if is_last(&event) {
                return std::mem::take(&mut self.held);
            }
        }
    }
}

#[tokio::test]
async fn of_secrets_only_those_that_are_named_are_read_and_only_what_is_used() {
    let client = Client::try_from(shared().await).unwrap();
    let space = namespace(&client, "secrets").await;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &space);
    let write = async |name: &str, kind: &str, certificate: &str| {
        let applied = json!({"kubectl.kubernetes.io/last-applied-configuration": format!("{{\"data\": {{\"password\": \"{CANARY}\"}}}}")});
        let data = json!({"tls.crt": certificate, "tls.key": "aw==", "password": CANARY});
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": kind, "data": data, "metadata": {"name": name, "annotations": applied},
        });
        secrets.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(secret)).await.unwrap();
    };
    write("named", "Opaque", "MQ==").await;
    write("unnamed", "Opaque", "MQ==").await;
    write("sh.helm.release.v1.x.v1", HELM, "MQ==").await;
    let cluster = Cluster::new(client.clone());
    let wants = cluster.wants();
    let (events, received) = mpsc::channel(1024);
    tokio::spawn(cluster.watch(events));
    let mut told = Told { events: received, space: space.clone(), held: Vec::new() };
    assert_eq!(told.up_to(|event| matches!(event, Event::Synced)).await, []);

    let ids = |names: &[&str]| names.iter().map(|name| ObjectId::new(Kind::Secret, &space, *name)).collect();
    let data = |certificate: &str| Some(json!({"tls.crt": certificate, "tls.key": "aw=="}));
    let wishes = wants.want(&ids(&["named", "absent", "sh.helm.release.v1.x.v1"])).unwrap();
    assert_eq!(told.until(wishes).await, [("named".to_owned(), data("MQ=="))]);
    write("unnamed", "Opaque", "Mg==").await;
    write("named", "Opaque", "Mg==").await;
    let is_two = |event: &Event| matches!(event, Event::Changes(changes) if changes.iter().any(|change| change.id.name == "named"));
    assert_eq!(told.up_to(is_two).await, [("named".to_owned(), data("Mg=="))]);
    // What is named and made later.
    write("absent", "Opaque", "Mw==").await;
    let is_absent = |event: &Event| matches!(event, Event::Changes(changes) if changes.iter().any(|change| change.id.name == "absent"));
    assert_eq!(told.up_to(is_absent).await, [("absent".to_owned(), data("Mw=="))]);
    // What is not named any more is let go, what is gone is gone.
    assert_eq!(wants.want(&ids(&["absent"])), None);
    let is_named = |event: &Event| matches!(event, Event::Changes(changes) if changes.iter().any(|change| change.id.name == "named"));
    assert_eq!(told.up_to(is_named).await, [("named".to_owned(), None)]);
    secrets.delete("absent", &DeleteParams::default()).await.unwrap();
    assert_eq!(told.up_to(is_absent).await, [("absent".to_owned(), None)]);
    discard(&client, &space).await;
}
