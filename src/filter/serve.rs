//! One request, from its head to the head of its answer.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::time::{Instant, timeout};

use super::attempts::{self, Answered};
use super::body::{RequestBody, ResponseBody, Streamed};
use super::counters::{Observed, count};
use super::filters::Filters;
use super::filters::cors::is_credentialed;
use super::hygiene::{self, Refusal, Switch, Upgrade};
use super::leaving::Tie;
use super::load::{Clients, Flight};
use super::logged::Logged;
use super::mirror::Aim;
use super::origin::{Origin, authority};
use super::router::{Action, Decision, Found, Head, Rule, Table, host_of};
use super::shared::Shared;
use super::upstream::{Pool, Waiting};
use super::{filters, mirror, tunnel};

use crate::model::{Affinity, Backend, BackendProtocol, BackendTarget, Kind};

/// What one thread serves with.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) pool: Pool,
    /// The connections to it.
    pub(super) clients: Clients,
    /// The first snapshot is there.
    pub(super) ready: Cell<bool>,
}

/// What becomes of a request.
enum Plan {
    Answer(StatusCode),
    Respond(Box<Response<ResponseBody>>),
    Redirect(Box<Redirected>),
    Forward(Forward),
}

struct Redirected {
    response: Response<ResponseBody>,
    rule: Arc<Rule>,
    /// Who gets a copy of the request.
    mirrors: Vec<Arc<Backend>>,
}

struct Forward {
    rule: Arc<Rule>,
    /// Position of the chosen reference.
    chosen: usize,
    backend: Arc<Backend>,
    prefix: Option<usize>,
    /// Whose request it is, where that matters to the backend.
    client: Option<IpAddr>,
    /// When the request came.
    start: Instant,
    /// Who gets a copy: as the rule says, and as the chosen reference says.
    mirrors: [Vec<Arc<Backend>>; 2],
}

/// What is known of a request beside its answer.
struct Known {
    observed: Observed,
    /// The rule that takes it, when that has a CORS policy, the origin that may read the answer, and whether the request says
    /// who its user is.
    across: Option<(Arc<Rule>, Option<HeaderValue>, bool)>,
}

impl Known {
    /// A rule takes a request with these headers.
    fn taken(&mut self, found: &Found<'_>, headers: &HeaderMap) {
        if let Some(cors) = &found.rule.filters.cors {
            self.across = Some((found.rule.clone(), cors.allows(headers), is_credentialed(headers)));
        }
    }

    /// Notes something for the access log, if there is one.
    fn log(&mut self, note: impl FnOnce(&mut Logged)) {
        if let Some(logged) = &mut self.observed.logged {
            note(logged);
        }
    }

    /// Whatever is answered, the browser must be let read it.
    fn open(&self, headers: &mut HeaderMap) {
        if let Some((rule, origin, credentialed)) = &self.across
            && let Some(cors) = &rule.filters.cors
        {
            cors.apply(origin.as_ref(), *credentialed, headers);
        }
    }
}

/// What the answer to a request depends on.
struct Asked {
    upgrade: Option<Upgrade>,
    /// The client's side of a tunnel.
    client: Option<OnUpgrade>,
    /// The connection that becomes one.
    tie: Option<Tie>,
}

/// Answers one request. It cannot fail: what goes wrong becomes a status.
pub(super) fn serve(
    worker: Rc<Worker>,
    origin: Origin,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<ResponseBody>, Infallible>> {
    // Over HTTP/1.1 it is open from now on, not from when this is first polled: its client may have ended its side by then.
    let flight = (request.version() != Version::HTTP_2).then(|| begun(&worker, &origin, &request));
    answer(worker, origin, request, flight)
}

fn begun(worker: &Worker, origin: &Origin, request: &Request<Incoming>) -> Flight {
    Flight::new(&origin.meter, &worker.shared.counters, request.uri(), request.headers())
}

async fn answer(
    worker: Rc<Worker>,
    origin: Origin,
    request: Request<Incoming>,
    flight: Option<Flight>,
) -> Result<Response<ResponseBody>, Infallible> {
    let flight = flight.unwrap_or_else(|| begun(&worker, &origin, &request));
    if origin.is_probe(&request) {
        let mut response = Response::new(ResponseBody::Text(bytes::Bytes::new()));
        *response.status_mut() = StatusCode::NO_CONTENT;
        return Ok(response);
    }
    let (method, is_call) = (request.method().clone(), filters::is_call(request.headers()));
    let observed = Observed::new(worker.shared.nowhere.clone(), &worker.shared.counters, flight.head());
    let mut known = Known { observed, across: None };
    known.observed.logged = worker.shared.access_log.as_ref().map(|log| Logged::of(log, &origin, &request));
    let answered = respond(&worker, &origin, request, flight, &mut known).await;
    let answered = answered.and_then(|response| origin.fit(&worker.shared, response));
    // Calls are counted by what happened to them, not by the 200 that carries it.
    known.observed.status = answered.as_ref().map_or_else(|status| *status, Response::status).as_u16();
    let mut response = match answered {
        Ok(response) => response,
        Err(status) if is_call => filters::answer_call(status).map(ResponseBody::Text),
        Err(status) => filters::answer(status, &method).map(ResponseBody::Text),
    };
    known.open(response.headers_mut());
    known.observed.sent = sent_at_once(&response);
    if let ResponseBody::Stream(streamed) = response.body_mut() {
        streamed.observe(known.observed);
    }
    Ok(response)
}

/// Bytes of an answer that are not a backend's body.
fn sent_at_once(response: &Response<ResponseBody>) -> u64 {
    let text = if let ResponseBody::Text(text) = response.body() { text.len() } else { 0 };
    (hygiene::head_bytes(response.headers()) + text) as u64
}

async fn respond(
    worker: &Rc<Worker>,
    origin: &Origin,
    request: Request<Incoming>,
    flight: Flight,
    known: &mut Known,
) -> Result<Response<ResponseBody>, StatusCode> {
    if flight.meter().is_full() {
        count(&worker.shared.counters.shed_for_memory);
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    let (mut parts, body) = request.into_parts();
    let body = RequestBody::new(body, flight.meter(), parts.headers.contains_key(header::EXPECT));
    known.observed.upload = body.upload();
    let refused = |refusal: Refusal| {
        count(&worker.shared.counters.refused);
        tracing::debug!(%refusal, "request refused");
        refusal.status()
    };
    if !origin.takes(&worker.shared, &parts, flight.head()) {
        return Err(refused(Refusal::Fields));
    }
    let upgrade = hygiene::admit(&mut parts, !matches!(body, RequestBody::Empty)).map_err(refused)?;
    worker.wait_until_ready().await?;
    let plan = {
        let table = worker.shared.table();
        let port = origin.enter(&worker.shared, &table, &mut parts).map_err(refused)?;
        known.log(|logged| logged.entered(&parts));
        let form = table.any_listener(port).map(|listener| listener.tuning.paths).unwrap_or_default();
        hygiene::settle_path(&mut parts.uri, form).map_err(refused)?;
        plan(&worker.shared, &table, &parts, port, known)?
    };
    match plan {
        Plan::Answer(status) => Err(status),
        Plan::Respond(response) => Ok(*response),
        Plan::Redirect(redirected) => worker.redirect(*redirected, Request::from_parts(parts, body), upgrade.is_some()).await,
        Plan::Forward(forward) => worker.forward(forward, Request::from_parts(parts, body), upgrade, flight).await,
    }
}

/// Decides and draws; everything that is needed of the table is taken out of it.
fn plan(shared: &Shared, table: &Table, parts: &Parts, port: u16, known: &mut Known) -> Result<Plan, StatusCode> {
    let host = host_of(authority(parts));
    let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let head = Head { port, host: &host, method: parts.method.as_str(), target, headers: &parts.headers };
    if let Some((found, response)) = table.preflight(&head) {
        known.observed.tally = found.rule.tally(&shared.traffic).clone();
        known.log(|logged| logged.taken(&found.rule.route, None));
        return Ok(Plan::Respond(Box::new(response.map(ResponseBody::Text))));
    }
    let decision = table.decide(&head);
    if let Decision::Answer(found, _) | Decision::Redirect(found, _) = &decision {
        known.observed.tally = found.rule.tally(&shared.traffic).clone();
    }
    if let Some(found) = decision.found() {
        known.taken(found, &parts.headers);
        known.log(|logged| logged.taken(&found.rule.route, None));
    }
    match decision {
        Decision::NotFound => Ok(Plan::Answer(StatusCode::NOT_FOUND)),
        Decision::Misdirected => Ok(Plan::Answer(StatusCode::MISDIRECTED_REQUEST)),
        Decision::Answer(_, status) => Ok(Plan::Answer(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))),
        Decision::Redirect(found, redirect) => {
            let location = redirect.location(found.listener, &host, target, found.prefix);
            let response = redirected(found, redirect.status(), location)?;
            let mirrors = drawn(table, &found.rule.filters, found.rule.route.kind);
            Ok(Plan::Redirect(Box::new(Redirected { response, rule: found.rule.clone(), mirrors })))
        }
        Decision::Forward(found, candidates) => {
            let point = if candidates.list().len() == 1 { 0 } else { rand::random_range(0..candidates.total()) };
            let (chosen, candidate) = candidates.at(point).ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
            known.observed.tally = found.rule.tally_of(candidate, &shared.traffic).clone();
            let BackendTarget::Service(id) = &candidate.target else { return Err(StatusCode::INTERNAL_SERVER_ERROR) };
            known.log(|logged| logged.taken(&found.rule.route, Some(id)));
            let backend = table.backend(id, found.rule.route.kind).ok_or(StatusCode::SERVICE_UNAVAILABLE)?.clone();
            let mirrors = [&found.rule.filters, &candidate.filters].map(|filters| drawn(table, filters, found.rule.route.kind));
            let client = if backend.affinity == Affinity::ClientIp { hygiene::real_ip(&parts.headers) } else { None };
            let (rule, prefix, start) = (found.rule.clone(), found.prefix, known.observed.since);
            Ok(Plan::Forward(Forward { rule, chosen, backend, prefix, client, start, mirrors }))
        }
    }
}

/// The mirrors that get a copy of this request. One without a backend in the table gets none.
fn drawn(table: &Table, filters: &Filters, kind: Kind) -> Vec<Arc<Backend>> {
    let drawn = filters.mirrors.iter().filter(|mirror| mirror.draw());
    drawn.filter_map(|mirror| table.backend(&mirror.backend, kind).cloned()).collect()
}

fn redirected(found: Found<'_>, status: StatusCode, location: Option<HeaderValue>) -> Result<Response<ResponseBody>, StatusCode> {
    let mut response = Response::new(ResponseBody::Text(bytes::Bytes::new()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location.ok_or(StatusCode::INTERNAL_SERVER_ERROR)?);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    found.rule.filters.apply_to_response(headers);
    Ok(response)
}

impl Worker {
    /// One with nothing open.
    pub(super) fn new(shared: Arc<Shared>, ready: bool) -> Self {
        let (pool, clients) = (Pool::new(&shared), shared.clients());
        Self { shared, pool, clients, ready: Cell::new(ready) }
    }

    pub(super) async fn wait_until_ready(&self) -> Result<(), StatusCode> {
        if self.ready.get() {
            return Ok(());
        }
        let _waiting = Waiting::among(&self.shared.waiting, self.shared.limits.connections).ok_or_else(|| {
            count(&self.shared.counters.shed_at_start);
            StatusCode::SERVICE_UNAVAILABLE
        })?;
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

    /// Mirrors get what the rule makes of the request, although nobody else does.
    async fn redirect(
        self: &Rc<Self>,
        redirected: Redirected,
        request: Request<RequestBody>,
        upgrades: bool,
    ) -> Result<Response<ResponseBody>, StatusCode> {
        let Redirected { response, rule, mirrors } = redirected;
        if !mirrors.is_empty() && !upgrades {
            let (mut parts, body) = request.into_parts();
            let filters = &rule.filters;
            filters.apply_to_request(&mut parts.headers, &mut parts.uri, None).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
            mirror::send_alone(self, mirrors, &parts, body).await;
        }
        Ok(response)
    }

    async fn forward(
        self: &Rc<Self>,
        mut forward: Forward,
        request: Request<RequestBody>,
        upgrade: Option<Upgrade>,
        flight: Flight,
    ) -> Result<Response<ResponseBody>, StatusCode> {
        let (request, asked) = self.prepare(&mut forward, request, upgrade)?;
        let rule = &forward.rule.filters;
        let end = rule.timeouts.end(forward.start);
        let route = attempts::Route { pool: &self.pool, backend: &forward.backend, client: forward.client, rule, end };
        let answered = route.send(request).await.map_err(|error| {
            tracing::debug!(backend = %forward.backend.id, %error, "no response");
            error.status()
        })?;
        self.pass_on(&forward, asked, answered, flight)
    }

    /// The request as its backend gets it, and what is remembered of it. Copies for mirrors are on their way then.
    fn prepare(
        self: &Rc<Self>,
        forward: &mut Forward,
        request: Request<RequestBody>,
        upgrade: Option<Upgrade>,
    ) -> Result<(Request<RequestBody>, Asked), StatusCode> {
        let (mut parts, mut body) = request.into_parts();
        let mirrors = std::mem::take(&mut forward.mirrors);
        // The bytes of a tunnel are nobody else's.
        let aim = (upgrade.is_none() && mirrors.iter().any(|some| !some.is_empty())).then(|| Aim::of(&parts));
        for (filters, mirrors) in forward.filters().zip(mirrors) {
            filters.apply_to_request(&mut parts.headers, &mut parts.uri, forward.prefix).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
            if let Some(aim) = &aim {
                mirrors.into_iter().for_each(|backend| mirror::send(self, backend, aim.head(&parts), body.copy()));
            }
        }
        let h2 = forward.backend.protocol == BackendProtocol::H2c;
        let upgrade = upgrade.filter(|upgrade| !h2 || upgrade.is_websocket());
        let readied = match forward.backend.protocol {
            BackendProtocol::Http => {
                hygiene::towards_h1(&mut parts, body.is_streamed(), upgrade.as_ref());
                Ok(())
            }
            BackendProtocol::H2c => hygiene::towards_h2(&mut parts, upgrade.as_ref()),
        };
        readied.map_err(|refusal| refusal.status())?;
        let asked = Asked { upgrade, client: parts.extensions.remove(), tie: parts.extensions.remove() };
        Ok((Request::from_parts(parts, body), asked))
    }

    /// The answer as the client gets it.
    fn pass_on(&self, forward: &Forward, asked: Asked, answered: Answered, flight: Flight) -> Result<Response<ResponseBody>, StatusCode> {
        let Answered { mut response, lease, end } = answered;
        match (Upgrade::judge(asked.upgrade.as_ref(), &response), asked.upgrade, asked.client) {
            (Switch::Stays, ..) => {}
            (Switch::Changes, Some(upgrade), Some(client)) => {
                let backend = hyper::upgrade::on(&mut response);
                asked.tie.iter().for_each(Tie::tunnels);
                tokio::task::spawn_local(tunnel::join(client, backend, self.shared.limits.tunnel_idle, (flight, lease)));
                let (mut parts, _) = response.into_parts();
                hygiene::clean_upgraded(&mut parts, &upgrade);
                forward.filters().for_each(|filters| filters.apply_to_response(&mut parts.headers));
                return Ok(Response::from_parts(parts, ResponseBody::Text(bytes::Bytes::new())));
            }
            (Switch::Changes | Switch::Strange, ..) => return Err(StatusCode::BAD_GATEWAY),
        }
        let (mut parts, body) = response.into_parts();
        hygiene::clean(&mut parts);
        forward.filters().for_each(|filters| filters.apply_to_response(&mut parts.headers));
        Ok(Response::from_parts(parts, ResponseBody::Stream(Streamed::new(body, lease, flight, end))))
    }
}

impl Forward {
    /// The filters of the rule, then those of the chosen reference.
    fn filters(&self) -> impl Iterator<Item = &Filters> {
        let candidate = match &self.rule.action {
            Action::Forward(candidates) => candidates.list().get(self.chosen),
            Action::Redirect(_) | Action::Answer(_) => None,
        };
        [&self.rule.filters].into_iter().chain(candidate.map(|candidate| &candidate.filters))
    }
}
