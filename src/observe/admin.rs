//! The admin port: health, readiness, metrics and what Kakehi decided, as JSON. It never shows private keys, nor header values
//! that filters set.
//!
//! What Kakehi decided concerns every tenant, and nobody shows who they are here: those pages are for callers on the same
//! machine or in the same pod, which is where `kubectl port-forward` calls from. Health, readiness and metrics are for everybody
//! who reaches the port.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::{Map, Value};
use tokio::net::TcpListener;

use super::local;
use super::metrics::Metrics;
use crate::{pages, series};

/// What the pages show. Implemented by whoever owns the state.
pub trait View: Send + Sync + 'static {
    /// Everything is loaded, published and acknowledged at least once.
    fn ready(&self) -> bool;
    /// Why it is not ready, in a few words.
    fn unready(&self) -> Option<String> {
        (!self.ready()).then(|| "not everything is loaded and applied yet".to_owned())
    }
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
/// The page that asks edges alone, about backends (`?backend=NAMESPACE/SERVICE:PORT`): which endpoints do not answer, as far as
/// the edges on this machine know.
const ENDPOINTS: &str = "/debug/endpoints";
/// Pages for callers on this machine begin so.
const PRIVATE: &str = "/debug/";
/// All other pages.
const PAGES: &[(&str, Page)] = &[
    ("/healthz", |_| text(StatusCode::OK, "ok\n")),
    ("/readyz", |view| match view.unready() {
        None => text(StatusCode::OK, "ready\n"),
        Some(reason) => text(StatusCode::SERVICE_UNAVAILABLE, &format!("not ready: {reason}\n")),
    }),
    ("/debug/report", |view| json(&view.report())),
    ("/debug/snapshot", |view| json(&view.snapshot())),
    ("/debug/plan", |view| json(&view.plan())),
];

/// Serves the admin pages for ever.
pub async fn serve(listener: TcpListener, view: Arc<dyn View>, metrics: Metrics) -> Infallible {
    let answer = move |peer: Option<SocketAddr>, request: Request<Incoming>| {
        let (view, metrics) = (view.clone(), metrics.clone());
        async move {
            let local = peer.is_none_or(|peer| is_local(peer.ip()));
            let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
            respond((request.method(), path), local, view.as_ref(), &metrics).await
        }
    };
    pages::serve(listener, "admin", answer).await
}

/// Whether a caller is on this machine, or in this pod. Other addresses of 127.0.0.0/8 are not: proxies beside the pod's
/// containers show theirs for callers from elsewhere (127.0.0.6 of Istio).
fn is_local(peer: IpAddr) -> bool {
    let peer = peer.to_canonical();
    peer == Ipv4Addr::LOCALHOST || peer == Ipv6Addr::LOCALHOST
}

async fn respond((method, asked): (&Method, &str), local: bool, view: &dyn View, metrics: &Metrics) -> Response<Full<Bytes>> {
    let path = asked.split_once('?').map_or(asked, |(path, _)| path);
    if method != Method::GET && method != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "GET only\n");
    }
    if path.starts_with(PRIVATE) && !local {
        return text(StatusCode::FORBIDDEN, "this page is for callers on this machine: use kubectl port-forward\n");
    }
    if path == METRICS {
        return all_metrics(view, metrics).await;
    }
    if path == ENDPOINTS {
        return endpoints(view, asked).await;
    }
    match PAGES.iter().find(|(page, _)| *page == path) {
        Some((_, page)) => page(view),
        None => {
            let list: Vec<_> = PAGES.iter().map(|(path, _)| *path).chain([ENDPOINTS, METRICS]).collect();
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

/// What the edges on this machine know. One that does not answer knows nothing.
async fn endpoints(view: &dyn View, asked: &str) -> Response<Full<Bytes>> {
    let mut all = Map::new();
    for edge in join_all(view.edges().iter().map(|socket| local::get(socket, asked))).await {
        match edge.map(|page| serde_json::from_str(&page)) {
            Ok(Ok(Value::Object(edges))) => all.extend(edges),
            Ok(_) => tracing::debug!("an edge does not say which endpoints do not answer"),
            Err(error) => tracing::debug!(%error, "an edge does not say which endpoints do not answer"),
        }
    }
    json(&Value::Object(all))
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

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode};
    use serde_json::{Value, json};

    use super::{ENDPOINTS, METRICS, PAGES, View, is_local, respond};
    use crate::observe::metrics::Metrics;

    struct Nothing;

    impl View for Nothing {
        fn ready(&self) -> bool {
            true
        }

        fn report(&self) -> Value {
            json!({})
        }

        fn snapshot(&self) -> Value {
            json!({})
        }

        fn plan(&self) -> Value {
            json!({})
        }

        fn refresh(&self) {}
    }

    #[tokio::test]
    async fn what_was_decided_is_shown_to_callers_of_this_machine_alone() {
        let metrics = Metrics::new().unwrap();
        let status = async |path: &str, local| respond((&Method::GET, path), local, &Nothing, &metrics).await.status();
        for (path, _) in PAGES.iter().chain([&(METRICS, PAGES[0].1), &(ENDPOINTS, PAGES[0].1)]) {
            assert_eq!(status(path, true).await, StatusCode::OK, "{path}");
            let expected = if path.starts_with("/debug") { StatusCode::FORBIDDEN } else { StatusCode::OK };
            assert_eq!(status(path, false).await, expected, "{path} from elsewhere");
        }
        assert_eq!(respond((&Method::POST, "/healthz"), true, &Nothing, &metrics).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    }

    #[test]
    fn callers_of_this_machine_are_known_by_two_addresses() {
        for (peer, local) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("127.0.0.6", false),
            ("10.0.0.1", false),
            ("fe80::1", false),
            ("::ffff:10.0.0.1", false),
        ] {
            assert_eq!(is_local(peer.parse().unwrap()), local, "{peer}");
        }
    }
}
