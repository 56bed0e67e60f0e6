//! Random Gateways with routes that overlap on purpose: few names, many rules.

use super::random::Random;
use super::world::{
    BackendRef, Condition, Edit, Listener, Match, Parent, PathChange, PathKind, Redirect, Rewrite, Route, Rule, Service, World,
};

/// Greatest number of live backends that one world refers to.
pub const BACKENDS: usize = 96;

/// Header names that matches and edits use; the test backend sends the first two.
pub const HEADERS: [&str; 4] = ["X-One", "X-Two", "X-Three", "x-four"];
pub const HEADER_VALUES: [&str; 5] = ["a", "b", "a,b", "long value", "A"];
pub const PARAMETERS: [&str; 3] = ["q", "r", "a+b"];
pub const PARAMETER_VALUES: [&str; 5] = ["1", "2", "x y", "1&2", ""];
pub const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"];

const LISTENER_HOSTS: [&str; 7] =
    ["*.com", "*.example.com", "*.a.example.com", "*.b.a.example.com", "example.com", "a.example.com", "b.a.example.com"];
pub const ROUTE_HOSTS: [&str; 14] = [
    "*.com",
    "*.example.com",
    "*.a.example.com",
    "*.b.a.example.com",
    "*.c.b.a.example.com",
    "example.com",
    "a.example.com",
    "b.a.example.com",
    "c.b.a.example.com",
    "b.example.com",
    "*.b.example.com",
    "other.org",
    "*.org",
    "a-b.example.com",
];
pub const PATHS: [&str; 24] = [
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/a/b/",
    "/a/b/c",
    "/ab",
    "/b",
    "/b/c",
    "/A",
    "/a.b",
    "/a+b",
    "/a$b",
    "/a(b)",
    "/a*",
    "/a%20b",
    "/%61",
    "/a/b.html",
    "/~u",
    "/v1",
    "/v1/users",
    "/v1/users/42",
    "/v2",
    "/a=b;c,d",
];
const EXPRESSIONS: [&str; 8] = ["/a.*", "/[ab]", "/(a|b)/.+", "/v[0-9]+/users", "/a|/b", "/.*/c", "/v1/users/[0-9]{2}", ".*"];

/// How much of Gateway API a world uses.
#[derive(Clone, Copy, Debug)]
struct Taste {
    /// Header and query conditions, weights and filters of backendRefs.
    rich: bool,
    regex: bool,
}

/// The world of a seed.
pub fn world(seed: u64) -> World {
    let mut random = Random::new(seed);
    let rich = random.chance(55);
    let taste = Taste { rich, regex: rich && random.chance(50) };
    let listeners = listeners(&mut random);
    let mut world = World { listeners, routes: Vec::new() };
    let mut next_backend = 0;
    for number in 0..random.between(1, 8) {
        let route = route(&mut random, taste, &world.listeners, number, &mut next_backend);
        world.routes.push(route);
    }
    world
}

fn listeners(random: &mut Random) -> Vec<Listener> {
    let mut listeners: Vec<Listener> = Vec::new();
    for number in 0..random.between(1, 3) {
        let port = random.below(2);
        let hostname = if random.chance(40) { None } else { Some(random.word(&LISTENER_HOSTS).to_owned()) };
        if listeners.iter().all(|other| (other.port, &other.hostname) != (port, &hostname)) {
            listeners.push(Listener { name: format!("l{number}"), port, hostname });
        }
    }
    listeners
}

fn route(random: &mut Random, taste: Taste, listeners: &[Listener], number: usize, next_backend: &mut usize) -> Route {
    let hosts = if random.chance(15) { 0 } else { random.between(1, 4) };
    let rules = random.between(1, 3);
    Route {
        namespace: if random.chance(80) { "oracle" } else { "oracle-b" }.to_owned(),
        name: format!("{}{number}", random.pick(&["r", "route-", "z", "a.b"])),
        created: 1_700_000_000 + random.below(3) as u64,
        parents: parents(random, listeners),
        hostnames: random.some(&ROUTE_HOSTS, hosts).into_iter().map(str::to_owned).collect(),
        rules: (0..rules).map(|_| rule(random, taste, next_backend)).collect(),
    }
}

/// The listeners that a route names.
pub fn parents(random: &mut Random, listeners: &[Listener]) -> Vec<Parent> {
    if random.chance(60) {
        return vec![Parent::default()];
    }
    if random.chance(20) {
        return vec![Parent { section: None, port: Some(random.pick(listeners).port) }];
    }
    let count = random.between(1, 2);
    random.some(listeners, count).into_iter().map(|listener| Parent { section: Some(listener.name), port: None }).collect()
}

fn rule(random: &mut Random, taste: Taste, next_backend: &mut usize) -> Rule {
    let count = if random.chance(8) { 0 } else { random.between(1, 3) };
    let matches: Vec<_> = (0..count).map(|_| matched(random, taste)).collect();
    // A prefix can be replaced only in a rule with exactly one match, by prefix (a rule of the CRD).
    let prefixes =
        matches.len() == 1 && matches.iter().all(|matched| matched.path.as_ref().is_some_and(|(kind, _)| *kind == PathKind::Prefix));
    let mut rule = Rule { matches, ..Rule::default() };
    if random.chance(25) {
        rule.request_headers = Some(edit(random));
    }
    if random.chance(12) {
        rule.redirect = Some(redirect(random, prefixes));
        return rule;
    }
    if random.chance(20) {
        rule.response_headers = Some(edit(random));
    }
    if random.chance(25) {
        let hostname = if random.chance(25) { Some("rewritten.example".to_owned()) } else { None };
        let path = if hostname.is_none() || random.chance(50) { Some(path_change(random, prefixes)) } else { None };
        rule.rewrite = Some(Rewrite { hostname, path });
    }
    rule.backends = backends(random, taste, next_backend);
    rule
}

fn matched(random: &mut Random, taste: Taste) -> Match {
    let mut matched = Match::default();
    if random.chance(90) {
        let kind = if taste.regex && random.chance(25) {
            PathKind::Regex
        } else if random.chance(40) {
            PathKind::Exact
        } else {
            PathKind::Prefix
        };
        let path = match kind {
            PathKind::Regex => random.pick(&EXPRESSIONS),
            PathKind::Prefix if random.chance(25) => &"/",
            _ => random.pick(&PATHS),
        };
        matched.path = Some((kind, (*path).to_owned()));
    }
    if random.chance(25) {
        matched.method = Some(random.word(&METHODS).to_owned());
    }
    if taste.rich && random.chance(35) {
        let count = random.between(1, 2);
        for name in random.some(&HEADERS, count) {
            matched.headers.push(condition(random, taste, name, &HEADER_VALUES));
        }
    }
    if taste.rich && random.chance(25) {
        let count = random.between(1, 2);
        for name in random.some(&PARAMETERS, count) {
            matched.query.push(condition(random, taste, name, &PARAMETER_VALUES));
        }
    }
    matched
}

fn condition(random: &mut Random, taste: Taste, name: &str, values: &[&str]) -> Condition {
    if taste.regex && random.chance(30) {
        return Condition { name: name.to_owned(), value: (*random.pick(&["a.*", "[0-9]+", "a|b", ".+"])).to_owned(), regex: true };
    }
    let filled: Vec<&str> = values.iter().copied().filter(|value| !value.is_empty()).collect();
    Condition { name: name.to_owned(), value: random.word(&filled).to_owned(), regex: false }
}

/// Names are unique over the three lists, as the order among them is not defined.
fn edit(random: &mut Random) -> Edit {
    let mut edit = Edit::default();
    let count = random.between(1, 3);
    for name in random.some(&HEADERS, count) {
        let value = random.word(&["edited", "two words", "a,b", "$1", "100%"]).to_owned();
        match random.below(3) {
            0 => edit.set.push((name.to_owned(), value)),
            1 => edit.add.push((name.to_owned(), value)),
            _ => edit.remove.push(name.to_owned()),
        }
    }
    edit
}

fn path_change(random: &mut Random, prefixes: bool) -> PathChange {
    let value = random.word(&["/", "/new", "/new/", "/a/b", "/x$y", "/n%20w", ""]).to_owned();
    if prefixes && random.chance(70) {
        PathChange::Prefix(value)
    } else {
        PathChange::Full(if value.is_empty() { "/full".to_owned() } else { value })
    }
}

fn redirect(random: &mut Random, prefixes: bool) -> Redirect {
    let mut redirect = Redirect::default();
    if random.chance(40) {
        redirect.scheme = Some(random.word(&["http", "https"]).to_owned());
    }
    if random.chance(40) {
        redirect.hostname = Some("redirected.example".to_owned());
    }
    if random.chance(30) {
        redirect.port = Some(*random.pick(&[80, 443, 8443]));
    }
    if random.chance(50) {
        redirect.path = Some(path_change(random, prefixes));
    }
    if random.chance(70) {
        redirect.status = Some(*random.pick(&[301, 302, 303, 307, 308]));
    }
    redirect
}

fn backends(random: &mut Random, taste: Taste, next_backend: &mut usize) -> Vec<BackendRef> {
    let count = match random.below(100) {
        0..4 => 0,
        4..85 => 1,
        _ => random.between(2, 3),
    };
    let mut backends = Vec::new();
    for _ in 0..count {
        let service = match random.below(100) {
            0..6 => Service::Missing,
            6..12 => Service::Idle,
            _ => {
                *next_backend += 1;
                Service::Live(*next_backend - 1)
            }
        };
        let weighted = count > 1 || random.chance(10);
        let weight = if weighted && random.chance(80) { Some(*random.pick(&[0, 0, 1, 2, 50])) } else { None };
        let request_headers = if taste.rich && random.chance(8) { Some(edit(random)) } else { None };
        backends.push(BackendRef { service, weight, request_headers });
    }
    backends
}
