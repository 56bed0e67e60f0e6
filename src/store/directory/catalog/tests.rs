//! Files put and removed, without a file system.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use kube::runtime::watcher;
use proptest::prelude::*;

use super::Catalog;
use crate::api::Object;
use crate::store::Refusal;
use crate::store::directory::definitions::Definitions;
use crate::store::directory::judge::Judge;
use crate::store::directory::tests::config_map;

const EMPTY: &str = "./: holds no manifest: files *.yaml, *.yml and *.json are read, also of directories below";

#[derive(Default)]
struct Files {
    catalog: Catalog,
    definitions: Definitions,
}

/// What a step did: `kind/namespace/name generation` applied, `-kind/namespace/name` deleted; then files with their refusals.
type Said = (Vec<String>, Vec<String>);

impl Files {
    fn put(&mut self, file: &str, text: &str) {
        let judge = Judge { definitions: &self.definitions, catalog: &self.catalog, validator: OnceCell::new() };
        let reading = judge.file(file, &Ok(text.to_owned()));
        self.catalog.put(file, reading);
    }

    fn settle(&mut self) -> Said {
        let outcome = self.catalog.settle();
        let event = |event: &watcher::Event<Object>| match event {
            watcher::Event::Apply(object) => format!("{} {}", object.id(), object.metadata().generation.unwrap()),
            watcher::Event::Delete(object) => format!("-{}", object.id()),
            _ => panic!("a settled change is applied or deleted"),
        };
        let events = outcome.events.iter().map(event).filter(|event| !event.contains("Namespace/")).collect();
        let refusals = outcome.refusals.into_iter().flat_map(|(file, refusals)| {
            if refusals.is_empty() { vec![format!("{file}: fine")] } else { refusals.iter().map(Refusal::to_string).collect() }
        });
        (events, refusals.collect())
    }

    fn step(&mut self, file: &str, text: &str) -> Said {
        self.put(file, text);
        self.settle()
    }

    fn remove(&mut self, file: &str) -> Said {
        self.catalog.remove(file);
        self.settle()
    }

    fn ids(&self) -> Vec<String> {
        self.catalog.objects().iter().map(|object| object.id().to_string()).collect()
    }

    fn object(&self, id: &str) -> Object {
        self.catalog.objects().into_iter().find(|object| object.id().to_string() == id).unwrap()
    }
}

fn route(name: &str, more: &str) -> String {
    format!("apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: demo{more}}}\nspec: {{}}\n")
}

fn said(events: &[&str], refusals: &[&str]) -> Said {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    (texts(events), texts(refusals))
}

#[test]
fn the_second_file_takes_over_when_the_first_goes() {
    let mut files = Files::default();
    files.step("b.yaml", &config_map("x", "b"));
    let both = said(
        &["ConfigMap/demo/x 2"],
        &["b.yaml:1: ConfigMap/demo/x: already exists: a.yaml defines it, and the first file by path counts"],
    );
    assert_eq!(files.step("a.yaml", &config_map("x", "a")), both);
    assert_eq!(files.remove("a.yaml"), said(&["ConfigMap/demo/x 3"], &["b.yaml: fine"]));
    assert_eq!(files.remove("b.yaml"), said(&["-ConfigMap/demo/x"], &[EMPTY]));
}

#[test]
fn within_a_file_the_first_document_counts() {
    let mut files = Files::default();
    let (events, refusals) = files.step("a.yaml", &format!("{}---\n{}", config_map("x", "1"), config_map("x", "2")));
    assert_eq!(events, ["ConfigMap/demo/x 1"]);
    assert!(refusals[0].starts_with("a.yaml:6: ConfigMap/demo/x: already exists: a.yaml defines it"), "{refusals:?}");
}

#[test]
fn each_object_of_a_file_stands_alone() {
    let mut files = Files::default();
    files.step("a.yaml", &format!("{}---\n{}", config_map("x", "1"), config_map("w", "1")));
    let wrong = config_map("x", "2").replace("key:", "a/b:");
    let (events, refusals) = files.step("a.yaml", &format!("{wrong}---\n{}", config_map("w", "2")));
    assert_eq!(events, ["ConfigMap/demo/w 2"]);
    assert!(refusals.len() == 1 && refusals[0].starts_with("a.yaml:4: ConfigMap/demo/x: data: Invalid value: \"a/b\""), "{refusals:?}");
    assert_eq!(files.ids(), ["Namespace/demo", "ConfigMap/demo/w", "ConfigMap/demo/x"], "x is what it was");
    assert_eq!(files.step("a.yaml", &config_map("w", "2")), said(&["-ConfigMap/demo/x"], &["a.yaml: fine"]), "x was taken out");
}

#[test]
fn nothing_is_deleted_while_a_document_does_not_say_what_it_is() {
    let mut files = Files::default();
    files.step("a.yaml", &format!("{}---\n{}", config_map("x", "1"), config_map("w", "1")));
    for broken in ["{", "apiVersion: v1\nkind: ConfigMap\nmetadata: {}", "kind: ConfigMap", "- a", "text"] {
        let (events, _) = files.step("a.yaml", &format!("{}---\n{broken}\n", config_map("w", "1")));
        assert_eq!((events, files.catalog.all_refusals().len()), (vec![], 1), "{broken}");
        assert_eq!(files.ids().len(), 3, "{broken}");
    }
    assert_eq!(files.step("a.yaml", ""), said(&["-ConfigMap/demo/w", "-ConfigMap/demo/x"], &[EMPTY, "a.yaml: fine"]));
}

#[test]
fn generations_count_changes_of_what_is_wanted() {
    let mut files = Files::default();
    let text = config_map("x", "1");
    assert_eq!(files.step("a.yaml", &text).0, ["ConfigMap/demo/x 1"]);
    assert_eq!(files.step("a.yaml", &format!("# a comment\n{text}")).0, [""; 0]);
    assert_eq!(files.step("a.yaml", &text.replace("name: x", "name: x, labels: {a: b}")).0, ["ConfigMap/demo/x 1"]);
    assert_eq!(files.step("a.yaml", &format!("{text}status: {{a: b}}")).0, ["ConfigMap/demo/x 1"], "the labels are gone again");
    assert_eq!(files.step("b.yaml", &text).0, [""; 0], "the same in another file");
    assert_eq!(files.step("a.yaml", &config_map("x", "2")).0, ["ConfigMap/demo/x 2"]);
    let metadata = files.object("ConfigMap/demo/x").metadata().clone();
    assert_eq!(metadata.uid.unwrap().len(), 36);
    assert!(metadata.creation_timestamp.is_none() && metadata.resource_version.is_some());
}

#[test]
fn namespaces_exist_while_they_are_used_or_defined() {
    let mut files = Files::default();
    files.step("a.yaml", &config_map("x", "1"));
    assert_eq!(files.ids(), ["Namespace/demo", "ConfigMap/demo/x"]);
    files.step("n.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: demo, labels: {team: a}}");
    let labels = files.object("Namespace/demo").metadata().labels.clone().unwrap();
    assert_eq!((labels["team"].as_str(), labels["kubernetes.io/metadata.name"].as_str()), ("a", "demo"));
    files.remove("a.yaml");
    assert_eq!(files.ids(), ["Namespace/demo"]);
    files.step("a.yaml", &config_map("x", "1"));
    files.remove("n.yaml");
    assert_eq!(files.object("Namespace/demo").metadata().labels.clone().unwrap().len(), 1);
    files.remove("a.yaml");
    assert_eq!(files.ids(), [""; 0]);
}

#[test]
fn kinds_that_are_not_read_are_told_once() {
    let mut files = Files::default();
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}";
    let told = |file: &str| format!("{file}:1: v1 Pod is no kind that Kakehi reads; objects of it are left alone");
    assert_eq!(files.step("b.yaml", pod).1, [told("b.yaml")]);
    assert_eq!(files.step("c.yaml", pod).1, [""; 0]);
    assert_eq!(files.step("a.yaml", pod).1, [told("a.yaml"), "b.yaml: fine".to_owned()]);
    assert_eq!(files.remove("a.yaml").1, ["a.yaml: fine".to_owned(), told("b.yaml")]);
    assert_eq!(
        files.step("d.yaml", &pod.replace("v1", "gateway.networking.k8s.io/v1alpha1").replace("Pod", "HTTPRoute")).1,
        ["d.yaml:1: no matches for kind \"HTTPRoute\" in version \"gateway.networking.k8s.io/v1alpha1\"; versions read: v1, v1beta1"]
    );
}

#[test]
fn unknown_fields_are_refused_where_they_stand() {
    let mut files = Files::default();
    let (events, refusals) = files.step("a.yaml", &route("x", "").replace("spec: {}", "spec: {rules: [{odd: 1, name: r}], hostname: a}"));
    assert_eq!(events, [""; 0]);
    assert_eq!(
        refusals,
        [
            "a.yaml:4: HTTPRoute/demo/x: spec.hostname: unknown field; did you mean \"hostnames\"?",
            "a.yaml:4: HTTPRoute/demo/x: spec.rules[0].odd: unknown field"
        ]
    );
    let (_, refusals) = files.step("b.yaml", &config_map("w", "1").replace("name: w", "name: w, lables: {a: b}"));
    assert_eq!(refusals, ["b.yaml:3: ConfigMap/demo/w: metadata.lables: unknown field; did you mean \"labels\"?"]);
}

#[test]
fn only_what_stays_in_force_is_said_to_stay() {
    let mut files = Files::default();
    let broken = format!("{}---\na: [\n", config_map("x", "1"));
    let (_, refusals) = files.step("a.yaml", &broken);
    assert!(
        refusals.len() == 1 && refusals[0].starts_with("a.yaml:6: error parsing YAML") && !refusals[0].contains("stay"),
        "{refusals:?}"
    );
    let (_, refusals) = files.step("a.yaml", &format!("{}---\na: [\n", config_map("w", "1")));
    assert!(refusals[0].ends_with("(objects that the file defined before stay in force)"), "{refusals:?}");
}

#[test]
fn a_namespace_that_is_not_named_is_told_once_a_file() {
    let mut files = Files::default();
    let text = |name: &str| config_map(name, "1").replace(", namespace: demo", "");
    let (_, refusals) = files.step("a.yaml", &format!("{}---\n{}---\n{}", text("x"), text("w"), config_map("z", "1")));
    let told = "a.yaml:1: ConfigMap/default/x: metadata.namespace: not set, so the namespace \"default\" is assumed; the same holds for another object of this file";
    assert_eq!(refusals, [told]);
}

#[test]
fn what_may_not_change_does_not() {
    let mut files = Files::default();
    let secret = |kind: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: x, namespace: demo}}\ntype: {kind}");
    files.step("b.yaml", &secret("one"));
    let (events, refusals) = files.step("b.yaml", &secret("two"));
    assert_eq!(
        (events.len(), refusals.as_slice()),
        (
            0,
            ["b.yaml:4: Secret/demo/x: type: Invalid value: field is immutable; give the Secret another name \
         (refused; the version before stays in force)"
                .to_owned()]
            .as_slice()
        )
    );
    let (events, _) = files.step("a.yaml", &secret("three"));
    assert_eq!(events, ["Secret/demo/x 2"], "another file is another object");
}

fn file(files: &Files, name: &str) -> Option<String> {
    files.object(&format!("HTTPRoute/demo/{name}")).metadata().self_link.clone()
}

#[test]
fn age_is_the_time_of_creation_else_the_path_of_the_file() {
    let mut files = Files::default();
    let dated = route("dated", ", creationTimestamp: \"2024-01-02T03:04:05Z\", selfLink: 0.yaml");
    assert_eq!(files.step("a.yaml", &dated).0, ["HTTPRoute/demo/dated 1"]);
    assert_eq!(files.step("c.yaml", &route("c", ", selfLink: 0.yaml")).0, ["HTTPRoute/demo/c 1"]);
    assert_eq!((file(&files, "dated"), file(&files, "c").as_deref()), (None, Some("c.yaml")), "a manifest cannot say where it is");
    assert_eq!(files.step("d.yaml", &config_map("x", "1")).0, ["ConfigMap/demo/x 1"]);
    assert_eq!(files.object("ConfigMap/demo/x").metadata().self_link, None, "no age is asked of a ConfigMap");
    files.step("b.yaml", &route("c", ""));
    assert_eq!(file(&files, "c").as_deref(), Some("b.yaml"), "the file that counts");
}

/// By labels in the order of the paths, some new files changed the age of hundreds of objects.
#[test]
fn a_new_file_changes_nothing_of_other_files() {
    let mut files = Files::default();
    (0..400).for_each(|index| drop(files.step(&format!("routes/{index:03}.yaml"), &route(&format!("r{index}"), ""))));
    for index in 0..100 {
        let (name, path) = (format!("n{index}"), format!("n{index}.yaml"));
        assert_eq!(files.step(&path, &route(&name, "")).0, [format!("HTTPRoute/demo/{name} 1")]);
    }
    for index in (0..100).step_by(7) {
        assert_eq!(files.remove(&format!("n{index}.yaml")).0, [format!("-HTTPRoute/demo/n{index}")]);
    }
}

/// A file's text: some objects, good and bad, some of them in several files.
fn text() -> impl Strategy<Value = String> {
    let object = ("[uvx]", prop_oneof!["1", "2"]).prop_map(|(name, value)| config_map(&name, &value));
    let bad = "[uvx]".prop_map(|name| config_map(&name, "1").replace("key:", "a/b:"));
    let document = prop_oneof![5 => object, 2 => "[uvx]".prop_map(|name| route(&name, "")), 1 => bad, 1 => Just("kind: Pod\napiVersion: v1\n".to_owned())];
    prop::collection::vec(document, 0..4).prop_map(|documents| documents.join("---\n"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]

    /// Whatever happened before: once every file is readable, what counts is what the files say now.
    #[test]
    fn history_leaves_no_trace(steps in prop::collection::vec((prop::sample::select(vec!["a.yaml", "b.yaml", "c/d.yaml"]), prop::option::of(text()), any::<bool>()), 1..25)) {
        let mut files = Files::default();
        let mut texts: BTreeMap<&str, String> = BTreeMap::new();
        let mut told: BTreeMap<String, Object> = BTreeMap::new();
        for (file, text, settle) in steps {
            match text {
                Some(text) => { files.put(file, &text); texts.insert(file, text) }
                None => { files.catalog.remove(file); texts.remove(file) }
            };
            if settle {
                follow(&mut told, files.catalog.settle().events);
            }
        }
        // A refused write keeps what was there; with the bad documents gone, nothing is kept.
        for (file, text) in &mut texts {
            *text = text.split("---\n").filter(|document| !document.contains("a/b:")).collect::<Vec<_>>().join("---\n");
            files.put(file, text);
        }
        follow(&mut told, files.catalog.settle().events);
        let mut fresh = Files::default();
        texts.iter().rev().for_each(|(file, text)| fresh.put(file, text));
        fresh.catalog.settle();
        let plain = |objects: Vec<Object>| -> Vec<Object> { objects.into_iter().map(without_history).collect() };
        prop_assert_eq!(plain(files.catalog.objects()), plain(fresh.catalog.objects()));
        prop_assert_eq!(files.catalog.all_refusals(), fresh.catalog.all_refusals());
        let told: Vec<Object> = told.into_values().collect();
        let mut objects = files.catalog.objects();
        objects.sort_by_key(|object| object.id().to_string());
        prop_assert_eq!(told, objects);
    }
}

fn follow(told: &mut BTreeMap<String, Object>, events: Vec<watcher::Event<Object>>) {
    for event in events {
        match event {
            watcher::Event::Apply(object) => drop(told.insert(object.id().to_string(), object)),
            watcher::Event::Delete(object) => drop(told.remove(&object.id().to_string())),
            _ => panic!("a settled change is applied or deleted"),
        }
    }
}

fn without_history(object: Object) -> Object {
    object.with_metadata(|metadata| (metadata.generation, metadata.resource_version) = (None, None))
}

#[test]
fn so_many_findings_of_a_file_are_told() {
    let mut files = Files::default();
    let (_, refusals) = files.step("noise.yaml", &"---\na\n".repeat(1_500));
    assert_eq!(refusals.len(), 1_001);
    assert!(refusals.iter().any(|refusal| refusal.ends_with("500 more findings of this file are not told")), "{}", refusals[0]);
}
