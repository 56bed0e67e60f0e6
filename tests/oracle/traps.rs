//! What Sōzu does otherwise than Gateway API, each as a small world (`reference/sozu.md`, its list of surprises): plan and
//! filter must still do what the oracle says.

use std::collections::BTreeSet;

use super::differential::Edges;
use super::judge::arrived;
use super::pipeline::Pipeline;
use super::world::{
    BackendRef, Condition, Edit, Listener, Match, Parent, PathChange, PathKind, Redirect, Request, Rewrite, Route, Rule, Service, World,
};

fn get(host: &str, target: &str) -> Request {
    Request { port: 0, method: "GET".into(), target: target.into(), host: Some(host.into()), headers: Vec::new() }
}

fn with(request: Request, headers: &[(&str, &str)]) -> Request {
    Request { headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(), ..request }
}

fn by(method: &str, request: Request) -> Request {
    Request { method: method.into(), ..request }
}

fn path(kind: PathKind, text: &str) -> Match {
    Match { path: Some((kind, text.into())), ..Match::default() }
}

fn prefix(text: &str) -> Match {
    path(PathKind::Prefix, text)
}

fn exact(text: &str) -> Match {
    path(PathKind::Exact, text)
}

fn to(service: Service, weight: u32) -> BackendRef {
    BackendRef { service, weight: Some(weight), request_headers: None }
}

/// A rule to the live backend of this number.
fn rule(matched: Match, backend: usize) -> Rule {
    Rule { matches: vec![matched], backends: vec![to(Service::Live(backend), 1)], ..Rule::default() }
}

fn route(name: &str, hosts: &[&str], rules: Vec<Rule>) -> Route {
    let hostnames = hosts.iter().map(ToString::to_string).collect();
    Route { namespace: "oracle".into(), name: name.into(), created: 1_700_000_000, parents: vec![Parent::default()], hostnames, rules }
}

fn world(routes: Vec<Route>) -> World {
    World { listeners: vec![Listener { name: "l".into(), port: 0, hostname: None }], routes }
}

/// One host with these rules.
fn rules(rules: Vec<Rule>) -> World {
    world(vec![route("r", &["a.example.com"], rules)])
}

fn targets(targets: &[&str]) -> Vec<Request> {
    targets.iter().map(|target| get("a.example.com", target)).collect()
}

struct Trap {
    name: &'static str,
    world: World,
    requests: Vec<Request>,
}

/// Which rule wins.
fn precedence() -> Vec<Trap> {
    let method = |matched: Match, method: &str| Match { method: Some(method.into()), ..matched };
    let header = |matched: Match| {
        let condition = Condition { name: "X-One".into(), value: "a".into(), regex: false };
        Match { headers: vec![condition], ..matched }
    };
    let orders = |a: Rule, b: Rule| [rules(vec![a.clone(), b.clone()]), rules(vec![b, a])];
    let mut traps = Vec::new();
    let mut both = |name, worlds: [World; 2], requests: Vec<Request>| {
        traps.extend(worlds.map(|world| Trap { name, world, requests: requests.clone() }));
    };
    both("a prefix equal to an exact path", orders(rule(prefix("/a"), 0), rule(exact("/a"), 1)), targets(&["/a", "/a?x", "/a/", "/ab"]));
    both(
        "the last method-less expression",
        orders(rule(path(PathKind::Regex, "/f.*"), 0), rule(exact("/foo"), 1)),
        targets(&["/foo", "/fo", "/foo?x=1", "/f/x?y"]),
    );
    let post = vec![by("POST", get("a.example.com", "/v2/x")), get("a.example.com", "/v2/x"), by("POST", get("a.example.com", "/"))];
    both("a method against a longer path", orders(rule(method(prefix("/"), "POST"), 0), rule(prefix("/v2"), 1)), post);
    let one = [("X-One", "a")];
    let headers = vec![with(get("a.example.com", "/v2"), &one), with(get("a.example.com", "/"), &one), get("a.example.com", "/v2")];
    both("a header against a longer path", orders(rule(header(prefix("/")), 0), rule(prefix("/v2"), 1)), headers);
    let lines =
        vec![with(get("a.example.com", "/"), &[("x-one", "b"), ("X-ONE", "a")]), with(get("a.example.com", "/"), &[("x-one", "a")])];
    both("a header of two lines", orders(rule(header(prefix("/")), 0), rule(prefix("/"), 1)), lines);
    traps
}

/// Which hosts and paths match.
fn matching() -> Vec<Trap> {
    let hosts = |hosts: &[&str]| hosts.iter().map(|host| get(host, "/")).collect();
    let deep = world(vec![
        route("wide", &["*.example.com"], vec![rule(prefix("/"), 0)]),
        route("deep", &["x.y.example.com"], vec![rule(prefix("/only"), 1)]),
    ]);
    let mut isolated = world(vec![route("wide", &[], vec![rule(prefix("/"), 0)])]);
    isolated.routes[0].parents[0].section = Some("l".into());
    isolated.listeners.push(Listener { name: "narrow".into(), port: 0, hostname: Some("*.example.com".into()) });
    vec![
        Trap {
            name: "wildcards of several labels",
            world: deep,
            requests: hosts(&[
                "a.example.com",
                "a.b.example.com",
                "a.b.c.d.e.example.com",
                "example.com",
                "x.y.example.com",
                "X.Y.EXAMPLE.COM:1",
            ]),
        },
        Trap {
            name: "listener isolation",
            world: isolated,
            requests: hosts(&["a.example.com", "a.b.example.com", "example.com", "other.org", "com"]),
        },
        Trap {
            name: "every host",
            world: world(vec![route("all", &[], vec![rule(prefix("/"), 0)])]),
            requests: hosts(&[
                "localhost",
                "a",
                "a.b.c.d",
                "10.0.0.1",
                "a.example.com.",
                "under_score.com",
                "[::1]",
                "xn--bcher-kva.example",
            ]),
        },
        raw_paths(),
    ]
}

fn raw_paths() -> Trap {
    Trap {
        name: "raw paths",
        world: rules(vec![rule(prefix("/foo"), 0), rule(exact("/eq"), 1)]),
        requests: targets(&[
            "/foo",
            "/foobar",
            "/foo/bar",
            "/foo?x",
            "/foo/?x",
            "/foo%2fbar",
            "//foo",
            "/foo//x",
            "/x/../foo",
            "/foo/../eq",
            "/./foo",
            "/%66oo",
            "/eq",
            "/eq?x=1",
            "/eq?",
            "/eq/",
            "/Foo",
            "/foo;x",
            "/?/foo",
        ]),
    }
}

/// What is sent on, and what is answered.
fn actions() -> Vec<Trap> {
    let rewrite =
        |matched: Match, path: PathChange| Rule { rewrite: Some(Rewrite { hostname: None, path: Some(path) }), ..rule(matched, 0) };
    let full = |text: &str| PathChange::Full(text.into());
    let replaced = |text: &str| PathChange::Prefix(text.into());
    let host = Rewrite { hostname: Some("rewritten.example".into()), path: None };
    let service = |services: &[(Service, u32)]| {
        let backends = services.iter().map(|(service, weight)| to(*service, *weight)).collect();
        rules(vec![Rule { matches: vec![prefix("/")], backends, ..Rule::default() }])
    };
    let seventh = Redirect { status: Some(307), path: Some(replaced("/new")), ..Redirect::default() };
    let edit =
        Edit { set: vec![("X-One".into(), "$1".into())], add: vec![("X-Two".into(), "b, c".into())], remove: vec!["X-Three".into()] };
    let edited = Rule { request_headers: Some(edit.clone()), response_headers: Some(edit), ..rule(prefix("/"), 0) };
    let sent = [("x-one", "a"), ("X-One", "b"), ("x-two", "a"), ("x-three", "a"), ("X-THREE", "b")];
    let paths = targets(&["/p", "/p/", "/p/q?x=/y", "/p?x=$1", "/p//q", "/px"]);
    let trap = |name, world, requests| Trap { name, world, requests };
    vec![
        trap("host rewrite", rules(vec![Rule { rewrite: Some(host), ..rule(prefix("/"), 0) }]), targets(&["/", "/x?y"])),
        trap("a dollar in a replacement", rules(vec![rewrite(prefix("/p"), replaced("/n$PATH$1"))]), paths.clone()),
        trap("replaced by nothing", rules(vec![rewrite(prefix("/p"), replaced(""))]), paths.clone()),
        trap("replaced by the root", rules(vec![rewrite(prefix("/p/"), replaced("/"))]), paths.clone()),
        trap("replaced whole", rules(vec![rewrite(prefix("/p"), full("/whole"))]), paths.clone()),
        trap("redirect 307", rules(vec![Rule { redirect: Some(seventh), backends: vec![], ..rule(prefix("/p"), 0) }]), paths),
        trap("header edits", rules(vec![edited]), vec![with(get("a.example.com", "/"), &sent), get("a.example.com", "/")]),
        trap("no backend", service(&[]), targets(&["/"])),
        trap("a missing Service", service(&[(Service::Missing, 1)]), targets(&["/"])),
        trap("a Service without endpoints", service(&[(Service::Idle, 1)]), targets(&["/"])),
        trap("weights of zero", service(&[(Service::Live(0), 0), (Service::Live(1), 1), (Service::Missing, 0)]), targets(&["/"; 20])),
        trap("only weights of zero", service(&[(Service::Live(0), 0), (Service::Live(1), 0)]), targets(&["/"; 5])),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_trap_is_avoided_by_plan_and_filter() {
    let (mut edges, mut pipeline) = (Edges::start().await, Pipeline::new());
    let mut reports = Vec::new();
    for trap in precedence().into_iter().chain(matching()).chain(actions()) {
        edges.hold(&trap.world, &mut pipeline).await.unwrap();
        for request in &trap.requests {
            if let Some(wrong) = edges.wrong(&trap.world, request).await {
                reports.push(format!("{}: {request:?}\n{wrong}", trap.name));
            }
        }
    }
    edges.stop().await;
    super::run::conclude(&reports);
}

/// Sōzu would choose once per client connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_count_for_every_request_of_a_connection() {
    let mut edges = Edges::start().await;
    let split = vec![to(Service::Live(0), 1), to(Service::Live(1), 1), to(Service::Live(2), 0)];
    let world = rules(vec![Rule { backends: split, ..Rule::default() }]);
    edges.hold(&world, &mut Pipeline::new()).await.unwrap();
    for edge in [&mut edges.plan, &mut edges.filter, &mut edges.relay] {
        let mut seen = BTreeSet::new();
        for _ in 0..60 {
            let answer = edge.ask(&get("a.example.com", "/")).await.unwrap();
            seen.extend(arrived(&answer).map(|arrived| arrived.backend));
        }
        // Sixty draws on one side alone: once in 2^59.
        assert_eq!(seen, BTreeSet::from([0, 1]), "{}", edge.name);
    }
    edges.stop().await;
}

/// What the client claims about itself is replaced by the truth, the same in both stages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_of_the_client_reach_no_backend() {
    let mut edges = Edges::start().await;
    let world = rules(vec![rule(prefix("/"), 0)]);
    edges.hold(&world, &mut Pipeline::new()).await.unwrap();
    let claims = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Port", "1"), ("X-Real-IP", "6.6.6.6"), ("X-Kakehi-Hop", "1")];
    let request = with(get("a.example.com", "/"), &claims);
    let port = edges.ports[0].to_string();
    for edge in [&mut edges.plan, &mut edges.filter, &mut edges.relay] {
        let arrived = arrived(&edge.ask(&request).await.unwrap()).unwrap();
        let lines =
            |name: &str| arrived.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect::<Vec<_>>();
        let truth = [("x-forwarded-proto", "http"), ("x-forwarded-port", port.as_str()), ("x-real-ip", "127.0.0.1")];
        for (name, value) in truth {
            assert_eq!(lines(name), [value], "{} by {}", name, edge.name);
        }
        assert_eq!(lines("x-kakehi-hop"), [""; 0], "by {}", edge.name);
    }
    edges.stop().await;
}
