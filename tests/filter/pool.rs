//! Connections to backends: kept, dropped, replaced, and requests that survive it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use kakehi::filter::{Counters, Limits};
use kakehi::model::BackendProtocol;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;

use crate::harness::{Answer, Proxy, backend, backend_speaking, echo, get, listener, request, route, rule, to, weighted};

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Relaxed)
}

/// A backend at a fixed address whose connections all end, without a word, when its task is aborted.
fn restartable(address: SocketAddr, connections: Arc<AtomicU64>) -> JoinHandle<()> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    let listener = socket.listen(256).unwrap();
    tokio::spawn(async move {
        let mut open = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.fetch_add(1, Relaxed);
            let service = hyper::service::service_fn(|_request: Request<hyper::body::Incoming>| async {
                Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from_static(b"ok"))))
            });
            open.spawn(async move { auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await });
        }
    })
}

async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// Sends `GET`s one after another until told to stop; answers other than 200 are returned.
fn load(proxy: &Proxy, stop: &Arc<AtomicBool>) -> JoinHandle<(u64, Vec<u16>)> {
    let (path, stop) = (proxy.socket.clone(), stop.clone());
    tokio::spawn(async move {
        let stream = tokio::net::UnixStream::connect(path).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let (mut sent, mut failed) = (0, Vec::new());
        while !stop.load(Relaxed) {
            sender.ready().await.unwrap();
            let answer = Answer::collect(sender.send_request(get("/")).await.unwrap()).await;
            sent += 1;
            if answer.status != 200 {
                failed.push(answer.status.as_u16());
            }
        }
        (sent, failed)
    })
}

async fn reloads(protocol: BackendProtocol) {
    let (a, b) = (free_address().await, free_address().await);
    let connections = Arc::new(AtomicU64::new(0));
    let mut running = [restartable(a, connections.clone()), restartable(b, connections.clone())];
    let proxy = Proxy::start([listener(), backend_speaking(protocol, "s", &[a, b]), route(vec![rule("/", Vec::new(), to("s"))])]).await;
    drop(proxy.connect().await);
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4).map(|_| load(&proxy, &stop)).collect();
    for round in 0..8 {
        tokio::time::sleep(Duration::from_millis(60)).await;
        let (task, address) = if round % 2 == 0 { (&mut running[0], a) } else { (&mut running[1], b) };
        // All its connections end at once, and it comes back at once: a reload.
        task.abort();
        let _ = (&mut *task).await;
        *task = restartable(address, connections.clone());
    }
    tokio::time::sleep(Duration::from_millis(60)).await;
    stop.store(true, Relaxed);
    for client in clients {
        let (sent, failed) = client.await.unwrap();
        assert!(sent > 20, "{sent} requests only");
        assert!(failed.is_empty(), "{failed:?} of {sent}");
    }
    // Connections are reused: reloads and concurrency bound them, not requests.
    assert!(read(&connections) <= 8 * 8, "{} connections", read(&connections));
}

#[tokio::test]
async fn a_reloading_backend_loses_no_request() {
    reloads(BackendProtocol::Http).await;
}

#[tokio::test]
async fn a_reloading_h2c_backend_loses_no_request() {
    reloads(BackendProtocol::H2c).await;
}

#[tokio::test]
async fn a_post_is_not_sent_twice() {
    // The backend reads a request and closes without a word; the second one comes over a reused connection.
    let listener_socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener_socket.local_addr().unwrap();
    let seen = Arc::new(AtomicU64::new(0));
    let counted = seen.clone();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        while let Ok((mut stream, _)) = listener_socket.accept().await {
            let counted = counted.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                for number in 0.. {
                    let Ok(1..) = stream.read(&mut buffer).await else { return };
                    counted.fetch_add(1, Relaxed);
                    if number == 1 {
                        return;
                    }
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
                }
            });
        }
    });
    let proxy = Proxy::start([listener(), backend("s", &[address]), route(vec![rule("/", Vec::new(), to("s"))])]).await;
    assert_eq!(proxy.get("/").await.status, 200);
    assert_eq!(proxy.send(request("POST", "/", "once")).await.status, 502);
    assert_eq!(read(&seen), 2);
    // The same with a method that may be repeated: one replay on a fresh connection.
    assert_eq!(proxy.get("/").await.status, 200);
    assert_eq!(proxy.get("/").await.status, 200);
    assert_eq!(read(&seen), 5);
    assert_eq!(read(&counters(&proxy).replays), 1);
}

fn counters(proxy: &Proxy) -> &Counters {
    &proxy.shared.counters
}

#[tokio::test]
async fn an_endpoint_that_refuses_is_passed_over() {
    let (dead, alive) = (free_address().await, echo("alive").await);
    let proxy = Proxy::start([listener(), backend("s", &[dead, alive]), route(vec![rule("/", Vec::new(), to("s"))])]).await;
    for _ in 0..20 {
        assert_eq!(proxy.send(request("POST", "/", "body")).await.status, 200);
    }
    // After the first refusal the dead endpoint is asked last, so not at all.
    assert!(read(&counters(&proxy).connect_errors) <= 1);
}

#[tokio::test]
async fn connections_to_a_removed_endpoint_are_closed() {
    let connections = Arc::new(AtomicU64::new(0));
    let (a, b) = (free_address().await, echo("b").await);
    let _running = restartable(a, connections.clone());
    let rules = || route(vec![rule("/", Vec::new(), to("s"))]);
    let proxy = Proxy::start([listener(), backend("s", &[a]), rules()]).await;
    assert_eq!(proxy.get("/").await.text(), "ok");
    assert_eq!(proxy.get("/").await.text(), "ok");
    assert_eq!(read(&connections), 1, "the connection is kept");
    proxy.publish([listener(), backend("s", &[b]), rules()]).await;
    assert_eq!(proxy.get("/").await.header("x-backend"), "b");
    proxy.publish([listener(), backend("s", &[a]), rules()]).await;
    assert_eq!(proxy.get("/").await.text(), "ok");
    assert_eq!(read(&connections), 2, "the old connection was closed");
}

#[tokio::test]
async fn weights_are_shares_of_references() {
    let (one, two, three) = (echo("one").await, echo("two").await, echo("three").await);
    let resources = [
        listener(),
        backend("one", &[one]),
        // More endpoints give no greater share.
        backend("two", &[two, echo("two").await, echo("two").await]),
        backend("three", &[three]),
        route(vec![rule("/", Vec::new(), weighted(&[("one", 70), ("two", 30), ("three", 0)]))]),
    ];
    let proxy = Proxy::start(resources).await;
    let mut client = proxy.client().await;
    let mut counts = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..1000 {
        client.ready().await.unwrap();
        let answer = Answer::collect(client.send_request(get("/")).await.unwrap()).await;
        *counts.entry(answer.header("x-backend").to_owned()).or_default() += 1;
    }
    let share = |name: &str| counts.get(name).copied().unwrap_or(0);
    assert!((650..=750).contains(&share("one")), "{counts:?}");
    assert!((250..=350).contains(&share("two")), "{counts:?}");
    assert_eq!(share("three"), 0);
}

#[tokio::test]
async fn a_silent_backend_times_out() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let limits = Limits { response_timeout: Duration::from_millis(200), ..Limits::default() };
    let resources = [listener(), backend("s", &[silent.local_addr().unwrap()]), route(vec![rule("/", Vec::new(), to("s"))])];
    let proxy = Proxy::start_with(limits, resources).await;
    assert_eq!(proxy.get("/").await.status, 504);
    assert_eq!(proxy.send(request("POST", "/", "body")).await.status, 504);
    assert_eq!(read(&counters(&proxy).timeouts), 2);
}

#[tokio::test]
async fn the_table_is_swapped_under_load() {
    let (one, two) = (echo("one").await, echo("two").await);
    let state = |name| [listener(), backend("one", &[one]), backend("two", &[two]), route(vec![rule("/", Vec::new(), to(name))])];
    let proxy = Proxy::start(state("one")).await;
    drop(proxy.connect().await);
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4).map(|_| load(&proxy, &stop)).collect();
    for round in 0..50 {
        let name = if round % 2 == 0 { "two" } else { "one" };
        proxy.publish(state(name)).await;
        assert_eq!(proxy.get("/").await.header("x-backend"), name, "an acknowledged change serves");
    }
    stop.store(true, Relaxed);
    for client in clients {
        let (sent, failed) = client.await.unwrap();
        assert!(sent > 20 && failed.is_empty(), "{failed:?} of {sent}");
    }
}
