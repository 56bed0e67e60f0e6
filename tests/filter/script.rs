//! A backend that does with each request what a script says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

pub const OK: Step = Step::Answer(0, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");

/// What becomes of one request. The last step of a script is for all that follow.
#[derive(Clone, Copy)]
pub enum Step {
    /// This text, after so many milliseconds.
    Answer(u64, &'static str),
    /// The connection ends without a word.
    Close,
    /// Nothing, for ever.
    Silence,
}

/// A request, with its body, and when it came.
type Request = (Instant, String);

/// The backend.
pub struct Script {
    pub address: SocketAddr,
    requests: watch::Receiver<Vec<Request>>,
}

impl Script {
    pub async fn start(steps: &'static [Step]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = watch::channel(Vec::new());
        let sender = Arc::new(sender);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, steps, sender.clone()));
            }
        });
        Self { address, requests }
    }

    /// The requests that came whole.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.borrow().clone()
    }

    /// The same once there are this many, or time is up.
    pub async fn wait_for(&self, count: usize) -> Vec<Request> {
        let mut requests = self.requests.clone();
        let _ = timeout(Duration::from_secs(5), requests.wait_for(|requests| requests.len() >= count)).await;
        self.requests()
    }
}

async fn converse(mut stream: TcpStream, steps: &'static [Step], requests: Arc<watch::Sender<Vec<Request>>>) {
    while let Some(request) = read(&mut stream).await {
        let mut number = 0;
        requests.send_modify(|requests| {
            number = requests.len();
            requests.push((Instant::now(), request));
        });
        match steps[number.min(steps.len() - 1)] {
            Step::Answer(after, text) => {
                sleep(Duration::from_millis(after)).await;
                if stream.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
            }
            Step::Close => return,
            Step::Silence => std::future::pending().await,
        }
    }
}

/// One request with its body.
async fn read(stream: &mut TcpStream) -> Option<String> {
    let (mut seen, mut buffer) = (String::new(), [0; 4096]);
    loop {
        if let Some((head, body)) = seen.split_once("\r\n\r\n") {
            let length =
                head.to_lowercase().split("content-length: ").nth(1).map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
            let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
            if if chunked { body.ends_with("0\r\n\r\n") } else { body.len() >= length } {
                return Some(seen);
            }
        }
        let Ok(read @ 1..) = stream.read(&mut buffer).await else { return None };
        seen.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
}
