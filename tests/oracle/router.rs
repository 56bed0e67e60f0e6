//! Level 1: manifests through translation into the filter's table, which must pick what the oracle picks.

use http::{HeaderMap, HeaderName, HeaderValue};
use kakehi::filter::router::{Decision, Head, Table};
use kakehi::model::BackendTarget;
use tokio::time::Instant;

use super::generate;
use super::manifest::Place;
use super::naive::{self, Verdict, decide, winner};
use super::pipeline;
use super::requests::requests;
use super::run::{self, ENOUGH, Plan, SHRINK_TIME};
use super::shrink::smaller;
use super::world::{Request, World};

const PLACE: Place<'_> = Place { ports: &[8080, 8081], backend_port: 9000 };

#[test]
fn the_table_decides_as_the_oracle_does() {
    let plan = Plan::from_environment();
    let mut reports = Vec::new();
    for seed in plan.seeds() {
        let world = generate::world(seed);
        let table = table(&world);
        for request in requests(&world, seed, plan.requests) {
            if mismatch(&table, &world, &request).is_some() {
                let world = shrunk(world.clone(), &request);
                let found = mismatch(&self::table(&world), &world, &request).unwrap_or_default();
                reports.push(run::report(seed, &world, PLACE, &request, &found));
                break;
            }
        }
        if reports.len() >= ENOUGH {
            break;
        }
    }
    run::conclude(&reports);
}

fn table(world: &World) -> Table {
    Table::from_snapshot(&pipeline::snapshot(world, PLACE))
}

fn shrunk(mut world: World, request: &Request) -> World {
    let end = Instant::now() + SHRINK_TIME;
    while let Some(next) = smaller(&world).into_iter().find(|next| Instant::now() < end && mismatch(&table(next), next, request).is_some())
    {
        world = next;
    }
    world
}

/// What the table does, when that is not what the oracle says.
fn mismatch(table: &Table, world: &World, request: &Request) -> Option<String> {
    let (path, query) = naive::path_and_query(&request.target);
    let target = path + &query;
    let host = naive::request_host(request);
    let headers = headers(request);
    let head = Head { port: PLACE.ports[request.port], host: &host, method: &request.method, target: &target, headers: &headers };
    let decision = table.decide(&head);
    let rule = winner(world, request).map(|(route, rule, _)| {
        let route = &world.routes[route];
        (route.namespace.clone(), route.name.clone(), rule)
    });
    let found = match &decision {
        Decision::NotFound | Decision::Misdirected => None,
        Decision::Answer(found, _) | Decision::Redirect(found, _) | Decision::Forward(found, _) => {
            Some((found.rule.route.namespace.clone(), found.rule.route.name.clone(), found.rule.index))
        }
    };
    let permitted = decide(world, PLACE.ports, request);
    let right = rule == found && permitted.iter().all(|verdict| agrees(verdict, &decision, &head));
    if right { None } else { Some(format!("table:   rule {found:?}, {decision:?}")) }
}

pub fn headers(request: &Request) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(host) = &request.host {
        headers.append("host", HeaderValue::from_str(host).unwrap());
    }
    for (name, value) in &request.headers {
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    headers
}

/// Whether a decision leaves this outcome open.
fn agrees(verdict: &Verdict, decision: &Decision<'_>, head: &Head<'_>) -> bool {
    match (verdict, decision) {
        (Verdict::Answer(404), Decision::NotFound) => true,
        (Verdict::Answer(status), Decision::Answer(_, found)) => status == found,
        (Verdict::Answer(500), Decision::Forward(_, candidates)) => {
            candidates.list().iter().any(|candidate| candidate.weight > 0 && matches!(candidate.target, BackendTarget::Invalid(_)))
        }
        (Verdict::Answer(503), Decision::Forward(_, candidates)) => goes_to(candidates, "idle"),
        (Verdict::Forward { backend, .. }, Decision::Forward(_, candidates)) => goes_to(candidates, &format!("b{backend}")),
        (Verdict::Redirect { status, location }, Decision::Redirect(found, redirect)) => {
            let made = redirect.location(found.listener, head.host, head.target, found.prefix);
            redirect.status() == *status && made.is_some_and(|made| made.as_bytes() == location.as_bytes())
        }
        _ => false,
    }
}

fn goes_to(candidates: &kakehi::filter::router::Candidates, name: &str) -> bool {
    let to = |target: &BackendTarget| matches!(target, BackendTarget::Service(id) if id.service == name);
    candidates.list().iter().any(|candidate| candidate.weight > 0 && to(&candidate.target))
}
