//! What was counted, for the supervisor: whoever connects is told once, as JSON.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::path::Path;

use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Duration, sleep, timeout};

use super::shared::Shared;

/// Pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// Who does not take the report in this time does not get it.
const TAKE: Duration = Duration::from_secs(2);

/// Answers for ever; without a path, nobody.
pub(super) async fn serve(path: Option<&Path>, shared: &Shared) -> Infallible {
    let Some(path) = path else { return pending().await };
    loop {
        let Err(error) = answer_all(path, shared).await;
        tracing::warn!(path = %path.display(), %error, "the report socket does not work");
        sleep(PAUSE).await;
    }
}

async fn answer_all(path: &Path, shared: &Shared) -> io::Result<Infallible> {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::trace!(%error, "no socket left behind");
    }
    let listener = UnixListener::bind(path)?;
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "accept failed");
                sleep(PAUSE).await;
                continue;
            }
        };
        if let Ok(Err(error)) = timeout(TAKE, answer(stream, shared)).await {
            tracing::debug!(%error, "a report was not taken");
        }
    }
}

async fn answer(mut stream: UnixStream, shared: &Shared) -> io::Result<()> {
    stream.write_all(&serde_json::to_vec(&shared.report())?).await?;
    stream.shutdown().await
}
