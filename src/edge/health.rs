//! The health port of an edge: whether it lives, whether it may be sent requests, and its metrics.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

use super::metrics::Metrics;

/// Answers until the listener fails: `/healthz` while the process runs, `/readyz` while requests may be sent, `/metrics`.
///
/// # Errors
/// The listener's.
pub(super) async fn serve(listener: TcpListener, metrics: Metrics) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(talk(stream, metrics.clone()));
    }
}

/// The same on a unix socket, for whoever started this edge on the same machine.
///
/// # Errors
/// The listener's.
pub(super) async fn serve_local(listener: UnixListener, metrics: Metrics) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(talk(stream, metrics.clone()));
    }
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, metrics: Metrics) {
    let service = service_fn(move |request: Request<Incoming>| {
        let metrics = metrics.clone();
        async move { Ok::<_, Infallible>(answer(request.uri().path(), &metrics).await) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    let served = server.timer(TokioTimer::new()).keep_alive(false).serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "health connection ended");
    }
}

async fn answer(path: &str, metrics: &Metrics) -> Response<Full<Bytes>> {
    let ready = metrics.is_ready();
    let (status, body) = match path {
        "/healthz" => (StatusCode::OK, "ok\n"),
        "/readyz" if ready => (StatusCode::OK, "ready\n"),
        "/readyz" => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        "/metrics" => {
            let mut response = Response::new(Full::new(Bytes::from(metrics.page().await)));
            response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; version=0.0.4"));
            return response;
        }
        _ => (StatusCode::NOT_FOUND, "pages: /healthz /readyz /metrics\n"),
    };
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;
    use tokio::time::{Instant, advance};

    use super::super::metrics::Metrics;
    use super::answer;
    use crate::snapshot::publish::Publisher;

    #[tokio::test(start_paused = true)]
    async fn readiness_falls_when_sozu_is_out_of_step_for_ten_seconds() {
        let metrics = Metrics::new("n/e", &Publisher::new(0), Default::default());
        let status = async |page| answer(page, &metrics).await.status();
        let ready = async || status("/readyz").await == StatusCode::OK;
        assert!(!ready().await, "nothing was applied");
        metrics.serving.send_replace(true);
        assert!(ready().await);
        metrics.standing.send_modify(|standing| standing.out_of_step = Some(Instant::now()));
        advance(Duration::from_millis(9_999)).await;
        assert!(ready().await);
        advance(Duration::from_millis(1)).await;
        assert!(!ready().await);
        assert_eq!(status("/healthz").await, StatusCode::OK, "a restart of the supervisor would not help");
        metrics.standing.send_modify(|standing| standing.out_of_step = None);
        assert!(ready().await);
    }
}
