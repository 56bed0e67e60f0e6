//! What limits and chaos are measured on: standalone mode with one host for each stage, and a backend in this process.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::rig::{Ports, Rig};
use super::{http, manifests};

/// Who serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Sōzu alone.
    Native,
    /// The filter proxy behind it, by requests.
    Hop,
    /// The filter proxy behind it, by connections.
    Relay,
}

/// All of them.
pub const WAYS: [Way; 3] = [Way::Native, Way::Hop, Way::Relay];

impl Way {
    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Hop => "hop",
            Self::Relay => "relay",
        }
    }

    /// Its host.
    pub fn host(self) -> &'static str {
        match self {
            Self::Native => "native.bench.test",
            Self::Hop => "hop.bench.test",
            Self::Relay => "relay.bench.test",
        }
    }

    /// Its port.
    pub fn port(self, rig: &Rig) -> SocketAddr {
        if self == Self::Relay { rig.ports.relay } else { rig.ports.http }
    }
}

/// Starts it with these flags.
pub async fn start(flags: &[&str]) -> Rig {
    let backend = backend().await;
    let write = |config: &Path, ports: Ports| {
        let matched = "      matches: [{ headers: [{ name: x-none, value: none }] }, { path: { value: / } }]\n";
        let text = [
            manifests::gateway(ports),
            manifests::relaying("backend"),
            manifests::service("backend", &["127.0.0.1"], backend.port()),
            manifests::route("native", ("http", Way::Native.host()), "backend", ""),
            manifests::route("hop", ("http", Way::Hop.host()), "backend", matched),
            manifests::route("relay", ("relay", Way::Relay.host()), "backend", ""),
        ];
        std::fs::write(config.join("all.yaml"), text.concat()).unwrap();
    };
    let rig = Rig::with(flags, write).await;
    for way in WAYS {
        rig.wait(way.port(&rig), &http::get(way.host(), "/", ""), Duration::from_secs(30), |answer| answer.status == 200).await;
    }
    rig
}

/// A backend that closes its connections after the answer, as many do after a pause, so that of a kept connection only the client's
/// side is left. By path: `/slow?SECONDS` answers late, `/endless` answers for ever, all others at once. A request for another
/// protocol gets it, and every byte back.
async fn backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(async move {
                    let mut first = [0; 3];
                    let served = match stream.peek(&mut first).await {
                        Ok(3) if &first == b"PRI" => calls(stream).await.map_err(std::io::Error::other),
                        Ok(_) => serve(stream).await,
                        Err(error) => Err(error),
                    };
                    drop(served);
                })),
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        }
    });
    address
}

/// Answers calls with a message a second, as many as the path says: `/service/METHOD?SECONDS` is not gRPC, so `/slow.S/5` is 5.
async fn calls(stream: TcpStream) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(accepted) = connection.accept().await {
        let (request, mut respond) = accepted?;
        let messages: u32 = request.uri().path().rsplit('/').next().and_then(|text| text.parse().ok()).unwrap_or(0);
        tokio::spawn(async move {
            let head = ::http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
            let mut body = respond.send_response(head, false)?;
            for _ in 0..messages {
                sleep(Duration::from_secs(1)).await;
                body.send_data(bytes::Bytes::from_static(&[0, 0, 0, 0, 1, b'x']), false)?;
            }
            let trailers = ::http::HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
            body.send_trailers(trailers)
        });
    }
    Ok(())
}

async fn serve(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut first, mut length, mut upgrade) = (String::new(), 0, false);
    stream.read_line(&mut first).await?;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        upgrade |= line.starts_with("upgrade:");
    }
    let path = first.split(' ').nth(1).unwrap_or("/").to_owned();
    if upgrade {
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").await?;
        let mut room = [0; 1024];
        loop {
            let read = stream.read(&mut room).await?;
            if read == 0 {
                return Ok(());
            }
            stream.write_all(&room[..read]).await?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    if let Some(seconds) = path.strip_prefix("/slow?") {
        sleep(Duration::from_secs_f64(seconds.parse().unwrap_or(1.0))).await;
    }
    if path == "/endless" {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n").await?;
        let piece = vec![b'x'; 64 * 1024];
        loop {
            stream.write_all(&piece).await?;
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok").await?;
    stream.shutdown().await
}
