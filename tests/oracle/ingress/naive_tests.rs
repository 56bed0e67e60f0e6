//! The judge judged: the tables of the Ingress documentation.

use super::super::world::{Request, Service};
use super::naive::winner;
use super::{HostRule, Ingress, Path, PathType, Target};

fn get(host: &str, target: &str) -> Request {
    Request { port: 0, method: "GET".into(), target: target.into(), host: Some(host.into()), headers: Vec::new() }
}

fn ingress(host: Option<&str>, paths: &[(PathType, &str)]) -> Ingress {
    let paths = paths.iter().enumerate().map(|(number, (kind, path))| Path {
        kind: *kind,
        path: (*path).to_owned(),
        backend: Target::Service(Service::Live(number), false),
    });
    let rule = HostRule { host: host.map(str::to_owned), paths: Some(paths.collect()) };
    Ingress { namespace: "n".into(), name: "i".into(), created: 0, default_backend: None, rules: vec![rule] }
}

/// The number of the path that takes it.
fn taken(paths: &[(PathType, &str)], target: &str) -> Option<usize> {
    match winner(&[ingress(None, paths)], &get("h", target))?.target {
        Target::Service(Service::Live(number), _) => Some(number),
        _ => None,
    }
}

#[test]
fn the_table_of_paths() {
    use PathType::{Exact, Prefix};
    for (paths, target, expected) in [
        (vec![(Prefix, "/")], "/any", Some(0)),
        (vec![(Exact, "/foo")], "/foo", Some(0)),
        (vec![(Exact, "/foo")], "/bar", None),
        (vec![(Exact, "/foo")], "/foo/", None),
        (vec![(Exact, "/foo/")], "/foo", None),
        (vec![(Prefix, "/foo")], "/foo", Some(0)),
        (vec![(Prefix, "/foo")], "/foo/", Some(0)),
        (vec![(Prefix, "/foo/")], "/foo", Some(0)),
        (vec![(Prefix, "/foo/")], "/foo/", Some(0)),
        (vec![(Prefix, "/aaa/bb")], "/aaa/bbb", None),
        (vec![(Prefix, "/aaa/bbb")], "/aaa/bbb", Some(0)),
        (vec![(Prefix, "/aaa/bbb/")], "/aaa/bbb", Some(0)),
        (vec![(Prefix, "/aaa/bbb")], "/aaa/bbb/", Some(0)),
        (vec![(Prefix, "/aaa/bbb")], "/aaa/bbb/ccc", Some(0)),
        (vec![(Prefix, "/aaa/bbb")], "/aaa/bbbxyz", None),
        (vec![(Prefix, "/"), (Prefix, "/aaa")], "/aaa/ccc", Some(1)),
        (vec![(Prefix, "/"), (Prefix, "/aaa"), (Prefix, "/aaa/bbb")], "/aaa/bbb", Some(2)),
        (vec![(Prefix, "/"), (Prefix, "/aaa"), (Prefix, "/aaa/bbb")], "/ccc", Some(0)),
        (vec![(Prefix, "/aaa")], "/ccc", None),
        (vec![(Prefix, "/foo"), (Exact, "/foo")], "/foo", Some(1)),
    ] {
        assert_eq!(taken(&paths, target), expected, "{paths:?} {target}");
    }
}

#[test]
fn the_table_of_hosts() {
    for (host, expected) in [("bar.foo.com", true), ("baz.bar.foo.com", false), ("foo.com", false)] {
        let set = [ingress(Some("*.foo.com"), &[(PathType::Prefix, "/")])];
        assert_eq!(winner(&set, &get(host, "/")).is_some(), expected, "{host}");
    }
}
