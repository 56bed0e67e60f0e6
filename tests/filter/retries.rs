//! `retry`: how often, when, and with what.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use kakehi::filter::Limits;
use kakehi::model::{Filter, Retry, Timeouts};

use crate::harness::{Proxy, backend, listener, request, route, rule, to};
use crate::script::{OK, Script, Step};

const FAILS: Step = Step::Answer(0, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno");

fn retry(codes: &[u16], attempts: u32, backoff: u64) -> Filter {
    Filter::Retry(Retry { codes: codes.to_vec(), attempts, backoff })
}

async fn proxy(script: &Script, filters: Vec<Filter>) -> Proxy {
    Proxy::start([listener(), backend("s", &[script.address]), route(vec![rule("/", filters, to("s"))])]).await
}

#[tokio::test]
async fn listed_codes_are_tried_again_as_often_as_said_and_the_last_answer_is_passed_on() {
    let recovers = Script::start(&[FAILS, FAILS, OK]).await;
    let through = proxy(&recovers, vec![retry(&[500, 503], 3, 1)]).await;
    assert_eq!(through.send(request("POST", "/", "a body")).await.text(), "ok");
    let requests = recovers.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|(_, request)| request.ends_with("\r\n\r\na body")), "{requests:?}");
    assert_eq!(through.shared.counters.retries.load(Relaxed), 2);

    let never = Script::start(&[FAILS]).await;
    let answer = proxy(&never, vec![retry(&[503], 2, 1)]).await.get("/").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (503, "no"));
    assert_eq!(never.requests().len(), 3);

    let other = Script::start(&[FAILS]).await;
    assert_eq!(proxy(&other, vec![retry(&[500], 2, 1)]).await.get("/").await.status, 503);
    assert_eq!(other.requests().len(), 1);
}

#[tokio::test]
async fn broken_connections_and_late_answers_are_tried_again() {
    for first in [&[Step::Close, OK], &[Step::Silence, OK]] {
        let script = Script::start(first).await;
        let filters = vec![retry(&[], 1, 1), Filter::Timeouts(Timeouts { request: None, backend: Some(300) })];
        let proxy = proxy(&script, filters).await;
        assert_eq!(proxy.send(request("POST", "/", "a body")).await.status, 200);
        assert_eq!(script.requests().len(), 2);
    }
    // What a rule says is the count: nothing is sent again beside it.
    let closing = Script::start(&[Step::Close]).await;
    assert_eq!(proxy(&closing, vec![retry(&[], 2, 1)]).await.get("/").await.status, 502);
    assert_eq!(closing.requests().len(), 3);
}

#[tokio::test]
async fn a_backend_that_accepts_again_is_reached() {
    let limits = Limits { connect_timeout: Duration::from_secs(1), ..Limits::default() };
    let reserved = tokio::net::TcpSocket::new_v4().unwrap();
    reserved.set_reuseaddr(true).unwrap();
    reserved.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = reserved.local_addr().unwrap();
    let rules = vec![rule("/", vec![retry(&[], 40, 20)], to("s"))];
    let proxy = Proxy::start_with(limits, [listener(), backend("s", &[address]), route(rules)]).await;
    let answer = tokio::spawn(async move {
        let answer = proxy.get("/").await;
        (answer.status.as_u16(), proxy)
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let listening = reserved.listen(16).unwrap();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listening.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    });
    let (status, proxy) = answer.await.unwrap();
    assert_eq!(status, 200);
    assert!(proxy.shared.counters.retries.load(Relaxed) >= 1);
}

#[tokio::test]
async fn the_pause_is_kept_and_the_time_of_the_request_bounds_it_all() {
    let script = Script::start(&[FAILS]).await;
    let pausing = proxy(&script, vec![retry(&[503], 2, 100)]).await;
    assert_eq!(pausing.get("/").await.status, 503);
    let times: Vec<_> = script.requests().iter().map(|(time, _)| *time).collect();
    assert!(times[1] - times[0] >= Duration::from_millis(100) && times[2] - times[1] >= Duration::from_millis(200), "{times:?}");

    let script = Script::start(&[FAILS]).await;
    let filters = vec![retry(&[503], 100, 30_000), Filter::Timeouts(Timeouts { request: Some(200), backend: None })];
    let bounded = proxy(&script, filters).await;
    let answer = tokio::time::timeout(Duration::from_secs(10), bounded.get("/")).await.expect("not bounded");
    assert_eq!((answer.status.as_u16(), script.requests().len()), (504, 1));
}

#[tokio::test]
async fn a_body_that_is_too_large_to_keep_is_sent_once() {
    let script = Script::start(&[FAILS]).await;
    let proxy = proxy(&script, vec![retry(&[503], 3, 1)]).await;
    assert_eq!(proxy.send(request("POST", "/", vec![b'x'; 1 << 20])).await.status, 503);
    assert_eq!(script.requests().len(), 1);
}
