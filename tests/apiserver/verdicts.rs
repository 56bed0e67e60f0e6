//! Our defaults and checks are those of an API server: on the examples of Gateway API, good and bad, on each field with
//! values that are right and wrong there, and on objects made from those at random.

use std::fs;
use std::path::{Path, PathBuf};

use kakehi::model::Kind;
use kakehi::store::kinds::{Lookup, lookup};
use kube::Client;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Map, Value};

use crate::crds::gateway_api;
use crate::judges::{Verdict, our_change, ours, place, row, their_change, theirs};
use crate::mutate::mutated;
use crate::server::{discard, namespace, shared};

/// All documents of a file.
fn documents(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn corpus(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(file)
}

/// Objects with every field that is checked, by kind and name.
fn full() -> Map<String, Value> {
    let files = ["store/full.yaml", "apiserver/corpus/objects.yaml"];
    let objects = files.iter().flat_map(|file| documents(&corpus(file)));
    let key = |object: &Value| format!("{}/{}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
    objects.map(|object| (key(&object), object)).collect()
}

/// The examples of Gateway API, good and bad, as far as they are of our kinds.
fn examples() -> Vec<Value> {
    let module = gateway_api().expect("Go is needed to fetch the examples of Gateway API");
    let mut files = Vec::new();
    for directory in ["examples/standard", "examples/experimental", "hack/invalid-examples"] {
        collect(&module.join(directory), &mut files);
    }
    files.sort();
    let objects = files.iter().flat_map(|file| documents(file));
    let is_ours = |object: &Value| {
        let text = |field: &str| object[field].as_str().unwrap_or_default();
        matches!(lookup(text("apiVersion"), text("kind")), Lookup::Row(_))
    };
    objects.filter(is_ours).collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        match entry.extension() {
            _ if entry.is_dir() => collect(&entry, files),
            Some(extension) if extension == "yaml" => files.push(entry),
            _ => {}
        }
    }
}

/// What one of the judges alone refuses, by the words for it.
const INTENDED: &[(Kind, &str)] = &[
    // We read manifests of processes on this machine, and refuse what cannot work or is not read alike by everybody.
    (Kind::EndpointSlice, "may not be in the loopback range"),
    (Kind::EndpointSlice, "port: Invalid value"),
    (Kind::EndpointSlice, "must be an IPv4 address"),
    (Kind::Gateway, "must be an IPv4 or IPv6 address"),
    // What a server says depends on its settings, or on the write not being a dry run.
    (Kind::Service, "not configured for dual-stack"),
    (Kind::Service, "nodePort: Invalid value"),
    // The types that are read have this field of an earlier release, the definitions have not; it is not served.
    (Kind::HttpRoute, "sessionPersistence.idleTimeout"),
    // What belongs to other controllers.
    (Kind::Secret, "metadata.annotations[kubernetes.io/service-account.name]"),
    (Kind::Namespace, "name is neither a standard finalizer name nor is it fully qualified"),
];

fn agree(kind: Kind, ours: &Verdict, theirs: &Verdict) -> bool {
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => ours == theirs,
        (Err(_), Err(_)) => true,
        (Ok(_), Err(reason)) | (Err(reason), Ok(_)) => INTENDED.iter().any(|(of, words)| *of == kind && reason.contains(words)),
    }
}

/// Both judges agree on all objects, and both verdicts occur.
async fn compare(what: &str, objects: Vec<Value>) {
    let client = Client::try_from(shared().await).unwrap();
    let space = namespace(&client, "verdicts").await;
    let prepare = |(index, object)| place(object, &format!("{space}-{index}"), &space);
    let objects: Vec<Value> = objects.into_iter().enumerate().map(prepare).collect();
    compare_as_they_are(what, &client, &objects).await;
    discard(&client, &space).await;
}

async fn compare_as_they_are(what: &str, client: &Client, objects: &[Value]) {
    let (ours, theirs) = (ours(objects), theirs(client, objects).await);
    let mut differing = Vec::new();
    for (object, (ours, theirs)) in objects.iter().zip(ours.iter().zip(&theirs)) {
        if !agree(row(object).kind, ours, theirs) {
            differing.push(format!("{object}\n  ours: {}\n  theirs: {}", shown(ours), shown(theirs)));
        }
    }
    let good = theirs.iter().filter(|verdict| verdict.is_ok()).count();
    eprintln!("{what}: {good} accepted, {} refused", objects.len() - good);
    assert!(good * 10 > objects.len() && good * 10 < objects.len() * 9 + 10, "both verdicts must occur often");
    assert!(differing.is_empty(), "{what}: {} of {} verdicts differ:\n{}", differing.len(), objects.len(), differing.join("\n"));
}

fn shown(verdict: &Verdict) -> String {
    match verdict {
        Ok(body) => format!("accepted as {body}"),
        Err(reason) => format!("refused: {}", reason.chars().take(400).collect::<String>()),
    }
}

#[tokio::test]
async fn examples_are_judged_alike() {
    let mut objects = examples();
    assert!(objects.len() > 80, "{} examples", objects.len());
    objects.extend(full().into_values());
    compare("examples", objects).await;
}

/// `absent` takes the place away.
fn put(object: &mut Value, pointer: &str, value: &Value) {
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    let parent = object.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer} is nowhere"));
    match parent {
        Value::Array(items) => items[last.parse::<usize>().unwrap()] = value.clone(),
        Value::Object(fields) if value == "absent" => drop(fields.remove(last)),
        parent => parent[last] = value.clone(),
    }
}

/// The objects that a table of places and values makes of the full ones, each beside the one it is made of.
fn variants(file: &str, space: &str) -> Vec<(Value, Value)> {
    let (full, variants) = (full(), documents(&corpus(file)).remove(0));
    let mut made = Vec::new();
    for (base, places) in variants.as_object().unwrap() {
        let base = full.get(base).unwrap_or_else(|| panic!("there is no {base}"));
        for (pointer, values) in places.as_object().unwrap() {
            for value in values.as_array().unwrap() {
                let base = place(base.clone(), &format!("{space}-{}", made.len()), space);
                let mut object = base.clone();
                put(&mut object, pointer, value);
                made.push((base, object));
            }
        }
    }
    made
}

#[tokio::test]
async fn each_field_with_each_value_is_judged_alike() {
    let client = Client::try_from(shared().await).unwrap();
    let space = namespace(&client, "fields").await;
    let objects: Vec<_> = variants("apiserver/corpus/variants.yaml", &space).into_iter().map(|(_, object)| object).collect();
    compare_as_they_are("fields", &client, &objects).await;
    discard(&client, &space).await;
}

#[tokio::test]
async fn changes_are_judged_alike() {
    let client = Client::try_from(shared().await).unwrap();
    let space = namespace(&client, "changes").await;
    for (old, new) in variants("apiserver/corpus/changes.yaml", &space) {
        let (ours, theirs) = (our_change(&old, &new), their_change(&client, &old, &new).await);
        assert!(agree(row(&old).kind, &ours, &theirs), "{new}\n  ours: {}\n  theirs: {}", shown(&ours), shown(&theirs));
    }
    discard(&client, &space).await;
}

/// `KAKEHI_SEED` and `KAKEHI_OBJECTS` make it another or a longer run.
#[tokio::test]
async fn objects_changed_at_random_are_judged_alike() {
    let setting = |name: &str, default: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (seed, count) = (setting("KAKEHI_SEED", 1), setting("KAKEHI_OBJECTS", 400));
    eprintln!("KAKEHI_SEED={seed} KAKEHI_OBJECTS={count}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut bases = examples();
    bases.extend(full().into_values());
    compare("changed at random", (0..count).map(|_| mutated(&bases, &mut random)).collect()).await;
}
