//! The clocks on clients that stand still, and on old connections.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Duration, Instant, sleep};

use super::{Kind, Proxy, backend, head, prompt, resources, tunnel};
use crate::snapshot::{Resource, Snapshot};

/// Answers without end.
async fn flood(mut stream: TcpStream) {
    head(&mut stream).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await.unwrap();
    while stream.write_all(&[b'x'; 16 * 1024]).await.is_ok() {}
}

/// When that counter is no longer 0.
async fn counted(counter: &AtomicU64, within: u64) -> bool {
    for _ in 0..within {
        if counter.load(Relaxed) > 0 {
            return true;
        }
        sleep(Duration::from_secs(1)).await;
    }
    false
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_given_up_after_a_minute() {
    let checked = async {
        let (address, _) = backend(flood).await;
        let proxy = Proxy::start(&[], &[("s", address)]);
        let mut stream = proxy.connect("GET / HTTP/1.1").await;
        let mut part = vec![0; 300 * 1024];
        for _ in 0..10 {
            sleep(Duration::from_secs(50)).await;
            stream.read_exact(&mut part).await.unwrap();
        }
        let last = Instant::now();
        assert!(counted(&proxy.shared.counters.closed_as_stalled, 100).await);
        assert!((59..=63).contains(&last.elapsed().as_secs()), "{:?}", last.elapsed());
        sleep(Duration::from_secs(2)).await;
        assert_eq!((proxy.shared.counters.active.load(Relaxed), proxy.shared.report().held), (0, 0));
    };
    LocalSet::new().run_until(checked).await;
}

/// The socket takes everything; it is the client's window that does not.
#[tokio::test(start_paused = true)]
async fn so_is_one_that_opens_no_window_over_http2() {
    let checked = async {
        let (address, _) = backend(flood).await;
        let proxy = Proxy::start(&[], &[("s", address)]);
        let stream = UnixStream::connect(&proxy.socket).await.unwrap();
        let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
        spawn_local(async move { connection.await.unwrap_or_default() });
        let request = http::Request::get("http://h/").header("x-kakehi-hop", "8080").body(()).unwrap();
        let (response, _) = client.send_request(request, true).unwrap();
        let mut body = response.await.unwrap().into_body();
        let last = Instant::now();
        assert!(counted(&proxy.shared.counters.closed_as_stalled, 100).await);
        assert!((59..=63).contains(&last.elapsed().as_secs()), "{:?}", last.elapsed());
        while let Some(Ok(_)) = body.data().await {}
        assert_eq!(proxy.shared.counters.active.load(Relaxed), 0);
    };
    LocalSet::new().run_until(checked).await;
}

#[tokio::test(start_paused = true)]
async fn a_head_must_be_complete_in_time_however_it_drips() {
    let checked = async {
        let (address, _) = backend(prompt).await;
        let proxy = Proxy::start(&[], &[("s", address)]);
        let mut stream = UnixStream::connect(&proxy.socket).await.unwrap();
        sleep(Duration::from_secs(100)).await;
        let start = Instant::now();
        while stream.write_all(b"G").await.is_ok() {
            sleep(Duration::from_secs(2)).await;
        }
        assert!((29..=34).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
        assert_eq!(proxy.shared.counters.closed_as_stalled.load(Relaxed), 1);
    };
    LocalSet::new().run_until(checked).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_s_connection_is_ended_at_its_greatest_age() {
    let checked = async {
        let (address, _) = backend(tunnel).await;
        let proxy = Proxy::start(&[], &[("s", address)]);
        let mut listeners = resources(Kind::HttpRoute, &[], &[]);
        listeners.retain(|resource| matches!(resource, Resource::Listener(_)));
        for listener in &mut listeners {
            let Resource::Listener(listener) = listener else { unreachable!() };
            listener.tuning.max_age_seconds = Some(100);
        }
        proxy.shared.apply(&Snapshot::from_resources(listeners).as_delta());
        let relay = async || {
            let mut stream = UnixStream::connect(proxy.socket.with_file_name("relay")).await.unwrap();
            stream.write_all(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\x7f\0\0\x01\x30\x39\x1f\x90").await.unwrap();
            stream
        };
        let (mut client, mut upgraded, mut hop) = (relay().await, relay().await, UnixStream::connect(&proxy.socket).await.unwrap());
        let ask = async |stream: &mut UnixStream| {
            stream.write_all(b"GET /none HTTP/1.1\r\nHost: h\r\nX-Kakehi-Hop: 1\r\n\r\n").await?;
            let mut text = Vec::new();
            while !text.ends_with(b"\r\n\r\n") {
                text.push(stream.read_u8().await?);
            }
            std::io::Result::Ok(String::from_utf8(text).unwrap())
        };
        upgraded.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n").await.unwrap();
        while upgraded.read_u8().await.unwrap() != b'\n' {}
        let start = Instant::now();
        while ask(&mut client).await.is_ok_and(|answer| !answer.contains("connection: close")) {
            ask(&mut hop).await.unwrap();
            sleep(Duration::from_secs(1)).await;
        }
        assert!((88..=112).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
        assert_eq!(proxy.shared.counters.closed_by_age.load(Relaxed), 1);
        sleep(Duration::from_secs(50)).await;
        assert!(ask(&mut hop).await.is_ok());
    };
    LocalSet::new().run_until(checked).await;
}
