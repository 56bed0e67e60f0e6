//! Java's HttpClient, which asks for h2c with every request to a plain port and speaks HTTP/2 over TLS.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::backends::{head, listen, routed};
use crate::programs::source;
use crate::stage::{PLAIN, SECURE, Stage};
use crate::tools::{run, url};

/// What a strict server says to a head: nothing may be left of a wish to change to HTTP/2, and a POST has a length.
fn verdict(head: &str) -> &'static str {
    let has = |name: &str| head.lines().any(|line| line.starts_with(name));
    let nominated =
        head.lines().filter_map(|line| line.strip_prefix("connection: ")).any(|words| !["close", "keep-alive"].contains(&words));
    if has("upgrade:") || has("http2-settings:") || nominated {
        "400 Bad Request"
    } else if head.starts_with("post ") && !has("content-length:") && !has("transfer-encoding:") {
        "411 Length Required"
    } else {
        "200 OK"
    }
}

/// A strict server, which answers with the body that it got.
async fn strict(mut stream: TcpStream) {
    loop {
        let head = head(&mut stream).await;
        if head.is_empty() {
            return;
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        let answer = format!("HTTP/1.1 {}\r\nContent-Length: {length}\r\n\r\n{}", verdict(&head), String::from_utf8(body).unwrap());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn javas_client_is_served_with_its_defaults() {
    let manifests = [routed("strict", listen(strict).await, None)];
    for stage in Stage::ALL {
        let rig = stage.start(&manifests);
        let hosts = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(hosts.path(), format!("127.0.0.1 {PLAIN} {SECURE}\n")).unwrap();
        let (hosts, program) = (format!("-Djdk.net.hosts.file={}", hosts.path().display()), source("Defaults.java"));
        let (plain, secure) = (url(&rig, false, "/strict"), url(&rig, true, "/strict"));
        let authority = rig.config().join("demo-ca.crt");
        // The first two have it start sooner.
        let arguments = [
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            &hosts,
            program.to_str().unwrap(),
            authority.to_str().unwrap(),
            &plain,
            &secure,
        ];
        let Some(output) = run("java", &arguments, "") else { return };
        let expected = |version: &str| {
            let got = format!("GET {version} 200 \n");
            format!("{got}POST {version} 200 some text\nPOST {version} 200 \n{}", got.repeat(20))
        };
        // On relayed ports the wish is not taken either.
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(said, expected("HTTP_1_1") + &expected("HTTP_2"), "{stage:?}");
    }
}
