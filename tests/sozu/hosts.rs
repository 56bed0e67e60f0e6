//! Wildcards of any depth, falling through to broader hosts, and listeners that share a port.

use kakehi::model::{Attachment, Hostname, ListenerName};
use kakehi::snapshot::Resource;

use crate::build::{backend, exact, listener, prefix, route, rule};
use crate::rig::{Rig, serve};

async fn backends(names: &[&'static str]) -> Vec<Resource> {
    let mut all = Vec::new();
    for name in names {
        all.push(backend(name, &[serve(name).await]));
    }
    all
}

#[tokio::test]
async fn wildcards_take_any_number_of_labels() {
    let mut rig = Rig::start().await;
    let mut resources = backends(&["wild", "exact", "any"]).await;
    resources.extend([
        listener("web", 8080, "*"),
        route("wild", "web", &["*.x.example"], vec![rule(prefix("/"), "wild")]),
        route("exact", "web", &["a.x.example"], vec![rule(prefix("/only"), "exact")]),
    ]);
    assert!(rig.hold(resources.clone()).await.is_empty());
    // Sōzu decides what it can; deeper hosts, and those of nobody, are the filter's.
    let cases = [
        ("b.x.example", "/", "wild"),
        ("c.b.x.example", "/", "hop"),
        ("x.example", "/", "hop"),
        ("a.x.example", "/only", "exact"),
        ("a.x.example", "/", "wild"),
    ];
    for (host, target, who) in cases {
        assert_eq!(rig.who(8080, host, target).await, who, "{host}");
    }
    resources.push(route("any", "web", &["*"], vec![rule(prefix("/"), "any")]));
    assert!(rig.hold(resources).await.is_empty());
    let cases = [
        ("b.x.example", "wild"),
        ("B.X.Example:8080", "wild"),
        ("c.b.x.example", "hop"),
        ("d.c.b.x.example", "hop"),
        ("x.example", "any"),
        ("yx.example", "any"),
        ("a.x.example", "wild"),
        ("b.x.example.", "any"),
        ("localhost", "any"),
        ("127.0.0.1", "any"),
    ];
    for (host, who) in cases {
        assert_eq!(rig.who(8080, host, "/").await, who, "{host}");
    }
}

/// Requests for a host of a narrower listener never reach the routes of a broader one.
#[tokio::test]
async fn listeners_of_one_port_are_isolated() {
    let mut rig = Rig::start().await;
    let mut resources = backends(&["any", "wild", "one"]).await;
    resources.extend([
        listener("any", 8080, "*"),
        listener("wild", 8080, "*.x.example"),
        listener("one", 8080, "one.x.example"),
        listener("empty", 8080, "empty.example"),
        listener("other", 8081, "*"),
        route("any", "any", &["*"], vec![rule(prefix("/"), "any")]),
        route("wild", "wild", &["*.x.example"], vec![rule(prefix("/wild"), "wild")]),
        route("one", "one", &["one.x.example"], vec![rule(exact("/one"), "one")]),
        route("other", "other", &["*"], vec![rule(prefix("/"), "any")]),
    ]);
    assert!(rig.hold(resources).await.is_empty());
    let cases = [
        ("free.example", "/one", "any"),
        ("a.x.example", "/wild", "wild"),
        ("a.x.example", "/", "hop"),
        ("b.a.x.example", "/wild", "hop"),
        ("one.x.example", "/one", "one"),
        ("one.x.example", "/wild", "hop"),
        ("empty.example", "/", "hop"),
        ("x.example", "/wild", "any"),
    ];
    for (host, target, who) in cases {
        assert_eq!(rig.who(8080, host, target).await, who, "{host}{target}");
        assert_eq!(rig.who(8081, host, target).await, "any", "{host}{target} on the other port");
    }
}

/// A route that declares a narrower host wins over a longer path of one that declares none.
#[tokio::test]
async fn mixed_declared_hosts_are_left_to_the_filter() {
    let mut rig = Rig::start().await;
    let mut resources = backends(&["a", "b"]).await;
    let Resource::Route(mut broad) = route("broad", "web", &["*"], vec![rule(prefix("/long/path"), "b")]) else { unreachable!() };
    let pair = (Hostname::Any, Hostname::parse("app.example").unwrap());
    broad.attachments = vec![Attachment { listener: ListenerName("web".to_owned()), hostnames: vec![pair] }];
    resources.extend([
        listener("web", 8080, "app.example"),
        route("narrow", "web", &["app.example"], vec![rule(prefix("/long"), "a")]),
        Resource::Route(broad),
    ]);
    assert!(rig.hold(resources).await.is_empty());
    assert_eq!(rig.who(8080, "app.example", "/long/path").await, "hop");
}

/// Odd spellings of a host must not slip from one listener's hosts into another's.
#[tokio::test]
async fn odd_hosts_do_not_slip_through() {
    let mut rig = Rig::start().await;
    let mut resources = backends(&["bare", "wild"]).await;
    resources.extend([
        listener("web", 8080, "*"),
        route("bare", "web", &["x.example"], vec![rule(prefix("/"), "bare")]),
        route("wild", "web", &["*.x.example"], vec![rule(prefix("/"), "wild")]),
    ]);
    assert!(rig.hold(resources).await.is_empty());
    for host in ["x.example.", ".x.example", "a..x.example", "a.x.example."] {
        let who = rig.who(8080, host, "/").await;
        assert!(["hop", "400", "404"].contains(&who.as_str()), "{host:?}: {who}");
    }
}
