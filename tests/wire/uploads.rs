//! Uploads that are answered before they have been read, in every stage.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::backends::{head, listen, route_of, routed};
use crate::rig::Rig;
use crate::stage::{Stage, connect, host};

const PATIENCE: Duration = Duration::from_secs(20);

/// Answers 413 to a head and closes; it reads on before that, or not.
async fn refusing(mut stream: TcpStream, drains: bool) {
    head(&mut stream).await;
    let answer = b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge";
    stream.write_all(answer).await.unwrap_or_default();
    if drains {
        stream.shutdown().await.unwrap_or_default();
        while let Ok(1..) = stream.read(&mut [0; 65536]).await {}
    }
}

async fn refuses(drains: bool) -> SocketAddr {
    listen(move |stream| refusing(stream, drains)).await
}

fn redirect() -> String {
    let filter = "{type: RequestRedirect, requestRedirect: {hostname: elsewhere.example, statusCode: 302}}";
    let rule = format!("{{matches: [{{path: {{type: PathPrefix, value: /moved}}}}], filters: [{filter}]}}");
    route_of("HTTPRoute", "moved", &rule)
}

/// What curl says of an upload, without waiting for `100 Continue`; over TLS by HTTP/2. Nothing without curl.
fn curl(rig: &Rig, secure: bool, path: &str, file: &std::path::Path) -> Option<String> {
    let (scheme, version, port) = if secure { ("https", "--http2", rig.ports.https) } else { ("http", "--http1.1", rig.ports.http) };
    let (resolve, url) = (format!("{}:{port}:127.0.0.1", host(secure)), format!("{scheme}://{}:{port}{path}", host(secure)));
    let upload = format!("@{}", file.display());
    let arguments = ["-sS", "-m", "30", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*", "-H", "Expect:", version];
    let mut command = Command::new("curl");
    command.args(arguments).args(["--resolve", &resolve, "--data-binary", &upload, &url]);
    match command.arg("--cacert").arg(rig.config().join("demo-ca.crt")).stdin(Stdio::null()).output() {
        Ok(output) => Some(format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))),
        Err(error) => {
            assert!(std::env::var_os("KAKEHI_CLIENTS").is_none(), "curl: {error}");
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_gets_a_backends_413() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![b'x'; 8 << 20]).unwrap();
    for stage in Stage::ALL {
        let manifests = [routed("drains", refuses(true).await, None), routed("leaves", refuses(false).await, None)];
        let rig = stage.start(&manifests);
        for path in ["/drains", "/leaves"] {
            for _ in 0..20 {
                let Some(said) = curl(&rig, false, path, file.path()) else { return };
                assert_eq!(said, "413", "{stage:?} {path}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_gets_early_answers_over_http2() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![b'x'; 8 << 20]).unwrap();
    for stage in Stage::ALL {
        let rig = stage.start(&[routed("drains", refuses(true).await, None), redirect()]);
        for (path, status) in [("/drains", "413"), ("/moved/x", "302")] {
            for _ in 0..20 {
                let Some(said) = curl(&rig, true, path, file.path()) else { return };
                assert_eq!(said, status, "{stage:?} {path}");
            }
        }
    }
}

/// Sends all before it reads, over TLS, where the end of a connection must not overtake the answer.
async fn upload(rig: &Rig, path: &str) -> String {
    let mut stream = connect(rig, true, &["http/1.1"]).await;
    let size = 3 << 20;
    let head = format!("POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {size}\r\n\r\n", host(true));
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = timeout(PATIENCE, stream.write_all(&vec![b'x'; size])).await;
    let mut answer = [0; 12];
    match timeout(PATIENCE, stream.read_exact(&mut answer)).await {
        Ok(Ok(_)) => String::from_utf8_lossy(&answer).into_owned(),
        other => format!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_all_first_gets_its_redirect_over_tls() {
    for stage in [Stage::Hop, Stage::Relay] {
        let rig = stage.start(&[redirect()]);
        for round in 0..60 {
            assert_eq!(upload(&rig, "/moved/x").await, "HTTP/1.1 302", "{stage:?} {round}");
        }
    }
}

fn across() -> String {
    let matched = "{path: {type: PathPrefix, value: /across}, method: PUT}";
    let policy = "{type: CORS, cors: {allowOrigins: [\"https://a.example\"], allowMethods: [PUT]}}";
    let rule = format!("{{matches: [{matched}], filters: [{policy}], backendRefs: [{{name: blue, port: 80}}]}}");
    route_of("HTTPRoute", "across", &rule)
}

/// The rule names a method, and the preflight asks for that method.
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_names_a_method_gets_its_preflight() {
    for stage in Stage::ALL {
        let rig = stage.start(&[across()]);
        let mut stream = connect(&rig, false, &[]).await;
        let head = "OPTIONS /across HTTP/1.1\r\nHost: demo.localhost\r\nOrigin: https://a.example\r\n\
                    Access-Control-Request-Method: PUT\r\nConnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        let answer = answer.to_lowercase();
        assert!(
            answer.starts_with("http/1.1 204 ") && answer.contains("access-control-allow-origin: https://a.example"),
            "{stage:?}: {answer}"
        );
    }
}
