//! One request, from its head to the head of its answer.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::time::timeout;

use super::body::{RequestBody, ResponseBody, Streamed};
use super::counters::{Gauge, Observed, count};
use super::hygiene::{self, Admitted};
use super::router::{Candidate, Decision, Found, Head, Rule, host_of};
use super::shared::Shared;
use super::upstream::Pool;
use super::{filters, tunnel};
use crate::model::{Backend, BackendProtocol, BackendTarget};

/// What one thread serves with.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) pool: Pool,
    /// The first snapshot is there.
    pub(super) ready: Cell<bool>,
}

/// What becomes of a request.
enum Plan {
    Answer(StatusCode),
    Redirect(Box<Response<ResponseBody>>),
    Forward(Forward),
}

struct Forward {
    rule: Arc<Rule>,
    /// Position of the chosen reference.
    chosen: usize,
    backend: Arc<Backend>,
    prefix: Option<usize>,
}

/// Answers one request. It cannot fail: what goes wrong becomes a status.
pub(super) async fn serve(worker: Rc<Worker>, request: Request<Incoming>) -> Result<Response<ResponseBody>, Infallible> {
    let method = request.method().clone();
    let active = Gauge::new(&worker.shared.counters, |counters| &counters.active);
    let mut observed = Observed::new(worker.shared.nowhere.clone());
    let mut response = match respond(&worker, request, active, &mut observed).await {
        Ok(response) => response,
        Err(status) => filters::answer(status, &method).map(ResponseBody::Text),
    };
    observed.status = response.status().as_u16();
    if let ResponseBody::Stream(streamed) = response.body_mut() {
        streamed.observe(observed);
    }
    Ok(response)
}

async fn respond(
    worker: &Worker,
    request: Request<Incoming>,
    active: Gauge,
    observed: &mut Observed,
) -> Result<Response<ResponseBody>, StatusCode> {
    let (mut parts, body) = request.into_parts();
    let body = RequestBody::from(body);
    let admitted = hygiene::admit(&mut parts, !matches!(body, RequestBody::Empty)).map_err(|refusal| {
        count(&worker.shared.counters.refused);
        tracing::debug!(%refusal, "request refused");
        refusal.status()
    })?;
    worker.wait_until_ready().await?;
    let plan = plan(&worker.shared, &parts, admitted.port, observed)?;
    match plan {
        Plan::Answer(status) => Err(status),
        Plan::Redirect(response) => Ok(*response),
        Plan::Forward(forward) => worker.forward(forward, Request::from_parts(parts, body), admitted, active).await,
    }
}

/// Decides and draws; everything that is needed of the table is taken out of it.
fn plan(shared: &Shared, parts: &Parts, port: u16, observed: &mut Observed) -> Result<Plan, StatusCode> {
    let table = shared.table();
    let authority = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    let host = host_of(authority);
    let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let head = Head { port, host: &host, method: parts.method.as_str(), target, headers: &parts.headers };
    let decision = table.decide(&head);
    if let Decision::Answer(found, _) | Decision::Redirect(found, _) = &decision {
        observed.tally = found.rule.tally(&shared.traffic).clone();
    }
    match decision {
        Decision::NotFound => Ok(Plan::Answer(StatusCode::NOT_FOUND)),
        Decision::Answer(_, status) => Ok(Plan::Answer(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))),
        Decision::Redirect(found, redirect) => {
            let location = redirect.location(found.listener, &host, target, found.prefix);
            Ok(Plan::Redirect(Box::new(redirected(found, redirect.status(), location)?)))
        }
        Decision::Forward(found, candidates) => {
            let point = if candidates.list().len() == 1 { 0 } else { rand::random_range(0..candidates.total()) };
            let (chosen, candidate) = candidates.at(point).ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
            observed.tally = found.rule.tally_of(candidate, &shared.traffic).clone();
            let BackendTarget::Service(id) = &candidate.target else { return Err(StatusCode::INTERNAL_SERVER_ERROR) };
            let backend = table.backend(id).ok_or(StatusCode::SERVICE_UNAVAILABLE)?.clone();
            Ok(Plan::Forward(Forward { rule: found.rule.clone(), chosen, backend, prefix: found.prefix }))
        }
    }
}

fn redirected(found: Found<'_>, status: StatusCode, location: Option<HeaderValue>) -> Result<Response<ResponseBody>, StatusCode> {
    let mut response = Response::new(ResponseBody::Text(bytes::Bytes::new()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location.ok_or(StatusCode::INTERNAL_SERVER_ERROR)?);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    filters::apply_to_response(&found.rule.filters, headers);
    Ok(response)
}

impl Worker {
    async fn wait_until_ready(&self) -> Result<(), StatusCode> {
        if self.ready.get() {
            return Ok(());
        }
        let mut ready = self.shared.ready();
        let waited = timeout(self.shared.limits.first_snapshot, ready.wait_for(|ready| *ready)).await;
        match waited {
            Ok(Ok(_)) => {
                self.ready.set(true);
                Ok(())
            }
            Ok(Err(_)) | Err(_) => Err(StatusCode::SERVICE_UNAVAILABLE),
        }
    }

    async fn forward(
        &self,
        forward: Forward,
        request: Request<RequestBody>,
        admitted: Admitted,
        active: Gauge,
    ) -> Result<Response<ResponseBody>, StatusCode> {
        let (mut parts, body) = request.into_parts();
        let candidate: Option<&Candidate> = forward.candidate();
        let steps = || [&forward.rule.filters].into_iter().chain(candidate.map(|own| &own.filters));
        for steps in steps() {
            filters::apply_to_request(steps, &mut parts.headers, &mut parts.uri, forward.prefix)
                .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        }
        let upgrade = admitted.upgrade.filter(|_| forward.backend.protocol == BackendProtocol::Http);
        match forward.backend.protocol {
            BackendProtocol::Http => hygiene::towards_h1(&mut parts, body.is_streamed(), upgrade.as_ref()),
            BackendProtocol::H2c => hygiene::towards_h2(&mut parts).map_err(|refusal| refusal.status())?,
        }
        let client: Option<OnUpgrade> = parts.extensions.remove();
        let sent = self.pool.send(&forward.backend, Request::from_parts(parts, body)).await;
        let (mut response, lease) = sent.map_err(|error| {
            tracing::debug!(backend = %forward.backend.id, %error, "no response");
            error.status()
        })?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            // Unasked for, it would turn the rest of the connection into a tunnel.
            let (Some(_), Some(client)) = (upgrade, client) else { return Err(StatusCode::BAD_GATEWAY) };
            let backend = hyper::upgrade::on(&mut response);
            tokio::task::spawn_local(tunnel::join(client, backend, active));
            let (mut parts, _) = response.into_parts();
            hygiene::clean_upgraded(&mut parts);
            steps().for_each(|steps| filters::apply_to_response(steps, &mut parts.headers));
            return Ok(Response::from_parts(parts, ResponseBody::Text(bytes::Bytes::new())));
        }
        let (mut parts, body) = response.into_parts();
        hygiene::clean(&mut parts);
        steps().for_each(|steps| filters::apply_to_response(steps, &mut parts.headers));
        Ok(Response::from_parts(parts, ResponseBody::Stream(Streamed::new(body, lease, active))))
    }
}

impl Forward {
    fn candidate(&self) -> Option<&Candidate> {
        match &self.rule.action {
            super::router::Action::Forward(candidates) => candidates.list().get(self.chosen),
            super::router::Action::Redirect(_) | super::router::Action::Answer(_) => None,
        }
    }
}
