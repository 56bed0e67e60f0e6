//! What reaches a backend is what the edge says, whatever the client claims.

use kakehi::model::{Filter, HeaderEdit, PathModifier, Rewrite};

use crate::build::{backend, exact, filtered, listener, prefix, redirect, route, rule};
use crate::rig::{Rig, send, serve};

const SPOOFED: &str = "X-Forwarded-Proto: https\r\nx-forwarded-proto: gopher\r\nX-Forwarded-Port: 443\r\nX-Real-IP: 6.6.6.6\r\n\
                       X-Forwarded-Host: evil\r\nForwarded: for=6.6.6.6\r\n";

#[tokio::test]
async fn a_client_cannot_speak_for_the_edge() {
    let mut rig = Rig::start().await;
    let rules = vec![rule(prefix("/native"), "app"), redirect(prefix("/hop"))];
    let resources = [listener("web", 8080, "*"), backend("app", &[serve("app").await]), route("r", "web", &["app.example"], rules)];
    assert!(rig.hold(resources).await.is_empty());
    for (path, by) in [("/native", "app"), ("/hop", "hop")] {
        for extra in ["", SPOOFED] {
            let answer = send(rig.at(8080), &format!("GET {path} HTTP/1.1\r\nHost: app.example\r\n{extra}\r\n")).await;
            assert_eq!(answer.by(), by);
            assert_eq!((answer.seen("x-forwarded-host"), answer.seen("forwarded")), (Vec::new(), Vec::new()), "{}", answer.body);
            assert_eq!(answer.seen("x-forwarded-proto"), ["http"], "{}", answer.body);
            assert_eq!(answer.seen("x-forwarded-port"), ["8080"], "{}", answer.body);
            assert_eq!(answer.seen("x-real-ip"), ["127.0.0.1"], "{}", answer.body);
            if by == "hop" {
                assert_eq!(answer.seen("x-kakehi-hop"), ["8080"], "{}", answer.body);
            }
            assert_eq!(answer.seen("host"), ["app.example"]);
        }
    }
}

#[tokio::test]
async fn header_edits_set_add_and_remove_on_both_sides() {
    let mut rig = Rig::start().await;
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let edit = HeaderEdit { set: vec![pair("x-set", "new")], add: vec![pair("x-add", "more")], remove: vec!["x-gone".to_owned()] };
    let later = HeaderEdit { set: vec![pair("x-add", "instead")], add: vec![pair("x-set", "second")], remove: Vec::new() };
    let response = HeaderEdit { set: vec![pair("x-old", "set")], add: vec![pair("x-fresh", "1")], remove: vec!["x-served".to_owned()] };
    let rules = vec![
        filtered(prefix("/once"), "app", vec![Filter::RequestHeaders(edit.clone()), Filter::ResponseHeaders(response)]),
        filtered(prefix("/twice"), "app", vec![Filter::RequestHeaders(edit), Filter::RequestHeaders(later)]),
    ];
    let resources = [listener("web", 8080, "*"), backend("app", &[serve("app").await]), route("r", "web", &["app.example"], rules)];
    assert!(rig.hold(resources).await.is_empty());
    let request = |path: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: app.example\r\nX-Set: a\r\nx-set: b\r\nX-Add: 1\r\nx-gone: x\r\nX-Gone: y\r\n\r\n")
    };
    let answer = send(rig.at(8080), &request("/once")).await;
    assert_eq!(answer.by(), "app");
    assert_eq!(answer.seen("x-set"), ["new"]);
    assert_eq!(answer.seen("x-add"), ["1", "more"]);
    assert_eq!(answer.seen("x-gone"), [""; 0]);
    assert_eq!(answer.header("x-old"), ["set"]);
    assert_eq!(answer.header("x-fresh"), ["1"]);
    let answer = send(rig.at(8080), &request("/twice")).await;
    assert_eq!(answer.seen("x-set"), ["new", "second"]);
    assert_eq!(answer.seen("x-add"), ["instead"]);
}

#[tokio::test]
async fn paths_are_rewritten_and_queries_kept() {
    let mut rig = Rig::start().await;
    let rewrite = |path| vec![Filter::Rewrite(Rewrite { hostname: None, path: Some(path) })];
    let rules = vec![
        filtered(prefix("/pre"), "app", rewrite(PathModifier::Prefix("/new/place".to_owned()))),
        filtered(prefix("/root"), "app", rewrite(PathModifier::Prefix("/".to_owned()))),
        filtered(exact("/full"), "app", rewrite(PathModifier::Full("/whole".to_owned()))),
        filtered(prefix("/dollar"), "app", rewrite(PathModifier::Prefix("/$PATH[1]".to_owned()))),
        filtered(prefix("/host"), "app", vec![Filter::Rewrite(Rewrite { hostname: Some("new.example".to_owned()), path: None })]),
    ];
    let resources = [listener("web", 8080, "*"), backend("app", &[serve("app").await]), route("r", "web", &["app.example"], rules)];
    assert!(rig.hold(resources).await.is_empty());
    let cases = [
        ("/pre", "/new/place"),
        ("/pre/", "/new/place/"),
        ("/pre/a//b?x=1", "/new/place/a//b?x=1"),
        ("/pre?x=1", "/new/place?x=1"),
        ("/pre?", "/new/place?"),
        ("/root", "/"),
        ("/root/", "/"),
        ("/root/a?x", "/a?x"),
        ("/root?x", "/?x"),
        ("/full", "/whole"),
        ("/full?x=1", "/whole?x=1"),
    ];
    for (target, seen) in cases {
        let answer = rig.get(8080, "app.example", target).await;
        assert_eq!((answer.by(), answer.line()), ("app", format!("GET {seen} HTTP/1.1").as_str()), "{target}");
    }
    for target in ["/dollar", "/host"] {
        assert_eq!(rig.who(8080, "app.example", target).await, "hop", "{target}");
    }
}
