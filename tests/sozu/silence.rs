//! How long a backend may be silent behind Sōzu: as long as a rule of the port says, where it says something.

use std::net::SocketAddr;
use std::time::Duration;

use kakehi::edge::plan::Options;
use kakehi::edge::sozu::Silence;
use kakehi::model::{Filter, Timeouts};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};

use crate::build::{backend, filtered, listener, prefix, redirect, route, rule};
use crate::rig::{Rig, receive};
use crate::tls::{certificate, connect, https};

/// Seconds after which Sōzu gives up as a rule, and where a rule says otherwise.
const SILENCE: Silence = Silence { usual: 1, long: 20 };
/// Silence of everything behind it.
const PAUSE: Duration = Duration::from_secs(3);

async fn dawdle<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let mut head = [0; 4096];
    while matches!(stream.read(&mut head).await, Ok(read) if read > 0) {
        tokio::time::sleep(PAUSE).await;
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.is_err() {
            return;
        }
    }
}

async fn status(at: SocketAddr, target: &str) -> u16 {
    let request = format!("GET {target} HTTP/1.1\r\nHost: app.example\r\n\r\n");
    if at.port() == 8443 {
        let mut stream = connect(at, "app.example", b"http/1.1").await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        return receive(&mut stream).await.status;
    }
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    receive(&mut stream).await.status
}

#[tokio::test]
async fn an_answer_may_take_as_long_as_a_rule_of_the_port_says() {
    let mut rig = Rig::on(Options::default(), SILENCE).await;
    let hop = rig.dir.path().join("hop.sock");
    std::fs::remove_file(&hop).unwrap();
    let (hop, native) = (UnixListener::bind(hop).unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let port = native.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                Ok((stream, _)) = hop.accept() => drop(tokio::spawn(dawdle(stream))),
                Ok((stream, _)) = native.accept() => drop(tokio::spawn(dawdle(stream))),
            }
        }
    });
    let secret = certificate("secret", &["app.example"]).0;
    let unbounded = Filter::Timeouts(Timeouts { request: Some(0), backend: None });
    // Whether a rule says that its requests may take as long as they want.
    for patient in [false, true, false] {
        let mut rules = vec![rule(prefix("/"), "app"), redirect(prefix("/hop"))];
        if patient {
            rules.push(filtered(prefix("/free"), "app", vec![unbounded.clone()]));
        }
        let resources = [
            listener("web", 8080, "*"),
            https("secure", 8443, "app.example", &["secret"]),
            listener("other", 8081, "*"),
            secret.clone(),
            backend("app", &[port]),
            route("r", "web", &["*"], rules.clone()),
            route("t", "secure", &["app.example"], rules),
            route("o", "other", &["*"], vec![rule(prefix("/"), "app")]),
        ];
        assert!(rig.hold(resources).await.is_empty());
        let (plain, secure, other) = (rig.at(8080), rig.at(8443), rig.at(8081));
        let statuses =
            tokio::join!(status(plain, "/"), status(plain, "/hop"), status(plain, "/free"), status(secure, "/free"), status(other, "/"),);
        let wanted = if patient { 200 } else { 504 };
        assert_eq!(statuses, (wanted, wanted, wanted, wanted, 504), "a rule without bounds: {patient}");
    }
}
