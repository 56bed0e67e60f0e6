//! The rows of `make bench-limits`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep, timeout};

use super::rig::Rig;
use super::stand::{self, WAYS, Way};
use super::{http, wants};

/// Memory of the edge: 1 GiB for Sōzu, and as much for the filter proxy.
const MEMORY: &str = "2147483648";
/// Connections from one address.
const PER_ADDRESS: usize = 500;
/// An answer takes no longer.
const WITHIN: Duration = Duration::from_secs(5);
/// Length of the rows under attack.
const ATTACK: Duration = Duration::from_secs(12);
/// Connections of the rows that fill the filter proxy.
const GREEDY: usize = 1000;
/// Streams on one of them where it speaks HTTP/2.
const STREAMS: u32 = 100;

/// Measures and prints.
pub async fn measure() {
    for way in WAYS {
        let name = format!("kept connections, {}", way.name());
        if wants(&name) {
            kept(&name, way).await;
        }
    }
    for way in WAYS {
        let name = format!("slow heads from one address, {}", way.name());
        if wants(&name) {
            slow_heads(&name, way).await;
        }
    }
    for (name, row) in
        [("HTTP/2 windows that stay shut", Row::Windows), ("HPACK references", Row::Hpack), ("clients that never read", Row::Readers)]
    {
        if wants(name) {
            greedy(name, row).await;
        }
    }
}

fn count() -> usize {
    std::env::var("KAKEHI_BENCH_CONNECTIONS").ok().and_then(|value| value.parse().ok()).unwrap_or(10_500)
}

/// A connection from a source address of its own group.
async fn connect(to: SocketAddr, from: IpAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::new(from, 0))?;
    timeout(WITHIN, socket.connect(to)).await?
}

fn source(number: usize) -> IpAddr {
    let group = number / PER_ADDRESS;
    IpAddr::V4(Ipv4Addr::new(127, 1, u8::try_from(group / 250).unwrap_or(0), u8::try_from(group % 250 + 1).unwrap_or(1)))
}

async fn get(stream: &mut TcpStream, way: Way, path: &str) -> Result<u16, String> {
    let mut received = Vec::new();
    let request = http::get(way.host(), path, "");
    match timeout(WITHIN, http::exchange(stream, &request, &mut received)).await {
        Ok(Ok(answer)) => Ok(answer.status),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer".to_owned()),
    }
}

/// Whether a kept connection is still open.
fn is_open(stream: &TcpStream) -> bool {
    matches!(stream.try_read(&mut [0; 16]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

/// Memory of a role's processes that is theirs alone or a part of what is shared, in MB.
fn memory(rig: &Rig, role: &str) -> f64 {
    rig.memory().get(role).copied().unwrap_or_default()
}

fn both(rig: &Rig) -> String {
    format!("sozu {:.0} MB, filter {:.0} MB", memory(rig, "sozu"), memory(rig, "filter"))
}

/// How a path of the admin port answers, on the edge's own page.
async fn series(rig: &Rig, name: &str) -> f64 {
    let Ok(mut stream) = TcpStream::connect(rig.admin).await else { return f64::NAN };
    let mut page = String::new();
    let asked = async {
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await?;
        stream.read_to_string(&mut page).await
    };
    drop(timeout(WITHIN, asked).await);
    let line = page.lines().find(|line| line.starts_with(name) && !line.starts_with('#'));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(f64::NAN)
}

/// Opens kept connections one by one with a request on each, then looks who is still there and whether a new client is served.
async fn kept(name: &str, way: Way) {
    let rig = stand::start(&["--memory", MEMORY]).await;
    let (before, wanted) = (memory(&rig, "sozu") + memory(&rig, "filter"), count());
    let (mut open, mut first_failure) = (Vec::new(), None);
    for number in 0..wanted {
        let answered = match connect(way.port(&rig), source(number)).await {
            Ok(mut stream) => {
                let answered = get(&mut stream, way, "/").await;
                open.push(stream);
                answered
            }
            Err(error) => Err(error.to_string()),
        };
        if answered != Ok(200) && first_failure.is_none() {
            first_failure = Some((number + 1, answered));
        }
    }
    let held = open.iter().filter(|stream| is_open(stream)).count();
    let used = memory(&rig, "sozu") + memory(&rig, "filter") - before;
    println!("{name}: opened {wanted}, held {held}, first failure {first_failure:?}");
    println!("    {}, {:.1} MB per thousand held", both(&rig), used * 1000.0 / held.max(1) as f64);
    let mut again = (0, 0);
    for stream in open.iter_mut().rev().filter(|stream| is_open(stream)).take(500) {
        match get(stream, way, "/").await {
            Ok(200) => again.0 += 1,
            _ => again.1 += 1,
        }
    }
    let fresh = match connect(way.port(&rig), source(0)).await {
        Ok(mut stream) => get(&mut stream, way, "/").await,
        Err(error) => Err(error.to_string()),
    };
    let (full, hangs) = (series(&rig, "kakehi_sozu_full").await, series(&rig, "kakehi_edge_hangs").await);
    println!(
        "    the newest 500 of them again: {} answered, {} not; one more client: {fresh:?}; full {full}, hangs {hangs}",
        again.0, again.1
    );
    drop(open);
    rig.stop().await;
}

/// Opens connections from one address and sends a byte of a head on each every two seconds, until the task is aborted.
async fn drip(port: SocketAddr, attacker: IpAddr) -> (usize, JoinHandle<()>) {
    let mut slow = Vec::new();
    for _ in 0..count().saturating_sub(500) {
        if let Ok(mut stream) = connect(port, attacker).await {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: ").await.unwrap_or_default();
            slow.push(stream);
            // The first ones must not be taken for idle meanwhile.
            if slow.len().is_multiple_of(1000) {
                slow.iter().for_each(|stream| drop(stream.try_write(b"x")));
            }
        }
    }
    let opened = slow.len();
    let dripping = tokio::spawn(async move {
        let mut tick = interval(Duration::from_secs(2));
        loop {
            tick.tick().await;
            // Those that were closed take none.
            slow.iter().for_each(|stream| drop(stream.try_write(b"x")));
        }
    });
    (opened, dripping)
}

/// One address opens as many connections as it can and sends a byte of a head on each now and then. Meanwhile another one is served,
/// on new connections and on kept ones.
async fn slow_heads(name: &str, way: Way) {
    let rig = stand::start(&["--memory", MEMORY]).await;
    let (port, attacker) = (way.port(&rig), IpAddr::from([127, 9, 9, 9]));
    let mut kept = Vec::new();
    for number in 0..50 {
        let mut stream = connect(port, source(number)).await.unwrap();
        assert_eq!(get(&mut stream, way, "/").await, Ok(200));
        kept.push(stream);
    }
    let (opened, dripping) = drip(port, attacker).await;
    let (mut new, mut old) = ((0, 0), (0, 0));
    let end = Instant::now() + ATTACK;
    while Instant::now() < end {
        let answered = match connect(port, source(0)).await {
            Ok(mut stream) => get(&mut stream, way, "/").await,
            Err(error) => Err(error.to_string()),
        };
        if answered == Ok(200) {
            new.0 += 1
        } else {
            new.1 += 1
        }
        let place = new.0 % kept.len();
        if get(&mut kept[place], way, "/").await == Ok(200) {
            old.0 += 1
        } else {
            old.1 += 1
        }
        sleep(Duration::from_millis(20)).await;
    }
    println!("{name}: {opened} connections, a byte every 2 s");
    println!(
        "    others on new connections: {} answered, {} not; on kept ones: {} answered, {} not; {}",
        new.0,
        new.1,
        old.0,
        old.1,
        both(&rig)
    );
    println!("    full {}", series(&rig, "kakehi_sozu_full").await);
    dripping.abort();
    rig.stop().await;
}

/// What greedy clients do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Row {
    /// Ask for endless answers on many streams with large windows, and read nothing.
    Windows,
    /// Send heads that are long only once they are read.
    Hpack,
    /// Ask for endless answers over HTTP/1.1, and read nothing.
    Readers,
}

/// Greedy clients on the relayed port; what they make the filter proxy hold, and whether others are served.
async fn greedy(name: &str, row: Row) {
    let rig = stand::start(&["--memory", MEMORY]).await;
    let before = memory(&rig, "filter");
    let mut clients = Vec::new();
    let connections = if row == Row::Readers { GREEDY } else { GREEDY / 20 };
    for number in 0..connections {
        let Ok(mut stream) = connect(rig.ports.relay, source(number * 7)).await else { continue };
        let bytes = match row {
            Row::Readers => http::get(Way::Relay.host(), "/endless", ""),
            Row::Windows => frames(windows),
            Row::Hpack => frames(references),
        };
        // What is not taken is not sent: the other side may read as slowly as it likes.
        drop(timeout(Duration::from_millis(500), stream.write_all(&bytes)).await);
        clients.push(stream);
    }
    sleep(Duration::from_secs(3)).await;
    let held = memory(&rig, "filter") - before;
    let mut fresh = (0, Vec::new());
    for number in 0..100 {
        match connect(rig.ports.relay, source(number)).await {
            Ok(mut stream) => match get(&mut stream, Way::Relay, "/").await {
                Ok(200) => fresh.0 += 1,
                other => fresh.1.push(format!("{other:?}")),
            },
            Err(error) => fresh.1.push(error.to_string()),
        }
    }
    fresh.1.sort();
    fresh.1.dedup();
    println!(
        "{name}: {} connections make the filter proxy hold {held:.0} MB more; 100 others: {} answered {:?}",
        clients.len(),
        fresh.0,
        fresh.1
    );
    println!("    {}; filter starts {}", both(&rig), series(&rig, "kakehi_filter_starts").await);
    drop(clients);
    rig.stop().await;
}

/// A preface and requests on all streams.
fn frames(head: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS_INITIAL_WINDOW_SIZE, and as much for the connection.
    frame(&mut bytes, 4, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
    frame(&mut bytes, 8, 0, 0, &0x7fff_0000_u32.to_be_bytes());
    for number in 0..STREAMS * 5 / 2 {
        let id = 2 * number + 1;
        // END_HEADERS and END_STREAM.
        frame(&mut bytes, 1, 5, id, &head(id));
    }
    bytes
}

fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    bytes.extend_from_slice(&length[1..]);
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
}

/// GET over http for the relayed host: pseudo-header fields in HPACK, the path and the host as literals that are not indexed.
fn request(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86];
    for (name, value) in [(4_u8, path), (1, Way::Relay.host())] {
        block.push(name);
        block.push(u8::try_from(value.len()).unwrap());
        block.extend_from_slice(value.as_bytes());
    }
    block
}

fn windows(_: u32) -> Vec<u8> {
    request("/endless")
}

/// A field of 4 KB that enters the table with the first request, and fourteen references to it in each.
fn references(stream: u32) -> Vec<u8> {
    let mut block = request("/slow?30");
    if stream == 1 {
        let value = [b'v'; 3900];
        // Literal with incremental indexing and a new name; a length of 3900 in a prefix of seven bits.
        block.extend_from_slice(&[0x40, 1, b'x', 0x7f, 0xbd, 0x1d]);
        block.extend_from_slice(&value);
    }
    block.extend_from_slice(&[0xbe; 14]);
    block
}
