//! The pump on real watches: everything that happens is told once, whatever happens to the watch.

use std::collections::BTreeMap;
use std::time::Duration;

use kakehi::api::{ConfigMap, EndpointSlice, Namespace, Obj, Object, Service};
use kakehi::store::Event;
use kakehi::store::cluster::{Cluster, watching};
use kakehi::store::pump::Pumped;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::reflector::Store;
use kube::runtime::wait::{await_condition, conditions::is_deleted};
use kube::{Client, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::server::{discard, namespace, shared, unique};
use crate::wire::Wire;

/// The label that says which test an object belongs to.
const TEST: &str = "kakehi.test/test";
/// The annotation that says which state of the object it is.
const STATE: &str = "kakehi.test/state";

/// How long anything may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// Objects of one kind, which differ from state to state in their bodies too.
struct Objects {
    client: Client,
    /// Their namespace, unless they are namespaces.
    space: Option<String>,
    api: Api<DynamicObject>,
    body: fn(u16) -> Value,
    test: String,
}

impl Objects {
    fn object(&self, name: &str, state: u16) -> DynamicObject {
        let mut object = (self.body)(state);
        object["metadata"] = json!({
            "name": self.full(name), "labels": {TEST: self.test}, "annotations": {STATE: state.to_string()},
        });
        serde_json::from_value(object).unwrap()
    }

    fn full(&self, name: &str) -> String {
        format!("{}-{name}", self.test)
    }

    async fn create(&self, name: &str, state: u16) {
        self.api.create(&PostParams::default(), &self.object(name, state)).await.unwrap();
    }

    async fn edit(&self, name: &str, state: u16) {
        let patch = Patch::Merge(self.object(name, state));
        self.api.patch(&self.full(name), &PatchParams::default(), &patch).await.unwrap();
    }

    /// Deletes an object, and waits until it is gone.
    async fn delete(&self, name: &str) {
        let name = self.full(name);
        let uid = self.api.get(&name).await.unwrap().uid().unwrap();
        self.api.delete(&name, &DeleteParams::default()).await.unwrap();
        let gone = await_condition(self.api.clone(), &name, is_deleted(&uid));
        tokio::time::timeout(PATIENCE, gone).await.expect("the object goes away").unwrap();
    }

    async fn discard(&self) {
        match &self.space {
            Some(space) => discard(&self.client, space).await,
            None => {
                let all = self.api.list(&self.all()).await.unwrap();
                for object in all {
                    discard(&self.client, &object.name_any()).await;
                }
            }
        }
    }

    /// The objects of the test, of whatever namespace.
    fn all(&self) -> ListParams {
        ListParams::default().labels(&format!("{TEST}={}", self.test))
    }
}

/// What a pump tells.
struct Told<K: Pumped> {
    events: mpsc::Receiver<Event>,
    store: Store<Obj<K>>,
    /// What somebody holds who applies every change.
    held: BTreeMap<String, Object>,
    test: String,
}

impl<K: Pumped + DeserializeOwned> Told<K> {
    /// Pumps what the client sees of a test's objects.
    fn new(client: Client, test: &str) -> Self {
        let (sender, events) = mpsc::channel(100);
        let cluster = Cluster::watched(client, watching().labels(&format!("{TEST}={test}")));
        let store = cluster.store().unwrap();
        tokio::spawn(cluster.watch(sender));
        Self { events, store, held: BTreeMap::new(), test: format!("{test}-") }
    }

    /// The changes of the next event, as text. Each starts from what is held, and is a change.
    async fn next(&mut self) -> Vec<String> {
        let changes = loop {
            let event = tokio::time::timeout(PATIENCE, self.events.recv()).await.expect("news in time").expect("the pump runs");
            if let Event::Changes(changes) = event {
                break changes;
            }
        };
        let mut told = Vec::new();
        for change in changes {
            let name = change.id.name.strip_prefix(&self.test).unwrap_or(&change.id.name).to_owned();
            assert_eq!(self.held.get(&name), change.old.as_ref(), "{name} was held otherwise");
            let version = |object: &Object| object.metadata().resource_version.clone();
            assert_ne!(change.old.as_ref().map(version), change.new.as_ref().map(version), "{name} is told twice");
            let step = (state(change.old.as_ref()), state(change.new.as_ref()));
            if step.0 != step.1 {
                told.push(format!("{name} {}→{}", step.0, step.1));
            }
            match change.new {
                Some(object) => self.held.insert(name, object),
                None => self.held.remove(&name),
            };
        }
        told
    }

    /// The changes up to one, as the events that brought them. Those that leave the state as it is are the server's own:
    /// it writes into namespaces that are going away.
    async fn up_to(&mut self, last: &str) -> Vec<Vec<String>> {
        let mut all = Vec::new();
        while !all.iter().flatten().any(|told| told == last) {
            all.extend(Some(self.next().await).filter(|told| !told.is_empty()));
        }
        all
    }

    /// What is held is what the store holds and what the server holds.
    async fn check(&self, objects: &Objects) {
        let names = |objects: &mut dyn Iterator<Item = (String, Option<String>)>| objects.collect::<BTreeMap<_, _>>();
        let there = objects.api.list(&objects.all()).await.unwrap();
        let stored = self.store.state();
        let there = names(&mut there.iter().map(|object| (object.name_any(), object.resource_version())));
        assert_eq!(names(&mut stored.iter().map(|object| (object.name().to_owned(), object.resource_version()))), there);
        let held = self.held.values().map(Object::metadata);
        assert_eq!(names(&mut held.map(|object| (object.name.clone().unwrap(), object.resource_version.clone()))), there);
    }
}

/// `-` for none; with a cross when it is going away.
fn state(object: Option<&Object>) -> String {
    let Some(object) = object else { return "-".to_owned() };
    let going = if object.metadata().deletion_timestamp.is_some() { "†" } else { "" };
    format!("{}{going}", object.metadata().annotations.as_ref().and_then(|all| all.get(STATE)).unwrap())
}

/// How the deletion of an object in `state` is told. A namespace is first emptied.
fn deletion(kind: &Subject, name: &str, state: u16) -> Vec<String> {
    if kind.lingers {
        vec![format!("{name} {state}→{state}†"), format!("{name} {state}†→-")]
    } else {
        vec![format!("{name} {state}→-")]
    }
}

/// What the stories need to know of a kind.
struct Subject {
    /// The body of an object in a state.
    body: fn(u16) -> Value,
    namespaced: bool,
    /// Whether it is still there for a while after its deletion.
    lingers: bool,
}

async fn objects<K: Pumped>(client: &Client, kind: &Subject) -> Objects {
    let resource = ApiResource::erase::<K>(&());
    let space = if kind.namespaced { Some(namespace(client, "pump").await) } else { None };
    let api = match &space {
        Some(space) => Api::namespaced_with(client.clone(), space, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    Objects { client: client.clone(), space, api, body: kind.body, test: unique("pump") }
}

/// Objects are there, come, change and go; somebody writes what is there already.
async fn is_told<K: Pumped + DeserializeOwned>(kind: Subject) {
    let client = Client::try_from(shared().await).unwrap();
    let objects = objects::<K>(&client, &kind).await;
    objects.create("a", 1).await;
    objects.create("b", 1).await;
    let mut told = Told::<K>::new(client, &objects.test);
    assert_eq!(told.next().await, ["a -→1", "b -→1"]);
    objects.edit("a", 2).await;
    objects.edit("a", 2).await;
    objects.create("c", 1).await;
    objects.delete("b").await;
    objects.create("b", 3).await;
    objects.edit("c", 2).await;
    let mut expected = vec!["a 1→2".to_owned(), "c -→1".to_owned()];
    expected.extend(deletion(&kind, "b", 1));
    expected.extend(["b -→3".to_owned(), "c 1→2".to_owned()]);
    assert_eq!(told.up_to("c 1→2").await.concat(), expected);
    told.check(&objects).await;
    objects.discard().await;
}

/// While nothing is heard of the server, objects come, change, go, and go and come again.
async fn survives_a_cut<K: Pumped + DeserializeOwned>(kind: Subject, is_late: bool) {
    let config = shared().await;
    let (watching, wire) = Wire::new(config.clone()).await;
    let objects = objects::<K>(&Client::try_from(config).unwrap(), &kind).await;
    for name in ["edited", "gone", "kept", "replaced"] {
        objects.create(name, 1).await;
    }
    let mut told = Told::<K>::new(watching, &objects.test);
    assert_eq!(told.next().await.len(), 4);
    objects.edit("kept", 2).await;
    assert_eq!(told.up_to("kept 1→2").await, [["kept 1→2"]]);
    wire.cut();
    objects.edit("edited", 2).await;
    tokio::join!(objects.delete("gone"), objects.delete("replaced"));
    objects.create("replaced", 3).await;
    objects.create("new", 1).await;
    if is_late {
        wire.mend_too_late();
        assert_eq!(told.up_to("new -→1").await, [["edited 1→2", "gone 1→-", "new -→1", "replaced 1→3"]]);
    } else {
        wire.mend();
        let mut expected = vec!["edited 1→2".to_owned()];
        expected.extend(deletion(&kind, "gone", 1));
        expected.push("new -→1".to_owned());
        expected.extend(deletion(&kind, "replaced", 1));
        expected.push("replaced -→3".to_owned());
        let mut told = told.up_to("new -→1").await.concat();
        // What happened to one object comes in its order; the two deletions may end in any.
        told.sort_by_key(|told| told.split(' ').next().map(str::to_owned));
        assert_eq!(told, expected);
    }
    told.check(&objects).await;
    objects.discard().await;
}

macro_rules! stories {
    ($($kind:ident: $type:ty = $value:expr;)*) => { $(
        mod $kind {
            use super::*;

            #[tokio::test]
            async fn is_told() {
                super::is_told::<$type>($value).await;
            }

            #[tokio::test]
            async fn resumes_after_a_cut() {
                super::survives_a_cut::<$type>($value, false).await;
            }

            #[tokio::test]
            async fn is_listed_again_after_a_long_cut() {
                super::survives_a_cut::<$type>($value, true).await;
            }
        }
    )* };
}

stories! {
    service: Service = Subject {
        body: |state| json!({"spec": {"ports": [{"port": 80 + state}]}}),
        namespaced: true, lingers: false,
    };
    config_map: ConfigMap = Subject {
        body: |state| json!({"data": {"state": state.to_string()}}),
        namespaced: true, lingers: false,
    };
    endpoint_slice: EndpointSlice = Subject {
        body: |state| json!({"addressType": "IPv4", "endpoints": [{"addresses": [format!("198.51.100.{state}")]}], "ports": []}),
        namespaced: true, lingers: false,
    };
    namespace_: Namespace = Subject { body: |_| json!({}), namespaced: false, lingers: true };
}
