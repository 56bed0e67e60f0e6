//! What is in flight when an edge is told to end: it must end by itself, not by the edge.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::stand::{self, WAYS, Way};
use super::{http, wants};

/// What is in flight takes so long, and the edge grants more.
const LENGTH: Duration = Duration::from_secs(6);
const DRAIN: &str = "15";
/// How many of each.
const EACH: usize = 5;

type Flown = Result<(), String>;

/// Measures and prints; whether nothing was cut.
pub async fn measure() -> bool {
    if !wants("SIGTERM in flight") {
        return true;
    }
    let rig = stand::start(&["--drain", DRAIN]).await;
    let mut flights: Vec<(String, tokio::task::JoinHandle<Flown>)> = Vec::new();
    for way in WAYS {
        let at = (way, way.port(&rig));
        for _ in 0..EACH {
            flights.push((format!("request, {}", way.name()), tokio::spawn(slow(at))));
            flights.push((format!("upload, {}", way.name()), tokio::spawn(upload(at))));
            flights.push((format!("WebSocket, {}", way.name()), tokio::spawn(websocket(at))));
        }
    }
    for _ in 0..EACH {
        flights.push(("HTTP/2 request, relay".to_owned(), tokio::spawn(http2(rig.ports.relay))));
        flights.push(("gRPC call, relay".to_owned(), tokio::spawn(call(rig.ports.relay))));
    }
    sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    let ending = tokio::spawn(rig.stop());
    let mut table: Vec<(String, usize, Vec<String>)> = Vec::new();
    for (name, flight) in flights {
        let flown = flight.await.unwrap();
        if table.last().is_none_or(|(last, ..)| *last != name) && !table.iter().any(|(known, ..)| *known == name) {
            table.push((name.clone(), 0, Vec::new()));
        }
        let row = table.iter_mut().find(|(known, ..)| *known == name).unwrap();
        row.1 += 1;
        row.2.extend(flown.err());
    }
    ending.await.unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let mut clean = true;
    for (name, number, mut failed) in table {
        println!("{:<34} {number:>8} {:>8} {:>8} {:>8}", format!("SIGTERM in flight: {name}"), 0, failed.len(), "");
        clean &= failed.is_empty();
        failed.dedup();
        failed.iter().take(2).for_each(|failure| println!("    {failure}"));
    }
    println!("    all ended {seconds:.1} s after the signal");
    clean
}

async fn slow((way, address): (Way, SocketAddr)) -> Flown {
    let mut stream = TcpStream::connect(address).await.map_err(|error| format!("connect: {error}"))?;
    let request = http::get(way.host(), &format!("/slow?{}", LENGTH.as_secs()), "");
    let answer = timeout(2 * LENGTH, http::exchange(&mut stream, &request, &mut Vec::new())).await;
    judge(answer.map(|answer| answer.map(|answer| answer.status)))
}

fn judge(answer: Result<std::io::Result<u16>, tokio::time::error::Elapsed>) -> Flown {
    match answer {
        Ok(Ok(200)) => Ok(()),
        Ok(Ok(status)) => Err(format!("status {status}")),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer".to_owned()),
    }
}

async fn upload((way, address): (Way, SocketAddr)) -> Flown {
    let sent = async {
        let mut stream = TcpStream::connect(address).await?;
        let pieces = u32::try_from(LENGTH.as_millis() / 200).unwrap();
        let head = format!("POST / HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n", way.host(), pieces * 1000);
        stream.write_all(head.as_bytes()).await?;
        for _ in 0..pieces {
            sleep(Duration::from_millis(200)).await;
            stream.write_all(&[b'x'; 1000]).await?;
        }
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await?;
        Ok(if &answer == b"HTTP/1.1 200" { 200 } else { 0 })
    };
    judge(timeout(3 * LENGTH, sent).await)
}

async fn websocket((way, address): (Way, SocketAddr)) -> Flown {
    let talked = async {
        let mut stream = TcpStream::connect(address).await?;
        let head = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", way.host());
        stream.write_all(head.as_bytes()).await?;
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            seen.push(stream.read_u8().await?);
        }
        if !seen.starts_with(b"HTTP/1.1 101") {
            return Ok(0);
        }
        for _ in 0..LENGTH.as_millis() / 200 {
            sleep(Duration::from_millis(200)).await;
            stream.write_all(b"ping").await?;
            stream.read_exact(&mut [0; 4]).await?;
        }
        Ok(200)
    };
    judge(timeout(3 * LENGTH, talked).await)
}

async fn http2(address: SocketAddr) -> Flown {
    let request = ::http::Request::get(format!("http://{}/slow?{}", Way::Relay.host(), LENGTH.as_secs())).body(()).unwrap();
    exchange(address, request, false).await
}

async fn call(address: SocketAddr) -> Flown {
    let request = ::http::Request::post(format!("http://grpc.bench.test/slow.S/{}", LENGTH.as_secs()))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    exchange(address, request, true).await
}

async fn exchange(address: SocketAddr, request: ::http::Request<()>, call: bool) -> Flown {
    let asked = async {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        let (client, connection) = h2::client::handshake(stream).await.map_err(|error| error.to_string())?;
        let driving = tokio::spawn(connection);
        let mut client = client.ready().await.map_err(|error| error.to_string())?;
        let (answer, mut body) = client.send_request(request, !call).map_err(|error| error.to_string())?;
        if call {
            body.send_data(Bytes::from_static(&[0, 0, 0, 0, 0]), true).map_err(|error| error.to_string())?;
        }
        let answer = answer.await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let mut body = answer.into_body();
        while let Some(piece) = body.data().await {
            let piece = piece.map_err(|error| error.to_string())?;
            body.flow_control().release_capacity(piece.len()).map_err(|error| error.to_string())?;
        }
        let trailers = body.trailers().await.map_err(|error| error.to_string())?;
        driving.abort();
        let called = trailers.is_some_and(|trailers| trailers.get("grpc-status").is_some_and(|status| status == "0"));
        if status == 200 && (called || !call) { Ok(()) } else { Err(format!("status {status}, grpc-status 0: {called}")) }
    };
    timeout(3 * LENGTH, asked).await.unwrap_or_else(|_| Err("no answer".to_owned()))
}
