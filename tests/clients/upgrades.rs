//! Changes to protocols other than WebSocket.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::backends::{listen, routed};
use crate::stage::{Duplex, Stage, connect, host};

const H2C: &str = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA";

/// Reads a message head.
async fn head(stream: &mut (impl Duplex + ?Sized)) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        match timeout(Duration::from_secs(10), stream.read_u8()).await.expect("no head") {
            Ok(byte) => text.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(text).unwrap().to_lowercase()
}

/// Changes to whatever it is asked for, and then sends every byte back; to h2c as RFC 7540 §3.2.1 allows, that is, with settings.
async fn willing(mut stream: TcpStream) {
    loop {
        let asked = head(&mut stream).await;
        let of = |name: &str| asked.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        let wanted = of("upgrade: ").filter(|protocol| protocol != "h2c" || of("http2-settings: ").is_some());
        let Some(protocol) = wanted else {
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.is_err() || asked.is_empty() {
                return;
            }
            continue;
        };
        let answer = format!("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        let (mut read, mut write) = stream.split();
        let _ended = tokio::io::copy(&mut read, &mut write).await;
        return;
    }
}

async fn ask(rig: &crate::rig::Rig, secure: bool, fields: &str) -> (String, Box<dyn Duplex>) {
    let mut stream = connect(rig, secure, &["http/1.1"]).await;
    let request = format!("GET /willing HTTP/1.1\r\nHost: {}\r\n{fields}\r\n\r\n", host(secure));
    stream.write_all(request.as_bytes()).await.unwrap();
    (head(&mut *stream).await, stream)
}

#[tokio::test(flavor = "multi_thread")]
async fn any_protocol_but_http2_may_be_changed_to() {
    let manifests = [routed("willing", listen(willing).await, None)];
    for stage in Stage::ALL {
        let rig = stage.start(&manifests);
        for secure in [false, true] {
            let (answer, mut stream) = ask(&rig, secure, "Connection: Upgrade\r\nUpgrade: foo/2").await;
            assert!(answer.starts_with("http/1.1 101 ") && answer.contains("upgrade: foo/2\r\n"), "{stage:?}: {answer}");
            for bytes in [&b"\0\xffbytes"[..], &[7; 100_000]] {
                stream.write_all(bytes).await.unwrap();
                let mut back = vec![0; bytes.len()];
                timeout(Duration::from_secs(10), stream.read_exact(&mut back)).await.expect("no echo").unwrap();
                assert_eq!(back, bytes);
            }
            // HTTP/2 would carry requests past every rule.
            let (answer, _) = ask(&rig, secure, H2C).await;
            assert!(answer.starts_with("http/1.1 200 "), "{stage:?}: {answer}");
        }
    }
}
