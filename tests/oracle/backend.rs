//! Test backends that keep the very bytes of a request's head and send them back in a response header.

use std::path::Path;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;

use super::generate::BACKENDS;
use super::manifest::backend_ip;

/// Longest head that a backend takes.
const HEAD_LIMIT: usize = 64 << 10;

/// All test backends, on one port of many loopback addresses. They end with this value.
pub struct Backends {
    pub port: u16,
    _servers: JoinSet<()>,
}

impl Backends {
    pub async fn start() -> Self {
        for _ in 0..20 {
            let first = TcpListener::bind((backend_ip(0), 0)).await.unwrap();
            let port = first.local_addr().unwrap().port();
            let mut servers = JoinSet::new();
            servers.spawn(accept(first, 0));
            for number in 1..BACKENDS {
                match TcpListener::bind((backend_ip(number), port)).await {
                    Ok(listener) => drop(servers.spawn(accept(listener, number))),
                    Err(_) => break,
                }
            }
            if servers.len() == BACKENDS {
                return Self { port, _servers: servers };
            }
        }
        panic!("no port is free on all addresses of the test backends");
    }
}

/// The number under which the stand-in for the filter proxy answers.
pub const HOP: usize = 999;

/// Stands in for the filter proxy: says that a request came through the hop.
pub fn serve_hop(path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, HOP));
        }
    });
}

async fn accept(listener: TcpListener, number: usize) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, number));
        while connections.try_join_next().is_some() {}
    }
}

/// Answers requests one after the other; bodies by Content-Length only, which is all that the test client sends.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, number: usize) {
    let mut received = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = received.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            let mut chunk = [0; 4096];
            match stream.read(&mut chunk).await {
                Ok(count) if count > 0 && received.len() < HEAD_LIMIT => received.extend_from_slice(&chunk[..count]),
                _ => return,
            }
        };
        let head: Vec<u8> = received.drain(..end).collect();
        let is_head = head.starts_with(b"HEAD ");
        let body = format!("backend {number}\n");
        let hex: String = head.iter().map(|byte| format!("{byte:02x}")).collect();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nX-One: upstream\r\nX-Two: upstream\r\nX-Oracle-Backend: {number}\r\nX-Oracle-Head: {hex}\r\nContent-Length: {}\r\n\r\n{}",
            body.len(),
            if is_head { "" } else { &body }
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
