//! GRPCRoutes beside HTTPRoutes on shared hosts: manifests through translation into the filter's table, against the words of
//! Gateway API on GRPCRoute as straight-line code that shares nothing with `src`.
//!
//! How the two kinds stand to each other is left open; here a GRPCRoute goes before an HTTPRoute of the same hostname, and
//! takes gRPC calls alone ("gRPC over HTTP/2": a POST whose content type is `application/grpc`, or goes on with `+` or `;`).

use kakehi::filter::router::{Decision, Head, Table};
use kakehi::model::{EdgeId, Kind};
use serde_json::{Value, json};

use super::generate::{self, ROUTE_HOSTS};
use super::manifest::{self, GATEWAY, NAMESPACE, Place, tidy};
use super::naive::{self, chosen_listener, fits, header, host_specificity, selects};
use super::pipeline::Pipeline;
use super::random::Random;
use super::requests::requests;
use super::router::headers;
use super::run::{self, ENOUGH, Plan};
use super::world::{Condition, Request, Route, Rule, World};

const PLACE: Place<'_> = Place { ports: &[8080, 8081], backend_port: 9000 };

const SERVICES: [&str; 4] = ["shop.Cart", "shop.Orders", "a", "shop"];
const METHODS: [&str; 4] = ["Get", "Add", "GetAll", "G"];
const SERVICE_EXPRESSIONS: [&str; 5] = ["shop\\..*", ".*", "[a-z]+", "shop\\.(Cart|Orders)", "a|shop"];
const METHOD_EXPRESSIONS: [&str; 4] = ["Get.*", ".+", "G(et)?", "Add|Get"];
const CONTENT_TYPES: [&str; 9] = [
    "application/grpc",
    "application/grpc",
    "application/grpc+proto",
    "Application/gRPC;x=y",
    "application/grpc-web",
    "application/grpcx",
    "application/json",
    " application/grpc",
    "",
];
const ODD_PATHS: [&str; 8] = ["/", "/shop.Cart", "/shop.Cart/", "//Get", "/a/b/Get", "/shop.Cart/Get?x=/a/G", "/a//G", "/shop.cart/Get"];

/// A route whose rules have these matches in place of their own.
#[derive(Clone, Debug)]
struct Calls {
    route: Route,
    rules: Vec<Vec<Match>>,
}

#[derive(Clone, Debug, Default)]
struct Match {
    regex: bool,
    service: Option<String>,
    method: Option<String>,
    headers: Vec<Condition>,
}

/// What decides: kind, namespace, name, rule.
type Winner = (Kind, String, String, usize);

#[test]
fn the_table_decides_calls_as_the_oracle_does() {
    let plan = Plan::from_environment();
    let (mut reports, mut calls_won, mut contested, mut refused) = (Vec::new(), 0, 0, 0);
    for seed in plan.seeds() {
        let mut random = Random::new(seed ^ 0xca11);
        let world = generate::world(seed);
        let calls: Vec<Calls> = (0..random.between(1, 4)).map(|number| calls(&mut random, &world, number)).collect();
        let table = table(&world, &calls);
        for request in requests(&world, seed, plan.requests) {
            let request = of_grpc(request, &mut random);
            let wanted = winner(&world, &calls, &request);
            let found = found(&table, &request);
            calls_won += usize::from(wanted.as_ref().is_some_and(|wanted| wanted.0 == Kind::GrpcRoute));
            contested += usize::from(satisfied(&world, &calls, &request).len() > 1);
            refused += usize::from(!is_call(&request));
            if wanted != found {
                let routes: String = calls.iter().map(|calls| format!("{}\n", manifest_of(calls))).collect();
                let brief = run::brief(&world, PLACE);
                reports.push(format!(
                    "KAKEHI_ORACLE_SEED={seed} KAKEHI_ORACLE_SETS=1\n{brief}{routes}{request:?}\noracle: {wanted:?}\ntable:  {found:?}"
                ));
                break;
            }
        }
        if reports.len() >= ENOUGH {
            break;
        }
    }
    run::conclude(&reports);
    let asked = plan.sets as usize * plan.requests;
    assert!(asked < 1000 || calls_won * 8 > asked, "only {calls_won} of {asked} requests go to a GRPCRoute");
    assert!(asked < 1000 || contested * 20 > asked, "only {contested} of {asked} requests satisfy several matches");
    assert!(asked < 1000 || refused * 8 > asked, "only {refused} of {asked} requests are no calls");
}

fn calls(random: &mut Random, world: &World, number: usize) -> Calls {
    let hosts = if random.chance(30) { 0 } else { random.between(1, 4) };
    // Mostly where an HTTPRoute is, too.
    let shared = random.pick(&world.routes).hostnames.clone();
    let hostnames = if random.chance(50) { shared } else { random.some(&ROUTE_HOSTS, hosts).into_iter().map(str::to_owned).collect() };
    let rules: Vec<Vec<Match>> = (0..random.between(1, 4))
        .map(|_| if random.chance(10) { Vec::new() } else { (0..random.between(1, 3)).map(|_| matched(random)).collect() })
        .collect();
    let route = Route {
        namespace: if random.chance(80) { "oracle" } else { "oracle-b" }.to_owned(),
        name: format!("{}{number}", random.pick(&["r", "calls-", "a.b"])),
        created: 1_700_000_000 + random.below(3) as u64,
        parents: generate::parents(random, &world.listeners),
        hostnames,
        rules: rules.iter().map(|_| Rule::default()).collect(),
    };
    Calls { route, rules }
}

fn matched(random: &mut Random) -> Match {
    let mut matched = Match { regex: random.chance(45), ..Match::default() };
    let (services, methods) = match matched.regex {
        true => (&SERVICE_EXPRESSIONS[..], &METHOD_EXPRESSIONS[..]),
        false => (&SERVICES[..], &METHODS[..]),
    };
    match random.below(10) {
        0 => {}
        1 | 2 => matched.method = Some(random.word(methods).to_owned()),
        3..6 => matched.service = Some(random.word(services).to_owned()),
        _ => {
            matched.service = Some(random.word(services).to_owned());
            matched.method = Some(random.word(methods).to_owned());
        }
    }
    if random.chance(35) {
        let count = random.between(1, 2);
        for name in random.some(&["X-One", "x-two"], count) {
            let regex = random.chance(30);
            matched.headers.push(Condition { name: name.to_owned(), value: if regex { "a|b" } else { "a" }.to_owned(), regex });
        }
    }
    matched
}

/// Mostly a call in place of the request, on its host and port.
fn of_grpc(mut request: Request, random: &mut Random) -> Request {
    if random.chance(15) {
        return request;
    }
    request.method = if random.chance(92) { "POST" } else { "GET" }.to_owned();
    request.target = match random.chance(85) {
        true => format!("/{}/{}", random.word(&SERVICES), random.word(&METHODS)),
        false => random.word(&ODD_PATHS).to_owned(),
    };
    for name in ["x-one", "X-Two"] {
        if random.chance(50) {
            request.headers.push((name.to_owned(), random.word(&["a", "a", "b", "c"]).to_owned()));
        }
    }
    if random.chance(90) {
        let content_type = if random.chance(60) { "application/grpc" } else { random.word(&CONTENT_TYPES) };
        request.headers.push(("Content-Type".to_owned(), content_type.to_owned()));
    }
    request
}

fn manifest_of(calls: &Calls) -> Value {
    let condition = |condition: &Condition| json!({"type": condition.regex.then_some("RegularExpression"), "name": condition.name, "value": condition.value});
    let matched = |matched: &Match| {
        let named = matched.service.is_some() || matched.method.is_some();
        let kind = matched.regex.then_some("RegularExpression");
        let method = named.then(|| json!({"type": kind, "service": matched.service, "method": matched.method}));
        json!({"method": method, "headers": matched.headers.iter().map(condition).collect::<Vec<_>>()})
    };
    let rules = calls.rules.iter().map(|matches| json!({"matches": matches.iter().map(matched).collect::<Vec<_>>()}));
    let mut object = manifest::route(&calls.route, PLACE);
    object["kind"] = json!("GRPCRoute");
    object["spec"]["rules"] = Value::Array(rules.map(tidy).collect());
    object
}

fn table(world: &World, calls: &[Calls]) -> Table {
    let mut objects = manifest::objects(world, PLACE);
    objects.extend(calls.iter().map(manifest_of));
    Table::from_snapshot(&Pipeline::new().hold_objects(&objects, &EdgeId::of_gateway(NAMESPACE, GATEWAY)))
}

fn found(table: &Table, request: &Request) -> Option<Winner> {
    let (path, query) = naive::path_and_query(&request.target);
    let (host, headers) = (naive::request_host(request), headers(request));
    let target = path + &query;
    let head = Head { port: PLACE.ports[request.port], host: &host, method: &request.method, target: &target, headers: &headers };
    match table.decide(&head) {
        Decision::NotFound | Decision::Misdirected => None,
        Decision::Answer(found, _) | Decision::Redirect(found, _) | Decision::Forward(found, _) => {
            let id = &found.rule.route;
            Some((id.kind, id.namespace.clone(), id.name.clone(), found.rule.index))
        }
    }
}

fn is_call(request: &Request) -> bool {
    let content_type = header(request, "content-type").unwrap_or_default().to_ascii_lowercase();
    request.method == "POST"
        && (content_type == "application/grpc"
            || content_type.starts_with("application/grpc+")
            || content_type.starts_with("application/grpc;"))
}

/// Of every GRPCRoute match that holds: the characters of its route's hostname, then route, rule and match.
type Satisfied<'a> = ((usize, usize), &'a Calls, usize, usize, Match);

fn satisfied<'a>(world: &World, calls: &'a [Calls], request: &Request) -> Vec<Satisfied<'a>> {
    let host = naive::request_host(request);
    let Some(listener) = chosen_listener(world, request.port, &host) else { return Vec::new() };
    let mut all = Vec::new();
    for calls in calls.iter().filter(|calls| calls.route.parents.iter().any(|parent| selects(parent, listener))) {
        let Some(specificity) = host_specificity(&calls.route, &host) else { continue };
        for (rule, matches) in calls.rules.iter().enumerate() {
            let matches = if matches.is_empty() { vec![Match::default()] } else { matches.clone() };
            for (index, matched) in matches.into_iter().enumerate() {
                if is_call(request) && holds(&matched, request) {
                    all.push((specificity, calls, rule, index, matched));
                }
            }
        }
    }
    all
}

fn holds(matched: &Match, request: &Request) -> bool {
    let (path, _) = naive::path_and_query(&request.target);
    if !path.starts_with('/') {
        return false;
    }
    // Service and method are the text before and after the last slash; a path without one of them names neither.
    let last = path.rfind('/').unwrap();
    let (service, method) = if last < 2 || last + 1 == path.len() { ("", "") } else { (&path[1..last], &path[last + 1..]) };
    let is = |wanted: &Option<String>, name: &str| {
        let condition = |value: &String| Condition { name: String::new(), value: value.clone(), regex: matched.regex };
        wanted.as_ref().is_none_or(|wanted| !name.is_empty() && fits(&condition(wanted), name))
    };
    is(&matched.service, service)
        && is(&matched.method, method)
        && matched.headers.iter().all(|condition| header(request, &condition.name).is_some_and(|value| fits(condition, &value)))
}

/// `GRPCRouteRule.matches`, from the weakest criterion to the strongest, each by a stable sort.
fn winner(world: &World, calls: &[Calls], request: &Request) -> Option<Winner> {
    let mut all = satisfied(world, calls, request);
    let characters = |text: &Option<String>| text.as_ref().map_or(0, |text| text.chars().count());
    all.sort_by_key(|found| found.3);
    all.sort_by_key(|found| found.2);
    all.sort_by_key(|found| format!("{}/{}", found.1.route.namespace, found.1.route.name));
    all.sort_by_key(|found| found.1.route.created);
    all.sort_by_key(|found| usize::MAX - found.4.headers.len());
    all.sort_by_key(|found| usize::MAX - characters(&found.4.method));
    all.sort_by_key(|found| usize::MAX - characters(&found.4.service));
    all.sort_by_key(|found| usize::MAX - found.0.1);
    all.sort_by_key(|found| usize::MAX - found.0.0);
    let page = naive::winner(world, request).map(|(route, rule, _)| (&world.routes[route], rule));
    let of_page = page.and_then(|(route, _)| host_specificity(route, &naive::request_host(request)));
    match (all.first(), page) {
        (Some(call), _) if of_page.is_none_or(|of_page| call.0 >= of_page) => {
            Some((Kind::GrpcRoute, call.1.route.namespace.clone(), call.1.route.name.clone(), call.2))
        }
        (_, Some((route, rule))) => Some((Kind::HttpRoute, route.namespace.clone(), route.name.clone(), rule)),
        (_, None) => None,
    }
}
