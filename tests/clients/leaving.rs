//! An endpoint that leaves its Service gets nothing new, and ends what it has begun.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::backends::{head, listen, routed};
use crate::rig::Rig;
use crate::stage::{Duplex, Stage, connect, host};

/// Takes an upgrade and sends every byte back; or sends half of an answer, and the rest when it may.
async fn begun(mut stream: TcpStream, mut may: watch::Receiver<bool>) {
    let head = head(&mut stream).await;
    if head.contains("upgrade: foo") {
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n").await.unwrap_or_default();
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await.unwrap_or_default();
    } else {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf,").await.unwrap_or_default();
        may.wait_for(|may| *may).await.unwrap();
        stream.write_all(b"rest").await.unwrap_or_default();
    }
}

async fn successor(mut stream: TcpStream) {
    head(&mut stream).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nnew").await.unwrap_or_default();
}

async fn expect(stream: &mut Box<dyn Duplex>, text: &str) {
    let mut read = vec![0; text.len()];
    stream.read_exact(&mut read).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&read), text);
}

/// The two sorts of connections that last.
async fn begin(rig: &Rig, secure: bool) -> [Box<dyn Duplex>; 2] {
    let host = host(secure);
    let mut answer = connect(rig, secure, &["http/1.1"]).await;
    answer.write_all(format!("GET /leaving HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await.unwrap();
    assert!(head(&mut *answer).await.starts_with("http/1.1 200 "));
    expect(&mut answer, "half,").await;
    let mut tunnel = connect(rig, secure, &["http/1.1"]).await;
    let request = format!("GET /leaving HTTP/1.1\r\nHost: {host}\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n");
    tunnel.write_all(request.as_bytes()).await.unwrap();
    assert!(head(&mut *tunnel).await.starts_with("http/1.1 101 "));
    tunnel.write_all(b"before").await.unwrap();
    expect(&mut tunnel, "before").await;
    [answer, tunnel]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_endpoint_has_begun_outlives_it_in_every_stage() {
    for stage in Stage::ALL {
        let (may, allowed) = watch::channel(false);
        let old = listen(move |stream| begun(stream, allowed.clone())).await;
        let rig = stage.start(&[routed("leaving", old, None)]);
        let (plain, secure) = (begin(&rig, false).await, begin(&rig, true).await);
        rig.write("more.yaml", &routed("leaving", listen(successor).await, None));
        let mut first = String::new();
        // What takes a new connection before the change is known waits for the old endpoint until it may end.
        while first != "new" {
            let mut asked = connect(&rig, false, &[]).await;
            asked.write_all(b"GET /leaving HTTP/1.1\r\nHost: demo.localhost\r\nConnection: close\r\n\r\n").await.unwrap();
            head(&mut *asked).await;
            let mut begin = [0; 3];
            asked.read_exact(&mut begin).await.unwrap();
            first = String::from_utf8_lossy(&begin).into_owned();
        }
        may.send_replace(true);
        for [mut answer, mut tunnel] in [plain, secure] {
            expect(&mut answer, "rest").await;
            tunnel.write_all(b"after").await.unwrap();
            expect(&mut tunnel, "after").await;
        }
    }
}
