//! The directory against a real file system.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::mpsc;

use super::{Directory, Loaded, Settings};
use crate::api::Object;
use crate::model::{Kind, ObjectId};
use crate::store::{Event, Refusal, Severity};

/// A directory of manifests and a source that watches it.
pub(super) struct Watched {
    pub directory: TempDir,
    events: mpsc::Receiver<Event>,
}

/// A ConfigMap named `name` in namespace `demo` with one value.
pub(super) fn config_map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: demo}}\ndata: {{key: {value:?}}}\n")
}

pub(super) fn put(directory: &Path, file: &str, content: impl AsRef<[u8]>) {
    let path = directory.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

pub(super) fn load(directory: &Path) -> Loaded {
    Directory::open(Settings::new(directory)).unwrap().load().unwrap()
}

pub(super) fn ids(loaded: &Loaded) -> Vec<String> {
    loaded.objects.iter().map(|object| object.id().to_string()).collect()
}

/// What the key of a ConfigMap says.
pub(super) fn value(object: &Object) -> Option<String> {
    match object {
        Object::ConfigMap(map) => map.ok()?.data.as_ref()?.get("key").cloned(),
        _ => None,
    }
}

impl Watched {
    pub async fn new(files: &[(&str, String)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        files.iter().for_each(|(file, content)| put(directory.path(), file, content));
        let events = Self::watch(directory.path().to_owned());
        let mut watched = Self { directory, events };
        while !matches!(watched.event().await, Event::Synced) {}
        watched
    }

    fn watch(path: PathBuf) -> mpsc::Receiver<Event> {
        let (sender, events) = mpsc::channel(1000);
        tokio::spawn(async move { Directory::open(Settings::new(path)).unwrap().watch(sender).await.unwrap() });
        events
    }

    pub fn put(&self, file: &str, content: impl AsRef<[u8]>) {
        put(self.directory.path(), file, content);
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    pub async fn event(&mut self) -> Event {
        tokio::time::timeout(Duration::from_secs(10), self.events.recv()).await.expect("an event in time").expect("the source runs")
    }

    /// The next changes, as text: object, then value before and after. Refusals on the way are left out.
    pub async fn changes(&mut self) -> Vec<String> {
        loop {
            if let Event::Changes(changes) = self.event().await {
                let side = |object: &Option<Object>| match object {
                    Some(object) => value(object).unwrap_or_else(|| "there".to_owned()),
                    None => "none".to_owned(),
                };
                return changes.iter().map(|change| format!("{} {} {}", change.id, side(&change.old), side(&change.new))).collect();
            }
        }
    }

    /// The next refusals. Changes on the way fail the test.
    pub async fn refusals(&mut self) -> (String, Vec<Refusal>) {
        match self.event().await {
            Event::Refusals { file, refusals } => (file, refusals),
            event => panic!("{event:?}"),
        }
    }

    /// Nothing else comes: a file written now is the next thing heard of.
    pub async fn quiet(&mut self) {
        self.put("zz-quiet.yaml", config_map("quiet", "yes"));
        assert_eq!(self.changes().await, ["ConfigMap/demo/quiet none yes"]);
        fs::remove_file(self.path("zz-quiet.yaml")).unwrap();
        assert_eq!(self.changes().await, ["ConfigMap/demo/quiet yes none"]);
    }
}

#[test]
fn manifests_are_read_recursively_and_namespaces_implied() {
    let directory = tempfile::tempdir().unwrap();
    put(directory.path(), "b/c/routes.yml", format!("{}---\n{}", config_map("one", "1"), config_map("two", "2")));
    put(directory.path(), "a.json", r#"{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "default"}}"#);
    put(directory.path(), ".hidden/x.yaml", config_map("hidden", "1"));
    put(directory.path(), ".x.yaml", config_map("hidden", "1"));
    put(directory.path(), "x.yaml~", config_map("hidden", "1"));
    let loaded = load(directory.path());
    assert_eq!(ids(&loaded), ["Namespace/default", "Namespace/demo", "Secret/default/s", "ConfigMap/demo/one", "ConfigMap/demo/two"]);
    assert_eq!(loaded.refusals, []);
    let labels = loaded.objects[1].metadata().labels.clone().unwrap();
    assert_eq!(labels["kubernetes.io/metadata.name"], "demo");
}

#[test]
fn a_file_over_the_limit_is_refused_unread() {
    let directory = tempfile::tempdir().unwrap();
    put(directory.path(), "big.yaml", format!("# {}\n{}", "x".repeat(10 << 20), config_map("big", "1")));
    put(directory.path(), "small.yaml", config_map("small", "1"));
    let loaded = load(directory.path());
    assert_eq!(ids(&loaded), ["Namespace/demo", "ConfigMap/demo/small"]);
    let [refusal] = loaded.refusals.as_slice() else { panic!("{:?}", loaded.refusals) };
    assert_eq!((refusal.file.as_str(), refusal.severity, refusal.object.as_ref()), ("big.yaml", Severity::Error, None));
    assert!(refusal.message.contains("too large"), "{refusal}");
}

#[tokio::test]
async fn an_edit_a_deletion_and_a_rename_are_each_one_step() {
    let mut watched = Watched::new(&[("a.yaml", config_map("one", "1"))]).await;
    watched.put("a.yaml", format!("{}---\n{}", config_map("one", "2"), config_map("two", "2")));
    assert_eq!(watched.changes().await, ["ConfigMap/demo/one 1 2", "ConfigMap/demo/two none 2"]);
    watched.put(".new", config_map("one", "3"));
    fs::rename(watched.path(".new"), watched.path("a.yaml")).unwrap();
    assert_eq!(watched.changes().await, ["ConfigMap/demo/one 2 3", "ConfigMap/demo/two 2 none"]);
    fs::remove_file(watched.path("a.yaml")).unwrap();
    assert_eq!(watched.changes().await, ["Namespace/demo there none", "ConfigMap/demo/one 3 none"]);
}

#[tokio::test]
async fn new_directories_are_watched() {
    let mut watched = Watched::new(&[("a.yaml", config_map("one", "1"))]).await;
    watched.put("x/y/b.yaml", config_map("two", "2"));
    assert_eq!(watched.changes().await, ["ConfigMap/demo/two none 2"]);
    watched.put("x/y/b.yaml", config_map("two", "3"));
    assert_eq!(watched.changes().await, ["ConfigMap/demo/two 2 3"]);
    fs::rename(watched.path("x"), watched.path("w")).unwrap();
    // In one step: a file that is found half written waits for its writer.
    watched.put("w/y/.new", config_map("two", "4"));
    fs::rename(watched.path("w/y/.new"), watched.path("w/y/b.yaml")).unwrap();
    assert_eq!(watched.changes().await, ["ConfigMap/demo/two 3 4"]);
    fs::remove_dir_all(watched.path("w")).unwrap();
    assert_eq!(watched.changes().await, ["ConfigMap/demo/two 4 none"]);
}

#[tokio::test]
async fn a_broken_file_keeps_what_it_said_last() {
    let good = format!("{}---\n{}", config_map("one", "1"), config_map("two", "1"));
    let mut watched = Watched::new(&[("a.yaml", good.clone()), ("b.yaml", config_map("three", "1"))]).await;
    watched.put("a.yaml", "data: [");
    let (file, refusals) = watched.refusals().await;
    assert_eq!((file.as_str(), refusals.len(), refusals[0].line), ("a.yaml", 1, 1));
    watched.quiet().await;
    watched.put("a.yaml", good);
    assert_eq!(watched.refusals().await, ("a.yaml".to_owned(), vec![]));
    watched.quiet().await;
}

#[test]
fn the_first_file_by_path_defines_an_object() {
    let directory = tempfile::tempdir().unwrap();
    put(directory.path(), "b.yaml", config_map("one", "b"));
    put(directory.path(), "a.yaml", config_map("one", "a"));
    let loaded = load(directory.path());
    assert_eq!(value(&loaded.objects[1]).unwrap(), "a");
    let [refusal] = loaded.refusals.as_slice() else { panic!("{:?}", loaded.refusals) };
    assert_eq!(refusal.to_string(), "b.yaml:1: ConfigMap/demo/one: already exists: a.yaml defines it, and the first file by path counts");
    assert_eq!(refusal.object, Some(ObjectId::new(Kind::ConfigMap, "demo", "one")));
}

/// A definition of GatewayClass in which a description is required and 3 characters long at most.
const DEFINITION: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gatewayclasses.gateway.networking.k8s.io}
spec:
  group: gateway.networking.k8s.io
  names: {kind: GatewayClass, plural: gatewayclasses}
  scope: Cluster
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [controllerName]
            properties:
              controllerName: {type: string}
              description: {type: string, maxLength: 3, default: abc}
            x-kubernetes-validations: [{rule: "self.description != 'no'", message: no is no answer}]
"#;

fn class(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {{name: {name}}}\nspec: {{controllerName: a.b/c, {spec}}}\n"
    )
}

fn texts(refusals: &[Refusal]) -> Vec<String> {
    refusals.iter().map(ToString::to_string).collect()
}

#[test]
fn definitions_apply_in_place_of_our_checks() {
    let directory = tempfile::tempdir().unwrap();
    put(directory.path(), "crds/class.yaml", DEFINITION);
    let manifests = [class("a", "description: long"), class("b", ""), class("c", "description: 'no'"), class("d", "odd: 1")];
    put(directory.path(), "manifests/classes.yaml", manifests.join("---\n"));
    let settings = Settings { crds: Some(directory.path().join("crds")), ..Settings::new(directory.path().join("manifests")) };
    let loaded = Directory::open(settings.clone()).unwrap().load().unwrap();
    assert_eq!(ids(&loaded), ["GatewayClass/b"]);
    let Object::GatewayClass(class) = &loaded.objects[0] else { panic!("{:?}", loaded.objects) };
    assert_eq!(class.ok().unwrap().spec.description.as_deref(), Some("abc"));
    let refusals = texts(&loaded.refusals);
    assert!(refusals[0].starts_with("classes.yaml:4: GatewayClass/a: spec.description: Invalid value: "), "{refusals:?}");
    assert_eq!(refusals[1], "classes.yaml:14: GatewayClass/c: spec: Invalid value: no is no answer");
    assert_eq!(refusals[2], "classes.yaml:19: GatewayClass/d: spec.odd: unknown field");
    put(directory.path(), "crds/class.yaml", DEFINITION.replace("served: true", "served: false"));
    assert!(Directory::open(settings).unwrap().load().unwrap_err().to_string().contains("class.yaml: spec.versions: Required value"));
}

#[tokio::test]
async fn a_definition_among_the_manifests_applies_from_when_it_comes_until_it_goes() {
    let mut watched = Watched::new(&[("b.yaml", class("a", "description: long")), ("n.yaml", config_map("one", "1"))]).await;
    watched.put("a.yaml", DEFINITION);
    let (file, refusals) = watched.refusals().await;
    assert!(file == "b.yaml" && refusals[0].message.starts_with("spec.description: "), "{refusals:?}");
    watched.put("c.yaml", class("c", ""));
    assert_eq!(watched.changes().await, ["GatewayClass/c none there"]);
    watched.put("a.yaml", DEFINITION.replace("served: true", "served: false"));
    let (file, refusals) = watched.refusals().await;
    assert_eq!((file.as_str(), refusals[0].message.as_str()), ("a.yaml", "spec.versions: Required value: no version is served"));
    watched.put("b.yaml", class("a", "description: other"));
    watched.quiet().await;
    fs::remove_file(watched.path("a.yaml")).unwrap();
    let changes = watched.changes().await;
    assert_eq!(changes, ["GatewayClass/a there there", "GatewayClass/c there there"], "c has lost its default");
}

#[tokio::test]
async fn stores_hold_what_changes_say() {
    let directory = tempfile::tempdir().unwrap();
    put(directory.path(), "a.yaml", config_map("one", "1"));
    let source = Directory::open(Settings::new(directory.path())).unwrap();
    let store = source.store::<crate::api::ConfigMap>().unwrap();
    let (sender, mut events) = mpsc::channel(1);
    let watching = tokio::spawn(source.watch(sender));
    assert!(matches!(events.recv().await, Some(Event::Changes(changes)) if changes.len() == 2));
    assert_eq!(store.state().len(), 1);
    store.wait_until_ready().await.unwrap();
    assert!(matches!(events.recv().await, Some(Event::Synced)));
    drop(events);
    tokio::time::timeout(Duration::from_secs(10), watching).await.expect("it ends with its receiver").unwrap().unwrap();
}
