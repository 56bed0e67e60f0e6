//! Paths are bytes up to `?`: nothing is decoded or merged, and the query never decides.

use crate::build::{backend, exact, listener, prefix, route, rule};
use crate::rig::{Rig, send, serve};

#[tokio::test]
async fn paths_are_compared_raw_and_by_element() {
    let mut rig = Rig::start().await;
    let (a, e) = (serve("prefix").await, serve("exact").await);
    let rules = vec![rule(prefix("/foo"), "prefix"), rule(exact("/bar"), "exact")];
    let resources =
        [listener("web", 8080, "*"), backend("prefix", &[a]), backend("exact", &[e]), route("r", "web", &["app.example"], rules)];
    assert!(rig.hold(resources).await.is_empty());
    let cases = [
        ("/foo", "prefix"),
        ("/foo/", "prefix"),
        ("/foo/bar", "prefix"),
        ("/foo?x", "prefix"),
        ("/foo/?x", "prefix"),
        ("/foo?/../bar", "prefix"),
        ("/foo/../bar", "prefix"),
        ("/foo//x", "prefix"),
        ("/foobar", "404"),
        ("/FOO", "404"),
        ("//foo", "404"),
        ("/./foo", "404"),
        ("/x/../foo", "404"),
        ("/foo%2fx", "404"),
        ("/%66oo", "404"),
        ("/bar", "exact"),
        ("/bar?x=/foo", "exact"),
        ("/bar?", "exact"),
        ("/bar/", "404"),
        ("/barn", "404"),
        ("/bar/../foo", "404"),
        ("/", "404"),
        ("/?/foo", "404"),
    ];
    for (target, who) in cases {
        let answer = rig.get(8080, "app.example", target).await;
        assert_eq!(answer.who(), who, "{target}");
        if who != "404" {
            assert_eq!(answer.line(), format!("GET {target} HTTP/1.1"), "forwarded as it came");
        }
    }
}

/// A request in absolute form is routed by the authority of its target.
#[tokio::test]
async fn the_authority_of_an_absolute_target_wins_over_host() {
    let mut rig = Rig::start().await;
    let (a, b) = (serve("a").await, serve("b").await);
    let resources = [
        listener("web", 8080, "*"),
        backend("a", &[a]),
        backend("b", &[b]),
        route("a", "web", &["a.example"], vec![rule(prefix("/"), "a")]),
        route("b", "web", &["b.example"], vec![rule(prefix("/"), "b")]),
    ];
    assert!(rig.hold(resources).await.is_empty());
    let answer = send(rig.at(8080), "GET http://a.example/x HTTP/1.1\r\nHost: b.example\r\n\r\n").await;
    assert!(["a", "400"].contains(&answer.who().as_str()), "{answer:?}");
}
