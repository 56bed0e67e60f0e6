//! As little HTTP/1.1 as the measurements need: one request text, one answer with Content-Length.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes read at a time at first; more of what is long.
const PIECE: usize = 4096;

/// An answer: status, head as text, and whether the connection may carry another request.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub reusable: bool,
}

/// A GET request with more header lines, each ended by CR LF.
pub fn get(host: &str, path: &str, lines: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n").into_bytes()
}

/// A POST request with a body.
pub fn post(host: &str, path: &str, lines: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n{lines}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Sends `request` and reads the answer with its body.
pub async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, request: &[u8], received: &mut Vec<u8>) -> io::Result<Answer> {
    stream.write_all(request).await?;
    // TLS may have kept it back.
    stream.flush().await?;
    received.clear();
    loop {
        if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&received[..end + 2]).to_ascii_lowercase();
            let length: Option<usize> = field(&head, "content-length").and_then(|value| value.parse().ok());
            let chunked = field(&head, "transfer-encoding").is_some();
            let complete = match length {
                _ if chunked => received.ends_with(b"0\r\n\r\n"),
                Some(length) => received.len() >= end + 4 + length,
                None => false,
            };
            if complete {
                let reusable = field(&head, "connection").is_none_or(|value| value != "close");
                let status = head.get(9..12).and_then(|status| status.parse().ok()).ok_or_else(|| io::Error::other("no status line"))?;
                return Ok(Answer { status, head, reusable });
            }
        }
        let before = received.len();
        received.resize(before + if before < PIECE { PIECE } else { 16 * PIECE }, 0);
        let count = stream.read(&mut received[before..]).await?;
        received.truncate(before + count);
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The value of a header in a lower-case head.
pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").filter_map(|line| line.split_once(':')).find(|(known, _)| *known == name).map(|(_, value)| value.trim())
}
