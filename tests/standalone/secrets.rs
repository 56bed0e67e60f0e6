//! Private keys appear nowhere: not on the admin port, in statuses, in `translate`, or in any log at trace level.

use std::fs;
use std::process::Command;

use super::rig::Rig;

/// A header value that a filter sets.
const CREDENTIAL: &str = "Bearer canary-of-a-tenant";
const CREDENTIALS: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: credentials, namespace: demo}
spec:
  parentRefs: [{name: web}]
  hostnames: [credentials.localhost]
  rules:
    - filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: authorization, value: Bearer canary-of-a-tenant}]}}]
      backendRefs: [{name: blue, port: 80}]
"#;

/// Lines of the demo keys, without the PEM armour.
fn canaries(config: &std::path::Path) -> Vec<String> {
    let text = fs::read_to_string(config.join("certificates.yaml")).unwrap();
    let mut inside = false;
    let mut lines = Vec::new();
    for line in text.lines().map(str::trim) {
        match line {
            "-----BEGIN PRIVATE KEY-----" => inside = true,
            "-----END PRIVATE KEY-----" => inside = false,
            body if inside => lines.push(body.to_owned()),
            _ => {}
        }
    }
    assert!(lines.len() >= 6, "the canaries must be found in the manifests");
    lines
}

fn assert_absent(where_: &str, text: &str, canaries: &[String]) {
    for canary in canaries {
        assert!(!text.contains(canary.as_str()), "a private key appears in {where_}");
    }
}

#[test]
fn keys_appear_in_no_page_status_or_log() {
    let mut rig = Rig::start(&["--log", "trace", "--log-format", "json"], |config, _| {
        fs::write(config.join("credentials.yaml"), CREDENTIALS).unwrap();
    });
    rig.eventually("the route with credentials is there", || rig.admin("/debug/snapshot").body.contains("credentials.localhost"));
    let canaries = canaries(&rig.config());
    let roots = fs::read(rig.config().join("demo-ca.crt")).unwrap();
    let https = ([127, 0, 0, 1], rig.ports.https).into();
    assert_eq!(super::client::get_tls(https, "one.localhost", &roots).unwrap().backend(), "blue");
    for page in ["/debug/report", "/debug/snapshot", "/debug/plan", "/metrics"] {
        let answer = rig.admin(page);
        assert_eq!(answer.status, 200, "{page}");
        assert_absent(page, &answer.body, &canaries);
        assert!(!answer.body.contains(CREDENTIAL), "a header value that a filter sets appears in {page}");
    }
    assert!(rig.admin("/debug/snapshot").body.contains("BEGIN CERTIFICATE"), "the certificates themselves are shown");
    rig.status("Gateway/demo/web.yaml", |text| text.contains("Programmed"));
    for entry in walk(&rig.dir.path().join("status")) {
        assert_absent(&entry.display().to_string(), &fs::read_to_string(&entry).unwrap(), &canaries);
    }
    let translated = Command::new(env!("CARGO_BIN_EXE_kakehi")).args(["translate", "--log", "trace"]).arg(rig.config()).output().unwrap();
    assert!(!translated.stdout.is_empty(), "{}", String::from_utf8_lossy(&translated.stderr));
    assert_absent("translate", &String::from_utf8_lossy(&translated.stdout), &canaries);
    assert_absent("the log of translate", &String::from_utf8_lossy(&translated.stderr), &canaries);
    assert!(rig.terminate());
    let log = rig.log();
    for part in ["kakehi::edge", "kakehi::filter", "kakehi::standalone"] {
        assert!(log.contains(part), "{part} logs: {log}");
    }
    assert!(log.contains("DEBUG") || log.contains("TRACE"), "the log is at trace level");
    assert_absent("the log", &log, &canaries);
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}
