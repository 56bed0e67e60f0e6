//! What users get wrong: each mistake is named, and nothing of a neighbour changes.

use std::fs;

use super::rig::Rig;

/// A manifest that must be refused or reported, and words that the report must hold.
const MISTAKES: &[(&str, &str, &[&str])] = &[
    ("not yaml", "a: [unclosed\n  - {", &["mistake.yaml"]),
    (
        "unknown enum value",
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: bad, namespace: demo}\nspec:\n  rules:\n  - matches:\n    - path: {type: Fuzzy, value: /}\n",
        &["bad", "Fuzzy"],
    ),
    (
        "unknown field",
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: bad, namespace: demo}\nspec:\n  parentRefs: [{name: web}]\n  colour: blue\n",
        &["bad", "colour"],
    ),
    (
        "line break in a header value",
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: bad, namespace: demo}\nspec:\n  parentRefs: [{name: web}]\n  hostnames: [bad.localhost]\n  rules:\n  - filters:\n    - type: RequestHeaderModifier\n      requestHeaderModifier:\n        set: [{name: x-a, value: \"a\\r\\nx-injected: 1\"}]\n    backendRefs: [{name: blue, port: 80}]\n",
        &["bad"],
    ),
    (
        "regex bomb",
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: bad, namespace: demo}\nspec:\n  parentRefs: [{name: web}]\n  hostnames: [bad.localhost]\n  rules:\n  - matches:\n    - path: {type: RegularExpression, value: '/(a{1000}){1000}{1000}'}\n    backendRefs: [{name: blue, port: 80}]\n",
        &["bad"],
    ),
    (
        "certificate that is none",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: one, namespace: demo}\ntype: kubernetes.io/tls\nstringData: {tls.crt: nonsense, tls.key: nonsense}\n",
        &["one"],
    ),
];

fn untouched(rig: &Rig) {
    assert_eq!(rig.get("/", &[]).backend(), "blue");
    assert_eq!(rig.get("/color", &[("x-color", "green")]).backend(), "green");
}

#[test]
fn every_mistake_is_named_and_hurts_nobody_else() {
    let mut rig = Rig::start(&[], |_, _| ());
    for (what, text, words) in MISTAKES {
        rig.write("mistake.yaml", text);
        rig.eventually(&format!("{what} is reported"), || {
            let report = rig.admin("/debug/report").body;
            words.iter().all(|word| report.contains(word))
        });
        untouched(&rig);
        assert!(rig.alive(), "{what}: {}", rig.log());
        rig.remove("mistake.yaml");
    }
    assert!(!rig.log().contains("panicked"), "{}", rig.log());
    assert!(!rig.log().contains("x-injected: 1\r\n"));
}

#[test]
fn a_refused_edit_keeps_the_last_good_manifest() {
    let rig = Rig::start(&[], |_, _| ());
    let routes = fs::read_to_string(rig.config().join("routes.yaml")).unwrap();
    rig.write("routes.yaml", "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: demo\n");
    rig.eventually("the broken file is reported", || rig.admin("/debug/report").body.contains("routes.yaml"));
    untouched(&rig);
    rig.write("routes.yaml", &routes);
    rig.eventually("the report is clean again", || !rig.admin("/debug/report").body.contains("routes.yaml"));
    untouched(&rig);
}

#[test]
fn a_ten_megabyte_file_is_refused() {
    let rig = Rig::start(&[], |_, _| ());
    let mut huge = String::from("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: huge, namespace: demo}\ndata:\n");
    while huge.len() < 10 << 20 {
        huge.push_str(&format!("  key-{}: {}\n", huge.len(), "x".repeat(1000)));
    }
    rig.write("huge.yaml", &huge);
    rig.eventually("the huge file is reported", || rig.admin("/debug/report").body.contains("huge.yaml"));
    untouched(&rig);
}

#[test]
fn thousands_of_conflicting_objects_change_nothing_for_the_oldest() {
    let rig = Rig::start(&[], |_, _| ());
    let mut routes = String::new();
    for number in 0..2000 {
        routes.push_str(&format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: zz-{number:04}, namespace: demo}}\nspec:\n  parentRefs: [{{name: web, sectionName: http}}]\n  hostnames: [demo.localhost]\n  rules:\n  - backendRefs: [{{name: green, port: 80}}]\n"
        ));
    }
    // Without creation times the earlier path is the older: these are the younger ones.
    rig.write("zz-conflicts.yaml", &routes);
    let last = rig.status("HTTPRoute/demo/zz-1999.yaml", |text| text.contains("kakehi.dev/Programmed"));
    assert!(last.contains("zz-1999"));
    untouched(&rig);
    let gateway = rig.status("Gateway/demo/web.yaml", |text| text.contains("attachedRoutes: 2001"));
    assert!(gateway.contains("attachedRoutes: 2001"));
}
