use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::conditions::Conditions;
use super::patterns::Patterns;
use super::{Decision, Head, Table, host_of};
use crate::filter::filters::is_call;
use crate::model::{
    Action, Attachment, Backend, BackendId, BackendProtocol, BackendRef, BackendTarget, Endpoint, HeaderMatch, Hostname, Kind, Listener,
    ListenerName, Match, ObjectId, PathMatch, Protocol, QueryMatch, Rank, Route, Rule, ValueMatch,
};
use crate::snapshot::{Key, Resource, Snapshot};

fn listener(name: &str, port: u16, hostname: &str) -> Listener {
    let hostname = Hostname::parse(hostname).unwrap();
    Listener {
        name: ListenerName(name.into()),
        port,
        protocol: Protocol::Http,
        hostname,
        certificates: Vec::new(),
        certificates_by_name: false,
        tuning: Default::default(),
    }
}

fn path(path: PathMatch) -> Match {
    Match { path, method: None, headers: Vec::new(), query: Vec::new() }
}

fn backend_id(name: &str) -> BackendId {
    BackendId { namespace: "n".into(), service: name.into(), port: 80 }
}

fn forward(name: &str) -> Action {
    Action::Forward(vec![BackendRef { weight: 1, target: BackendTarget::Service(backend_id(name)), filters: Vec::new() }])
}

fn rule(matches: Vec<Match>) -> Rule {
    Rule { name: None, host: None, fallback: false, matches, filters: Vec::new(), action: forward("s") }
}

/// A route attached to `listeners`, its hostnames intersected as the translator does.
fn route(name: &str, listeners: &[&Listener], hostnames: &[&str], rules: Vec<Rule>) -> Route {
    let declared: Vec<Hostname> = hostnames.iter().map(|text| Hostname::try_from((*text).to_owned()).unwrap()).collect();
    let attachments = listeners
        .iter()
        .map(|listener| Attachment {
            listener: listener.name.clone(),
            hostnames: declared.iter().filter_map(|own| Some((own.clone(), own.intersect(&listener.hostname)?))).collect(),
        })
        .filter(|attachment| !attachment.hostnames.is_empty())
        .collect();
    Route { id: ObjectId::new(Kind::HttpRoute, "n", name), created: 0, file: None, attachments, rules, written: Vec::new() }
}

fn table(listeners: &[Listener], routes: &[Route]) -> Table {
    let listeners = listeners.iter().cloned().map(Resource::Listener);
    Table::from_snapshot(&Snapshot::from_resources(listeners.chain(routes.iter().cloned().map(Resource::Route))))
}

fn decide(table: &Table, port: u16, authority: &str, target: &str) -> Option<String> {
    decide_with(table, port, authority, ("GET", target, &HeaderMap::new()))
}

fn decide_with(table: &Table, port: u16, authority: &str, (method, target, headers): (&str, &str, &HeaderMap)) -> Option<String> {
    let host = host_of(authority);
    match table.decide(&Head { port, host: &host, method, target, headers }) {
        Decision::NotFound | Decision::Misdirected => None,
        Decision::Answer(found, status) => Some(format!("{}.{}={status}", found.rule.route.name, found.rule.index)),
        Decision::Redirect(found, _) | Decision::Forward(found, _) => Some(format!("{}.{}", found.rule.route.name, found.rule.index)),
    }
}

fn prefix(text: &str) -> Match {
    path(PathMatch::Prefix(text.into()))
}

#[test]
fn a_target_that_is_no_path_meets_no_rule() {
    let any = listener("l", 80, "");
    let everything = route("r", &[&any], &[""], vec![rule(vec![path(PathMatch::Regex(".*".into())), path(PathMatch::Prefix("/".into()))])]);
    let table = table(&[any], &[everything]);
    assert_eq!(decide(&table, 80, "h", "*"), None);
    assert!(decide(&table, 80, "h", "/").is_some());
}

#[test]
fn a_host_is_lower_case_without_its_port() {
    let table = [("A.Example:80", "a.example"), ("a.", "a."), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("a:", "a"), ("", "")];
    for (authority, host) in table {
        assert_eq!(host_of(authority), host);
    }
}

#[test]
fn the_most_specific_listener_takes_the_request_alone() {
    let listeners = [listener("any", 80, "*"), listener("wild", 80, "*.example.com"), listener("exact", 80, "a.example.com")];
    let [any, wild, exact] = &listeners;
    let routes = [
        route("on-any", &[any], &["*"], vec![rule(vec![prefix("/")])]),
        route("on-wild", &[wild], &["*"], vec![rule(vec![prefix("/wild")])]),
        route("on-exact", &[exact], &["*"], vec![rule(vec![prefix("/exact")])]),
    ];
    let table = table(&listeners, &routes);
    assert_eq!(decide(&table, 80, "other.org", "/").as_deref(), Some("on-any.0"));
    assert_eq!(decide(&table, 80, "b.example.com", "/wild").as_deref(), Some("on-wild.0"));
    assert_eq!(decide(&table, 80, "b.example.com", "/"), None);
    assert_eq!(decide(&table, 80, "A.example.com:8080", "/exact").as_deref(), Some("on-exact.0"));
    assert_eq!(decide(&table, 80, "a.example.com", "/wild"), None);
    assert_eq!(decide(&table, 81, "other.org", "/"), None);
}

#[test]
fn a_host_without_a_rule_falls_through_to_a_less_specific_one() {
    let listeners = [listener("l", 80, "*")];
    let [l] = &listeners;
    let routes = [
        route("exact", &[l], &["a.example.com"], vec![rule(vec![prefix("/only")])]),
        route("wild", &[l], &["*.example.com"], vec![rule(vec![prefix("/")])]),
    ];
    let table = table(&listeners, &routes);
    assert_eq!(decide(&table, 80, "a.example.com", "/only/x").as_deref(), Some("exact.0"));
    assert_eq!(decide(&table, 80, "a.example.com", "/onlyx").as_deref(), Some("wild.0"));
    assert_eq!(decide(&table, 80, "example.com", "/"), None);
}

#[test]
fn precedence_counts_the_declared_hostname() {
    // On one listener both become *.example.com; the route that names more characters wins.
    let listeners = [listener("l", 80, "*.example.com")];
    let [l] = &listeners;
    let routes = [
        route("a-wide", &[l], &["*"], vec![rule(vec![path(PathMatch::Exact("/x".into()))])]),
        route("b-narrow", &[l], &["*.com"], vec![rule(vec![prefix("/")])]),
    ];
    assert_eq!(decide(&table(&listeners, &routes), 80, "a.example.com", "/x").as_deref(), Some("b-narrow.0"));
}

#[test]
fn conditions_on_header_query_and_method() {
    let listeners = [listener("l", 80, "*")];
    let header = |name: &str, value| HeaderMatch { name: name.into(), value };
    let with = |headers, query| Match { headers, query, ..prefix("/") };
    let rules = vec![
        rule(vec![prefix("/")]),
        rule(vec![with(vec![header("x-env", ValueMatch::Exact("a,b".into()))], Vec::new())]),
        rule(vec![with(vec![header("x-re", ValueMatch::Regex("v[0-9]+".into()))], Vec::new())]),
        rule(vec![with(Vec::new(), vec![QueryMatch { name: "q".into(), value: ValueMatch::Exact("a b".into()) }])]),
        rule(vec![Match { method: Some("PUT".into()), ..prefix("/") }]),
    ];
    let table = table(&listeners, &[route("r", &[&listeners[0]], &["*"], rules)]);
    let asked = |method: &str, target: &str, lines: &[(&'static str, &'static str)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        decide_with(&table, 80, "h", (method, target, &headers)).unwrap()
    };
    assert_eq!(asked("GET", "/", &[]), "r.0");
    assert_eq!(asked("GET", "/", &[("x-env", "a"), ("x-env", "b")]), "r.1");
    assert_eq!(asked("GET", "/", &[("x-env", "a")]), "r.0");
    assert_eq!(asked("GET", "/", &[("x-re", "v12")]), "r.2");
    assert_eq!(asked("GET", "/", &[("x-re", "v12x")]), "r.0");
    assert_eq!(asked("GET", "/?p=1&q=a+b", &[]), "r.3");
    assert_eq!(asked("GET", "/?q=x&q=a+b", &[]), "r.0");
    assert_eq!(asked("PUT", "/", &[]), "r.4");
    assert_eq!(asked("put", "/", &[]), "r.0");
}

#[test]
fn what_does_not_compile_answers_500_and_is_refused() {
    let listeners = [listener("l", 80, "*")];
    let bad = path(PathMatch::Regex("(".into()));
    let routes = [
        route("bad", &[&listeners[0]], &["a"], vec![rule(vec![bad, path(PathMatch::Exact("/fine".into()))])]),
        route("good", &[&listeners[0]], &["b"], vec![rule(vec![prefix("/")])]),
    ];
    let mut table = table(&listeners, &routes);
    assert_eq!(decide(&table, 80, "a", "/").as_deref(), Some("bad.0=500"));
    assert_eq!(decide(&table, 80, "a", "/fine").as_deref(), Some("bad.0"));
    assert_eq!(decide(&table, 80, "b", "/").as_deref(), Some("good.0"));
    let refused = table.refused();
    assert_eq!(refused.iter().map(|refusal| &refusal.key).collect::<Vec<_>>(), [&Key::Route(routes[0].id.clone())]);
    assert!(refused[0].reason.contains("regular expression"), "{}", refused[0].reason);

    let held = Snapshot::from_resources([Resource::Route(routes[0].clone())]);
    table.apply(&held.diff(&Snapshot::default()));
    assert!(table.refused().is_empty());
}

#[test]
fn removed_endpoints_are_named() {
    let endpoint = |last: u8| Endpoint { ip: [127, 0, 0, last].into(), port: 80 };
    let backend = |lasts: &[u8]| {
        let endpoints = lasts.iter().copied().map(endpoint).collect();
        Snapshot::from_resources([Resource::Backend(Backend::new(backend_id("s"), BackendProtocol::Http, endpoints))])
    };
    let mut table = Table::default();
    let states = [backend(&[1, 2]), backend(&[2, 3]), Snapshot::default()];
    let mut held = Snapshot::default();
    let mut gone = Vec::new();
    for state in states {
        gone.push(table.apply(&held.diff(&state)));
        held = state;
    }
    assert_eq!(gone, [vec![], vec![endpoint(1)], vec![endpoint(2), endpoint(3)]]);
}

#[test]
fn every_point_belongs_to_one_reference() {
    let shares = [("a", 2), ("b", 0), ("c", 3)];
    let refs = shares.map(|(name, weight)| BackendRef { weight, target: BackendTarget::Service(backend_id(name)), filters: Vec::new() });
    let rules = vec![Rule { action: Action::Forward(refs.to_vec()), ..rule(vec![prefix("/")]) }];
    let listeners = [listener("l", 80, "*")];
    let table = table(&listeners, &[route("r", &[&listeners[0]], &["*"], rules)]);
    let head = Head { port: 80, host: "h", method: "GET", target: "/", headers: &HeaderMap::new() };
    let Decision::Forward(_, candidates) = table.decide(&head) else { panic!("no forward") };
    assert_eq!(candidates.total(), 5);
    let owners: Vec<usize> = (0..5).map(|point| candidates.at(point).unwrap().0).collect();
    assert_eq!(owners, [0, 0, 2, 2, 2]);
    assert!(candidates.at(5).is_none());
}

/// Every match of every route with the hostnames that it declares: (listener, effective, rank, conditions, name).
type Flat<'a> = Vec<(&'a ListenerName, &'a Hostname, Rank, Arc<Conditions>, String)>;

fn flatten(routes: &[Route]) -> Flat<'_> {
    let mut flat = Vec::new();
    for route in routes {
        for (number, rule) in route.rules.iter().enumerate() {
            for (index, matched) in rule.matches.iter().enumerate() {
                let conditions = Arc::new(Conditions::compile(matched, &mut Patterns::default().compiler(), &mut Vec::new()));
                for attachment in &route.attachments {
                    for (declared, effective) in attachment.hostnames.iter().filter(|(declared, _)| rule.is_for(declared)) {
                        let rank = route.rank(declared, number, index, matched);
                        flat.push((&attachment.listener, effective, rank, conditions.clone(), format!("{}.{number}", route.id.name)));
                    }
                }
            }
        }
    }
    flat
}

/// The contract, literally: the most specific listener, then the greatest rank among everything satisfied.
fn linear(listeners: &[Listener], flat: &Flat<'_>, head: &Head<'_>) -> Option<String> {
    let specificity = |listener: &&Listener| match &listener.hostname {
        Hostname::Any => (0, 0),
        Hostname::Wildcard(suffix) | Hostname::Label(suffix) => (1, suffix.len()),
        Hostname::Exact(name) => (2, name.len()),
    };
    let covering = listeners.iter().filter(|listener| listener.port == head.port && listener.hostname.matches(head.host));
    let listener = covering.max_by_key(specificity)?;
    let satisfied = flat.iter().filter(|(name, effective, _, conditions, _)| {
        **name == listener.name
            && effective.matches(head.host)
            && conditions.path.holds(head.path(), is_call(head.headers))
            && conditions.hold(head)
    });
    satisfied.max_by(|a, b| a.2.cmp(&b.2)).map(|(_, _, _, _, name)| name.clone())
}

const HOSTS: [&str; 7] = ["*", "*.com", "*.b.com", "a.b.com", "b.com", "*.a.b.com", "c"];
/// What routes declare beside [`HOSTS`]: wildcards of one label.
const LABELS: [&str; 2] = ["{label}.com", "{label}.b.com"];

fn any_match() -> impl Strategy<Value = Match> {
    let paths = prop::sample::select(vec!["/", "/a", "/a/b", "/a/", "/ab", "//", "/a//b"]);
    let path = (paths, 0..3_u8).prop_map(|(path, kind)| match kind {
        0 => PathMatch::Exact(path.into()),
        1 => PathMatch::Prefix(path.into()),
        _ => PathMatch::Regex(format!("{path}.?")),
    });
    let name = || {
        let text = prop::sample::select(vec!["a", "b", "a?", "[ab].*", ".+"]);
        prop::option::of(text.prop_map(
            |text| {
                if text.len() == 1 { ValueMatch::Exact(text.into()) } else { ValueMatch::Regex(text.into()) }
            },
        ))
    };
    let path = prop_oneof![2 => path, 1 => (name(), name()).prop_map(|(service, method)| PathMatch::Call { service, method })];
    let method = prop::option::weighted(0.3, prop::sample::select(vec!["GET", "PUT"]));
    (path, method, prop::bool::weighted(0.3), prop::bool::weighted(0.3)).prop_map(|(path, method, header, query)| Match {
        path,
        method: method.map(Into::into),
        headers: header.then(|| HeaderMatch { name: "x".into(), value: ValueMatch::Exact("1".into()) }).into_iter().collect(),
        query: query.then(|| QueryMatch { name: "q".into(), value: ValueMatch::Regex("1|2".into()) }).into_iter().collect(),
    })
}

fn any_routes(listeners: Vec<Listener>) -> impl Strategy<Value = Vec<Route>> {
    let rules = prop::collection::vec(prop::collection::vec(any_match(), 1..3).prop_map(rule), 1..4);
    let declared: Vec<&str> = HOSTS.iter().chain(&LABELS).copied().collect();
    let hostnames = prop::collection::vec(prop::sample::select(declared), 1..3);
    let rules = (rules, prop::collection::vec(prop::option::weighted(0.3, any::<prop::sample::Index>()), 4));
    let one = (rules, hostnames, 0..2_i64, prop::collection::vec(any::<bool>(), listeners.len()));
    prop::collection::vec(one, 1..6).prop_map(move |routes| {
        let mut built = Vec::new();
        for (index, ((mut rules, single), hostnames, created, chosen)) in routes.into_iter().enumerate() {
            let own: Vec<&Listener> = listeners.iter().zip(chosen).filter(|(_, chosen)| *chosen).map(|(listener, _)| listener).collect();
            for (rule, single) in rules.iter_mut().zip(single) {
                rule.host = single.map(|single| Hostname::try_from((*single.get(&hostnames)).to_owned()).unwrap());
            }
            let route = Route { created, ..route(&format!("r{index}"), &own, &hostnames, rules) };
            built.extend((!route.attachments.is_empty()).then_some(route));
        }
        built
    })
}

fn scenario() -> impl Strategy<Value = (Vec<Listener>, Vec<Route>, Vec<Route>)> {
    let hostnames = prop::collection::btree_set((80..82_u16, prop::sample::select(HOSTS.to_vec())), 1..5);
    let listeners = hostnames
        .prop_map(|set| set.into_iter().enumerate().map(|(index, (port, host))| listener(&format!("l{index}"), port, host)).collect());
    listeners.prop_flat_map(|listeners: Vec<Listener>| (Just(listeners.clone()), any_routes(listeners.clone()), any_routes(listeners)))
}

#[test]
fn calls_are_told_by_their_content_type() {
    let call = |service: Option<&str>, method: Option<&str>| {
        let name = |name: Option<&str>| name.map(|name| ValueMatch::Exact(name.into()));
        path(PathMatch::Call { service: name(service), method: name(method) })
    };
    let listeners = [listener("l", 80, "*")];
    let own: Vec<_> = listeners.iter().collect();
    let services = [(Some("S"), Some("M")), (Some("S"), None), (None, Some("M")), (None, None)];
    let rules = services.map(|(service, method)| rule(vec![call(service, method)]));
    let id = ObjectId::new(Kind::GrpcRoute, "n", "calls");
    let calls = Route { id, ..route("calls", &own, &["*"], rules.to_vec()) };
    let pages = route("pages", &own, &["*"], vec![rule(vec![path(PathMatch::Exact("/S/M".into()))]), rule(vec![prefix("/S")])]);
    let table = table(&listeners, &[calls, pages]);
    for (target, of_calls, of_pages) in [
        ("/S/M", "calls.0", Some("pages.0")),
        ("/S/N?M", "calls.1", Some("pages.1")),
        ("/S/", "calls.3", Some("pages.1")),
        ("/T/M", "calls.2", None),
        ("/T/U/M", "calls.2", None),
        ("//M", "calls.3", None),
        ("/M", "calls.3", None),
    ] {
        let mut headers = HeaderMap::new();
        let found = |headers: &HeaderMap| decide_with(&table, 80, "h", ("POST", target, headers));
        for other in [None, Some("application/grpc-web"), Some("application/x-www-form-urlencoded")] {
            if let Some(other) = other {
                headers.insert("content-type", HeaderValue::from_static(other));
            }
            assert_eq!(found(&headers).as_deref(), of_pages, "{target} {other:?}");
        }
        headers.insert("content-type", HeaderValue::from_static("application/grpc+proto"));
        assert_eq!(found(&headers).as_deref(), Some(of_calls), "{target}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_table_is_a_linear_scan((listeners, before, after) in scenario(), header in any::<bool>(), call in any::<bool>()) {
        let resources = |routes: &[Route]| {
            let listeners = listeners.iter().cloned().map(Resource::Listener);
            Snapshot::from_resources(listeners.chain(routes.iter().cloned().map(Resource::Route)))
        };
        // Reached through a change, so that removal and replacement are part of what is proved.
        let mut table = Table::from_snapshot(&resources(&before));
        table.apply(&resources(&before).diff(&resources(&after)));
        let flat = flatten(&after);
        let mut headers = HeaderMap::new();
        if header {
            headers.insert("x", HeaderValue::from_static("1"));
        }
        if call {
            headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        }
        for port in [80, 81] {
            for host in ["a.b.com", "x.b.com", "x.a.b.com", "b.com", "c", "d", "", ".com"] {
                for target in ["/", "/a", "/a/", "/a/b", "/a/b/c?q=1", "/ab", "/abc?q=3", "//", "//a", "/a//b", "*"] {
                    let expected = linear(&listeners, &flat, &Head { port, host, method: "GET", target, headers: &headers });
                    let found = decide_with(&table, port, host, ("GET", target, &headers));
                    prop_assert_eq!(found, expected, "{} {} {}", port, host, target);
                }
            }
        }
    }

    #[test]
    fn what_is_removed_leaves_nothing((listeners, routes, _) in scenario()) {
        let mut table = table(&listeners, &routes);
        let all = Snapshot::from_resources(
            listeners.iter().cloned().map(Resource::Listener).chain(routes.iter().cloned().map(Resource::Route)),
        );
        table.apply(&all.diff(&Snapshot::default()));
        prop_assert!(table.ports.is_empty() && table.listeners.is_empty() && table.hosts.is_empty() && table.routes.is_empty());
    }
}
