//! What someone without a right, or without manners, gets.

use std::sync::atomic::Ordering;
use std::time::Duration;

use kakehi::snapshot::fetch::Remote;
use kakehi::snapshot::serve::Limits;
use kakehi::snapshot::wire::Ack;
use rustls_pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::rig::{LONG, Rig, acked, set, until};

/// A rig that serves `web` and `bank` and has little patience.
async fn rig() -> Rig {
    let limits = Limits { hello: Duration::from_millis(400), hello_length: 4096, ..Limits::default() };
    let rig = Rig::start_with(limits, LONG * 10).await;
    rig.offer("web", 1).publish(&set([(1, 1)]));
    rig.offer("bank", 1).publish(&set([(2, 1)]));
    rig
}

async fn refusal(remote: Remote) -> String {
    let (mut updates, _acks) = remote.connect(None).await.unwrap();
    timeout(LONG, updates.next()).await.unwrap().expect_err("refused").to_string()
}

/// Everybody else is served as if nothing had happened.
async fn unharmed(rig: &Rig) {
    let mut client = rig.client("web", "a").await;
    assert!(client.take().await);
    assert_eq!(client.held.snapshot().len(), 1);
}

/// What a TLS client that writes these bytes is answered until the end.
async fn answer(rig: &Rig, bytes: &[u8]) -> String {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls_pki_types::CertificateDer::from_pem_slice(rig.authority.pem.as_bytes()).unwrap()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
    let stream = TcpStream::connect(rig.address).await.unwrap();
    let mut stream = connector.connect("127.0.0.1".try_into().unwrap(), stream).await.unwrap();
    let mut all = Vec::new();
    // The server may close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let _ = timeout(LONG, stream.read_to_end(&mut all)).await.expect("it ends in time");
    String::from_utf8(all).unwrap()
}

#[tokio::test]
async fn a_token_opens_its_own_edge_only() {
    let rig = rig().await;
    assert_eq!(refusal(rig.remote("bank", "web:a")).await, "the token is another edge's");
    assert_eq!(refusal(rig.remote("nobody", "nobody:a")).await, "this edge is not served here");
    assert_eq!(refusal(rig.remote("bank", "expired")).await, "the token is not valid");
    assert_eq!(refusal(rig.remote("bank", "")).await, "the token is not valid");
    assert_eq!(rig.counters.refused.load(Ordering::Relaxed), 4);
    assert_eq!(rig.counters.served.load(Ordering::Relaxed), 0);
    unharmed(&rig).await;
}

#[tokio::test]
async fn a_hello_that_is_none_is_answered_in_one_line() {
    let rig = rig().await;
    let no_hello = "{\"refused\":\"the first line is no hello\"}\n";
    for garbage in ["\n", "garbage\n", "{}\n", "[1,2]\n", "{\"wire\":1,\"edge\":7}\n", "GET / HTTP/1.1\r\n\r\n", "\u{0}\n"] {
        assert_eq!(answer(&rig, garbage.as_bytes()).await, no_hello, "{garbage:?}");
    }
    assert_eq!(answer(&rig, &vec![b'{'; 1 << 20]).await, no_hello, "a line without an end");
    let future = answer(&rig, b"{\"wire\":9,\"edge\":\"shop/web\",\"token\":\"web:a\"}\n").await;
    assert!(future.contains("version 9") && future.lines().count() == 1, "{future}");
    unharmed(&rig).await;
}

#[tokio::test]
async fn no_tls_no_words_and_slow_words_end_soon() {
    let rig = rig().await;
    for opening in [&b"GET /snapshot HTTP/1.1\r\nHost: x\r\n\r\n"[..], b"\x16\x03\x01", b"", &[0xff; 100_000]] {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        let _ = stream.write_all(opening).await;
        let mut all = Vec::new();
        let _ = timeout(Duration::from_secs(5), stream.read_to_end(&mut all)).await.expect("closed after the limit");
        assert!(!String::from_utf8_lossy(&all).contains("shop"));
    }
    // TLS, then a byte now and then: the limit is on the whole hello.
    assert_eq!(answer(&rig, b"{\"wire\"").await, "");
    until("all are counted", || rig.counters.strange.load(Ordering::Relaxed) == 5).await;
    unharmed(&rig).await;
}

#[tokio::test]
async fn a_crowd_of_silent_strangers_is_bounded_and_passes() {
    let limits = Limits { hello: Duration::from_secs(2), strangers_per_address: 8, ..Limits::default() };
    let rig = Rig::start_with(limits, LONG * 10).await;
    let publisher = rig.offer("web", 1);
    let stamp = publisher.publish(&set([(1, 1)]));
    let mut known = rig.client("web", "a").await;
    known.reach(stamp).await;
    let mut crowd = Vec::new();
    for _ in 0..50 {
        crowd.push(TcpStream::connect(rig.address).await.unwrap());
    }
    until("the surplus is closed at once", || rig.counters.crowded.load(Ordering::Relaxed) == 42).await;
    let stamp = publisher.publish(&set([(2, 1)]));
    known.reach(stamp).await;
    // Another address is not hurt by it.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = socket.connect(rig.address).await.unwrap();
    let mut byte = [0];
    assert!(timeout(Duration::from_millis(300), other.read(&mut byte)).await.is_err(), "it is being listened to");
    sleep(Duration::from_secs(2)).await;
    drop(crowd);
    unharmed_again(&rig).await;
}

async fn unharmed_again(rig: &Rig) {
    let mut client = rig.client("web", "b").await;
    assert!(client.take().await);
}

/// An edge may lie about itself, but not about others, and its lies end its own connection at most.
#[tokio::test]
async fn hostile_acks_change_nothing_of_a_neighbour() {
    let rig = rig().await;
    let publisher = rig.offer("victim", 5);
    let stamp = publisher.publish(&set([(1, 1)]));
    let mut victim = rig.client("victim", "a").await;
    victim.reach(stamp).await;
    acked(&publisher, stamp).await;

    let (mut updates, mut acks) = rig.remote("web", "web:evil").connect(None).await.unwrap();
    updates.next().await.unwrap().unwrap();
    for (epoch, seq) in [(0, 1), (1, 2), (1, u64::MAX), (u64::MAX, u64::MAX)] {
        let stamp = kakehi::snapshot::wire::Stamp { epoch, seq };
        acks.send(&Ack { stamp, refused: Vec::new() }).await.unwrap();
    }
    // Still connected, and no wiser.
    let web = rig.publishers.get(&crate::rig::edge("web")).unwrap();
    let next = web.publish(&set([(4, 4)]));
    assert_eq!(updates.next().await.unwrap().unwrap().stamp, next);
    assert_eq!(*web.acks().borrow(), None, "an ack of what was never sent is none");
    let evil = answer(&rig, &[b"{\"wire\":1,\"edge\":\"shop/web\",\"token\":\"web:x\"}\n".to_vec(), vec![b'x'; 8 << 20]].concat()).await;
    assert!(evil.contains("stamp") || evil.is_empty(), "served, then closed for its endless line");
    assert_eq!(publisher.acks().borrow().as_ref().unwrap().stamp, stamp);
}
