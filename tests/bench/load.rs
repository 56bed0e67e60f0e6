//! Closed-loop load over kept connections, on a thread of its own.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::http;

/// Connections of one run.
const CONNECTIONS: usize = 64;

/// What a run counted.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    pub answered: u64,
    pub failed: u64,
    /// Length of the run.
    pub elapsed: Duration,
}

/// Sends `request` over and over for `length`.
pub async fn run(address: SocketAddr, request: Vec<u8>, length: Duration) -> Counted {
    let generator = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(all(address, request, length))
    });
    tokio::task::spawn_blocking(move || generator.join().unwrap()).await.unwrap()
}

async fn all(address: SocketAddr, request: Vec<u8>, length: Duration) -> Counted {
    let start = Instant::now();
    let connections = (0..CONNECTIONS).map(|_| one(address, &request, start + length));
    let mut total = futures::future::join_all(connections).await.into_iter().fold(Counted::default(), |mut total, counted| {
        total.answered += counted.answered;
        total.failed += counted.failed;
        total
    });
    total.elapsed = start.elapsed();
    total
}

async fn one(address: SocketAddr, request: &[u8], end: Instant) -> Counted {
    let mut counted = Counted::default();
    let mut received = Vec::new();
    while Instant::now() < end {
        let Ok(mut stream) = TcpStream::connect(address).await else {
            counted.failed += 1;
            continue;
        };
        stream.set_nodelay(true).unwrap();
        while Instant::now() < end {
            match http::exchange(&mut stream, request, &mut received).await {
                Ok(answer) if answer.status == 200 => counted.answered += 1,
                Ok(_) | Err(_) => {
                    counted.failed += 1;
                    break;
                }
            }
        }
    }
    counted
}
