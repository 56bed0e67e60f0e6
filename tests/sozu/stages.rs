//! What Sōzu cannot decide right goes to the filter; what it can stays.

use kakehi::edge::plan::RelayReason;
use kakehi::model::{
    Action, Backend, BackendProtocol, BackendTarget, HeaderMatch, InvalidBackend, Listener, PathMatch, Protocol, QueryMatch, Rule, Tuning,
    ValueMatch,
};
use kakehi::snapshot::Resource;

use crate::build::{backend, backend_id, exact, listener, prefix, route, rule, to};
use crate::rig::{Rig, serve};

#[tokio::test]
async fn each_kind_of_rule_is_at_its_stage() {
    let mut rig = Rig::start().await;
    let forward = |path: &str, refs| Rule { action: Action::Forward(refs), ..rule(prefix(path), "app") };
    let invalid = kakehi::model::BackendRef { weight: 1, target: BackendTarget::Invalid(InvalidBackend::NotFound), filters: Vec::new() };
    let idle = |name| kakehi::model::BackendRef { weight: 0, ..to(name) };
    let header = HeaderMatch { name: "x-canary".to_owned(), value: ValueMatch::Exact("1".to_owned()) };
    let query = QueryMatch { name: "q".to_owned(), value: ValueMatch::Exact("1".to_owned()) };
    let mut by_header = prefix("/header");
    by_header.headers.push(header);
    let mut by_query = exact("/query");
    by_query.query.push(query);
    let h2c = Backend::new(backend_id("h2c"), BackendProtocol::H2c, Vec::new());
    let rules = vec![
        forward("/weights", vec![to("app"), to("other")]),
        forward("/idle", vec![to("app"), idle("other")]),
        forward("/none", vec![]),
        forward("/zero", vec![idle("app")]),
        forward("/invalid", vec![invalid]),
        Rule { action: Action::Answer(500), ..rule(prefix("/answer"), "app") },
        rule(by_header, "app"),
        rule(by_query, "app"),
        rule(prefix("/header"), "app"),
        rule(prefix("/absent"), "absent"),
        rule(prefix("/"), "app"),
    ];
    let mut regex = rule(prefix("/"), "app");
    regex.matches[0].path = PathMatch::Regex("/[a-z]+".to_owned());
    let resources = [
        listener("web", 8080, "*"),
        listener("h2c", 8081, "*"),
        route("h2c", "h2c", &["app.example"], vec![rule(prefix("/"), "h2c")]),
        backend("app", &[serve("app").await]),
        backend("other", &[serve("other").await]),
        Resource::Backend(h2c),
        route("r", "web", &["app.example"], rules),
        route("regex", "web", &["regex.example"], vec![regex, rule(prefix("/native"), "app")]),
    ];
    assert!(rig.hold(resources).await.is_empty());
    let cases = [
        ("/weights", "hop"),
        ("/idle", "app"),
        ("/none", "hop"),
        ("/zero", "hop"),
        ("/invalid", "hop"),
        ("/answer", "hop"),
        ("/header/x", "hop"),
        ("/query", "hop"),
        ("/query?q=1", "hop"),
        ("/query/x", "app"),
        ("/absent", "503"),
        ("/", "app"),
    ];
    for (target, who) in cases {
        assert_eq!(rig.who(8080, "app.example", target).await, who, "{target}");
    }
    assert_eq!(rig.who(8080, "regex.example", "/native").await, "hop");
    let relays: Vec<_> = rig.planner.target().relays.iter().map(|(port, reason)| (port.number, reason.clone())).collect();
    assert_eq!(relays, [(8081, RelayReason::Http2)]);
}

/// Sōzu holds the limits of its listeners as the plan has them, which `Rig::hold` asks it, whatever they were before.
#[tokio::test]
async fn limits_of_listeners_change_in_place() {
    let mut rig = Rig::start().await;
    let serving = [backend("app", &[serve("app").await]), route("r", "web", &["app.example"], vec![rule(prefix("/"), "app")])];
    for tuning in [Tuning::default(), Tuning { max_streams: Some(7), connect_seconds: Some(1), ..Tuning::default() }, Tuning::default()] {
        let of = |name, port, protocol| match listener(name, port, "*") {
            Resource::Listener(listener) => Resource::Listener(Listener { protocol, tuning: tuning.clone(), ..listener }),
            other => other,
        };
        let resources = [of("web", 8080, Protocol::Http), of("tls", 8443, Protocol::Https)].into_iter().chain(serving.clone());
        assert!(rig.hold(resources).await.is_empty());
        assert_eq!(rig.who(8080, "app.example", "/").await, "app");
    }
}
