//! From the socket to the answer: decisions, filters, fixed answers.

use kakehi::model::{
    Action, BackendRef, BackendTarget, Filter, HeaderEdit, InvalidBackend, PathForm, PathModifier, Protocol, Redirect, Rewrite, Scheme,
};
use kakehi::snapshot::Resource;

use crate::harness::{Proxy, backend, backend_id, echo, get, listener, listener_on, request, route, route_on, rule, to};

#[tokio::test]
async fn a_request_reaches_its_backend_and_the_answer_comes_back() {
    let address = echo("one").await;
    let proxy = Proxy::start([listener(), backend("s", &[address]), route(vec![rule("/a", Vec::new(), to("s"))])]).await;
    let answer = proxy.send(request("POST", "/a/b?c=d", "hello")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-backend"), "one");
    assert_eq!(answer.text(), "POST /a/b?c=d HTTP/1.1\ncontent-length: 5\nhost: h\n\nhello");
    assert_eq!(proxy.get("/ab").await.status, 404);
}

/// Rules and backends see one form of a path.
#[tokio::test]
async fn paths_are_kept_or_brought_to_one_form_or_refused() {
    let address = echo("one").await;
    for (form, expected) in [
        (PathForm::Keep, ["GET /a/../b//c?d=/../e", "404", "GET /b/%2e%2e/a"]),
        (PathForm::Normalize, ["GET /b/c?d=/../e", "GET /b/x", "404"]),
        (PathForm::Reject, ["400", "400", "400"]),
    ] {
        let Resource::Listener(mut port) = listener() else { unreachable!() };
        port.tuning.paths = form;
        let rules = vec![rule("/b", Vec::new(), to("s")), rule("/a/..", Vec::new(), to("s"))];
        let proxy = Proxy::start([Resource::Listener(port), backend("s", &[address]), route(rules)]).await;
        for (target, expected) in ["/a/../b//c?d=/../e", "/%62%2Fx", "/b/%2e%2e/a"].into_iter().zip(expected) {
            let answer = proxy.get(target).await;
            let met = if answer.status == 200 { answer.text().to_owned() } else { answer.status.as_u16().to_string() };
            assert!(met.starts_with(expected), "{form:?} {target}: {met}");
        }
        assert_eq!(proxy.get("/b").await.status, 200);
    }
}

#[tokio::test]
async fn fixed_answers_say_what_is_wrong() {
    let invalid = BackendRef { weight: 1, target: BackendTarget::Invalid(InvalidBackend::NotFound), filters: Vec::new() };
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = Proxy::start([
        listener(),
        backend("empty", &[]),
        backend("closed", &[closed]),
        route(vec![
            rule("/invalid", Vec::new(), Action::Forward(vec![invalid])),
            rule("/none", Vec::new(), Action::Forward(Vec::new())),
            rule("/zero", Vec::new(), crate::harness::weighted(&[("empty", 0)])),
            rule("/empty", Vec::new(), to("empty")),
            rule("/absent", Vec::new(), to("absent")),
            rule("/closed", Vec::new(), to("closed")),
            rule("/teapot", Vec::new(), Action::Answer(418)),
        ]),
    ])
    .await;
    let table = [
        ("/invalid", 500),
        ("/none", 500),
        ("/zero", 500),
        ("/empty", 503),
        ("/absent", 503),
        ("/closed", 503),
        ("/teapot", 418),
        ("/", 404),
    ];
    for (target, status) in table {
        let answer = proxy.get(target).await;
        assert_eq!(answer.status, status, "{target}");
        assert!(answer.text().starts_with(&status.to_string()), "{target}: {}", answer.text());
        let head = proxy.send(request("HEAD", target, "")).await;
        assert_eq!((head.status.as_u16(), head.body.len()), (status, 0), "{target}");
        assert_eq!(head.header("content-length"), answer.body.len().to_string(), "{target}");
    }
    let mut elsewhere = get("/teapot");
    elsewhere.headers_mut().insert("x-kakehi-hop", "81".parse().unwrap());
    assert_eq!(proxy.send(elsewhere).await.status, 404);
}

#[tokio::test]
async fn filters_change_the_request_and_the_response() {
    let address = echo("one").await;
    let pairs = |list: &[(&str, &str)]| list.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect::<Vec<_>>();
    let filters = vec![
        Filter::RequestHeaders(HeaderEdit {
            set: pairs(&[("x-set", "new")]),
            add: pairs(&[("x-add", "2")]),
            remove: vec!["x-gone".into()],
        }),
        Filter::ResponseHeaders(HeaderEdit { set: pairs(&[("x-backend", "hidden")]), add: pairs(&[("x-more", "1")]), remove: Vec::new() }),
        Filter::Rewrite(Rewrite { hostname: Some("inner.example".into()), path: Some(PathModifier::Prefix("/".into())) }),
    ];
    let proxy = Proxy::start([listener(), backend("s", &[address]), route(vec![rule("/v1", filters, to("s"))])]).await;
    let mut asked = get("/v1/x?y=z");
    for (name, value) in [("x-set", "old"), ("x-add", "1"), ("x-gone", "1"), ("x-gone", "2")] {
        asked.headers_mut().append(name, value.parse().unwrap());
    }
    let answer = proxy.send(asked).await;
    assert_eq!(answer.text(), "GET /x?y=z HTTP/1.1\nhost: inner.example\nx-add: 1\nx-add: 2\nx-set: new\n\n");
    assert_eq!((answer.header("x-backend"), answer.header("x-more")), ("hidden", "1"));
}

#[tokio::test]
async fn redirects_keep_the_connection_and_name_the_place() {
    let redirect =
        |status, scheme, path: Option<PathModifier>| Action::Redirect(Redirect { scheme, hostname: None, port: None, path, status });
    let added = HeaderEdit { add: vec![("x-why".into(), "moved".into())], ..HeaderEdit::default() };
    let rules = vec![
        rule("/301", Vec::new(), redirect(301, Some(Scheme::Https), None)),
        rule("/303", vec![Filter::ResponseHeaders(added)], redirect(303, None, Some(PathModifier::Full("/done".into())))),
        rule("/307", Vec::new(), redirect(307, None, Some(PathModifier::Prefix("/new".into())))),
    ];
    let resources = [listener(), listener_on("tls", 443, Protocol::Https, "*"), route(rules.clone()), route_on("t", "tls", rules)];
    let proxy = Proxy::start(resources).await;
    let mut client = proxy.client().await;
    let table = [
        (8080, "/301/a?b=c", 301, "https://h/301/a?b=c"),
        (8080, "/303/a?b=c", 303, "http://h:8080/done?b=c"),
        (8080, "/307/a?b=c", 307, "http://h:8080/new/a?b=c"),
        (443, "/307/a", 307, "https://h/new/a"),
    ];
    for (port, target, status, location) in table {
        let mut asked = get(target);
        asked.headers_mut().insert("x-kakehi-hop", port.into());
        asked.headers_mut().insert("host", "H:1234".parse().unwrap());
        let answer = crate::harness::Answer::collect(client.send_request(asked).await.unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (status, location));
        assert_eq!(answer.header("content-length"), "0");
        assert_eq!(answer.header("x-why"), if status == 303 { "moved" } else { "" });
    }
}

#[tokio::test]
async fn filters_of_a_reference_concern_its_share_alone() {
    let (one, two) = (echo("one").await, echo("two").await);
    let marked = |name: &str| {
        let edit = |field: &str| HeaderEdit { set: vec![(field.into(), name.into())], ..HeaderEdit::default() };
        let filters = vec![Filter::RequestHeaders(edit("x-to")), Filter::ResponseHeaders(edit("x-from"))];
        BackendRef { weight: 1, target: BackendTarget::Service(backend_id(name)), filters }
    };
    let broken = HeaderEdit { set: vec![("transfer-encoding".into(), "x".into())], ..HeaderEdit::default() };
    let broken = BackendRef { filters: vec![Filter::RequestHeaders(broken)], ..marked("one") };
    let rules = vec![
        rule("/", Vec::new(), Action::Forward(vec![marked("one"), marked("two")])),
        rule("/half", Vec::new(), Action::Forward(vec![broken, marked("two")])),
    ];
    let proxy = Proxy::start([listener(), backend("one", &[one]), backend("two", &[two]), route(rules)]).await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..60 {
        let answer = proxy.get("/").await;
        let name = answer.header("x-backend").to_owned();
        assert_eq!(answer.header("x-from"), name);
        assert!(answer.text().contains(&format!("x-to: {name}\n")), "{}", answer.text());
        seen.insert(name);
        let half = proxy.get("/half").await;
        assert!(half.status == 500 || half.header("x-backend") == "two", "{half:?}");
        seen.insert(half.status.to_string());
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[tokio::test]
async fn a_reference_rewrites_what_it_alone_gets() {
    let (one, two) = (echo("one").await, echo("two").await);
    let rewriting = |name: &str, rewrite| BackendRef {
        weight: 1,
        target: BackendTarget::Service(backend_id(name)),
        filters: vec![Filter::Rewrite(rewrite)],
    };
    let references = vec![
        rewriting("one", Rewrite { hostname: Some("one.internal".into()), path: Some(PathModifier::Prefix("/v1".into())) }),
        rewriting("two", Rewrite { hostname: None, path: Some(PathModifier::Full("/all".into())) }),
    ];
    let rules = vec![rule("/api", Vec::new(), Action::Forward(references))];
    let proxy = Proxy::start([listener(), backend("one", &[one]), backend("two", &[two]), route(rules)]).await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..60 {
        let answer = proxy.get("/api/a?b").await;
        let expected = match answer.header("x-backend") {
            "one" => "GET /v1/a?b HTTP/1.1\nhost: one.internal\n\n",
            _ => "GET /all?b HTTP/1.1\nhost: h\n\n",
        };
        assert_eq!(answer.text(), expected);
        seen.insert(answer.header("x-backend").to_owned());
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
}
