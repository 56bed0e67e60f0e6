//! Small pages over HTTP/1.1, for probes and scrapes, from a port that its clients cannot use up.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Duration;

use crate::listen::{Accept, next};

/// Connections that may be open at a time. Beyond that the oldest one is closed: a probe takes milliseconds, and is never the
/// oldest for long.
const MOST: usize = 128;
/// A request has arrived within this, and a kept connection idles no longer.
const HEAD: Duration = Duration::from_secs(10);

/// Answers the requests of everyone who connects, for ever. `port` names the port in logs; `respond` is told the peer's address
/// where the socket has one.
pub async fn serve<L, R, F>(listener: L, port: &str, respond: R) -> Infallible
where
    L: Accept,
    R: Fn(Option<SocketAddr>, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let mut talks = JoinSet::new();
    let mut ages: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        tokio::select! {
            (stream, peer) = next(&listener, port) => {
                if ages.len() >= MOST {
                    ages.retain(|talk| !talk.is_finished());
                }
                if ages.len() >= MOST
                    && let Some(oldest) = ages.pop_front()
                {
                    oldest.abort();
                }
                ages.push_back(talks.spawn(talk(stream, peer, respond.clone())));
            }
            Some(_) = talks.join_next() => {}
        }
    }
}

async fn talk<S, R, F>(stream: S, peer: Option<SocketAddr>, respond: R)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    R: Fn(Option<SocketAddr>, Request<Incoming>) -> F + Clone,
    F: Future<Output = Response<Full<Bytes>>>,
{
    let service = service_fn(move |request| {
        let answer = respond(peer, request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection for pages ended");
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Response;
    use http_body_util::Full;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::{MOST, serve};

    #[tokio::test]
    async fn connections_that_say_nothing_do_not_keep_probes_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, "test", async |peer: Option<std::net::SocketAddr>, _| {
            Response::new(Full::new(Bytes::from(peer.unwrap().ip().to_string())))
        }));
        let mut silent = Vec::new();
        for _ in 0..2 * MOST {
            silent.push(TcpStream::connect(at).await.unwrap());
        }
        let mut probe = TcpStream::connect(at).await.unwrap();
        probe.write_all(b"GET /readyz HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        probe.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("127.0.0.1"), "{answer}");
        // The oldest went, the newest are still there.
        assert_eq!(silent.first_mut().unwrap().read(&mut [0; 1]).await.unwrap_or_default(), 0);
        let newest = silent.last_mut().unwrap();
        assert!(newest.try_read(&mut [0; 1]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
        serving.abort();
    }
}
