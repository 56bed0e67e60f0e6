//! What the access log says of a request that this process answers.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};

use super::hygiene::real_ip;
use super::origin::{Origin, Way};
use crate::access_log::{AccessLog, Entry};
use crate::model::{BackendId, ObjectId};

const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request under way.
pub(super) struct Logged {
    log: Arc<AccessLog>,
    began: SystemTime,
    client: Option<IpAddr>,
    secure: Option<bool>,
    method: Method,
    uri: Uri,
    host: Bytes,
    user_agent: Option<HeaderValue>,
    request_id: Option<HeaderValue>,
    route: String,
    backend: String,
}

impl Logged {
    /// A request as it came.
    pub(super) fn of<B>(log: &Arc<AccessLog>, origin: &Origin, request: &Request<B>) -> Box<Self> {
        let headers = request.headers();
        let (client, secure) = match &origin.way {
            Way::Hop => (real_ip(headers), headers.get(PROTO).map(|scheme| scheme == "https")),
            Way::Relay(link) => (Some(link.connection.peer()), Some(link.tls.is_some())),
        };
        let host = headers.get(header::HOST).map(|host| Bytes::copy_from_slice(host.as_bytes()));
        let authority = || request.uri().authority().map(|authority| Bytes::copy_from_slice(authority.as_str().as_bytes()));
        Box::new(Self {
            log: log.clone(),
            began: SystemTime::now(),
            client,
            secure,
            method: request.method().clone(),
            uri: request.uri().clone(),
            host: host.or_else(authority).unwrap_or_default(),
            user_agent: headers.get(header::USER_AGENT).cloned(),
            request_id: request_id(headers),
            route: String::new(),
            backend: String::new(),
        })
    }

    /// What proxies before the edge say is judged: whose request it is.
    pub(super) fn entered(&mut self, parts: &Parts) {
        self.client = real_ip(&parts.headers).or(self.client);
        self.request_id = request_id(&parts.headers);
    }

    /// What takes it.
    pub(super) fn taken(&mut self, route: &ObjectId, backend: Option<&BackendId>) {
        self.route = route.to_string();
        self.backend = backend.map(ToString::to_string).unwrap_or_default();
    }

    /// Logs it at its end.
    pub(super) fn log(&self, status: u16, took: Duration, bytes: [u64; 2]) {
        let began = self.began.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.log.log(&Entry {
            stage: "filtered",
            nanos: i128::try_from(began.as_nanos()).unwrap_or_default(),
            client: self.client,
            secure: self.secure,
            method: self.method.as_str().as_bytes(),
            host: &self.host,
            target: self.uri.path_and_query().map(|target| target.as_str().as_bytes()).unwrap_or_default(),
            user_agent: self.user_agent.as_ref().map(HeaderValue::as_bytes).unwrap_or_default(),
            request_id: self.request_id.as_ref().map(HeaderValue::as_bytes).unwrap_or_default(),
            status,
            micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            bytes,
            route: self.route.as_bytes(),
            backend: self.backend.as_bytes(),
        });
    }
}

fn request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(REQUEST_ID).cloned()
}
