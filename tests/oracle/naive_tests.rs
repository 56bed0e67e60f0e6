//! The judge judged: the tables and examples of the specification.

use super::naive::{Verdict, decide, winner};
use super::world::{BackendRef, Listener, Match, Parent, PathChange, PathKind, Request, Rewrite, Route, Rule, Service, World};

fn get(host: &str, target: &str) -> Request {
    Request { port: 0, method: "GET".into(), target: target.into(), host: Some(host.into()), headers: Vec::new() }
}

fn prefix(path: &str) -> Match {
    Match { path: Some((PathKind::Prefix, path.into())), ..Match::default() }
}

fn route(name: &str, hostnames: &[&str], matches: Vec<Match>) -> Route {
    let backends = vec![BackendRef { service: Service::Live(0), weight: None, request_headers: None }];
    Route {
        namespace: "n".into(),
        name: name.into(),
        created: 0,
        parents: vec![Parent::default()],
        hostnames: hostnames.iter().map(ToString::to_string).collect(),
        rules: vec![Rule { matches, backends, ..Rule::default() }],
    }
}

fn world(routes: Vec<Route>) -> World {
    World { listeners: vec![Listener { name: "l".into(), port: 0, hostname: None }], routes }
}

#[test]
fn prefixes_match_by_element() {
    let world = world(vec![route("a", &[], vec![prefix("/foo/")])]);
    for (path, expected) in [("/foo", true), ("/foo/", true), ("/foo/bar", true), ("/foobar", false), ("/Foo", false), ("/foo?x", true)] {
        assert_eq!(winner(&world, &get("h", path)).is_some(), expected, "{path}");
    }
}

#[test]
fn hosts_fall_through_to_less_specific_ones_but_not_to_other_listeners() {
    let mut world = world(vec![route("exact", &["a.b.com"], vec![prefix("/x")]), route("wild", &["*.b.com"], vec![prefix("/")])]);
    assert_eq!(winner(&world, &get("A.b.com:80", "/x")), Some((0, 0, 0)));
    assert_eq!(winner(&world, &get("a.b.com", "/")), Some((1, 0, 0)));
    assert_eq!(winner(&world, &get("b.com", "/")), None);
    world.listeners.push(Listener { name: "narrow".into(), port: 0, hostname: Some("a.b.com".into()) });
    world.routes[1].parents[0].section = Some("l".into());
    assert_eq!(winner(&world, &get("a.b.com", "/")), None);
}

#[test]
fn a_longer_prefix_beats_a_method_and_an_older_route_wins_ties() {
    let method = Match { method: Some("GET".into()), ..prefix("/") };
    let mut world = world(vec![route("a", &[], vec![method, prefix("/v2")]), route("b", &[], vec![prefix("/v2")])]);
    assert_eq!(winner(&world, &get("h", "/v2")), Some((0, 0, 1)));
    assert_eq!(winner(&world, &get("h", "/v3")), Some((0, 0, 0)));
    world.routes[0].created = 1;
    assert_eq!(winner(&world, &get("h", "/v2")), Some((1, 0, 0)));
}

#[test]
fn prefixes_are_replaced_as_the_specification_shows() {
    let table = [
        ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
        ("/foo", "/foo", "/xyz", "/xyz"),
        ("/foo/", "/foo", "/xyz", "/xyz/"),
        ("/foo/bar", "/foo", "", "/bar"),
        ("/foo/", "/foo", "", "/"),
        ("/foo", "/foo", "", "/"),
        ("/foo/", "/foo", "/", "/"),
        ("/foo", "/foo", "/", "/"),
    ];
    for (path, matched, replacement, expected) in table {
        let mut world = world(vec![route("a", &[], vec![prefix(matched)])]);
        world.routes[0].rules[0].rewrite = Some(Rewrite { hostname: None, path: Some(PathChange::Prefix(replacement.into())) });
        let verdicts = decide(&world, &[80], &get("h", path));
        assert!(
            matches!(&verdicts[..], [Verdict::Forward { target, .. }] if target == expected),
            "{path} {matched} {replacement}: {verdicts:?}"
        );
    }
}
