//! Whatever a file holds: no panic, and nothing of its neighbours changes.

use std::fs;
use std::path::Path;

use kakehi::store::Severity;
use kakehi::store::directory::{Directory, Loaded, Settings};
use proptest::prelude::*;

const NEIGHBOUR: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: neighbour, namespace: demo}\ndata: {key: value}\n";
const GOOD: &str = include_str!("full.yaml");

fn load(directory: &Path) -> Loaded {
    Directory::open(Settings::new(directory)).unwrap().load().unwrap()
}

/// Loads a file of this name and content between two good ones.
fn beside(name: &str, content: &[u8]) -> Loaded {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.yaml"), NEIGHBOUR).unwrap();
    fs::write(directory.path().join(name), content).unwrap();
    fs::write(directory.path().join("z.yaml"), NEIGHBOUR.replace("neighbour", "other")).unwrap();
    let loaded = load(directory.path());
    for id in ["Namespace/demo", "ConfigMap/demo/neighbour", "ConfigMap/demo/other"] {
        assert!(loaded.objects.iter().any(|object| object.id().to_string() == id), "{id} is gone: {:?}", loaded.refusals);
    }
    assert!(loaded.refusals.iter().all(|refusal| refusal.file == name), "{:?}", loaded.refusals);
    loaded
}

/// Words that mean something somewhere in a manifest.
fn word() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "apiVersion",
        "kind",
        "metadata",
        "name",
        "namespace",
        "spec",
        "data",
        "stringData",
        "List",
        "items",
        "v1",
        "HTTPRoute",
        "Gateway",
        "Secret",
        "Service",
        "ConfigMap",
        "CustomResourceDefinition",
        "apiextensions.k8s.io/v1",
        "gateway.networking.k8s.io/v1",
        "rules",
        "matches",
        "listeners",
        "ports",
        "&a",
        "*a",
        "<<",
        "!!binary",
        "!!int",
        "|",
        ">",
        "- ",
        "? ",
        "null",
        "~",
        "true",
        "{",
        "}",
        "[",
        "]",
        "---",
        "...",
        "%YAML 1.2",
        "%TAG ! x",
        "\t",
        "\u{feff}",
        "0x",
        "1e999",
        "-0",
        "\"",
        "'",
    ]);
    prop_oneof![6 => known.prop_map(str::to_owned), 1 => "\\PC{0,8}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn random_bytes(content in prop::collection::vec(any::<u8>(), 0..400)) {
        beside("m.yaml", &content);
        beside("m.json", &content);
    }

    #[test]
    fn random_words(words in prop::collection::vec((word(), prop::sample::select(vec!["", " ", ": ", "\n", "\n  ", "\n- ", ", "])), 0..60)) {
        let content: String = words.into_iter().flat_map(|(word, gap)| [word, gap.to_owned()]).collect();
        beside("m.yaml", content.as_bytes());
        beside("m.json", content.as_bytes());
    }

    #[test]
    fn truncated_and_flipped(cut in any::<prop::sample::Index>(), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
        let mut content = GOOD.as_bytes().to_vec();
        content.truncate(cut.index(content.len()));
        for (place, byte) in flips {
            if !content.is_empty() {
                let place = place.index(content.len());
                content[place] = byte;
            }
        }
        beside("m.yaml", &content);
    }
}

#[test]
fn bombs_and_giants_are_refused_in_words() {
    let laughs: String = std::iter::once("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned())
        .chain((1..12).map(|level| format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", "))))
        .collect();
    let deep = format!("apiVersion: {}", "[".repeat(100_000));
    let deep_json = format!("{{\"apiVersion\": {}", "[".repeat(100_000));
    let wide = format!("items: [{}]", "{},".repeat(1_500_000));
    let keys: String = (0..200_000).map(|index| format!("? [{index}]\n: x\n")).collect();
    let large = vec![b'#'; 10 << 20];
    for (name, content) in [
        ("m.yaml", laughs.as_bytes()),
        ("m.yaml", deep.as_bytes()),
        ("m.json", deep_json.as_bytes()),
        ("m.yaml", wide.as_bytes()),
        ("m.yaml", keys.as_bytes()),
        ("m.yaml", large.as_slice()),
        ("m.yaml", &b"\xff\xfe\x00"[..]),
    ] {
        let loaded = beside(name, content);
        let [refusal] = loaded.refusals.as_slice() else { panic!("{:?}", loaded.refusals) };
        assert!(refusal.severity == Severity::Error && refusal.message.len() < 500, "{refusal}");
    }
}

#[test]
fn thousands_of_conflicting_objects_are_each_refused() {
    let directory = tempfile::tempdir().unwrap();
    for index in 0..2000 {
        fs::write(directory.path().join(format!("{index:04}.yaml")), NEIGHBOUR).unwrap();
    }
    let loaded = load(directory.path());
    assert_eq!((loaded.objects.len(), loaded.refusals.len()), (2, 1999));
    assert!(loaded.refusals.iter().all(|refusal| refusal.message.contains("0000.yaml defines it")));
}

/// Values of Secrets stand in no message, however wrong the Secret is.
#[test]
fn refusals_quote_no_secret() {
    const CANARY: &str = "canary-b2c4d6";
    for (place, text) in [
        ("data", "{KEY: CANARY}"),
        ("data", "{KEY: [CANARY]}"),
        ("data", "CANARY"),
        ("data", "[CANARY]"),
        ("stringData", "{KEY: {CANARY: CANARY}}"),
        ("stringData", "{KEY: CANARY, KEY: CANARY}"),
        ("stringData", "CANARY"),
        ("stringData", "{KEY: 'CANARY"),
        ("stringData", "{KEY: CANARY}\n  CANARY: CANARY"),
        ("immutable", "CANARY"),
        ("type", "[CANARY]"),
    ] {
        let content = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\n{place}: {}\n", text.replace("CANARY", CANARY));
        let loaded = beside("m.yaml", content.as_bytes());
        assert!(!loaded.refusals.is_empty(), "{content}");
        assert!(loaded.refusals.iter().all(|refusal| !refusal.message.contains(CANARY)), "{content}{:?}", loaded.refusals);
    }
}
