//! What the fuzz target `lines` calls: the stream's line reader on bytes that come in two parts.

use futures::FutureExt;
use tokio::io::AsyncReadExt;

use super::lines::Lines;

/// The lines of at most `longest` bytes, and whether the bytes end as a stream may end.
pub fn lines(first: &[u8], then: &[u8], longest: usize) -> (Vec<Vec<u8>>, bool) {
    let mut lines = Lines::new(first.chain(then), longest);
    let mut found = Vec::new();
    loop {
        match lines.next().now_or_never() {
            Some(Ok(Some(line))) => found.push(line.to_vec()),
            Some(Ok(None)) => return (found, true),
            Some(Err(_)) | None => return (found, false),
        }
    }
}
