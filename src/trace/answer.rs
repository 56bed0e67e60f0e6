//! What a client gets.

use std::collections::BTreeMap;
use std::net::IpAddr;

use http::{HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::{Map, Value};

use super::camel::in_camel;
use super::reach::Unanswered;
use super::reports::Problem;
use super::{Candidate, Request, without};
use crate::filter::router::{Decision, Head, Table};
use crate::model::{
    Action, Affinity, BackendId, BackendProtocol, BackendRef, BackendTarget, Endpoint, InvalidBackend, Kind, Rule, Topology,
};
use crate::snapshot::{Key, Resource, Snapshot};

/// What a client gets.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// The edge answers by itself.
    Status {
        /// The status.
        status: u16,
        /// Why.
        why: Why,
    },
    /// Nothing: the TLS handshake fails.
    Closed {
        /// Why.
        why: Why,
    },
    /// Nothing: the connection is refused.
    Unreachable {
        /// Why.
        why: Why,
    },
    /// A redirect.
    Redirect {
        /// The status.
        status: u16,
        /// `Location`.
        location: String,
    },
    /// The answer to a CORS preflight, which goes no further.
    Preflight {
        /// The status.
        status: u16,
        /// What the rule's policy says to the browser: header fields by name. No `access-control-allow-origin`: the origin
        /// may not ask.
        headers: BTreeMap<String, String>,
    },
    /// One of these, chosen by weight for each request.
    Forward {
        /// The references of the rule, in its order.
        shares: Vec<Share>,
    },
}

/// One backend reference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Share {
    /// Share relative to the sum of all.
    pub weight: u32,
    /// The sum of all.
    pub of: u64,
    /// The field of the route's object in which the reference is written.
    pub field: String,
    /// The Service port; absent when the reference does not resolve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<BackendId>,
    /// What it speaks.
    #[serde(serialize_with = "in_camel")]
    pub protocol: BackendProtocol,
    /// Which of its endpoints serves whom.
    #[serde(skip_serializing_if = "Affinity::is_none", serialize_with = "in_camel")]
    pub affinity: Affinity,
    /// Where it is.
    pub endpoints: Vec<Endpoint>,
    /// Nodes and zones of these, as far as they are known.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub topology: BTreeMap<IpAddr, Topology>,
    /// What the edge met when it last tried them; empty: nothing is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unanswered: Vec<Unanswered>,
    /// The answer in place of a backend's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fails: Option<Fails>,
    /// What the route's object reports of the reference.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// Filters and further settings of the reference.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub policy: Map<String, Value>,
}

/// An answer in place of a backend's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fails {
    /// The status.
    pub status: u16,
    /// The `grpc-status` that a gRPC call gets; absent when the request is none, or Sōzu answers, which speaks no gRPC of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc_status: Option<u16>,
    /// Why.
    pub why: Why,
}

/// Why the edge answers by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
pub enum Why {
    /// 421: the connection is for another name.
    #[error("the connection that the URL's host gets is not for the Host header's")]
    Misdirected,
    /// 421.
    #[error("no Ingress of the host's namespace has a usable certificate for it")]
    NoCertificateOfHost,
    /// 400.
    #[error("the path can be read in two ways, and the port takes no such paths")]
    AmbiguousPath,
    /// No handshake.
    #[error("the client names no host, and no listener of the port takes such clients")]
    NoServerName,
    /// No handshake.
    #[error("no listener of the port has a certificate for the URL's host")]
    NoCertificate,
    /// No connection.
    #[error("no listener of the edge serves this port")]
    NotListening,
    /// 404.
    #[error("no listener of the port has a hostname that covers the host")]
    NoListener,
    /// 404.
    #[error("no rule takes the request")]
    NoRule,
    /// 500, mostly.
    #[error("the rule could not be built as it is written, and fails closed; its object's status says why")]
    FailsClosed,
    /// 404.
    #[error("the host belongs to the Ingresses of one namespace; none of them takes the path, and no other namespace's may")]
    Owned,
    /// 500.
    #[error("the rule has no backend with a weight")]
    NoBackend,
    /// 500.
    #[error("the backend reference does not resolve: {}", why_invalid(*.0))]
    InvalidBackend(#[serde(serialize_with = "in_camel")] InvalidBackend),
    /// 503.
    #[error("the backend has no endpoint that may receive requests")]
    NoEndpoint,
}

/// What the winning rule answers.
pub(super) fn answer(
    table: &Table,
    snapshot: &Snapshot,
    listened: bool,
    (winner, rule): (Option<&Candidate>, Option<&Rule>),
    request: &Request,
) -> Answer {
    let head =
        Head { port: request.port, host: &request.host, method: &request.method, target: &request.target, headers: &request.headers };
    let decision = table.decide(&head);
    if let Some((_, response)) = table.preflight(&head) {
        let field = |(name, value): (&HeaderName, &HeaderValue)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned());
        return Answer::Preflight { status: response.status().as_u16(), headers: response.headers().iter().map(field).collect() };
    }
    match decision {
        Decision::NotFound => Answer::Status { status: 404, why: if listened { Why::NoRule } else { Why::NoListener } },
        Decision::Misdirected => Answer::Status { status: 421, why: Why::NoCertificateOfHost },
        Decision::Answer(_, status) => {
            let idle = rule.is_some_and(|rule| matches!(&rule.action, Action::Forward(all) if all.iter().all(|of| of.weight == 0)));
            // Translation answers 404 by a rule only for what a namespace leaves over of a host.
            let why = match status {
                _ if idle => Why::NoBackend,
                404 => Why::Owned,
                _ => Why::FailsClosed,
            };
            Answer::Status { status, why }
        }
        Decision::Redirect(found, redirect) => {
            match redirect
                .location(found.listener, head.host, head.target, found.prefix)
                .map(|location| location.to_str().map(str::to_owned))
            {
                Some(Ok(location)) => Answer::Redirect { status: redirect.status().as_u16(), location },
                _ => Answer::Status { status: 500, why: Why::FailsClosed },
            }
        }
        Decision::Forward(found, candidates) => {
            let refs = match rule.map(|rule| &rule.action) {
                Some(Action::Forward(refs)) => refs.as_slice(),
                _ => &[],
            };
            let (kind, total) = (found.rule.route.kind, candidates.total());
            let field = |number: usize| winner.map(|winner| winner.backend_field(number)).unwrap_or_default();
            let shares = refs.iter().enumerate().map(|(number, reference)| share(snapshot, (reference, field(number)), kind, total));
            Answer::Forward { shares: shares.collect() }
        }
    }
}

fn share(snapshot: &Snapshot, (reference, field): (&BackendRef, String), kind: Kind, of: u64) -> Share {
    let fails = |status, why| Some(Fails { status, grpc_status: None, why });
    let mut share = Share {
        weight: reference.weight,
        of,
        field,
        backend: None,
        protocol: BackendProtocol::default(),
        affinity: Affinity::None,
        endpoints: Vec::new(),
        topology: BTreeMap::new(),
        unanswered: Vec::new(),
        fails: None,
        problems: Vec::new(),
        policy: without(serde_json::to_value(reference), &["weight", "target"]),
    };
    match &reference.target {
        BackendTarget::Invalid(why) => share.fails = fails(500, Why::InvalidBackend(*why)),
        BackendTarget::Service(id) => {
            share.backend = Some(id.clone());
            if let Some(Resource::Backend(backend)) = snapshot.get(&Key::Backend(id.clone())).map(|resource| &**resource) {
                share.protocol = backend.protocol_for(kind);
                share.affinity = backend.affinity;
                share.endpoints.clone_from(&backend.endpoints);
                share.topology.clone_from(&backend.topology);
            }
            if share.endpoints.is_empty() {
                share.fails = fails(503, Why::NoEndpoint);
            }
        }
    }
    share
}

fn why_invalid(why: InvalidBackend) -> &'static str {
    match why {
        InvalidBackend::NotFound => "there is no such Service or port",
        InvalidBackend::NotPermitted => "no ReferenceGrant allows it",
        InvalidBackend::UnknownKind => "its kind is not supported",
        InvalidBackend::UnsupportedFilter => "one of its filters cannot be honoured",
        InvalidBackend::UnsupportedProtocol => "its protocol cannot be spoken",
    }
}
