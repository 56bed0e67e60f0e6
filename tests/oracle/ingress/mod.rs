//! Random sets of Ingresses on the edge of a class: the table of the filter proxy, the plan on a real Sōzu, the filter proxy
//! behind it, and the port as it is relayed do what a naive reading of the Ingress documentation says.

mod generate;
mod naive;
mod naive_tests;

use http::HeaderMap;
use kakehi::filter::router::{Decision, Head, Table};
use kakehi::model::{BackendTarget, EdgeId, Kind};
use serde_json::{Value, json};

use self::naive::{Winner, winner};
use super::client::Answer;
use super::differential::Edges;
use super::judge::{check, check_relayed};
use super::manifest::{self, Place};
use super::naive::{path_and_query, request_host};
use super::pipeline::Pipeline;
use super::run::{self, ENOUGH, Plan};
use super::world::{Listener, Request, Service, World};

/// An Ingress of the class.
#[derive(Clone, Debug)]
pub struct Ingress {
    pub namespace: String,
    pub name: String,
    /// Seconds after the time that the generator begins with.
    pub created: u64,
    pub default_backend: Option<Target>,
    pub rules: Vec<HostRule>,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct HostRule {
    pub host: Option<String>,
    /// Absent: the rule has no `http`.
    pub paths: Option<Vec<Path>>,
}

#[derive(Clone, Debug)]
pub struct Path {
    pub kind: PathType,
    pub path: String,
    pub backend: Target,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathType {
    Exact,
    Prefix,
    ImplementationSpecific,
}

/// A backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A Service port, by name or by number.
    Service(Service, bool),
    /// An object of another kind.
    Resource,
}

/// All objects: the class, Services with their EndpointSlices, Ingresses.
fn objects(set: &[Ingress], place: Place) -> Vec<Value> {
    let mut objects = vec![json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "kakehi"},
        "spec": {"controller": "kakehi.dev/ingress-controller"}})];
    let used = set.iter().flat_map(|ingress| {
        let paths = ingress.rules.iter().flat_map(|rule| rule.paths.iter().flatten()).map(|path| path.backend);
        paths.chain(ingress.default_backend).filter_map(|target| match target {
            Target::Service(Service::Live(number), _) => Some((ingress.namespace.clone(), Some(number))),
            Target::Service(Service::Idle, _) => Some((ingress.namespace.clone(), None)),
            Target::Service(Service::Missing, _) | Target::Resource => None,
        })
    });
    objects.extend(manifest::services(used.collect(), place));
    objects.extend(set.iter().map(object));
    objects
}

fn object(ingress: &Ingress) -> Value {
    let rules: Vec<_> = ingress.rules.iter().map(rule).collect();
    let mut spec = json!({"ingressClassName": "kakehi"});
    if !rules.is_empty() {
        spec["rules"] = json!(rules);
    }
    if let Some(target) = ingress.default_backend {
        spec["defaultBackend"] = backend(target);
    }
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "spec": spec,
        "metadata": {"namespace": ingress.namespace, "name": ingress.name,
            "creationTimestamp": format!("2026-01-01T00:00:{:02}Z", ingress.created)}})
}

fn rule(rule: &HostRule) -> Value {
    let mut value = json!({});
    if let Some(host) = &rule.host {
        value["host"] = json!(host);
    }
    if let Some(paths) = &rule.paths {
        let path = |path: &Path| json!({"pathType": format!("{:?}", path.kind), "path": path.path, "backend": backend(path.backend)});
        value["http"] = json!({"paths": paths.iter().map(path).collect::<Vec<_>>()});
    }
    value
}

fn backend(target: Target) -> Value {
    match target {
        Target::Service(service, by_name) => {
            let port = if by_name { json!({"name": "http"}) } else { json!({"number": 80}) };
            json!({"service": {"name": manifest::service_name(service), "port": port}})
        }
        Target::Resource => json!({"resource": {"apiGroup": "example.com", "kind": "Bucket", "name": "b"}}),
    }
}

fn pipeline(place: Place, default_backend: Option<&str>) -> Pipeline {
    Pipeline::for_ingress((place.ports[0], place.ports[1]), default_backend)
}

fn report(seed: u64, set: &[Ingress], request: &Request, found: &str) -> String {
    let manifests: String = set.iter().map(|ingress| format!("{}\n", object(ingress))).collect();
    let permitted = naive::decide(set, request);
    format!("KAKEHI_ORACLE_SEED={seed} KAKEHI_ORACLE_SETS=1\n{manifests}request: {request:?}\noracle:  {permitted:?}\n{found}\n")
}

/// The set without one of its Ingresses, rules or paths as long as it stays wrong.
fn smallest(mut set: Vec<Ingress>, wrong: impl Fn(&[Ingress]) -> bool) -> Vec<Ingress> {
    while let Some(next) = generate::smaller(&set).into_iter().find(|next| wrong(next)) {
        set = next;
    }
    set
}

/// A Service that is not there, so that only the choice of the route counts.
const DEFAULT: &str = "pages/default:80";
const PLACE: Place<'_> = Place { ports: &[8080, 8081], backend_port: 9000 };

#[test]
fn the_table_decides_as_the_documentation_says() {
    let plan = Plan::from_environment();
    let mut reports = Vec::new();
    for seed in plan.seeds() {
        // Half of the sets have a default backend for the whole class.
        let default_backend = (seed % 2 == 1).then_some(DEFAULT);
        let table = |set: &[Ingress]| {
            let held = pipeline(PLACE, default_backend).hold_objects(&objects(set, PLACE), &EdgeId::of_class("kakehi"));
            Table::from_snapshot(&held)
        };
        let mismatch = |table: &Table, set: &[Ingress], request: &Request| mismatch(table, set, request, default_backend.is_some());
        let set = generate::set(seed);
        let held = table(&set);
        for request in generate::requests(&set, seed, plan.requests) {
            if mismatch(&held, &set, &request).is_some() {
                let set = smallest(set.clone(), |set| mismatch(&table(set), set, &request).is_some());
                let found = mismatch(&table(&set), &set, &request).unwrap_or_default();
                reports.push(report(seed, &set, &request, &found));
                break;
            }
        }
        if reports.len() >= ENOUGH {
            break;
        }
    }
    run::conclude(&reports);
}

/// What the table does, when that is not what the documentation says.
fn mismatch(table: &Table, set: &[Ingress], request: &Request, default_backend: bool) -> Option<String> {
    let (path, query) = path_and_query(&request.target);
    let (host, target, headers) = (request_host(request), path + &query, HeaderMap::new());
    let decision = table.decide(&Head { port: PLACE.ports[0], host: &host, method: &request.method, target: &target, headers: &headers });
    let right = match (winner(set, request), &decision) {
        (None, Decision::NotFound) => !default_backend || !request.target.starts_with('/'),
        // The rule that closes a host whose rest would go to another namespace.
        (None, Decision::Answer(found, 404)) => !default_backend && found.rule.route.kind == Kind::Ingress,
        // To the default backend of the class, which does not exist here: by its own rule, or by the one that closes a host.
        (None, Decision::Forward(found, candidates)) => {
            let missing = candidates.list().iter().all(|candidate| matches!(candidate.target, BackendTarget::Invalid(_)));
            let closes = found.rule.route.kind == Kind::Ingress && missing;
            default_backend && (closes || found.rule.route.kind == Kind::IngressClass)
        }
        (Some(Winner { target: Target::Resource, .. }), Decision::Answer(_, 500)) => true,
        (Some(Winner { ingress, target: Target::Service(service, _) }), Decision::Forward(found, candidates)) => {
            let of = &found.rule.route;
            let goes = |target: &BackendTarget| match target {
                BackendTarget::Service(id) => id.service == manifest::service_name(service),
                BackendTarget::Invalid(_) => service == Service::Missing,
            };
            (of.namespace.as_str(), of.name.as_str()) == (ingress.namespace.as_str(), ingress.name.as_str())
                && candidates.list().iter().all(|candidate| goes(&candidate.target))
        }
        _ => false,
    };
    if right { None } else { Some(format!("table:   {decision:?}")) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documentation_plan_filter_and_relay_decide_the_same() {
    let plan = Plan::from_environment();
    let mut edges = Edges::start().await;
    let mut pipeline = pipeline(edges.place(), None);
    let mut reports = Vec::new();
    // The edges keep connections to the ports of this world: the one for HTTP.
    let listener = Listener { name: "http".to_owned(), port: 0, hostname: None };
    let world = World { listeners: vec![listener], routes: Vec::new() };
    for seed in plan.seeds() {
        let set = generate::set(seed);
        let snapshot = pipeline.hold_objects(&objects(&set, edges.place()), &EdgeId::of_class("kakehi"));
        let (on_plan, on_filter, on_relay) =
            tokio::join!(edges.plan.apply(&snapshot, &world), edges.filter.apply(&snapshot, &world), edges.relay.apply(&snapshot, &world));
        on_plan.and(on_filter).and(on_relay).unwrap();
        for request in generate::requests(&set, seed, plan.requests) {
            let permitted = naive::decide(&set, &request);
            let (on_plan, on_filter, on_relay) =
                tokio::join!(edges.plan.ask(&request), edges.filter.ask(&request), edges.relay.ask(&request));
            let verdict = |answer: Result<Answer, String>| answer.and_then(|answer| check(&permitted, &request, &answer));
            let on_relay = on_relay.and_then(|answer| check_relayed(&permitted, &request, &answer));
            let found = [("plan", verdict(on_plan)), ("filter", verdict(on_filter)), ("relay", on_relay)];
            if found.iter().any(|(_, verdict)| verdict.is_err()) {
                reports.push(report(seed, &set, &request, &format!("{found:#?}")));
                break;
            }
        }
        if reports.len() >= ENOUGH {
            break;
        }
    }
    edges.stop().await;
    run::conclude(&reports);
}
