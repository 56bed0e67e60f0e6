//! The client side of the snapshot stream.

use std::io;
use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::wire::{Ack, Update};

/// Updates as they arrive.
pub struct Updates(Lines<BufReader<OwnedReadHalf>>);

/// The way back.
pub struct Acks(OwnedWriteHalf);

/// Connects to a publisher.
///
/// # Errors
/// When nobody listens at `path`.
pub async fn connect(path: &Path) -> io::Result<(Updates, Acks)> {
    let (reader, writer) = UnixStream::connect(path).await?.into_split();
    Ok((Updates(BufReader::new(reader).lines()), Acks(writer)))
}

impl Updates {
    /// The next update; `None` when the publisher is gone. Safe to drop before it is ready.
    ///
    /// # Errors
    /// The connection's, or text that is no update.
    pub async fn next(&mut self) -> io::Result<Option<Update>> {
        match self.0.next_line().await? {
            Some(line) => Ok(Some(serde_json::from_str(&line)?)),
            None => Ok(None),
        }
    }
}

impl Acks {
    /// Sends an ack.
    ///
    /// # Errors
    /// The connection's.
    pub async fn send(&mut self, ack: &Ack) -> io::Result<()> {
        let mut line = serde_json::to_vec(ack)?;
        line.push(b'\n');
        self.0.write_all(&line).await
    }
}
