//! A connection in use.

use std::sync::Arc;

use futures::future::Either;
use http::{Request, Response};
use hyper::body::Incoming;

use super::room::Taken;
use super::{Failure, Inbound, RequestBody, h1, h2c};

/// A connection in use, to be given back when the response has ended. Dropped early it is closed (HTTP/1.1) or its
/// stream is reset (HTTP/2).
pub(in crate::filter) struct Lease {
    pub(super) kind: Kind,
    /// Its place among the exchanges of the endpoint.
    pub(super) _taken: Taken,
}

pub(super) enum Kind {
    H1(h1::Lease),
    H2(h2c::Lease),
}

impl Lease {
    /// Part of the answer's body was read.
    pub(in crate::filter) fn took(&self, bytes: usize) {
        self.inbound().took(bytes);
    }

    /// The exchange becomes a tunnel.
    pub(in crate::filter) fn tunnels(&self) {
        if let Kind::H1(lease) = &self.kind {
            lease.inbound().tunnels();
        }
    }

    /// What came of the answer and was not read yet.
    pub(in crate::filter) fn inbound(&self) -> &Arc<Inbound> {
        match &self.kind {
            Kind::H1(lease) => lease.inbound(),
            Kind::H2(lease) => lease.inbound(),
        }
    }

    /// Whether a `CONNECT` may be sent by it.
    pub(super) async fn takes_tunnels(&self) -> bool {
        match &self.kind {
            Kind::H1(_) => false,
            Kind::H2(lease) => lease.takes_tunnels().await,
        }
    }

    /// Sends a request and waits for the head of the response.
    pub(super) fn exchange(&mut self, request: Request<RequestBody>) -> impl Future<Output = Result<Response<Incoming>, Failure>> {
        match &mut self.kind {
            Kind::H1(lease) => Either::Left(lease.exchange(request)),
            Kind::H2(lease) => Either::Right(lease.exchange(request)),
        }
    }

    /// The response has ended: the connection may serve again.
    pub(in crate::filter) fn finish(self) {
        match self.kind {
            Kind::H1(lease) => lease.finish(),
            Kind::H2(lease) => drop(lease),
        }
    }
}
