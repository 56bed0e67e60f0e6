//! Hostile text: whatever stands in a route, nothing reaches the model that is not valid on the wire.

use std::collections::BTreeSet;

use kakehi::api::{Change, Object};
use kakehi::model::{
    Action, Allowed, Filter, HeaderEdit, Hostname, Kind, Match, ObjectId, PathMatch, PathModifier, Pattern, Redirect, Rewrite, Route,
    ValueMatch,
};
use kakehi::snapshot::{Key, Resource};
use kakehi::translate::{Now, Settings, Translator};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

/// Mostly one of the well-formed texts, so that a rule as a whole has a chance; sometimes text of people who mean no good.
fn text(good: &'static [&'static str]) -> impl Strategy<Value = String> {
    const ODD: &[&str] = &[
        "",
        "/",
        "//",
        "/a/../b",
        "/a%2fb",
        "/x?y",
        "/x y",
        "a\r\nb: c",
        "/a\r\nb",
        "\0",
        "Host",
        "X-Kakehi-Hop",
        "Content-Length",
        "X-A",
        "x-a",
        "$PATH[0]",
        "((a{9}){99}){999}",
        "(",
        "*.x.io",
        "*",
        "1.2.3.4",
        "[::1]",
        "é",
        " a",
    ];
    prop_oneof![7 => select(good).prop_map(str::to_owned), 1 => select(ODD).prop_map(str::to_owned), 1 => ".{0,6}"]
}

fn name() -> impl Strategy<Value = String> {
    text(&["x-a", "X-B", "x-c", "X-D"])
}

fn path() -> impl Strategy<Value = String> {
    text(&["/", "/a", "/a/", "/b/c"])
}

fn host() -> impl Strategy<Value = String> {
    text(&["a.x.io", "b.x.io"])
}

fn value() -> impl Strategy<Value = String> {
    text(&["1", "a, b", "[a-z]+"])
}

fn duration() -> impl Strategy<Value = String> {
    text(&["1s", "0s", "500ms", "1m"])
}

fn number(good: std::ops::Range<i32>) -> impl Strategy<Value = i32> {
    prop_oneof![9 => good, 1 => any::<i32>()]
}

fn edit() -> impl Strategy<Value = Value> {
    let pair = || (name(), value()).prop_map(|(name, value)| json!({"name": name, "value": value}));
    let pairs = move || prop::collection::vec(pair(), 0..2);
    (pairs(), pairs(), prop::collection::vec(name(), 0..2)).prop_map(|(set, add, remove)| json!({"set": set, "add": add, "remove": remove}))
}

fn path_modifier() -> impl Strategy<Value = Value> {
    (path(), any::<bool>()).prop_map(|(text, full)| match full {
        true => json!({"type": "ReplaceFullPath", "replaceFullPath": text}),
        false => json!({"type": "ReplacePrefixMatch", "replacePrefixMatch": text}),
    })
}

fn filter() -> impl Strategy<Value = Value> {
    let redirect = (path_modifier(), host(), number(1..9_999), select(vec![301, 302, 303, 307, 308, 200, -1]));
    let mirror = (number(0..100), any::<bool>(), number(1..9)).prop_map(|(share, percent, denominator)| match percent {
        true => json!({"backendRef": {"name": "s", "port": 80}, "percent": share}),
        false => json!({"backendRef": {"name": "s", "port": 80}, "fraction": {"numerator": share, "denominator": denominator}}),
    });
    let list = |items: &'static [&'static str]| prop::collection::vec(text(items), 0..3);
    let origins = list(&["https://a.io", "http://*.a.io:81", "*"]);
    let cors = (origins, list(&["GET", "*"]), list(&["x-a", "*"]), list(&["x-b"]), number(1..9)).prop_map(
        |(origins, methods, headers, exposed, age)| json!({"allowOrigins": origins, "allowMethods": methods, "allowHeaders": headers, "exposeHeaders": exposed, "maxAge": age}),
    );
    prop_oneof![
        2 => cors.prop_map(|cors| json!({"type": "CORS", "cors": cors})),
        1 => mirror.prop_map(|mirror| json!({"type": "RequestMirror", "requestMirror": mirror})),
        3 => edit().prop_map(|edit| json!({"type": "RequestHeaderModifier", "requestHeaderModifier": edit})),
        3 => edit().prop_map(|edit| json!({"type": "ResponseHeaderModifier", "responseHeaderModifier": edit})),
        2 => (path_modifier(), host()).prop_map(|(path, host)| json!({"type": "URLRewrite", "urlRewrite": {"path": path, "hostname": host}})),
        2 => redirect.prop_map(|(path, hostname, port, status)| {
            let redirect = json!({"path": path, "hostname": hostname, "port": port, "statusCode": status});
            json!({"type": "RequestRedirect", "requestRedirect": redirect})
        }),
    ]
}

fn one_match() -> impl Strategy<Value = Value> {
    let kind = || select(vec!["Exact", "RegularExpression"]);
    let kinds = select(vec!["Exact", "PathPrefix", "PathPrefix", "PathPrefix", "RegularExpression"]);
    let path = (kinds, path()).prop_map(|(kind, value)| json!({"type": kind, "value": value}));
    let condition = move || {
        let entry = (kind(), name(), value()).prop_map(|(kind, name, value)| json!({"type": kind, "name": name, "value": value}));
        prop::collection::vec(entry, 0..2)
    };
    (path, condition(), condition()).prop_map(|(path, headers, query)| json!({"path": path, "headers": headers, "queryParams": query}))
}

fn spec() -> impl Strategy<Value = Value> {
    let backend = (number(1..99), number(0..9), edit()).prop_map(|(port, weight, edit)| {
        json!({"name": "s", "port": port, "weight": weight, "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": edit}]})
    });
    let rule = (prop::collection::vec(one_match(), 0..3), prop::collection::vec(filter(), 0..3), prop::collection::vec(backend, 0..2));
    let timeouts = (duration(), duration()).prop_map(|(request, backend)| json!({"request": request, "backendRequest": backend}));
    let retry = (prop::collection::vec(number(400..600), 0..2), number(1..5), duration())
        .prop_map(|(codes, attempts, backoff)| json!({"codes": codes, "attempts": attempts, "backoff": backoff}));
    let rule = (rule, prop::option::of(timeouts), prop::option::of(retry)).prop_map(|((matches, filters, backends), timeouts, retry)| {
        json!({"matches": matches, "filters": filters, "backendRefs": backends, "timeouts": timeouts, "retry": retry})
    });
    (prop::collection::vec(host(), 0..2), prop::collection::vec(rule, 1..6))
        .prop_map(|(hostnames, rules)| json!({"parentRefs": [{"name": "web"}], "hostnames": hostnames, "rules": rules}))
}

fn translate(spec: Value) -> Option<Route> {
    let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP"}]);
    let objects = [
        (Kind::GatewayClass, "", "ours", json!({"controllerName": "kakehi.dev/gateway-controller"})),
        (Kind::Gateway, "a", "web", json!({"gatewayClassName": "ours", "listeners": listeners})),
        (Kind::HttpRoute, "a", "r", spec),
    ];
    let changes = objects.into_iter().map(|(kind, namespace, name, spec)| {
        let object = Object::from_value(kind, json!({"metadata": {"name": name, "namespace": namespace}, "spec": spec})).unwrap();
        Change { id: object.id(), old: None, new: Some(object) }
    });
    let mut translator = Translator::new(Settings::default());
    translator.apply(changes, Now::from_unix(0));
    let id = ObjectId::new(Kind::HttpRoute, "a", "r");
    assert!(translator.reports().contains_key(&id));
    let resource = translator.edges().next().unwrap().1.snapshot.get(&Key::Route(id))?.clone();
    match resource.as_ref() {
        Resource::Route(route) => Some(route.clone()),
        other => panic!("{other:?}"),
    }
}

fn is_clean(text: &str) -> bool {
    !text.bytes().any(|byte| byte < b' ' || byte == 0x7f)
}

fn check_path(path: &str) {
    assert!(path.starts_with('/') && path.is_ascii() && is_clean(path) && !path.contains(['?', '#', ' ']), "{path:?}");
}

fn check_edit(edit: &HeaderEdit) {
    let names: Vec<_> = edit.set.iter().chain(&edit.add).map(|(name, _)| name).chain(&edit.remove).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "a name twice");
    for name in names {
        assert!(http::HeaderName::from_lowercase(name.as_bytes()).is_ok() && name != "host" && name != "x-kakehi-hop", "{name:?}");
    }
    for (_, value) in edit.set.iter().chain(&edit.add) {
        assert!(http::HeaderValue::from_str(value).is_ok() && !value.is_empty(), "{value:?}");
    }
}

fn check_modifier(path: Option<&PathModifier>, matches: &[Match]) {
    match path {
        Some(PathModifier::Full(path)) => check_path(path),
        Some(PathModifier::Prefix(path)) => {
            check_path(path);
            assert!(matches.iter().all(|matched| matches!(matched.path, PathMatch::Prefix(_))));
        }
        None => {}
    }
}

fn check_filter(filter: &Filter, matches: &[Match]) {
    match filter {
        Filter::RequestHeaders(edit) | Filter::ResponseHeaders(edit) => check_edit(edit),
        Filter::Rewrite(Rewrite { hostname, path }) => {
            hostname.iter().for_each(|host| assert!(matches!(Hostname::parse(host), Ok(Hostname::Exact(_)))));
            check_modifier(path.as_ref(), matches);
        }
        Filter::Mirror(mirror) => assert!(mirror.denominator > 0 && mirror.numerator <= mirror.denominator),
        Filter::Retry(retry) => assert!(retry.attempts > 0 && retry.codes.iter().all(|code| (400..600).contains(code))),
        Filter::Cors(cors) => {
            let lists = [&cors.methods, &cors.headers, &cors.exposed];
            let items = lists.iter().flat_map(|list| match list {
                Allowed::These(items) => items.as_slice(),
                Allowed::All => &[],
            });
            items.for_each(|item| assert!(http::HeaderName::from_bytes(item.as_bytes()).is_ok(), "{item:?}"));
            if let Allowed::These(origins) = &cors.origins {
                origins.iter().for_each(|origin| assert!(is_clean(&origin.host) && origin.port > 0, "{origin:?}"));
            }
        }
        Filter::Timeouts(timeouts) => {
            let whole = timeouts.request.filter(|request| *request > 0);
            assert!(whole.is_none_or(|request| timeouts.backend.is_none_or(|backend| backend <= request)));
        }
    }
}

fn check_match(matched: &Match) {
    match &matched.path {
        PathMatch::Exact(path) => check_path(path),
        PathMatch::Prefix(path) => {
            check_path(path);
            assert!(path == "/" || !path.ends_with('/'));
        }
        PathMatch::Call { service, method } => {
            for name in [service, method].into_iter().flatten() {
                match name {
                    ValueMatch::Exact(name) => check_path(&format!("/{name}")),
                    ValueMatch::Regex(expression) => assert!(Pattern::compile(expression).is_ok()),
                }
            }
        }
        PathMatch::Regex(expression) => assert!(Pattern::compile(expression).is_ok()),
    }
    let values = matched.headers.iter().map(|header| &header.value).chain(matched.query.iter().map(|parameter| &parameter.value));
    for value in values {
        assert!(!matches!(value, ValueMatch::Regex(expression) if Pattern::compile(expression).is_err()));
    }
    let names: BTreeSet<_> = matched.headers.iter().map(|header| &header.name).collect();
    assert_eq!(names.len(), matched.headers.len(), "a header twice");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_unvalidated_reaches_the_model(spec in spec()) {
        for rule in translate(spec).iter().flat_map(|route| &route.rules) {
            rule.matches.iter().for_each(check_match);
            rule.filters.iter().for_each(|filter| check_filter(filter, &rule.matches));
            match &rule.action {
                Action::Forward(references) => references.iter().flat_map(|reference| &reference.filters).for_each(|filter| check_filter(filter, &rule.matches)),
                Action::Redirect(Redirect { hostname, path, status, port, .. }) => {
                    hostname.iter().for_each(|host| assert!(matches!(Hostname::parse(host), Ok(Hostname::Exact(_)))));
                    check_modifier(path.as_ref(), &rule.matches);
                    assert!([301, 302, 303, 307, 308].contains(status) && *port != Some(0));
                }
                Action::Answer(status) => assert_eq!(*status, 500),
            }
        }
    }
}
