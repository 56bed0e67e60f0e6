//! Sending copies of requests to mirrors: nobody waits for them, and nothing that befalls them shows.

use std::rc::Rc;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderValue, Request, Uri, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::body::RequestBody;
use super::counters::{Gauge, count};
use super::hygiene;
use super::serve::Worker;
use super::upstream::{Lease, Terms};
use crate::model::{Backend, BackendProtocol};

/// What a request was aimed at before any rewrite: copies keep it.
pub(super) struct Aim {
    uri: Uri,
    host: Option<HeaderValue>,
}

impl Aim {
    pub(super) fn of(parts: &Parts) -> Self {
        Self { uri: parts.uri.clone(), host: parts.headers.get(header::HOST).cloned() }
    }

    /// The head of a copy: as edited so far, aimed as the client did.
    pub(super) fn head(&self, edited: &Parts) -> Parts {
        let mut parts = Request::new(()).into_parts().0;
        parts.method = edited.method.clone();
        parts.uri = self.uri.clone();
        parts.headers = edited.headers.clone();
        if let Some(host) = &self.host {
            parts.headers.insert(header::HOST, host.clone());
        }
        parts
    }
}

/// Sends a copy of a request from now on, beside everything else.
pub(super) fn send(worker: &Rc<Worker>, backend: Arc<Backend>, mut parts: Parts, body: RequestBody) {
    let counters = &worker.shared.counters;
    if counters.mirroring.load(std::sync::atomic::Ordering::Relaxed) >= worker.shared.limits.max_mirrors {
        count(&counters.mirror_errors);
        return;
    }
    match backend.protocol {
        BackendProtocol::Http => hygiene::towards_h1(&mut parts, body.is_streamed(), None),
        BackendProtocol::H2c => {
            if hygiene::towards_h2(&mut parts, None).is_err() {
                count(&counters.mirror_errors);
                return;
            }
        }
    }
    count(&counters.mirrored);
    let (worker, mirroring) = (worker.clone(), Gauge::new(counters, |counters| &counters.mirroring));
    tokio::task::spawn_local(async move {
        let _mirroring = mirroring;
        match worker.pool.send(&backend, Request::from_parts(parts, body), Terms::OF_COPIES).await {
            Ok((response, lease)) => {
                // Read to its end, so that the connection can serve again; for so long, and no longer.
                let reading = discard(response.into_body(), lease);
                timeout(worker.shared.limits.response_timeout, reading).await.unwrap_or_default();
            }
            Err(error) => {
                count(&worker.shared.counters.mirror_errors);
                tracing::debug!(backend = %backend.id, %error, "a mirror got no copy");
            }
        }
    });
}

/// Sends copies of a request that goes nowhere else. Returns when its body has been read for them, or has taken longer than a
/// backend may take to answer: an answer before the end of a body leaves connections in doubt.
pub(super) async fn send_alone(worker: &Rc<Worker>, backends: Vec<Arc<Backend>>, parts: &Parts, mut body: RequestBody) {
    let aim = Aim::of(parts);
    backends.into_iter().for_each(|backend| send(worker, backend, aim.head(parts), body.copy()));
    if !matches!(body, RequestBody::Empty) {
        let reading = async { while body.frame().await.is_some_and(|frame| frame.is_ok()) {} };
        timeout(worker.shared.limits.response_timeout, reading).await.unwrap_or_default();
    }
}

/// Reads an answer that nobody wants.
pub(super) async fn discard(mut body: Incoming, lease: Lease) {
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => lease.took(frame.data_ref().map_or(0, bytes::Bytes::len)),
            Err(_) => return,
        }
    }
    lease.finish();
}
