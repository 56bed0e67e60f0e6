//! Random snapshots and requests that overlap as much as they can.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::naive::Request;
use crate::model::{
    Action, Attachment, Backend, BackendId, BackendProtocol, BackendRef, BackendTarget, Endpoint, HeaderMatch, Hostname, Kind, Listener,
    ListenerName, Match, ObjectId, PathMatch, PathModifier, Protocol, Redirect, Rewrite, Route, Rule, ValueMatch,
};
use crate::snapshot::{Resource, Snapshot};

const HOSTS: [&str; 8] = ["*", "*.com", "*.x.com", "*.a.x.com", "a.x.com", "b.a.x.com", "x.com", "c.b.a.x.com"];
/// What routes declare beside [`HOSTS`]: wildcards of one label.
const LABELS: [&str; 3] = ["{label}.com", "{label}.x.com", "{label}.a.x.com"];
const PATHS: [&str; 7] = ["/", "/a", "/a/b", "/ab", "/a/b/c", "/b", "/a/"];
const TARGETS: [&str; 18] = [
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/a/b/",
    "/ab",
    "/a/b/c",
    "/a/b/cd",
    "//a",
    "/a//b",
    "/a/../b",
    "/b",
    "/b/x",
    "/c",
    "/?x=1",
    "/a?x=1",
    "/a/?",
    "/a/b?a=/a/b/c",
];
const PORTS: [u16; 2] = [8080, 8081];

fn hostname(text: &str) -> Hostname {
    Hostname::try_from(text.to_owned()).unwrap()
}

fn path() -> impl Strategy<Value = PathMatch> {
    prop_oneof![
        5 => select(&PATHS[..6]).prop_map(|path| PathMatch::Prefix(path.to_owned())),
        4 => select(&PATHS[..]).prop_map(|path| PathMatch::Exact(path.to_owned())),
        1 => Just(PathMatch::Regex("/a/[a-z]+".to_owned())),
    ]
}

/// A condition of a GRPCRoute.
fn call() -> impl Strategy<Value = Match> {
    let name = |names: [&'static str; 3]| {
        prop::option::of(select(names.to_vec()).prop_map(|name| {
            let text = name.to_owned();
            if name.contains('.') { ValueMatch::Regex(text) } else { ValueMatch::Exact(text) }
        }))
    };
    (name(["a", "b", "a|b.*"]), name(["b", "c", ".."])).prop_map(|(service, method)| {
        let path = PathMatch::Call { service, method };
        Match { path, method: Some("POST".to_owned()), headers: Vec::new(), query: Vec::new() }
    })
}

fn matched() -> impl Strategy<Value = Match> {
    let method = prop_oneof![3 => Just(None), 2 => select(&["GET", "POST"][..]).prop_map(|method| Some(method.to_owned()))];
    (path(), method, prop::bool::weighted(0.15)).prop_map(|(path, method, header)| {
        let condition = HeaderMatch { name: "x".to_owned(), value: ValueMatch::Exact("1".to_owned()) };
        Match { path, method, headers: header.then_some(condition).into_iter().collect(), query: Vec::new() }
    })
}

fn backend_id(number: u16) -> BackendId {
    BackendId { namespace: "n".to_owned(), service: "s".to_owned(), port: number }
}

fn action() -> impl Strategy<Value = Action> {
    let reference = |number| BackendRef { weight: 1, target: BackendTarget::Service(backend_id(number)), filters: Vec::new() };
    let redirect = Redirect { scheme: None, hostname: None, port: None, path: None, status: 302 };
    prop_oneof![
        8 => (0..6_u16).prop_map(move |number| Action::Forward(vec![reference(number)])),
        1 => (0..6_u16).prop_map(move |number| Action::Forward(vec![reference(number), reference(number + 1)])),
        1 => Just(Action::Redirect(redirect)),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    (prop::collection::vec(matched(), 1..3), action(), prop::bool::weighted(0.1)).prop_map(|(matches, action, rewrite)| {
        let by_prefix = matches.iter().all(|matched| matches!(matched.path, PathMatch::Prefix(_)));
        let rewrite = (rewrite && by_prefix).then(|| {
            let path = Some(PathModifier::Prefix("/new".to_owned()));
            crate::model::Filter::Rewrite(Rewrite { hostname: None, path })
        });
        Rule { name: None, host: None, fallback: false, matches, filters: rewrite.into_iter().collect(), action }
    })
}

/// Listeners with different hostnames on each port.
fn listeners() -> impl Strategy<Value = Vec<Listener>> {
    let on = |port: u16| {
        subsequence(&HOSTS[..], 0..4).prop_map(move |hosts| {
            let listener = |host: &str| Listener {
                name: ListenerName(format!("{host}:{port}")),
                port,
                protocol: Protocol::Http,
                hostname: hostname(host),
                certificates: Vec::new(),
                certificates_by_name: false,
                tuning: Default::default(),
            };
            hosts.into_iter().map(listener).collect::<Vec<_>>()
        })
    };
    (on(PORTS[0]), on(PORTS[1])).prop_map(|(first, second)| first.into_iter().chain(second).collect())
}

fn route(listeners: Vec<Listener>, name: usize) -> impl Strategy<Value = Option<Route>> {
    let declared = subsequence(HOSTS[1..].iter().chain(&LABELS).copied().collect::<Vec<_>>(), 0..3);
    let own_hosts = prop::collection::vec(prop::option::weighted(0.3, 0..3_usize), 4);
    let most = listeners.len().min(2);
    let some = subsequence(listeners, 0..=most);
    let calls = prop::option::weighted(0.05, prop::collection::vec(call(), 4));
    let parts = (declared, some, prop::collection::vec(rule(), 1..4), 0..3_i64, own_hosts, prop::bool::weighted(0.2), calls);
    parts.prop_map(move |(declared, listeners, mut rules, created, own_hosts, fallback, calls)| {
        let declared: Vec<Hostname> =
            if declared.is_empty() { vec![Hostname::Any] } else { declared.iter().map(|host| hostname(host)).collect() };
        for (rule, own) in rules.iter_mut().zip(own_hosts) {
            rule.host = own.map(|own| declared[own % declared.len()].clone());
        }
        if let Some(rule) = rules.first_mut().filter(|_| fallback && declared == [Hostname::Any]) {
            let matches = vec![Match { path: PathMatch::Prefix("/".to_owned()), method: None, headers: Vec::new(), query: Vec::new() }];
            *rule = Rule { fallback, matches, filters: Vec::new(), ..rule.clone() };
        }
        let kind = if calls.is_some() { Kind::GrpcRoute } else { Kind::HttpRoute };
        for (rule, call) in rules.iter_mut().zip(calls.into_iter().flatten()) {
            *rule = Rule { fallback: false, matches: vec![call], filters: Vec::new(), ..rule.clone() };
        }
        let attach = |listener: &Listener| {
            let pairs = declared.iter().filter_map(|host| Some((host.clone(), host.intersect(&listener.hostname)?))).collect::<Vec<_>>();
            (!pairs.is_empty()).then(|| Attachment { listener: listener.name.clone(), hostnames: pairs })
        };
        let attachments: Vec<Attachment> = listeners.iter().filter_map(attach).collect();
        let id = ObjectId::new(kind, "n", format!("r{name}"));
        (!attachments.is_empty()).then_some(Route { id, created, file: None, attachments, rules, written: Vec::new() })
    })
}

fn backends() -> impl Strategy<Value = Vec<Backend>> {
    let one = |number: u16| {
        let endpoints = subsequence(vec![1_u16, 2, 3], 0..3);
        (endpoints, prop::bool::weighted(0.1), prop::bool::weighted(0.8)).prop_map(move |(ports, h2c, there)| {
            let endpoints = ports.into_iter().map(|port| Endpoint { ip: [10, 0, 0, 1].into(), port }).collect();
            let protocol = if h2c { BackendProtocol::H2c } else { BackendProtocol::Http };
            there.then(|| Backend::new(backend_id(number), protocol, endpoints))
        })
    };
    (0..7).map(one).collect::<Vec<_>>().prop_map(|all| all.into_iter().flatten().collect())
}

/// A snapshot of a few overlapping listeners, routes and backends.
pub(crate) fn snapshot() -> impl Strategy<Value = Snapshot> {
    let parts = listeners().prop_flat_map(|listeners| {
        let routes: Vec<_> = (0..5).map(|name| route(listeners.clone(), name)).collect();
        (Just(listeners), routes, backends())
    });
    parts.prop_map(|(listeners, routes, backends)| {
        let listeners = listeners.into_iter().map(Resource::Listener);
        let routes = routes.into_iter().flatten().map(Resource::Route);
        Snapshot::from_resources(listeners.chain(routes).chain(backends.into_iter().map(Resource::Backend)))
    })
}

/// A request that such a snapshot may take.
pub(crate) fn request() -> impl Strategy<Value = Request> {
    let hosts =
        ["x.com", "a.x.com", "b.x.com", "b.a.x.com", "c.b.a.x.com", "d.c.b.a.x.com", "y.com", "com", "localhost", "q.y.com", "x.com."];
    let methods = select(&["GET", "POST", "get"][..]);
    let parts = (select(&PORTS[..]), select(hosts.to_vec()), select(&TARGETS[..]), methods, any::<bool>(), prop::bool::weighted(0.3));
    parts.prop_map(|(port, host, target, method, conditions, call)| Request {
        port,
        host: host.to_owned(),
        target: target.to_owned(),
        method: method.to_owned(),
        conditions,
        call,
    })
}
