//! Our defaults and checks agree with the released definitions: on the examples that come with them, good and bad, and on
//! thousands of objects made from those at random.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use kakehi::api::Object;
use kakehi::store::Severity;
use kakehi::store::directory::{Directory, Loaded, Settings};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use crate::crds::gateway_api;
use crate::mutate::mutated;

fn load(manifests: &Path, crds: Option<&Path>) -> Loaded {
    let settings = Settings { crds: crds.map(Path::to_owned), ..Settings::new(manifests) };
    Directory::open(settings).unwrap().load().unwrap()
}

/// What was refused: file and object, or line, with the reasons.
fn refused(loaded: &Loaded) -> BTreeMap<(String, String), Vec<String>> {
    let mut refused: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for refusal in loaded.refusals.iter().filter(|refusal| refusal.severity == Severity::Error) {
        // Each message has the line of its field.
        let what = refusal.object.as_ref().map_or_else(|| refusal.line.to_string(), ToString::to_string);
        refused.entry((refusal.file.clone(), what)).or_default().push(refusal.message.clone());
    }
    refused
}

/// Bodies of the accepted objects.
fn accepted(loaded: &Loaded) -> BTreeMap<String, Value> {
    let body = |object: &Object| {
        let mut value = object.to_value().unwrap();
        value["metadata"] = json!(null);
        value
    };
    loaded.objects.iter().map(|object| (object.id().to_string(), body(object))).collect()
}

/// Loads with our table and with the definitions, and compares.
fn compare(manifests: &Path, crds: &Path) -> (Loaded, Loaded) {
    let (ours, theirs) = (load(manifests, None), load(manifests, Some(crds)));
    let (refused_by_us, refused_by_them) = (refused(&ours), refused(&theirs));
    let places: BTreeSet<_> = refused_by_us.keys().chain(refused_by_them.keys()).collect();
    let differing: Vec<String> = places
        .into_iter()
        .filter(|place| refused_by_us.contains_key(*place) != refused_by_them.contains_key(*place))
        .map(|place| format!("{place:?}\n  ours: {:?}\n  theirs: {:?}", refused_by_us.get(place), refused_by_them.get(place)))
        .collect();
    assert!(differing.is_empty(), "{} verdicts differ in {}:\n{}", differing.len(), manifests.display(), differing.join("\n"));
    let (ours_accepted, theirs_accepted) = (accepted(&ours), accepted(&theirs));
    for (id, object) in &ours_accepted {
        assert_eq!(Some(object), theirs_accepted.get(id), "{id}: the defaults differ");
    }
    (ours, theirs)
}

#[test]
fn upstream_examples_are_judged_alike() {
    let Some(module) = gateway_api() else { return };
    let crds = module.join("config/crd/experimental");
    for (channel, fewest) in [("standard", 50), ("experimental", 5)] {
        let (good, _) = compare(&module.join("examples").join(channel), &crds);
        assert!(good.objects.len() >= fewest, "{} objects", good.objects.len());
        let (bad, _) = compare(&module.join("hack/invalid-examples").join(channel), &crds);
        assert!(!refused(&bad).is_empty());
    }
}

/// Objects to start from: the examples, and ours that use every field.
fn bases(module: &Path) -> Vec<Value> {
    let mut objects: Vec<Value> = Vec::new();
    for directory in ["examples/standard", "examples/experimental"] {
        let loaded = load(&module.join(directory), None);
        objects.extend(loaded.objects.iter().map(|object| object.to_value().unwrap()));
    }
    let ours = tempfile::tempdir().unwrap();
    fs::write(ours.path().join("full.yaml"), include_str!("full.yaml")).unwrap();
    let loaded = load(ours.path(), None);
    assert_eq!(refused(&loaded), BTreeMap::new());
    objects.extend(loaded.objects.iter().map(|object| object.to_value().unwrap()));
    let kinds = ["GatewayClass", "Gateway", "HTTPRoute", "ReferenceGrant"];
    objects.retain(|object| object["kind"].as_str().is_some_and(|kind| kinds.contains(&kind)));
    objects
}

/// `KAKEHI_SEED` and `KAKEHI_OBJECTS` make it another or a longer run.
#[test]
fn objects_changed_at_random_are_judged_alike() {
    let Some(module) = gateway_api() else { return };
    let setting = |name: &str, default: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (seed, count) = (setting("KAKEHI_SEED", 1), setting("KAKEHI_OBJECTS", 400));
    eprintln!("KAKEHI_SEED={seed} KAKEHI_OBJECTS={count}");
    let mut random = StdRng::seed_from_u64(seed);
    let bases = bases(&module);
    let directory = tempfile::tempdir().unwrap();
    let objects = (0..count).map(|index| {
        let mut object = mutated(&bases, &mut random);
        object["metadata"] = json!({"name": format!("object-{index:05}"), "namespace": "mutants"});
        object.to_string()
    });
    for (index, objects) in objects.collect::<Vec<_>>().chunks(200).enumerate() {
        fs::write(directory.path().join(format!("{index}.yaml")), objects.join("\n---\n")).unwrap();
    }
    let (ours, _) = compare(directory.path(), &module.join("config/crd/experimental"));
    let (good, bad) = (ours.objects.len(), refused(&ours).len());
    eprintln!("{good} accepted, {bad} refused");
    assert!(good as u64 > count / 10 && bad as u64 > count / 10, "both verdicts must occur often: {good} good, {bad} bad");
}
