//! What can go wrong between us and a Sōzu.

use std::io;
use std::path::PathBuf;

use super::SocketError;

/// The world's failures; what Sōzu refuses is no error but a refusal with its key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The binary is not there or does not start.
    #[error("cannot start {}: {source}", program.display())]
    Start {
        /// The binary.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The process ended.
    #[error("Sōzu ended with {0}")]
    Ended(String),
    /// The process did not open its command socket in time, or has no worker.
    #[error("Sōzu does not come up: {0}")]
    NotUp(String),
    /// Every start has failed.
    #[error(transparent)]
    GivenUp(#[from] super::GivenUp),
    /// Files in the runtime directory.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The command socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// Sōzu's state differs from its shadow after everything was tried.
    #[error("Sōzu's state differs from what was applied: {0}")]
    Diverged(String),
    /// Sōzu's library refused to build a listener.
    #[error("listener cannot be built: {0}")]
    Listener(String),
    /// A request cannot be written.
    #[error("request cannot be written: {0}")]
    Encode(#[from] serde_json::Error),
}
