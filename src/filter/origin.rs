//! How a request came, and which listener it is for.

use std::rc::Rc;
use std::sync::Arc;

use http::request::Parts;
use http::{Request, Response, StatusCode, Version, header};

use super::body::ResponseBody;
use super::counters::count;
use super::hygiene::{self, Refusal};
use super::load::Meter;
use super::relay::Link;
use super::router::{Table, host_of};
use super::shared::Shared;
use crate::model::PROBE_PATH;

/// The connection by which a request came.
#[derive(Clone)]
pub(super) struct Origin {
    /// What it makes the process hold.
    pub(super) meter: Arc<Meter>,
    /// How.
    pub(super) way: Way,
}

/// How a request came.
#[derive(Clone)]
pub(super) enum Way {
    /// Sōzu has read it, and tells the port in a header.
    Hop,
    /// By a connection that Sōzu relays.
    Relay(Rc<Link>),
}

impl Origin {
    /// Whether a request is the supervisor's: Sōzu names a port in all that it hands over.
    pub(super) fn is_probe<B>(&self, request: &Request<B>) -> bool {
        matches!(self.way, Way::Hop) && request.uri().path() == PROBE_PATH && !request.headers().contains_key(hygiene::HOP)
    }

    /// Whether a head of so many bytes is within the limits. Over HTTP/1.1 the parser has counted its fields, but takes a head that
    /// comes at once and is somewhat longer than it may be.
    pub(super) fn takes(&self, shared: &Shared, parts: &Parts, head: usize) -> bool {
        let limits = match self.way {
            Way::Hop => shared.limits.over_the_hop(),
            Way::Relay(_) => shared.limits,
        };
        let fields = parts.version != Version::HTTP_2 || parts.headers.len() <= limits.max_fields;
        fields && head <= limits.max_head
    }

    /// The answer, when its head is within the limits, and the Sōzu that waits for it can take it: one that it cannot would keep the
    /// client waiting until the listener's time is up.
    pub(super) fn fit(&self, shared: &Shared, response: Response<ResponseBody>) -> Result<Response<ResponseBody>, StatusCode> {
        let most = match self.way {
            Way::Hop => shared.limits.hop_head().min(shared.limits.max_answer_head),
            Way::Relay(_) => shared.limits.max_answer_head,
        };
        if hygiene::head_bytes(response.headers()) > most {
            count(&shared.counters.upstream_errors);
            return Err(StatusCode::BAD_GATEWAY);
        }
        Ok(response)
    }

    /// The port of its listener, when the request is fit to be decided.
    pub(super) fn enter(&self, shared: &Shared, table: &Table, parts: &mut Parts) -> Result<u16, Refusal> {
        let headers = &mut parts.headers;
        let link = match &self.way {
            Way::Hop => {
                let port = hygiene::hop_port(headers)?;
                let keeps_claims = table.any_listener(port).is_some_and(|listener| listener.tuning.keeps_claims);
                hygiene::drop_twins(headers, keeps_claims);
                if !keeps_claims {
                    hygiene::drop_claims(headers);
                }
                return Ok(port);
            }
            Way::Relay(link) => link,
        };
        headers.remove(hygiene::HOP);
        let port = link.port;
        let tuning = table.any_listener(port).map(|listener| &listener.tuning);
        let keeps_claims = tuning.is_some_and(|tuning| tuning.keeps_claims);
        hygiene::drop_twins(headers, keeps_claims);
        let trust = tuning.and_then(|tuning| tuning.client_address.as_ref());
        let said_by_proxy = hygiene::forwarded(headers, &link.connection, trust, rand::random());
        if !said_by_proxy && !keeps_claims {
            hygiene::drop_claims(headers);
        }
        match &link.tls {
            Some(name) if is_misdirected(shared, table, (port, name), authority(parts)) => Err(Refusal::Misdirected),
            _ => Ok(port),
        }
    }
}

/// Whether a request belongs to another listener than the one that its connection was made for (RFC 9110 §15.5.20, Gateway
/// API, HTTPS listeners on one port), or to another certificate. A host of no listener is 404. Without a name the connection
/// is for the listener without hostname, if there is one.
fn is_misdirected(shared: &Shared, table: &Table, (port, name): (u16, &str), authority: &str) -> bool {
    let host = host_of(authority);
    let Some(wanted) = table.listener(port, &host) else { return false };
    let made_for = if name.is_empty() { table.listener_for_any(port) } else { table.listener(port, name) };
    match made_for {
        Some(made_for) => made_for.name != wanted.name || (wanted.certificates_by_name && !shared.carries(port, name, &host)),
        None => !name.is_empty(),
    }
}

/// The host that a request says it is for.
pub(super) fn authority(parts: &Parts) -> &str {
    parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("")
}
