//! Sōzu gives the order of insertion a meaning; the edge keeps it right through every change.

use kakehi::model::Rule;
use kakehi::snapshot::Resource;

use crate::build::{backend, exact, listener, method, prefix, route, rule};
use crate::rig::{Rig, serve, until};

/// Every rule has a backend of its own name, so that the answer names the rule.
async fn backends() -> Vec<Resource> {
    let mut all = Vec::new();
    for name in ["exact", "prefix", "get", "post", "root", "a", "b", "c"] {
        all.push(backend(name, &[serve(name).await]));
    }
    all
}

async fn hold(rig: &mut Rig, backends: &[Resource], host: &str, rules: &[&Rule]) {
    let rules = rules.iter().map(|rule| (*rule).clone()).collect();
    let resources = [listener("web", 8080, "*"), route("r", "web", &[host], rules)];
    assert!(rig.hold(backends.iter().cloned().chain(resources)).await.is_empty());
}

/// In Sōzu a prefix inserted after an equal text of the same letters wins over it.
#[tokio::test]
async fn an_exact_path_beats_the_prefix_of_the_same_text_whichever_came_first() {
    let (mut rig, backends) = (Rig::start().await, backends().await);
    let (exact_rule, prefix_rule, root) = (rule(exact("/p/"), "exact"), rule(prefix("/p"), "prefix"), rule(prefix("/"), "root"));
    let (exact_root, root_get) = (rule(exact("/"), "a"), rule(method(prefix("/"), "GET"), "get"));
    for host in ["app.example", "*.example", "*"] {
        let orders: [&[&Rule]; 6] = [
            &[&exact_rule],
            &[&exact_rule, &prefix_rule],
            &[&prefix_rule, &root],
            &[&exact_rule, &prefix_rule, &root, &exact_root],
            &[&root, &root_get],
            &[&root, &root_get, &exact_root, &prefix_rule, &exact_rule],
        ];
        for rules in orders {
            hold(&mut rig, &backends, host, rules).await;
            let has = |rule: &Rule| rules.contains(&rule);
            let get = |default: &'static str| {
                if has(&root_get) {
                    "get"
                } else if has(&root) {
                    "root"
                } else {
                    default
                }
            };
            let expected = [
                (
                    "/p/",
                    if has(&exact_rule) {
                        "exact"
                    } else if has(&prefix_rule) {
                        "prefix"
                    } else {
                        get("404")
                    },
                ),
                ("/p", if has(&prefix_rule) { "prefix" } else { get("404") }),
                (
                    "/p/?x",
                    if has(&exact_rule) {
                        "exact"
                    } else if has(&prefix_rule) {
                        "prefix"
                    } else {
                        get("404")
                    },
                ),
                ("/", if has(&exact_root) { "a" } else { get("404") }),
                ("/?", if has(&exact_root) { "a" } else { get("404") }),
                ("/pp", get("404")),
            ];
            for (target, who) in expected {
                let seen = rig.who(8080, "app.example", target).await;
                // A wildcard that takes nothing leaves the rest to the filter.
                assert!(seen == who || (who == "404" && seen == "hop"), "{host} {target}: {seen}, not {who}");
            }
        }
    }
}

/// In Sōzu the last inserted of two prefixes of one length wins, with or without a method.
#[tokio::test]
async fn methods_beat_no_method_whichever_came_first() {
    let (mut rig, backends) = (Rig::start().await, backends().await);
    let (any, get, post) =
        (rule(prefix("/p"), "prefix"), rule(method(prefix("/p"), "GET"), "get"), rule(method(prefix("/p"), "POST"), "post"));
    let exact_get = rule(method(exact("/p"), "GET"), "exact");
    for host in ["app.example", "*"] {
        let orders: [&[&Rule]; 5] = [&[&get], &[&get, &any], &[&post, &any], &[&any, &get, &post], &[&any, &exact_get, &post]];
        for rules in orders {
            hold(&mut rig, &backends, host, rules).await;
            let has = |rule: &Rule| rules.contains(&rule);
            let rest = if has(&any) { "prefix" } else { "404" };
            for target in ["/p", "/p/x", "/p?y"] {
                let for_get = match target {
                    "/p" | "/p?y" if has(&exact_get) => "exact",
                    _ if has(&get) => "get",
                    _ => rest,
                };
                assert_eq!(rig.who_takes(8080, "GET", "app.example", target).await, for_get, "{host} GET {target}");
                assert_eq!(
                    rig.who_takes(8080, "POST", "app.example", target).await,
                    if has(&post) { "post" } else { rest },
                    "{host} POST {target}"
                );
                assert_eq!(rig.who_takes(8080, "get", "app.example", target).await, rest, "{host} get {target}");
            }
        }
    }
}

/// A worker that restarts is given its frontends from a sorted map, equals before prefixes.
#[tokio::test]
async fn the_order_survives_the_death_of_a_worker() {
    let (mut rig, backends) = (Rig::start().await, backends().await);
    let rules = [rule(exact("/p/"), "exact"), rule(prefix("/p"), "prefix"), rule(prefix("/p/q"), "a"), rule(prefix("/"), "root")];
    let rules: Vec<&Rule> = rules.iter().collect();
    for host in ["app.example", "*"] {
        hold(&mut rig, &backends, host, &rules).await;
        let worker = rig.sozu.workers()[0];
        rustix::process::kill_process(rustix::process::Pid::from_raw(worker).unwrap(), rustix::process::Signal::KILL).unwrap();
        until(rig.at(8080), "app.example", "/", "root").await;
        hold(&mut rig, &backends, host, &rules).await;
        assert_ne!(rig.sozu.workers()[0], worker);
        for (target, who) in [("/p/", "exact"), ("/p/x", "prefix"), ("/p/q", "a"), ("/p/q?", "a"), ("/x", "root"), ("/p", "prefix")] {
            assert_eq!(rig.who(8080, "app.example", target).await, who, "{host} {target}");
        }
    }
}
