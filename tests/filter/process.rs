//! The process: the snapshot stream, start and end, limits.

use std::time::Duration;

use kakehi::filter::Limits;
use kakehi::model::{Match, PathMatch};
use kakehi::snapshot::Resource;
use kakehi::snapshot::publish::Publisher;

use crate::harness::{Answer, Proxy, backend, echo, get, listener, route, route_on, rule, to};

const SILENCE: Duration = Duration::from_millis(300);

#[tokio::test]
async fn what_cannot_be_built_is_named_in_the_ack_and_serves_500() {
    let address = echo("one").await;
    let mut bad = rule("/bad", Vec::new(), to("s"));
    bad.matches = vec![Match { path: PathMatch::Regex("/bad(".into()), method: None, headers: Vec::new(), query: Vec::new() }];
    let good = route_on("good", "http", vec![rule("/", Vec::new(), to("s"))]);
    let bad = route_on("bad", "http", vec![bad]);
    let key = bad.key();
    let proxy = Proxy::start([]).await;
    let ack = proxy.publish([listener(), backend("s", &[address]), good.clone(), bad]).await;
    assert_eq!(ack.refused.iter().map(|refusal| &refusal.key).collect::<Vec<_>>(), [&key]);
    assert!(ack.refused[0].reason.contains("/bad("), "{}", ack.refused[0].reason);
    let ack = proxy.publish([listener(), backend("s", &[address]), good]).await;
    assert!(ack.refused.is_empty());
    assert_eq!(proxy.get("/bad(").await.status, 200);
}

#[tokio::test]
async fn without_a_publisher_it_serves_what_it_holds_and_takes_the_next_one() {
    let (one, two) = (echo("one").await, echo("two").await);
    let state = |address| -> Vec<Resource> { vec![listener(), backend("s", &[address]), route(vec![rule("/", Vec::new(), to("s"))])] };
    let mut proxy = Proxy::start(state(one)).await;
    assert_eq!(proxy.get("/").await.header("x-backend"), "one");
    proxy.replace_publisher(state(two)).await;
    for _ in 0..500 {
        let answer = proxy.get("/").await;
        assert_eq!(answer.status, 200);
        if answer.header("x-backend") == "two" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the second publisher was not taken");
}

#[tokio::test]
async fn requests_wait_for_the_first_snapshot_but_not_for_ever() {
    let address = echo("one").await;
    let limits = Limits { first_snapshot: Duration::from_millis(600), ..Limits::default() };
    let publisher = Publisher::new(1);
    let resources = [listener(), backend("s", &[address]), route(vec![rule("/", Vec::new(), to("s"))])];
    publisher.publish(&kakehi::snapshot::Snapshot::from_resources(resources).as_delta());
    let mut proxy = Proxy::start_unfed(limits, publisher);
    assert_eq!(proxy.get("/").await.status, 503, "no snapshot in time");
    let mut client = proxy.client().await;
    let waiting = tokio::spawn(async move { Answer::collect(client.send_request(get("/")).await.unwrap()).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    proxy.feed();
    assert_eq!(waiting.await.unwrap().status, 200);
}

#[tokio::test]
async fn a_stop_lets_requests_end() {
    let address = echo("fast").await;
    let slow = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slow_address = slow.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = slow.accept().await {
            tokio::spawn(async move {
                use tokio::io::AsyncWriteExt;
                tokio::time::sleep(Duration::from_millis(400)).await;
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow").await.unwrap();
            });
        }
    });
    let rules = vec![rule("/", Vec::new(), to("fast")), rule("/slow", Vec::new(), to("slow"))];
    let mut proxy = Proxy::start([listener(), backend("fast", &[address]), backend("slow", &[slow_address]), route(rules)]).await;
    let mut idle = proxy.client().await;
    assert_eq!(idle.send_request(get("/")).await.unwrap().status(), 200);
    let mut busy = proxy.client().await;
    let running = tokio::spawn(async move { Answer::collect(busy.send_request(get("/slow")).await.unwrap()).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    proxy.stop();
    let answer = running.await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "slow"));
    drop(proxy);
    assert!(idle.send_request(get("/")).await.is_err(), "Sōzu's idle connections are closed at the end");
}

#[tokio::test]
async fn heads_are_limited() {
    let address = echo("one").await;
    let limits = Limits { max_fields: 20, max_head: 16 * 1024, head_timeout: Duration::from_millis(200), ..Limits::default() };
    let resources = [listener(), backend("s", &[address]), route(vec![rule("/", Vec::new(), to("s"))])];
    let proxy = Proxy::start_with(limits, resources).await;
    let head = |fields: String| format!("GET / HTTP/1.1\r\nHost: h\r\nX-Kakehi-Hop: 8080\r\n{fields}\r\n");
    // What Sōzu adds does not count: some more are served.
    let many: String = (0..40).map(|number| format!("X-{number}: 1\r\n")).collect();
    assert!(proxy.raw(head(many).as_bytes(), SILENCE).await.starts_with("HTTP/1.1 431"));
    let large = format!("X-Large: {}\r\n", "x".repeat(60_000));
    assert!(proxy.raw(head(large).as_bytes(), SILENCE).await.starts_with("HTTP/1.1 431"));
    let started = tokio::time::Instant::now();
    assert_eq!(proxy.raw(b"GET / HTTP/1.1\r\nHost", Duration::from_secs(5)).await, "", "half a head is not waited for");
    assert!(started.elapsed() < Duration::from_secs(4));
    assert!(proxy.raw(head(String::new()).as_bytes(), SILENCE).await.starts_with("HTTP/1.1 200"));
}
