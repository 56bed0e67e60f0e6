//! A small HTTP/1.1 client that puts any request target on the wire as it is.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::world::{Request, World};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// In order, names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// One connection at a time to one address, kept open as long as the server keeps it.
pub struct Client {
    address: SocketAddr,
    connection: Option<TcpStream>,
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// Sends a request and reads the whole answer. A connection that the server had closed meanwhile is replaced.
    pub async fn send(&mut self, request: &Request) -> io::Result<Answer> {
        timeout(PATIENCE, self.exchange(request)).await.unwrap_or_else(|_| Err(io::Error::other("no answer")))
    }

    async fn exchange(&mut self, request: &Request) -> io::Result<Answer> {
        if let Some(stream) = self.connection.take() {
            match self.on(stream, request).await {
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
                    ) => {}
                done => return done,
            }
        }
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        self.on(stream, request).await
    }

    async fn on(&mut self, mut stream: TcpStream, request: &Request) -> io::Result<Answer> {
        stream.write_all(&wire(request)).await?;
        let mut received = Vec::new();
        loop {
            while let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = received.drain(..end + 4).collect();
                let answer = parse(&head)?;
                if answer.status >= 200 {
                    finish(&answer, request, &mut stream, &mut received).await?;
                    self.keep(&answer, stream);
                    return Ok(answer);
                }
            }
            if more(&mut stream, &mut received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn keep(&mut self, answer: &Answer, stream: TcpStream) {
        let closes = answer.header("connection").is_some_and(|value| value.to_ascii_lowercase().contains("close"));
        let framed =
            answer.header("content-length").is_some() || answer.header("transfer-encoding").is_some() || matches!(answer.status, 204 | 304);
        if framed && !closes {
            self.connection = Some(stream);
        }
    }
}

async fn more(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<usize> {
    let mut chunk = [0; 8192];
    let count = stream.read(&mut chunk).await?;
    received.extend_from_slice(&chunk[..count]);
    Ok(count)
}

/// Reads the body away.
async fn finish(answer: &Answer, request: &Request, stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<()> {
    if request.method == "HEAD" || matches!(answer.status, 204 | 304) {
        return Ok(());
    }
    let chunked = answer.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
    let length = answer.header("content-length").and_then(|length| length.parse().ok());
    loop {
        let complete = match length {
            _ if chunked => received.ends_with(b"0\r\n\r\n"),
            Some(length) => received.len() >= length,
            None => false,
        };
        if complete {
            return Ok(());
        }
        if more(stream, received).await? == 0 {
            return if chunked || length.is_some() { Err(io::Error::other("the body ended early")) } else { Ok(()) };
        }
    }
}

fn wire(request: &Request) -> Vec<u8> {
    let mut text = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
    if let Some(host) = &request.host {
        text.push_str(&format!("Host: {host}\r\n"));
    }
    for (name, value) in &request.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if matches!(request.method.as_str(), "POST" | "PUT" | "PATCH") {
        text.push_str("Content-Length: 0\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

fn parse(head: &[u8]) -> io::Result<Answer> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n").filter(|line| !line.is_empty());
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no status line in {text:?}")))?;
    let headers = lines.filter_map(|line| line.split_once(':'));
    Ok(Answer { status, headers: headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect() })
}

/// Closes the connections to ports that a world does not have. Sōzu keeps serving such a connection from the tables of the
/// listener that is gone, so it would get one more 404, with `Connection: close`, after the port has come back.
pub fn close_gone(clients: &mut [Client], world: &World) {
    for (port, client) in clients.iter_mut().enumerate() {
        if world.listeners.iter().all(|listener| listener.port != port) {
            client.connection = None;
        }
    }
}
