//! `CORS`: preflights are answered here, and answers of backends say what the rule's policy says.

use http::{HeaderValue, Request};
use kakehi::model::{Action, Allowed, Cors, Filter, Origin, Redirect, Scheme, Timeouts};

use crate::harness::{Proxy, backend, listener, request, route, rule, to};
use crate::script::{Script, Step};

const OPEN: Step = Step::Answer(
    0,
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\n\r\nok",
);

fn policy() -> Filter {
    Filter::Cors(cors())
}

fn cors() -> Cors {
    let these = |items: &[&str]| Allowed::These(items.iter().map(|item| (*item).to_owned()).collect());
    Cors {
        origins: Allowed::These(vec![Origin { scheme: Scheme::Https, host: "*.a.example".into(), port: 443 }]),
        credentials: false,
        methods: these(&["PUT"]),
        headers: these(&["x-1"]),
        exposed: these(&["x-2"]),
        max_age: 60,
    }
}

fn from(origin: &'static str, method: &str, wanted: Option<&'static str>) -> Request<http_body_util::Full<bytes::Bytes>> {
    let mut request = request(method, "/p", "");
    request.headers_mut().insert("origin", HeaderValue::from_static(origin));
    if let Some(wanted) = wanted {
        request.headers_mut().insert("access-control-request-method", HeaderValue::from_static(wanted));
    }
    request
}

#[tokio::test]
async fn preflights_stop_here_and_other_requests_do_not() {
    let script = Script::start(&[OPEN]).await;
    let proxy = Proxy::start([listener(), backend("s", &[script.address]), route(vec![rule("/", vec![policy()], to("s"))])]).await;
    let good = proxy.send(from("https://x.y.a.example", "OPTIONS", Some("PUT"))).await;
    assert_eq!((good.status.as_u16(), good.body.len()), (204, 0));
    for (name, value) in [("origin", "https://x.y.a.example"), ("methods", "PUT"), ("headers", "x-1"), ("credentials", "")] {
        assert_eq!(good.header(&format!("access-control-allow-{name}")), value);
    }
    assert_eq!((good.header("access-control-expose-headers"), good.header("access-control-max-age")), ("x-2", "60"));
    let bad = proxy.send(from("https://a.example", "OPTIONS", Some("PUT"))).await;
    assert_eq!((bad.status.as_u16(), bad.header("access-control-allow-origin")), (204, ""));
    assert!(script.requests().is_empty());

    let plain = proxy.send(from("https://x.a.example", "OPTIONS", None)).await;
    assert_eq!((plain.status.as_u16(), plain.text()), (200, "ok"));
    let simple = proxy.send(from("https://x.a.example", "GET", None)).await;
    assert_eq!(simple.header("access-control-allow-origin"), "https://x.a.example");
    assert_eq!((simple.header("access-control-allow-credentials"), simple.header("vary")), ("", "origin"));
    let stranger = proxy.send(from("https://b.example", "GET", None)).await;
    assert_eq!((stranger.status.as_u16(), stranger.header("access-control-allow-origin")), (200, ""));
    assert_eq!(script.requests().len(), 3);
}

#[tokio::test]
async fn a_redirect_can_be_read_across_origins() {
    let redirect = Action::Redirect(Redirect { scheme: None, hostname: Some("b".into()), port: None, path: None, status: 302 });
    let proxy = Proxy::start([listener(), route(vec![rule("/", vec![policy()], redirect)])]).await;
    let answer = proxy.send(from("https://x.a.example", "GET", None)).await;
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (302, "https://x.a.example"));
    assert_eq!(answer.headers.get_all("vary").iter().count(), 1);
}

#[tokio::test]
async fn what_the_edge_answers_itself_can_be_read_across_origins() {
    let silent = Script::start(&[Step::Silence]).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let closing = Script::start(&[Step::Close]).await;
    let soon = Filter::Timeouts(Timeouts { request: Some(200), backend: None });
    let with = |target: &str, action| rule(target, vec![policy(), soon.clone()], action);
    let odd = Cors { exposed: Allowed::These(vec!["x\r\ny".into()]), ..cors() };
    let proxy = Proxy::start([
        listener(),
        backend("empty", &[]),
        backend("closed", &[closed]),
        backend("silent", &[silent.address]),
        backend("closing", &[closing.address]),
        route(vec![
            with("/empty", to("empty")),
            with("/closed", to("closed")),
            with("/closing", to("closing")),
            with("/silent", to("silent")),
            with("/zero", crate::harness::weighted(&[("empty", 0)])),
            rule("/odd", vec![Filter::Cors(odd)], to("empty")),
            rule("/without", Vec::new(), to("empty")),
        ]),
    ])
    .await;
    let known = "https://x.a.example";
    for (target, status) in [("/empty", 503), ("/closed", 503), ("/closing", 502), ("/silent", 504), ("/zero", 500)] {
        let asked = |origin, method, wanted| {
            let mut asked = from(origin, method, wanted);
            *asked.uri_mut() = target.parse().unwrap();
            proxy.send(asked)
        };
        assert_eq!(asked(known, "OPTIONS", Some("PUT")).await.status, 204, "{target}");
        let answer = asked(known, "GET", None).await;
        assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (status, known), "{target}");
        assert_eq!((answer.header("access-control-expose-headers"), answer.header("vary")), ("x-2", "origin"), "{target}");
        let stranger = asked("https://b.example", "GET", None).await;
        assert_eq!((stranger.status.as_u16(), stranger.header("access-control-allow-origin")), (status, ""), "{target}");
    }
    for (target, status) in [("/odd", 500), ("/without", 503)] {
        let mut asked = from(known, "GET", None);
        *asked.uri_mut() = target.parse().unwrap();
        let answer = proxy.send(asked).await;
        assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (status, ""), "{target}");
    }
}

/// The policy belongs to the rule that the request reaches which the browser asks for.
#[tokio::test]
async fn a_rule_that_names_a_method_gets_its_preflight() {
    let for_method = |method: &str, origin: &str| {
        let origins = Allowed::These(vec![Origin { scheme: Scheme::Https, host: origin.into(), port: 443 }]);
        let mut rule = rule("/p", vec![Filter::Cors(Cors { origins, ..cors() })], to("s"));
        rule.matches[0].method = Some(method.into());
        rule
    };
    let script = Script::start(&[OPEN]).await;
    let plain = rule("/p", Vec::new(), to("s"));
    let rules = vec![for_method("PUT", "put.example"), for_method("GET", "get.example"), plain];
    let proxy = Proxy::start([listener(), backend("s", &[script.address]), route(rules)]).await;
    for (method, origin, allowed) in [
        ("PUT", "https://put.example", "https://put.example"),
        ("GET", "https://get.example", "https://get.example"),
        ("GET", "https://put.example", ""),
    ] {
        let answer = proxy.send(from(origin, "OPTIONS", Some(method))).await;
        let said = (answer.status.as_u16(), answer.header("access-control-allow-origin"));
        assert_eq!(said, (204, allowed), "{method} {origin}");
    }
    assert!(script.requests().is_empty());
    // A method without a policy: the backend answers for itself.
    assert_eq!(proxy.send(from("https://put.example", "OPTIONS", Some("DELETE"))).await.text(), "ok");
}
