//! `CORS`: preflights are answered here, and answers of backends say what the rule's policy says.

use http::{HeaderValue, Request};
use kakehi::model::{Action, Allowed, Cors, Filter, Origin, Redirect, Scheme};

use crate::harness::{Proxy, backend, listener, request, route, rule, to};
use crate::script::{Script, Step};

const OPEN: Step = Step::Answer(
    0,
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\n\r\nok",
);

fn policy() -> Filter {
    let these = |items: &[&str]| Allowed::These(items.iter().map(|item| (*item).to_owned()).collect());
    Filter::Cors(Cors {
        origins: Allowed::These(vec![Origin { scheme: Scheme::Https, host: "*.a.example".into(), port: 443 }]),
        credentials: false,
        methods: these(&["PUT"]),
        headers: these(&["x-1"]),
        exposed: these(&["x-2"]),
        max_age: 60,
    })
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
async fn redirects_and_rules_that_cannot_serve() {
    let redirect = Action::Redirect(Redirect { scheme: None, hostname: Some("b".into()), port: None, path: None, status: 302 });
    let rules = vec![rule("/", vec![policy()], redirect), rule("/p", vec![policy()], Action::Answer(500))];
    let proxy = Proxy::start([listener(), route(rules)]).await;
    assert_eq!(proxy.send(from("https://x.a.example", "OPTIONS", Some("PUT"))).await.status, 500);
    let mut elsewhere = from("https://x.a.example", "GET", None);
    *elsewhere.uri_mut() = "/".parse().unwrap();
    let answer = proxy.send(elsewhere).await;
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (302, "https://x.a.example"));
}
