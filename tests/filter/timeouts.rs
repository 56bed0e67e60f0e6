//! `timeouts` of a rule.

use std::time::Duration;

use http_body_util::BodyExt;
use kakehi::filter::Limits;
use kakehi::model::{Filter, Timeouts};
use tokio::time::timeout;

use crate::harness::{Proxy, backend, get, listener, request, route, rule, to};
use crate::script::{Script, Step};

const SLOW: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow";

fn limited(path: &str, request: Option<u64>, backend: Option<u64>) -> kakehi::model::Rule {
    rule(path, vec![Filter::Timeouts(Timeouts { request, backend })], to("s"))
}

async fn proxy(script: &Script, rules: Vec<kakehi::model::Rule>, usual: u64) -> Proxy {
    let limits = Limits { response_timeout: Duration::from_millis(usual), ..Limits::default() };
    Proxy::start_with(limits, [listener(), backend("s", &[script.address]), route(rules)]).await
}

#[tokio::test]
async fn both_bounds_answer_504() {
    let script = Script::start(&[Step::Silence]).await;
    let rules = vec![limited("/request", Some(100), None), limited("/backend", Some(60_000), Some(100)), limited("/0", Some(0), Some(100))];
    let proxy = proxy(&script, rules, 60_000).await;
    for target in ["/request", "/backend", "/0"] {
        for method in ["GET", "POST"] {
            let answer = timeout(Duration::from_secs(10), proxy.send(request(method, target, "body"))).await.expect(target);
            assert_eq!(answer.status, 504, "{method} {target}");
        }
    }
    assert_eq!(proxy.shared.counters.timeouts.load(std::sync::atomic::Ordering::Relaxed), 6);
}

#[tokio::test]
async fn what_the_rule_says_replaces_the_usual_limit_and_zero_is_no_limit() {
    let script = Script::start(&[Step::Answer(400, SLOW)]).await;
    let rules = vec![
        rule("/usual", Vec::new(), to("s")),
        limited("/request", Some(30_000), None),
        limited("/no-request", Some(0), None),
        limited("/backend", None, Some(30_000)),
        limited("/no-backend", None, Some(0)),
    ];
    let proxy = proxy(&script, rules, 100).await;
    assert_eq!(proxy.get("/usual").await.status, 504);
    for target in ["/request", "/no-request", "/backend", "/no-backend"] {
        let answer = proxy.get(target).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "slow"), "{target}");
    }
}

#[tokio::test]
async fn an_answer_that_begins_in_time_must_end_in_time() {
    let script = Script::start(&[Step::Answer(0, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegins")]).await;
    let proxy = proxy(&script, vec![limited("/request", Some(300), None), limited("/backend", None, Some(300))], 60_000).await;
    for target in ["/request", "/backend"] {
        let response = proxy.client().await.send_request(get(target)).await.unwrap();
        assert_eq!(response.status(), 200);
        let body = timeout(Duration::from_secs(10), response.into_body().collect()).await.expect(target);
        assert!(body.is_err(), "the answer is not whole, and must not look so");
    }
    assert_eq!(proxy.shared.counters.timeouts.load(std::sync::atomic::Ordering::Relaxed), 2);
}

#[tokio::test]
async fn an_upload_that_never_ends_is_bounded_too() {
    let script = Script::start(&[Step::Silence]).await;
    let proxy = proxy(&script, vec![limited("/", Some(200), None)], 60_000).await;
    let head = "POST / HTTP/1.1\r\nHost: h\r\nX-Kakehi-Hop: 8080\r\nContent-Length: 100\r\n\r\nbegins";
    let answer = proxy.raw(head.as_bytes(), Duration::from_secs(2)).await;
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
}
