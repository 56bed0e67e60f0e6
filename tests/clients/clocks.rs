//! Patience: what is slow or silent for long, and nevertheless right, in every stage at the same time.

use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use crate::stage::{Duplex, Stage, connect, host};

/// A WebSocket that says nothing.
const IDLE: Duration = Duration::from_secs(90);
/// An answer that does not begin.
const SILENT: Duration = Duration::from_secs(40);
/// An upload of one byte after each of these pauses; one is longer than what Sōzu waits for by itself (60 s).
const PAUSES: [Duration; 2] = [Duration::from_secs(20), Duration::from_secs(65)];

/// Reads until the peer closes.
async fn answer(stream: &mut Box<dyn Duplex>) -> String {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.unwrap_or_default();
    String::from_utf8_lossy(&text).into_owned()
}

async fn idle_websocket(stream: Box<dyn Duplex>, host: &str) {
    let (mut socket, _) = tokio_tungstenite::client_async(format!("ws://{host}/ws"), stream).await.unwrap();
    sleep(IDLE).await;
    socket.send("still here".into()).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap(), "still here");
}

async fn silent_answer(mut stream: Box<dyn Duplex>, host: &str) {
    let asked = Instant::now();
    let target = format!("/?delay={}", SILENT.as_millis());
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = answer(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && asked.elapsed() >= SILENT, "{answer}");
}

async fn slow_upload(mut stream: Box<dyn Duplex>, host: &str) {
    let length = PAUSES.len();
    let head = format!("POST /slow HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    for pause in PAUSES {
        sleep(pause).await;
        stream.write_all(b"x").await.unwrap();
        stream.flush().await.unwrap();
    }
    let answer = answer(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(&format!("\"body\":{length},")), "{answer}");
}

/// Nothing here may end before its time.
#[tokio::test(flavor = "multi_thread")]
async fn silence_and_slowness_are_borne_in_every_stage() {
    let rigs = Stage::ALL.map(|stage| (stage, stage.start(&[])));
    let mut tasks = Vec::new();
    for (stage, rig) in &rigs {
        for secure in [false, true] {
            let host = host(secure);
            let open = || connect(rig, secure, &["http/1.1"]);
            let (one, two, three) = (open().await, open().await, open().await);
            tasks.push((*stage, secure, "WebSocket", tokio::spawn(idle_websocket(one, host))));
            tasks.push((*stage, secure, "answer", tokio::spawn(silent_answer(two, host))));
            tasks.push((*stage, secure, "upload", tokio::spawn(slow_upload(three, host))));
        }
    }
    let mut failed = Vec::new();
    for (stage, secure, what, task) in tasks {
        if let Err(error) = task.await {
            failed.push(format!("{stage:?}, TLS {secure}, {what}: {error}"));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
