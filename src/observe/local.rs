//! Pages of other processes on this machine.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// A page takes no longer.
const WITHIN: Duration = Duration::from_secs(4);

/// A page from a unix socket.
pub(super) async fn get(socket: &Path, page: &str) -> io::Result<String> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    timeout(WITHIN, ask(socket, page)).await.map_err(late)?
}

async fn ask(socket: &Path, page: &str) -> io::Result<String> {
    let stream = TokioIo::new(UnixStream::connect(socket).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.map_err(io::Error::other)?;
    let request = Request::get(page).header(http::header::HOST, "edge").body(Empty::<Bytes>::new()).map_err(io::Error::other)?;
    let answered = async {
        let body = sender.send_request(request).await.map_err(io::Error::other)?.into_body();
        let bytes = body.collect().await.map_err(io::Error::other)?.to_bytes();
        String::from_utf8(bytes.into()).map_err(io::Error::other)
    };
    tokio::pin!(answered);
    tokio::select! {
        text = &mut answered => text,
        ended = connection => {
            tracing::trace!(?ended, "the other side has said all");
            answered.await
        }
    }
}
