//! Clients that take more than their share: of memory, of connections, of a backend.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use kakehi::filter::Limits;
use kakehi::snapshot::Snapshot;
use kakehi::snapshot::publish::Publisher;
use rustix::process::{Resource as Limited, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio::time::{sleep, timeout};

use crate::harness::{PORT, Proxy, backend, echo, get, listener, route, rule, serve_snapshots, serve_with, to};
use crate::script::{OK, Script, Step};

const MIB: usize = 1 << 20;

/// A client of a relayed port, at this address.
pub async fn client(proxy: &Proxy, address: [u8; 4]) -> UnixStream {
    let mut stream = UnixStream::connect(proxy.socket.with_file_name("relay")).await.unwrap();
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend(address);
    header.extend([127, 0, 0, 1, 0x30, 0x39]);
    header.extend(PORT.to_be_bytes());
    // One that is closed at once takes nothing.
    stream.write_all(&header).await.unwrap_or_default();
    stream
}

/// One request on a kept connection; nothing when it is closed in place of an answer.
async fn ask(stream: &mut UnixStream, path: &str) -> Option<String> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).await.ok()?;
    let mut text = Vec::new();
    while !text.ends_with(b"ok") {
        let byte = timeout(Duration::from_secs(5), stream.read_u8()).await.expect("an answer, or the end");
        text.push(byte.ok()?);
    }
    Some(String::from_utf8(text).unwrap())
}

async fn is_open(stream: &mut UnixStream) -> bool {
    timeout(Duration::from_millis(300), stream.read_u8()).await.is_err()
}

async fn small() -> SocketAddr {
    serve_with(|_| Response::new(Full::new(Bytes::from_static(b"ok")))).await
}

async fn limited(limits: Limits, address: SocketAddr) -> Proxy {
    let resources = [listener(), backend("s", &[address]), route(vec![rule("/", Vec::new(), to("s"))])];
    Proxy::start_with(limits, resources).await
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Relaxed)
}

#[tokio::test]
async fn the_client_that_idles_longest_makes_room_for_a_new_one() {
    let silent = Script::start(&[Step::Silence]).await;
    let limits = Limits { connections: 4, connections_per_address: 0, ..Limits::default() };
    let rules = vec![rule("/", Vec::new(), to("s")), rule("/silent", Vec::new(), to("silent"))];
    let backends = [backend("s", &[small().await]), backend("silent", &[silent.address])];
    let proxy = Proxy::start_with(limits, [listener(), route(rules)].into_iter().chain(backends)).await;
    let mut busy = client(&proxy, [192, 0, 2, 1]).await;
    busy.write_all(b"GET /silent HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    silent.wait_for(1).await;
    let mut kept = Vec::new();
    for number in 0..5 {
        let mut stream = client(&proxy, [192, 0, 2, 2]).await;
        assert!(ask(&mut stream, "/").await.is_some(), "{number}");
        sleep(Duration::from_millis(5)).await;
        kept.push(stream);
    }
    let [first, second, rest @ ..] = kept.as_mut_slice() else { unreachable!() };
    assert!(!is_open(first).await && !is_open(second).await, "those that had idled longest");
    for stream in rest {
        assert!(ask(stream, "/").await.is_some());
    }
    assert!(is_open(&mut busy).await, "what is busy is not idle");
    let counters = &proxy.shared.counters;
    assert_eq!((read(&counters.closed_when_full), read(&counters.refused_when_full)), (2, 0));
    // Nobody idles: the new one has to go.
    for stream in &mut kept[2..] {
        stream.write_all(b"GET /silent HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    }
    silent.wait_for(4).await;
    assert!(!is_open(&mut client(&proxy, [192, 0, 2, 3]).await).await);
    assert_eq!(read(&counters.refused_when_full), 1);
    drop((busy, kept));
    sleep(Duration::from_millis(100)).await;
    assert!(ask(&mut client(&proxy, [192, 0, 2, 3]).await, "/").await.is_some());
    let report = proxy.shared.report();
    assert_eq!((report.closed_connections, report.refused_connections), ([2, 0, 0, 0, 0], [1, 0, 0]));
}

#[tokio::test]
async fn one_address_leaves_room_for_others() {
    let limits = Limits { connections: 20, connections_per_address: 5, ..Limits::default() };
    let proxy = limited(limits, small().await).await;
    let mut dripping = Vec::new();
    for _ in 0..30 {
        let mut stream = client(&proxy, [192, 0, 2, 1]).await;
        let _ = stream.write_all(b"GET / HT").await;
        dripping.push(stream);
    }
    assert!(ask(&mut client(&proxy, [192, 0, 2, 2]).await, "/").await.is_some());
    let mut open = 0_u64;
    for stream in &mut dripping {
        open += u64::from(timeout(Duration::from_millis(20), stream.read_u8()).await.is_err());
    }
    // Some were closed for others while they said who they are.
    let counters = &proxy.shared.counters;
    let [refused, closed] = [&counters.refused_by_address, &counters.closed_when_full].map(read);
    assert!(open <= 5 && refused > 0 && open + refused + closed >= 30, "{open} {refused} {closed}");
    drop(dripping);
    sleep(Duration::from_millis(100)).await;
    assert!(ask(&mut client(&proxy, [192, 0, 2, 1]).await, "/").await.is_some(), "what is closed no longer counts");
}

#[tokio::test]
async fn a_backend_has_so_many_requests_and_so_many_wait() {
    let script = Script::start(&[Step::Answer(300, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), OK]).await;
    let limits = Limits { max_exchanges: 1, max_waiting: 1, ..Limits::default() };
    let proxy = limited(limits, script.address).await;
    let (first, second, third) = tokio::join!(
        proxy.get("/"),
        async {
            sleep(Duration::from_millis(100)).await;
            proxy.get("/").await
        },
        async {
            sleep(Duration::from_millis(200)).await;
            proxy.get("/").await
        },
    );
    assert_eq!([first.status, second.status, third.status].map(|status| status.as_u16()), [200, 200, 503]);
    assert_eq!(read(&proxy.shared.counters.shed_by_backend), 1);
    assert_eq!(proxy.get("/").await.status, 200);
}

#[tokio::test]
async fn what_a_request_made_it_hold_is_given_back() {
    let proxy = limited(Limits::default(), echo("s").await).await;
    for size in [0, 100, 300_000] {
        let mut request = get("/");
        *request.method_mut() = "POST".parse().unwrap();
        *request.body_mut() = Full::new(Bytes::from(vec![b'x'; size]));
        assert_eq!(proxy.send(request).await.status, 200);
    }
    for _ in 0..400 {
        if proxy.shared.report().held == 0 {
            assert_eq!(proxy.shared.report().connections, 0);
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("{} bytes are held", proxy.shared.report().held);
}

/// An HTTP/2 client with windows of 1 GiB that asks on 80 streams and reads nothing.
#[tokio::test]
async fn answers_that_are_not_taken_wait_at_their_backends() {
    let proxy = limited(Limits::default(), endless().await).await;
    let mut client = client(&proxy, [192, 0, 2, 1]).await;
    let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    };
    // SETTINGS_INITIAL_WINDOW_SIZE and as much for the connection.
    let mut bytes = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(4, 0, 0, &[0, 4, 0x40, 0, 0, 0])[..]].concat();
    bytes.extend(frame(8, 0, 0, &0x3fff_0000_u32.to_be_bytes()));
    for stream in 0..80 {
        // GET, http, /, and the host `h`.
        bytes.extend(frame(1, 5, 2 * stream + 1, &[0x82, 0x86, 0x84, 1, 1, b'h']));
    }
    client.write_all(&bytes).await.unwrap();
    let mut before = 0;
    for _ in 0..60 {
        sleep(Duration::from_millis(250)).await;
        let held = proxy.shared.report().held;
        if held == before && held > MIB as u64 {
            break;
        }
        before = held;
    }
    // Each answer may have a part here and one at its backend, small ones at that, as none was ever taken.
    assert!((MIB as u64..6 * MIB as u64).contains(&before), "{before}");
    assert_eq!(read(&proxy.shared.counters.closed_for_memory), 0);
}

/// Ten answers are not taken, which is more than may wait; the eleventh is.
#[tokio::test]
async fn an_answer_that_is_taken_does_not_wait_for_others() {
    let proxy = limited(Limits::default(), endless().await).await;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(200_000).initial_connection_window_size(1 << 30);
    let (mut sender, connection) = builder.handshake::<_, Bytes>(client(&proxy, [192, 0, 2, 1]).await).await.unwrap();
    tokio::spawn(connection);
    let mut answers = Vec::new();
    for _ in 0..11 {
        sender = sender.ready().await.unwrap();
        let (answer, _) = sender.send_request(Request::get("http://h/").body(()).unwrap(), true).unwrap();
        answers.push(answer.await.unwrap().into_body());
    }
    sleep(Duration::from_millis(500)).await;
    let (mut taken, last) = (0, answers.last_mut().unwrap());
    timeout(Duration::from_secs(20), async {
        while taken < 8 * MIB {
            let part = last.data().await.unwrap().unwrap();
            taken += part.len();
            last.flow_control().release_capacity(part.len()).unwrap();
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn beyond_the_budget_requests_are_answered_503() {
    let limits = Limits { memory: 81_000, ..Limits::default() };
    let proxy = limited(limits, small().await).await;
    let mut kept: Vec<UnixStream> = Vec::new();
    for _ in 0..2 {
        kept.push(proxy.connect().await);
    }
    // A head that is not complete, and holds what is left.
    let mut large = client(&proxy, [192, 0, 2, 1]).await;
    large.write_all(format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}", "x".repeat(20_000)).as_bytes()).await.unwrap();
    assert!(!is_open(&mut large).await, "it is closed, as it holds most");
    assert_eq!(read(&proxy.shared.counters.closed_for_memory), 1);
    assert_eq!(proxy.get("/").await.status, 200);
}

/// What HTTP/2 compresses to references counts as what it is.
#[tokio::test]
async fn heads_of_references_are_bounded_together() {
    let (limits, silent) = (Limits { memory: 8 * MIB, ..Limits::default() }, Script::start(&[Step::Silence]).await);
    let rules = vec![rule("/", Vec::new(), to("s")), rule("/silent", Vec::new(), to("silent"))];
    let backends = [backend("s", &[small().await]), backend("silent", &[silent.address])];
    let proxy = Proxy::start_with(limits, [listener(), route(rules)].into_iter().chain(backends)).await;
    let value = "x".repeat(3900);
    let head =
        |fields: usize| (0..fields).fold(Request::get("http://h/silent"), |head, _| head.header("x-large", &value)).body(()).unwrap();
    let (mut open, mut greatest) = (Vec::new(), 0);
    for _ in 0..10 {
        let Ok((mut sender, connection)) = h2::client::handshake(client(&proxy, [192, 0, 2, 1]).await).await else { continue };
        tokio::spawn(connection);
        for _ in 0..100 {
            let Ok(ready) = sender.ready().await else { break };
            sender = ready;
            open.extend(sender.send_request(head(8), true));
            tokio::task::yield_now().await;
            greatest = greatest.max(proxy.shared.report().held);
        }
    }
    let counters = &proxy.shared.counters;
    let shed = || read(&counters.shed_for_memory) + read(&counters.closed_for_memory);
    for _ in 0..200 {
        if shed() > 0 {
            break;
        }
        sleep(Duration::from_millis(50)).await;
        greatest = greatest.max(proxy.shared.report().held);
    }
    assert!(shed() > 0 && greatest < 10 * MIB as u64, "{greatest}");
    drop(open);
    let too_large = async || -> Option<u16> {
        let (sender, connection) = h2::client::handshake(client(&proxy, [192, 0, 2, 2]).await).await.ok()?;
        tokio::spawn(connection);
        let answer = sender.ready().await.ok()?.send_request(head(9), true).ok()?.0;
        Some(answer.await.ok()?.status().as_u16())
    };
    for _ in 0..100 {
        if too_large().await == Some(431) {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("a head that is too large is not answered 431");
}

/// Answers everything with more than any buffer has, but `/small`.
async fn endless() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await?);
                }
                if head.starts_with(b"GET /small ") {
                    return stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").await;
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await?;
                let part = vec![b'x'; 64 * 1024];
                loop {
                    stream.write_all(&part).await?;
                }
            });
        }
    });
    address
}

fn resident(pid: u32) -> usize {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Thousands of clients that fill both buffers and never read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_never_read_do_not_take_the_memory_of_others() {
    let most = getrlimit(Limited::Nofile).maximum.unwrap_or(20_000).min(20_000);
    setrlimit(Limited::Nofile, Rlimit { current: Some(most), maximum: getrlimit(Limited::Nofile).maximum }).unwrap();
    let clients = usize::try_from((most - 500) / 4).unwrap().min(2500);
    let budget = 32 * MIB;
    let dir = tempfile::tempdir().unwrap();
    let (socket, snapshot) = (dir.path().join("hop"), dir.path().join("snapshot"));
    let publisher = Publisher::new(1);
    let resources = [listener(), backend("s", &[endless().await]), route(vec![rule("/", Vec::new(), to("s"))])];
    publisher.publish(&Snapshot::from_resources(resources).as_delta());
    let _serving = serve_snapshots(&publisher, &snapshot);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kakehi"));
    command.arg("filter").arg("--snapshot").arg(&snapshot).arg("--listen").arg(&socket);
    command.env("KAKEHI_FILTER_MEMORY", budget.to_string()).stdin(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let ask = async || -> Option<()> {
        let mut stream = UnixStream::connect(&socket).await.ok()?;
        stream.write_all(b"GET /small HTTP/1.1\r\nHost: h\r\nX-Kakehi-Hop: 8080\r\nConnection: close\r\n\r\n").await.ok()?;
        let mut answer = String::new();
        timeout(Duration::from_secs(10), stream.read_to_string(&mut answer)).await.ok()?.ok()?;
        answer.starts_with("HTTP/1.1 200 ").then_some(())
    };
    let served = async || {
        for _ in 0..100 {
            if ask().await.is_some() {
                return true;
            }
            sleep(Duration::from_millis(20)).await;
        }
        false
    };
    assert!(served().await);
    let (before, mut greatest) = (resident(child.id()), 0);
    let mut greedy = Vec::new();
    for number in 0..clients {
        let Ok(mut stream) = UnixStream::connect(&socket).await else { continue };
        let head = b"GET /large HTTP/1.1\r\nHost: h\r\nX-Kakehi-Hop: 8080\r\n\r\n";
        let _ = stream.write_all(head).await;
        let more = head.repeat(2000);
        let _ = timeout(Duration::from_millis(1), stream.write_all(&more)).await;
        greedy.push(stream);
        if number % 50 == 0 {
            assert!(served().await, "after {number} clients");
            greatest = greatest.max(resident(child.id()));
        }
    }
    for _ in 0..20 {
        assert!(served().await);
        greatest = greatest.max(resident(child.id()));
        sleep(Duration::from_millis(50)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let grown = greatest - before;
    println!("{clients} clients: {} MiB before, {} MiB at most", before / MIB, greatest / MIB);
    // What is charged is about five sixths of what the allocator takes for it.
    assert!(grown < budget + budget / 4 + 28 * MIB, "{clients} clients: it grew by {} MiB", grown / MIB);
}
