//! Lines of bounded length.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// Bytes read and written at once.
const CHUNK: usize = 64 * 1024;
/// A reader that takes no chunk in this time is given up.
const STALLED: Duration = Duration::from_secs(20);

/// Lines without their ends. Empty ones keep a connection alive and mean nothing.
pub(super) struct Lines<R> {
    reader: R,
    buffer: BytesMut,
    /// So many bytes of the buffer hold no line end.
    scanned: usize,
    longest: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Lines of at most this many bytes.
    pub fn new(reader: R, longest: usize) -> Self {
        Self { reader, buffer: BytesMut::new(), scanned: 0, longest }
    }

    /// From now on lines may be of this many bytes.
    pub fn allow(mut self, longest: usize) -> Self {
        self.longest = longest;
        self
    }

    /// The next line; `None` at the end. Safe to drop before it is ready.
    ///
    /// # Errors
    /// The connection's, a line that is too long, or an end within a line.
    pub async fn next(&mut self) -> io::Result<Option<BytesMut>> {
        loop {
            let fresh = self.buffer.get(self.scanned..).unwrap_or_default();
            if let Some(at) = fresh.iter().position(|byte| *byte == b'\n') {
                let length = self.scanned + at;
                self.scanned = 0;
                let mut line = self.buffer.split_to(length + 1);
                line.truncate(length);
                if self.buffer.is_empty() {
                    // The room that a long line took goes with it.
                    self.buffer = BytesMut::new();
                }
                return if length > self.longest { Err(self.too_long()) } else { Ok(Some(line)) };
            }
            self.scanned = self.buffer.len();
            if self.scanned > self.longest {
                return Err(self.too_long());
            }
            self.buffer.reserve(CHUNK.min(self.longest + 1));
            if self.reader.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    fn too_long(&self) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, format!("a line of more than {} bytes", self.longest))
    }
}

/// Writes a value as one line.
///
/// # Errors
/// The connection's, or when the other side does not read.
pub(super) async fn write(writer: &mut (impl AsyncWrite + Unpin), value: &impl serde::Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    write_bytes(writer, &line).await
}

/// Writes an empty line.
///
/// # Errors
/// The connection's, or when the other side does not read.
pub(super) async fn keep_alive(writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    write_bytes(writer, b"\n").await
}

async fn write_bytes(writer: &mut (impl AsyncWrite + Unpin), line: &[u8]) -> io::Result<()> {
    let stalled = |_| io::Error::new(io::ErrorKind::TimedOut, "the other side does not read");
    for chunk in line.chunks(CHUNK) {
        timeout(STALLED, writer.write_all(chunk)).await.map_err(stalled)??;
    }
    timeout(STALLED, writer.flush()).await.map_err(stalled)?
}

#[cfg(test)]
mod tests {
    use super::Lines;

    #[tokio::test]
    async fn lines_are_bounded() {
        let mut lines = Lines::new(&b"ab\n\ncdefg\nx"[..], 5);
        assert_eq!(lines.next().await.unwrap().unwrap(), "ab");
        assert_eq!(lines.next().await.unwrap().unwrap(), "");
        assert_eq!(lines.next().await.unwrap().unwrap(), "cdefg");
        assert_eq!(lines.next().await.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
        assert!(Lines::new(&b"abcdef\n"[..], 5).next().await.is_err());
        assert!(Lines::new(&[b'x'; 1000][..], 5).next().await.is_err());
        assert!(Lines::new(&b""[..], 5).next().await.unwrap().is_none());
    }
}
