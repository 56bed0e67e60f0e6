//! The admin port: health, readiness, metrics and what Kakehi decided, as JSON. It never shows private keys.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::net::TcpListener;

use super::local;
use super::metrics::Metrics;
use crate::series;

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
    /// Unix sockets of edges on this machine, whose metrics are shown beside our own.
    fn edges(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}

type Page = fn(&dyn View) -> Response<Full<Bytes>>;

/// The page that asks others too.
const METRICS: &str = "/metrics";

/// All other pages.
const PAGES: &[(&str, Page)] = &[
    ("/healthz", |_| text(StatusCode::OK, "ok\n")),
    ("/readyz", |view| match view.ready() {
        true => text(StatusCode::OK, "ready\n"),
        false => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
    }),
    ("/debug/report", |view| json(&view.report())),
    ("/debug/snapshot", |view| json(&view.snapshot())),
    ("/debug/plan", |view| json(&view.plan())),
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
                async move { Ok::<_, Infallible>(respond(&request, view.as_ref(), &metrics).await) }
            });
            let mut server = hyper::server::conn::http1::Builder::new();
            let served = server.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
            if let Err(error) = served {
                tracing::debug!(%error, "admin connection ended");
            }
        });
    }
}

async fn respond(request: &Request<Incoming>, view: &dyn View, metrics: &Metrics) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "GET only\n");
    }
    if request.uri().path() == METRICS {
        return all_metrics(view, metrics).await;
    }
    match PAGES.iter().find(|(path, _)| *path == request.uri().path()) {
        Some((_, page)) => page(view),
        None => {
            let list: Vec<_> = PAGES.iter().map(|(path, _)| *path).chain([METRICS]).collect();
            text(StatusCode::NOT_FOUND, &format!("pages: {}\n", list.join(" ")))
        }
    }
}

/// Our own series and those of the edges on this machine. An edge that does not answer is left out.
async fn all_metrics(view: &dyn View, metrics: &Metrics) -> Response<Full<Bytes>> {
    view.refresh();
    let mut pages = match metrics.text() {
        Ok(own) => vec![own],
        Err(error) => return text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    };
    for edge in join_all(view.edges().iter().map(|socket| local::get(socket, METRICS))).await {
        match edge {
            Ok(page) => pages.push(page),
            Err(error) => tracing::debug!(%error, "an edge does not show its metrics"),
        }
    }
    answer(StatusCode::OK, "text/plain; version=0.0.4", series::merge(pages).into_bytes())
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
