//! What a client of HTTP/1.1 reads.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::stage::Duplex;

/// How long nothing may come after what was expected, and before it.
const QUIET: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_secs(12);

/// Sends bytes and returns the statuses of the answers, with `closed` when the connection ends.
pub async fn ask(mut stream: Box<dyn Duplex>, bytes: &[u8], expected: &str) -> String {
    // A refusal may come before the last byte; then the rest has nowhere to go.
    let _ = timeout(PATIENCE, stream.write_all(bytes)).await;
    let (mut seen, mut buffer, mut closed) = (Vec::new(), vec![0; 65536], false);
    let words = expected.split(' ').filter(|word| word.parse::<u16>().is_ok()).count();
    loop {
        let enough = statuses(&seen).len() >= words && !expected.ends_with("closed");
        match timeout(if enough { QUIET } else { PATIENCE }, stream.read(&mut buffer)).await {
            Ok(Ok(read @ 1..)) => seen.extend_from_slice(&buffer[..read]),
            Ok(Ok(_) | Err(_)) => {
                closed = true;
                break;
            }
            Err(_) => break,
        }
    }
    let mut all = statuses(&seen);
    if closed && expected.ends_with("closed") {
        all.push("closed".to_owned());
    }
    all.join(" ")
}

/// The statuses of the answers in these bytes.
fn statuses(mut bytes: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let status = head.split(' ').nth(1).unwrap_or("none").to_owned();
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name).map(|value| value.trim().to_owned()));
        let interim = status.starts_with('1');
        let length = field("content-length:").and_then(|length| length.parse::<usize>().ok()).filter(|_| !interim);
        let chunked = field("transfer-encoding:").is_some();
        bytes = &bytes[end + 4..];
        let body = match length {
            Some(length) => length.min(bytes.len()),
            None if chunked => bytes.windows(5).position(|window| window == b"0\r\n\r\n").map_or(bytes.len(), |at| at + 5),
            None if interim => 0,
            None => bytes.len(),
        };
        bytes = &bytes[body..];
        all.push(status);
    }
    all
}
