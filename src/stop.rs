//! When to end: signals, and the parent's death.

use std::future::Future;
use std::io;
use std::os::fd::AsFd;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};

/// The reason when the parent is gone.
pub const INPUT_ENDED: &str = "standard input ended";

/// Resolves, with the reason, when this process is told to end: SIGTERM, SIGINT, or the end of a piped standard input,
/// which a parent holds open as long as it lives.
///
/// # Errors
/// When the signal handlers cannot be installed.
pub fn told_to_end() -> io::Result<impl Future<Output = &'static str>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            () = input_ended() => INPUT_ENDED,
        }
    })
}

/// Resolves when a piped standard input ends; never for any other, which tells nothing about the parent.
async fn input_ended() {
    let input = io::stdin().as_fd().try_clone_to_owned();
    let Ok(mut input) = input.and_then(pipe::Receiver::from_owned_fd) else { return std::future::pending().await };
    let mut buffer = [0; 64];
    while matches!(input.read(&mut buffer).await, Ok(read) if read > 0) {}
}
