//! Golden cases: every folder under `tests/cases` holds manifests in `in/`, which standalone mode runs as they are, and in
//! `expected/` what they come to: `status.yaml` (statuses and findings, as if the data plane had acknowledged everything)
//! and `snapshot.yaml` (what each edge holds, keys redacted). A case with a `trace.yaml`, a list of requests, also has
//! `trace.txt`: what `kakehi trace` says of each; one with a `settings.yaml` has settings of its own, such as that it also has
//! `trace.json`. `KAKEHI_BLESS=1` writes what is found there instead.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use kakehi::api::{Change, Object};
use kakehi::controller::view::declared_report;
use kakehi::edge::plan;
use kakehi::model::{EdgeId, ObjectId, Resolution};
use kakehi::report::{Acknowledgement, Observed, status, without_times};
use kakehi::snapshot::{Resource, Snapshot};
use kakehi::store::directory::{Directory, Settings as Source};
use kakehi::trace::{self, Reports, Request};
use kakehi::translate::ownership::ClaimsPlace;
use kakehi::translate::{IngressSettings, Now, Settings, Translator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The day of every case: 2026-12-01.
const TODAY: i64 = 1_796_083_200;

#[derive(Serialize)]
struct Status {
    object: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<String>,
}

#[derive(Serialize)]
struct Statuses {
    /// What the directory did not take in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused: Vec<String>,
    objects: Vec<Status>,
}

#[derive(Serialize)]
struct Edge {
    edge: String,
    resources: Vec<Resource>,
}

/// What DNS says of a name: addresses, and why it fails.
type Said = (Vec<IpAddr>, Option<String>);

/// What a case's `settings.yaml` says besides the usual.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Given {
    #[serde(default)]
    default_backend: Option<String>,
    /// Names with what DNS says of them.
    #[serde(default)]
    external_names: Option<BTreeMap<String, Said>>,
    /// Namespace of EdgeProfiles for the whole cluster.
    #[serde(default)]
    cluster_profiles: Option<String>,
    /// Namespace of the ConfigMaps with claims of hosts.
    #[serde(default)]
    claims: Option<String>,
    /// As in a cluster.
    #[serde(default)]
    no_loopback: bool,
    /// Other controllers read the same objects.
    #[serde(default)]
    beside_others: bool,
    /// Traces are also kept as programs get them.
    #[serde(default)]
    trace_json: bool,
}

fn settings(given: &Given) -> Settings {
    let default_backend = given.default_backend.as_ref().map(|text| text.parse().unwrap());
    let ingress = IngressSettings {
        without_class: true,
        default_backend,
        cluster_profiles: given.cluster_profiles.clone(),
        claims: given.claims.clone().map(|namespace| ClaimsPlace { namespace, prefix: "kakehi-hosts-".to_owned() }),
        ..IngressSettings::default()
    };
    Settings {
        loopback_endpoints: !given.no_loopback,
        external_names: given.external_names.is_some(),
        default_address: Some([127, 0, 0, 1].into()),
        shared_host: true,
        alone: !given.beside_others,
        ingress,
        ..Settings::default()
    }
}

fn translate(given: &Given, objects: Vec<Object>) -> Translator {
    let mut translator = Translator::new(settings(given));
    let changes = objects.into_iter().map(|object| Change { id: object.id(), old: None, new: Some(object) });
    translator.apply(changes, Now::from_unix(TODAY));
    let resolution = |(addresses, failure): &Said| Resolution { addresses: addresses.iter().copied().collect(), failure: failure.clone() };
    let names = given.external_names.iter().flatten().map(|(name, found)| (name.clone(), resolution(found)));
    translator.apply_with([], names, Now::from_unix(TODAY));
    translator
}

fn statuses(translator: &Translator, refused: Vec<String>) -> Statuses {
    let edges: BTreeMap<EdgeId, Acknowledgement> =
        translator.edges().map(|(id, _)| (id.clone(), Acknowledgement { programmed: true, refused: Vec::new() })).collect();
    let observed =
        Observed { controller_name: "kakehi.dev/gateway-controller", edges: &edges, provisioned: None, bundle: None, now: TODAY };
    let objects = translator.reports().iter().map(|(id, report)| Status {
        object: id.to_string(),
        status: status(id.kind, Some(report), None, &observed).map(without_times),
        findings: report.findings.iter().map(|finding| format!("{:?}: {finding}", finding.issue.severity())).collect(),
    });
    Statuses { refused, objects: objects.collect() }
}

fn snapshots(translator: &Translator) -> Vec<Edge> {
    let resources = |snapshot: &Snapshot| snapshot.iter().map(|(_, resource)| resource.redacted()).collect();
    translator.edges().map(|(id, edge)| Edge { edge: id.to_string(), resources: resources(&edge.snapshot) }).collect()
}

/// A request of `trace.yaml`.
#[derive(Deserialize)]
struct Asked {
    url: String,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    headers: Vec<String>,
}

/// What `kakehi trace` says of a case's requests on every edge that has their port: for people, and for programs.
fn traces(translator: &Translator, objects: &[Object], asked: &str) -> (String, String) {
    let object = |id: &ObjectId| objects.iter().find(|object| object.id() == *id).and_then(|object| object.to_value().ok());
    let reports = translator.reports().values().map(|report| declared_report(report, &[], || object(&report.id)));
    let reports: Reports = serde_json::from_value(serde_json::json!({"objects": reports.collect::<Vec<_>>()})).unwrap();
    let edges = translator.edges().map(|(id, edge)| (id.clone(), (edge.snapshot.clone(), plan::Options::default()))).collect();
    let (mut text, mut pages) = (String::new(), Vec::new());
    for asked in serde_saphyr::from_str::<Vec<Asked>>(asked).unwrap() {
        let request = Request::parse(&asked.url, asked.method.as_deref().unwrap_or("GET"), &asked.headers).unwrap();
        let headers: String = asked.headers.iter().map(|header| format!(" -H {header:?}")).collect();
        let method: String = asked.method.iter().map(|method| format!(" -X {method}")).collect();
        text.push_str(&format!("# {}{method}{headers}\n", asked.url));
        let traces = trace::traces(&edges, &reports, &request);
        traces.iter().for_each(|(edge, trace)| text.push_str(&format!("edge {edge}\n{trace}")));
        text.push('\n');
        pages.push(trace::page(&request, &traces));
    }
    (text, format!("{:#}\n", Value::Array(pages)))
}

fn compare(path: &Path, found: &str) -> Result<(), String> {
    if std::env::var_os("KAKEHI_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, found).unwrap();
        return Ok(());
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    if expected == found {
        return Ok(());
    }
    let line = expected.lines().zip(found.lines()).position(|(a, b)| a != b).unwrap_or(expected.lines().count().min(found.lines().count()));
    let show = |text: &str| text.lines().skip(line.saturating_sub(3)).take(8).collect::<Vec<_>>().join("\n");
    Err(format!("{} line {}:\n--- expected\n{}\n--- found\n{}\n", path.display(), line + 1, show(&expected), show(found)))
}

fn run(case: &Path) -> Vec<String> {
    let loaded = Directory::open(Source::new(case.join("in"))).unwrap().load().unwrap();
    let refused = loaded.refusals.iter().map(ToString::to_string).collect();
    let given = fs::read_to_string(case.join("settings.yaml")).map(|text| serde_saphyr::from_str(&text).unwrap()).unwrap_or_default();
    let translator = translate(&given, loaded.objects.clone());
    let objects = loaded.objects;
    let mut reversed = objects.clone();
    reversed.reverse();
    let again = translate(&given, reversed);
    assert!(
        translator.edges().eq(again.edges()) && translator.reports() == again.reports(),
        "{}: order of objects matters",
        case.display()
    );
    let mut found = vec![
        ("status.yaml", serde_saphyr::to_string(&statuses(&translator, refused)).unwrap()),
        ("snapshot.yaml", serde_saphyr::to_string(&snapshots(&translator)).unwrap()),
    ];
    if let Ok(asked) = fs::read_to_string(case.join("trace.yaml")) {
        let (text, json) = traces(&translator, &objects, &asked);
        found.push(("trace.txt", text));
        if given.trace_json {
            found.push(("trace.json", json));
        }
    }
    found.iter().filter_map(|(name, text)| compare(&case.join("expected").join(name), text).err()).collect()
}

#[test]
fn cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut cases: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.join("in").is_dir()).collect();
    cases.sort();
    assert!(!cases.is_empty());
    let failures: Vec<_> = cases.iter().flat_map(|case| run(case)).collect();
    assert!(failures.is_empty(), "{} differences; `make bless` accepts them\n{}", failures.len(), failures.join("\n"));
}
