//! `RequestMirror`: copies that nobody waits for.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use kakehi::model::{Action, BackendProtocol, Filter, HeaderEdit, Mirror, PathModifier, Redirect, Rewrite};

use crate::harness::{Proxy, backend, backend_id, backend_speaking, echo, listener, request, route, rule, to};
use crate::script::{OK, Script, Step};

fn mirror_of(name: &str, numerator: u32, denominator: u32) -> Filter {
    Filter::Mirror(Mirror { backend: backend_id(name), numerator, denominator })
}

fn mirror(name: &str) -> Filter {
    mirror_of(name, 1, 1)
}

#[tokio::test]
async fn every_mirror_gets_the_request_with_its_edits_and_without_its_rewrite() {
    let (main, one, two) = (Script::start(&[OK]).await, Script::start(&[OK]).await, Script::start(&[OK]).await);
    let edit = HeaderEdit { set: vec![("x-edited".into(), "1".into())], ..HeaderEdit::default() };
    let rewrite = Rewrite { hostname: Some("inner".into()), path: Some(PathModifier::Full("/new".into())) };
    let filters = vec![mirror("one"), mirror("two"), Filter::RequestHeaders(edit), Filter::Rewrite(rewrite)];
    let backends = [("s", &main), ("one", &one), ("two", &two)].map(|(name, script)| backend(name, &[script.address]));
    let proxy = Proxy::start(backends.into_iter().chain([listener(), route(vec![rule("/", filters, to("s"))])])).await;
    assert_eq!(proxy.send(request("POST", "/old?q", "a body")).await.text(), "ok");
    let main = main.wait_for(1).await[0].1.to_lowercase();
    assert!(main.starts_with("post /new?q http/1.1\r\n") && main.contains("host: inner\r\n"), "{main}");
    for copy in [one, two] {
        let copy = copy.wait_for(1).await[0].1.to_lowercase();
        assert!(copy.starts_with("post /old?q http/1.1\r\n") && copy.contains("host: h\r\n"), "{copy}");
        assert!(copy.contains("x-edited: 1\r\n") && copy.ends_with("\r\n\r\na body"), "{copy}");
        assert!(!copy.contains("x-kakehi-hop"));
    }
    assert_eq!(proxy.shared.counters.mirrored.load(Relaxed), 2);
}

#[tokio::test]
async fn a_redirected_request_reaches_its_mirrors_whole() {
    let (one, two) = (Script::start(&[OK]).await, Script::start(&[OK]).await);
    let edit = HeaderEdit { set: vec![("x-edited".into(), "1".into())], ..HeaderEdit::default() };
    let redirect = Redirect { scheme: None, hostname: Some("else.example".into()), port: None, path: None, status: 302 };
    let filters = vec![mirror("one"), mirror("two"), Filter::RequestHeaders(edit)];
    let backends = [("one", &one), ("two", &two)].map(|(name, script)| backend(name, &[script.address]));
    let rules = vec![rule("/", filters, Action::Redirect(redirect))];
    let proxy = Proxy::start(backends.into_iter().chain([listener(), route(rules)])).await;
    let mut client = proxy.client().await;
    for body in ["", "a body"] {
        client.ready().await.unwrap();
        let answer = crate::harness::Answer::collect(client.send_request(request("POST", "/old?q", body)).await.unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (302, "http://else.example:8080/old?q"));
    }
    for copies in [one, two] {
        let copies = copies.wait_for(2).await;
        let copies: Vec<String> = copies.iter().map(|(_, copy)| copy.to_lowercase()).collect();
        for copy in &copies {
            assert!(
                copy.starts_with("post /old?q http/1.1\r\n") && copy.contains("host: h\r\n") && copy.contains("x-edited: 1\r\n"),
                "{copy}"
            );
        }
        assert_eq!(copies.iter().filter(|copy| copy.ends_with("\r\n\r\na body")).count(), 1, "{copies:?}");
    }
}

#[tokio::test]
async fn nothing_that_befalls_a_copy_shows() {
    let (main, closing, silent) = (echo("main").await, Script::start(&[Step::Close]).await, Script::start(&[Step::Silence]).await);
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let mirrors = ["closing", "silent", "nobody", "empty", "missing"].map(mirror).to_vec();
    let resources = [
        listener(),
        backend("s", &[main]),
        backend("closing", &[closing.address]),
        backend("silent", &[silent.address]),
        backend("nobody", &[nobody]),
        backend("empty", &[]),
        route(vec![rule("/", mirrors, to("s"))]),
    ];
    let proxy = Proxy::start(resources).await;
    // Larger than what a copy may lag behind: the silent mirror does not read it.
    let body = vec![b'x'; 4 << 20];
    for _ in 0..3 {
        let answer = proxy.send(request("POST", "/", body.clone()));
        let answer = tokio::time::timeout(Duration::from_secs(10), answer).await.expect("a mirror was waited for");
        assert!(answer.status == 200 && answer.body.len() > body.len());
    }
    assert!(proxy.shared.counters.mirror_errors.load(Relaxed) >= 6);
}

#[tokio::test]
async fn a_copy_goes_to_one_endpoint_even_if_that_breaks() {
    let (main, one, two) = (echo("main").await, Script::start(&[Step::Close]).await, Script::start(&[Step::Close]).await);
    let backends = [backend("s", &[main]), backend("two", &[one.address, two.address])];
    let proxy = Proxy::start(backends.into_iter().chain([listener(), route(vec![rule("/", vec![mirror("two")], to("s"))])])).await;
    for sent in 1..=10 {
        assert_eq!(proxy.get("/").await.status, 200);
        eventually("the copy is lost", || proxy.shared.counters.mirror_errors.load(Relaxed) == sent).await;
        assert_eq!((one.requests().len() + two.requests().len()) as u64, sent);
    }
}

#[tokio::test]
async fn a_mirror_that_reads_gets_a_body_longer_than_it_may_lag() {
    const LONG: usize = 1 << 20;
    let whole = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = whole.clone();
    let reading = crate::harness::serve_with(move |request: http::Request<bytes::Bytes>| {
        counted.fetch_add(u64::from(request.body().len() == LONG && request.body().iter().all(|byte| *byte == b'x')), Relaxed);
        http::Response::new(http_body_util::Full::new(bytes::Bytes::new()))
    })
    .await;
    let main = echo("main").await;
    let redirect = Redirect { scheme: None, hostname: Some("b".into()), port: None, path: None, status: 302 };
    let rules = vec![rule("/", vec![mirror("m")], to("s")), rule("/moved", vec![mirror("m")], Action::Redirect(redirect))];
    let proxy = Proxy::start([listener(), backend("s", &[main]), backend("m", &[reading]), route(rules)]).await;
    let answer = proxy.send(request("POST", "/", vec![b'x'; LONG])).await;
    assert!(answer.status == 200 && answer.body.len() > LONG);
    eventually("a whole copy", || whole.load(Relaxed) == 1).await;
    let mut client = proxy.client().await;
    for sent in 2..=3 {
        client.ready().await.unwrap();
        let answer = client.send_request(request("POST", "/moved", vec![b'x'; LONG])).await.unwrap();
        assert_eq!(crate::harness::Answer::collect(answer).await.status, 302);
        eventually("a whole copy", || whole.load(Relaxed) == sent).await;
    }
    assert_eq!(proxy.shared.counters.mirror_errors.load(Relaxed), 0);
}

/// Waits until something is so.
async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..500 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: not within 5 s");
}

#[tokio::test]
async fn a_share_is_drawn_for_each_mirror() {
    let (main, some, none) = (echo("main").await, Script::start(&[OK]).await, Script::start(&[OK]).await);
    let filters = vec![mirror_of("some", 35, 100), mirror_of("none", 0, 100)];
    let backends = [("s", main), ("some", some.address), ("none", none.address)].map(|(name, address)| backend(name, &[address]));
    let proxy = Proxy::start(backends.into_iter().chain([listener(), route(vec![rule("/", filters, to("s"))])])).await;
    let mut client = proxy.client().await;
    for _ in 0..500 {
        client.ready().await.unwrap();
        crate::harness::Answer::collect(client.send_request(crate::harness::get("/")).await.unwrap()).await;
    }
    let mirrored = proxy.shared.counters.mirrored.load(Relaxed);
    // More than five standard deviations on either side.
    assert!((120..=230).contains(&mirrored), "{mirrored}");
    assert_eq!(some.wait_for(usize::try_from(mirrored).unwrap()).await.len() as u64, mirrored);
    assert!(none.requests().is_empty());
}

#[tokio::test]
async fn a_mirror_of_one_backend_and_one_that_speaks_http2() {
    let (main, own) = (echo("main").await, Script::start(&[OK]).await);
    let seen = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = seen.clone();
    let h2 = crate::harness::serve_with(move |request: http::Request<bytes::Bytes>| {
        let right = request.version() == http::Version::HTTP_2 && request.body() == "a body" && request.uri().path() == "/";
        counted.fetch_add(u64::from(right), Relaxed);
        http::Response::new(http_body_util::Full::new(bytes::Bytes::new()))
    })
    .await;
    let mut action = to("s");
    if let kakehi::model::Action::Forward(references) = &mut action {
        references[0].filters.push(mirror("own"));
    }
    let resources = [
        listener(),
        backend("s", &[main]),
        backend("own", &[own.address]),
        backend_speaking(BackendProtocol::H2c, "h2", &[h2]),
        route(vec![rule("/", vec![mirror("h2")], action)]),
    ];
    let proxy = Proxy::start(resources).await;
    assert_eq!(proxy.send(request("POST", "/", "a body")).await.status, 200);
    assert!(own.wait_for(1).await[0].1.ends_with("\r\n\r\na body"));
    eventually("a whole copy over HTTP/2", || seen.load(Relaxed) == 1).await;
}
