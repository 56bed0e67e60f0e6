//! The admin port: health, readiness, metrics and what Kakehi decided, as JSON. It never shows private keys.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::net::TcpListener;

use super::metrics::Metrics;

/// What the pages show. Implemented by whoever owns the state.
pub trait View: Send + Sync + 'static {
    /// Everything is loaded, published and acknowledged at least once.
    fn ready(&self) -> bool;
    /// Reports of all objects and refused manifests.
    fn report(&self) -> Value;
    /// Snapshots of all edges, without private keys.
    fn snapshot(&self) -> Value;
    /// What each stage serves, with reasons.
    fn plan(&self) -> Value;
    /// Brings gauges up to date before a scrape.
    fn refresh(&self);
}

type Page = fn(&dyn View, &Metrics) -> Response<Full<Bytes>>;

/// All pages.
const PAGES: &[(&str, Page)] = &[
    ("/healthz", |_, _| text(StatusCode::OK, "ok\n")),
    ("/readyz", |view, _| match view.ready() {
        true => text(StatusCode::OK, "ready\n"),
        false => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
    }),
    ("/metrics", |view, metrics| {
        view.refresh();
        match metrics.text() {
            Ok(body) => answer(StatusCode::OK, "text/plain; version=0.0.4", body),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }),
    ("/debug/report", |view, _| json(&view.report())),
    ("/debug/snapshot", |view, _| json(&view.snapshot())),
    ("/debug/plan", |view, _| json(&view.plan())),
];

/// Serves the admin pages until the listener fails.
///
/// # Errors
/// The listener's.
pub async fn serve(listener: TcpListener, view: Arc<dyn View>, metrics: Metrics) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let (view, metrics) = (view.clone(), metrics.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let (view, metrics) = (view.clone(), metrics.clone());
                async move { Ok::<_, Infallible>(respond(&request, view.as_ref(), &metrics)) }
            });
            let mut server = hyper::server::conn::http1::Builder::new();
            let served = server.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
            if let Err(error) = served {
                tracing::debug!(%error, "admin connection ended");
            }
        });
    }
}

fn respond(request: &Request<Incoming>, view: &dyn View, metrics: &Metrics) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "GET only\n");
    }
    match PAGES.iter().find(|(path, _)| *path == request.uri().path()) {
        Some((_, page)) => page(view, metrics),
        None => {
            let list: Vec<_> = PAGES.iter().map(|(path, _)| *path).collect();
            text(StatusCode::NOT_FOUND, &format!("pages: {}\n", list.join(" ")))
        }
    }
}

fn json(value: &Value) -> Response<Full<Bytes>> {
    let mut body = serde_json::to_vec_pretty(value).unwrap_or_default();
    body.push(b'\n');
    answer(StatusCode::OK, "application/json", body)
}

fn text(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    answer(status, "text/plain", body.as_bytes().to_vec())
}

fn answer(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}
