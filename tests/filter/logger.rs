//! A backend that logs every byte it gets and answers what it is told, as raw text.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The backend.
pub struct Logger {
    pub address: SocketAddr,
    log: watch::Receiver<Vec<u8>>,
}

impl Logger {
    /// Answers each request head (seen by its empty line) with `answer`, and closes afterwards if `close`.
    pub async fn start(answer: &'static str, close: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, log) = watch::channel(Vec::new());
        let sender = Arc::new(sender);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, sender.clone(), answer, close));
            }
        });
        Self { address, log }
    }

    /// Everything that arrived, once it is at least `expected` long or time is up.
    pub async fn log(&mut self, expected: &str) -> String {
        let all = self.log.wait_for(|log| String::from_utf8_lossy(log).contains(expected));
        let _ = tokio::time::timeout(Duration::from_secs(1), all).await;
        String::from_utf8_lossy(&self.log.borrow()).into_owned()
    }
}

async fn converse(mut stream: TcpStream, log: Arc<watch::Sender<Vec<u8>>>, answer: &'static str, close: bool) {
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        log.send_modify(|log| log.extend_from_slice(&buffer[..read]));
        seen.extend_from_slice(&buffer[..read]);
        while let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") {
            seen.drain(..end + 4);
            if stream.write_all(answer.as_bytes()).await.is_err() || close {
                return;
            }
        }
    }
}
