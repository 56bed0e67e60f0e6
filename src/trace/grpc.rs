//! A trace in terms of gRPC.

use http::StatusCode;
use http::header::HeaderName;
use serde::Serialize;

use super::{Answer, Request, Stage};
use crate::filter::filters::{answer_call, is_call};
use crate::model::{BackendProtocol, PathMatch};

/// What a gRPC call meets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Grpc {
    /// The service that it calls; absent: its path names no service and method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The method of the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The `grpc-status` with which the edge answers it; absent when it does not answer, or Sōzu does, which speaks no gRPC of
    /// its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What keeps it from being answered as a call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mismatches: Vec<Mismatch>,
}

/// What keeps a call from being answered as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
pub enum Mismatch {
    /// It is no POST request.
    #[error("a gRPC call is a POST request, so GRPCRoutes do not take this one")]
    Method,
    /// Its path does not name a service and a method.
    #[error("the path of a gRPC call is /SERVICE/METHOD")]
    Path,
    /// A backend of the winner is spoken to over HTTP/1.1.
    #[error("the backend is spoken to over HTTP/1.1, which carries no gRPC: use a GRPCRoute, or appProtocol kubernetes.io/h2c")]
    Backend,
    /// Sōzu answers alone.
    #[error("Sōzu answers alone, so the client gets an HTTP status and no grpc-status")]
    Native,
}

impl Grpc {
    /// What a request meets, if it is a call; the answer's shares that fail then say with which `grpc-status`.
    pub(super) fn of(request: &Request, stage: &Stage, answer: &mut Answer) -> Option<Self> {
        if !is_call(&request.headers) {
            return None;
        }
        let filtered = !matches!(stage, Stage::Native { .. });
        let called = PathMatch::called(request.path());
        let mut mismatches = Vec::new();
        if request.method != "POST" {
            mismatches.push(Mismatch::Method);
        }
        if called.is_none() {
            mismatches.push(Mismatch::Path);
        }
        let mut by_itself = false;
        let status = match answer {
            Answer::Status { status, .. } => {
                by_itself = true;
                Some(*status)
            }
            Answer::Forward { shares } => {
                for fails in shares.iter_mut().filter_map(|share| share.fails.as_mut()) {
                    by_itself = true;
                    fails.grpc_status = Some(fails.status).filter(|_| filtered).and_then(grpc_status);
                }
                let old = shares.iter().any(|share| share.fails.is_none() && share.protocol == BackendProtocol::Http);
                mismatches.extend(old.then_some(Mismatch::Backend));
                None
            }
            Answer::Closed { .. } | Answer::Unreachable { .. } | Answer::Redirect { .. } | Answer::Preflight { .. } => None,
        };
        mismatches.extend((by_itself && !filtered).then_some(Mismatch::Native));
        Some(Self {
            service: called.map(|called| called.0.to_owned()),
            method: called.map(|called| called.1.to_owned()),
            status: status.filter(|_| filtered).and_then(grpc_status),
            mismatches,
        })
    }
}

/// The `grpc-status` that goes with an HTTP status.
fn grpc_status(status: u16) -> Option<u16> {
    let answer = answer_call(StatusCode::from_u16(status).ok()?);
    answer.headers().get(HeaderName::from_static("grpc-status"))?.to_str().ok()?.parse().ok()
}
