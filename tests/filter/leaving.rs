//! Clients that leave: served when they have only said all, forgotten when they are gone.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::harness::{Proxy, backend, listener, route, rule, to};
use crate::relay::connect;

/// How long a backend may be kept by a client that is gone: some seconds, and the machine may be slow.
const PROMPTLY: Duration = Duration::from_secs(15);

/// What a backend does with a request.
#[derive(Clone, Copy)]
enum Does {
    /// Answers after a moment.
    Answer,
    /// Reads and says nothing.
    Read,
    /// Does not even read.
    Nothing,
}

/// A backend; it tells when a connection of it has ended.
async fn doing(does: Does) -> (SocketAddr, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, (ended, ends)) = (listener.local_addr().unwrap(), mpsc::unbounded_channel());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, does, ended.clone()));
        }
    });
    (address, ends)
}

async fn serve(mut stream: TcpStream, does: Does, ended: mpsc::UnboundedSender<()>) {
    match does {
        Does::Answer => {
            let mut seen = [0; 4096];
            while let Ok(1..) = stream.read(&mut seen).await {
                sleep(Duration::from_millis(300)).await;
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate").await.unwrap_or_default();
            }
        }
        Does::Read => while let Ok(1..) = stream.read(&mut [0; 65536]).await {},
        // The end of a connection that is not read shows when it is written to.
        Does::Nothing => loop {
            sleep(Duration::from_millis(100)).await;
            let ready = stream.ready(tokio::io::Interest::READABLE | tokio::io::Interest::ERROR).await.unwrap();
            if ready.is_read_closed() || ready.is_error() {
                break;
            }
        },
    }
    ended.send(()).unwrap_or_default();
}

async fn proxy(address: SocketAddr) -> Proxy {
    Proxy::start([listener(), backend("s", &[address]), route(vec![rule("/", Vec::new(), to("s"))])]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_said_all_gets_its_answer() {
    let (address, _ends) = doing(Does::Answer).await;
    let proxy = proxy(address).await;
    for relayed in [true, false] {
        let mut stream = if relayed { connect(&proxy, 8080).await } else { proxy.connect().await };
        stream.write_all(b"GET /p HTTP/1.1\r\nHost: h\r\nX-Kakehi-Hop: 8080\r\n\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
        let (mut answer, begun) = (String::new(), Instant::now());
        timeout(PROMPTLY, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("late"), "{relayed}: {answer:?}");
        assert!(begun.elapsed() < Duration::from_secs(4), "the connection ends with its last answer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_gone_frees_its_backend() {
    for does in [Does::Read, Does::Nothing] {
        let (address, mut ends) = doing(does).await;
        let proxy = proxy(address).await;
        for body in [0, 4 << 20] {
            let mut stream = connect(&proxy, 8080).await;
            let head = format!("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body + 5);
            stream.write_all(head.as_bytes()).await.unwrap();
            // What the backend does not read is not taken either.
            timeout(Duration::from_secs(1), stream.write_all(&vec![b'x'; body])).await.unwrap_or(Ok(())).unwrap();
            drop(stream);
            timeout(PROMPTLY, ends.recv()).await.unwrap_or_else(|_| panic!("the backend is kept with {body} bytes")).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_nothing_more_and_reads_nothing_is_given_up() {
    let (address, mut ends) = doing(Does::Read).await;
    let proxy = proxy(address).await;
    let mut stream = connect(&proxy, 8080).await;
    stream.write_all(b"GET /p HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    stream.shutdown().await.unwrap();
    timeout(PROMPTLY, ends.recv()).await.expect("the backend is kept").unwrap();
}
