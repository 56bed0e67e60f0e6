//! A Go application behind Go's ReverseProxy, which takes out what `Connection` names and passes 103 and trailers on.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::backends::{head, routed};
use crate::programs::{Program, lacks, source};
use crate::rig::Rig;
use crate::stage::{Duplex, Stage, connect, host};
use crate::tools::fetch;

const PATIENCE: Duration = Duration::from_secs(20);

/// Builds and starts it.
fn start() -> Option<Program> {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("reverse");
    // Without C, as the test cluster is built: what Go has built for that is used again.
    let built = Command::new("go").env("CGO_ENABLED", "0").args(["build", "-o"]).arg(&program).arg(source("reverse.go")).status();
    match built {
        Ok(status) => assert!(status.success(), "reverse.go does not build"),
        Err(error) => return lacks("go", &error),
    }
    Program::start(&mut Command::new(program))
}

/// A connection with a request on it, whose head ends with these fields.
async fn send(rig: &Rig, secure: bool, line: &str, fields: &str) -> Box<dyn Duplex> {
    let mut stream = connect(rig, secure, &["http/1.1"]).await;
    stream.write_all(format!("{line} HTTP/1.1\r\nHost: {}\r\n{fields}\r\n", host(secure)).as_bytes()).await.unwrap();
    stream
}

/// All that comes until the peer closes.
async fn rest(mut stream: Box<dyn Duplex>) -> String {
    let mut text = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut text)).await.expect("no end").unwrap();
    String::from_utf8(text).unwrap()
}

/// What the application says in an answer that it was told.
fn told(answer: &str) -> Value {
    let json = answer.find('{').zip(answer.rfind('}')).map(|(from, to)| &answer[from..=to]);
    serde_json::from_str(json.unwrap_or_else(|| panic!("{answer}"))).unwrap()
}

async fn tells_the_client(stage: Stage, rig: &Rig, secure: bool) {
    let scheme = if secure { "https" } else { "http" };
    for words in [
        "close",
        "close, X-Real-IP",
        "X-Real-IP, X-Forwarded-For, X-Forwarded-Proto, close",
        "close,x-forwarded-for",
        "X-Forwarded-Proto,  close",
    ] {
        let answer = rest(send(rig, secure, "GET /reverse", &format!("Connection: {words}\r\n")).await).await;
        // The proxy adds its own client, which is the edge.
        let expected = json!({"real": ["127.0.0.1"], "forwarded": ["127.0.0.1, 127.0.0.1"], "proto": [scheme], "read": 0});
        assert_eq!(told(&answer), expected, "{stage:?} {secure} {words}: {answer}");
    }
}

async fn takes_chunks(stage: Stage, rig: &Rig, secure: bool) {
    let mut stream = send(rig, secure, "POST /reverse/upload", "Transfer-Encoding: chunked\r\nConnection: close\r\n").await;
    let chunk = format!("{:x}\r\n{}\r\n", 30_000, "x".repeat(30_000));
    for _ in 0..20 {
        stream.write_all(chunk.as_bytes()).await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let answer = rest(stream).await;
    assert_eq!(told(&answer)["read"], 600_000, "{stage:?} {secure}: {answer}");
}

async fn gives_trailers_and_hints(stage: Stage, rig: &Rig, secure: bool) {
    let mut stream = send(rig, secure, "GET /reverse/hints", "TE: trailers\r\nConnection: TE, close\r\n").await;
    let mut first = head(&mut stream).await;
    if first.starts_with("http/1.1 103 ") {
        assert!(first.contains("link: </style.css>; rel=preload; as=style\r\n"), "{stage:?} {secure}: {first}");
        first = head(&mut stream).await;
    }
    assert!(first.starts_with("http/1.1 200 ") && first.contains("trailer: x-sum\r\n"), "{stage:?} {secure}: {first}");
    let body = rest(stream).await;
    assert!(body.to_lowercase().ends_with("\r\n0\r\nx-sum: 42\r\n\r\n"), "{stage:?} {secure}: {body}");
}

/// The filter proxy does not pass 103 on, as hyper has no way to write it.
async fn hints(rig: &Rig, secure: bool) -> bool {
    let answer = rest(send(rig, secure, "GET /reverse/hints", "Connection: close\r\n").await).await;
    answer.starts_with("HTTP/1.1 103 ")
}

/// How many uploads the application says have begun, were whole, and broke off.
async fn await_uploads(rig: &Rig, begun: u32, whole: u32, broken: u32) {
    let expected = format!("{begun} begun, {whole} whole, {broken} broken off");
    let started = Instant::now();
    loop {
        let answer = rest(send(rig, false, "GET /reverse/uploads", "Connection: close\r\n").await).await;
        if answer.contains(&expected) {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "never {expected}: {answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_behind_gos_proxy_is_told_what_was_sent_and_by_whom() {
    let Some(program) = start() else { return };
    let manifests = [routed("reverse", program.at, None)];
    for stage in Stage::ALL {
        let rig = stage.start(&manifests);
        for secure in [false, true] {
            tells_the_client(stage, &rig, secure).await;
            takes_chunks(stage, &rig, secure).await;
            gives_trailers_and_hints(stage, &rig, secure).await;
            assert_eq!(hints(&rig, secure).await, stage == Stage::Native, "{stage:?} {secure}");
        }
        if let Some(said) = fetch(&rig, true, "/reverse/hints", &["--http2"]) {
            assert!(said.ends_with("2 200") && said.contains("127.0.0.1"), "{stage:?}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_breaks_off_is_never_whole() {
    let Some(program) = start() else { return };
    let manifests = [routed("reverse", program.at, None)];
    let mut broken = 0;
    let some = "x".repeat(20_000);
    let uploads = [
        ("Content-Length: 40000\r\n", some.clone()),
        ("Transfer-Encoding: chunked\r\n", format!("9c40\r\n{some}")),
        ("Transfer-Encoding: chunked\r\n", format!("4e20\r\n{some}\r\n")),
    ];
    for stage in Stage::ALL {
        let rig = stage.start(&manifests);
        for secure in [false, true] {
            for (framing, some) in &uploads {
                let mut stream = send(&rig, secure, "POST /reverse/upload", framing).await;
                stream.write_all(some.as_bytes()).await.unwrap();
                await_uploads(&rig, broken + 1, 0, broken).await;
                drop(stream);
                broken += 1;
                await_uploads(&rig, broken, 0, broken).await;
            }
        }
    }
}
