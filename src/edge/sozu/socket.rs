//! The command socket: frames of an 8-byte little-endian length (itself included) and a protobuf message.
//!
//! One request at a time: of several that it finds buffered, Sōzu executes the last and drops the others unanswered
//! (`tests/sozu/socket.rs`). A request that times out therefore spoils the connection.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use prost::Message;
use rustix::process::Pid;
use sozu_command_lib::proto::command::request::RequestType;
use sozu_command_lib::proto::command::response_content::ContentType;
use sozu_command_lib::proto::command::{Request, Response, ResponseStatus};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// A connection to a command socket.
#[derive(Debug)]
pub struct Socket {
    stream: UnixStream,
    spoilt: bool,
}

/// The end of a conversation.
pub struct Reply {
    /// OK, not FAILURE.
    pub ok: bool,
    /// Text of the last message.
    pub message: String,
    /// Texts of the messages before it.
    pub notes: Vec<String>,
    /// Data, if any.
    pub content: Option<ContentType>,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("ok", &self.ok).field("message", &self.message).field("notes", &self.notes).finish_non_exhaustive()
    }
}

/// The socket does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// It cannot be reached, or broke.
    #[error("command socket: {0}")]
    Io(#[from] io::Error),
    /// No answer in time.
    #[error("no answer on the command socket within {0:?}")]
    Timeout(Duration),
    /// An answer that is none.
    #[error("unreadable answer on the command socket: {0}")]
    Decode(#[from] prost::DecodeError),
    /// A frame of impossible length.
    #[error("frame of {0} bytes on the command socket")]
    Frame(u64),
    /// An earlier request was given up; answers can no longer be told apart.
    #[error("the command socket was given up after a timeout")]
    Spoilt,
}

/// Longest answer that is read.
const MAX_FRAME: u64 = 1 << 28;

impl Socket {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn connect(path: &Path) -> Result<Self, SocketError> {
        Ok(Self { stream: UnixStream::connect(path).await?, spoilt: false })
    }

    /// Sends one request and waits for its final answer.
    ///
    /// # Errors
    /// The socket's; a refusal is a [`Reply`].
    pub async fn request(&mut self, request: RequestType, within: Duration) -> Result<Reply, SocketError> {
        if std::mem::replace(&mut self.spoilt, true) {
            return Err(SocketError::Spoilt);
        }
        let reply = tokio::time::timeout(within, self.exchange(request)).await.map_err(|_| SocketError::Timeout(within))??;
        self.spoilt = false;
        Ok(reply)
    }

    /// The process that listens on the other side.
    pub(super) fn process(&self) -> Option<Pid> {
        Pid::from_raw(self.stream.peer_cred().ok()?.pid()?)
    }

    /// Waits until the other side closes the connection, or says something unasked.
    pub async fn closed(&mut self) {
        let mut byte = [0];
        loop {
            if self.stream.readable().await.is_err() {
                return;
            }
            match self.stream.try_read(&mut byte) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                unasked => {
                    self.spoilt = true;
                    return tracing::debug!(?unasked, "the command socket is of no use any more");
                }
            }
        }
    }

    async fn exchange(&mut self, request: RequestType) -> Result<Reply, SocketError> {
        let message = Request { request_type: Some(request) };
        let length = message.encoded_len() + size_of::<u64>();
        let mut frame = Vec::with_capacity(length);
        frame.extend_from_slice(&u64::try_from(length).unwrap_or(u64::MAX).to_le_bytes());
        message.encode_raw(&mut frame);
        self.stream.write_all(&frame).await?;
        let mut notes = Vec::new();
        loop {
            let response = self.read().await?;
            if response.status() == ResponseStatus::Processing {
                notes.push(response.message);
                continue;
            }
            return Ok(Reply {
                ok: response.status() == ResponseStatus::Ok,
                message: response.message,
                notes,
                content: response.content.and_then(|content| content.content_type),
            });
        }
    }

    async fn read(&mut self) -> Result<Response, SocketError> {
        let length = self.stream.read_u64_le().await?;
        let body = match length.checked_sub(8) {
            Some(body) if length <= MAX_FRAME => usize::try_from(body).unwrap_or(0),
            _ => return Err(SocketError::Frame(length)),
        };
        let mut frame = vec![0; body];
        self.stream.read_exact(&mut frame).await?;
        Ok(Response::decode(frame.as_slice())?)
    }
}
