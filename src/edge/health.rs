//! The health port of an edge: whether it lives, whether it may be sent requests, and its metrics.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::Full;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::metrics::Metrics;
use super::reach::MOST_BACKENDS;
use crate::listen::{Accept, listen};
use crate::model::BackendId;
use crate::pages;

/// Which endpoints do not answer, as far as is known.
const ENDPOINTS: &str = "/debug/endpoints";

/// Opens the port, if there is one, and its like for this machine.
pub(super) fn open(
    address: Option<SocketAddr>,
    pages: UnixListener,
    metrics: &Metrics,
) -> Result<Vec<JoinHandle<()>>, (SocketAddr, io::Error)> {
    let local = metrics.clone();
    let mut tasks = vec![tokio::spawn(async move { match serve(pages, local, true).await {} })];
    if let Some(address) = address {
        let listener = listen(address).map_err(|error| (address, error))?;
        let metrics = metrics.clone();
        tasks.push(tokio::spawn(async move { match serve(listener, metrics, false).await {} }));
    }
    Ok(tasks)
}

/// Answers for ever: `/healthz` while the process runs, `/readyz` while requests may be sent, `/metrics`; on this machine also
/// [`ENDPOINTS`].
async fn serve(listener: impl Accept, metrics: Metrics, local: bool) -> Infallible {
    let respond = move |_, request: http::Request<hyper::body::Incoming>| {
        let metrics = metrics.clone();
        async move {
            match request.uri().path() {
                ENDPOINTS if local => json(&metrics.reach(&backends(request.uri().query().unwrap_or_default())).await),
                path => answer(path, &metrics).await,
            }
        }
    };
    pages::serve(listener, "health", respond).await
}

/// The backends that a query names: `backend=NAMESPACE/SERVICE:PORT`, joined by `&`.
fn backends(query: &str) -> Vec<BackendId> {
    let named = query.split('&').filter_map(|parameter| parameter.strip_prefix("backend="));
    named.filter_map(|backend| backend.parse().ok()).take(MOST_BACKENDS).collect()
}

fn json(page: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(page.to_string())));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

async fn answer(path: &str, metrics: &Metrics) -> Response<Full<Bytes>> {
    let (status, body) = match (path, metrics.unready()) {
        ("/healthz", _) => (StatusCode::OK, "ok\n".to_owned()),
        ("/readyz", None) => (StatusCode::OK, ready(&metrics.missing())),
        ("/readyz", Some(reason)) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")),
        ("/metrics", _) => {
            let mut response = Response::new(Full::new(Bytes::from(metrics.page().await)));
            response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; version=0.0.4"));
            return response;
        }
        _ => (StatusCode::NOT_FOUND, "pages: /healthz /readyz /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
}

/// Requests may be sent. Which Sōzus are away is told, for the others serve.
fn ready(missing: &[&str]) -> String {
    if missing.is_empty() { "ready\n".to_owned() } else { format!("ready; Sōzu {} is away\n", missing.join(", ")) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use http::StatusCode;
    use tokio::time::{Instant, advance};

    use super::super::metrics::{Metrics, Paths};
    use super::{MOST_BACKENDS, answer, backends, ready};
    use crate::snapshot::publish::Publisher;

    #[tokio::test(start_paused = true)]
    async fn readiness_falls_when_sozu_is_out_of_step_for_ten_seconds() {
        let metrics = Metrics::new(("n/e", Arc::default()), &Publisher::new(0), Paths::default());
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
        metrics.standing.send_modify(|standing| standing.listeners = (1, 1));
        assert!(ready().await, "one port serves");
        metrics.standing.send_modify(|standing| standing.listeners = (0, 2));
        assert!(!ready().await);
    }

    #[test]
    fn a_query_names_backends() {
        let named = |query: &str| backends(query).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(named("backend=a/b:80&x=1&backend=c/d:8080&backend=no"), ["a/b:80", "c/d:8080"]);
        assert_eq!(named(&"backend=a/b:80&".repeat(MOST_BACKENDS + 1)).len(), MOST_BACKENDS);
    }

    #[test]
    fn the_page_names_the_twin_that_is_away() {
        assert_eq!(ready(&[]), "ready\n");
        assert_eq!(ready(&["b"]), "ready; Sōzu b is away\n");
    }
}
