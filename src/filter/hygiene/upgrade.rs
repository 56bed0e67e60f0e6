//! Changing a connection's protocol: by `Upgrade` in HTTP/1.1 (RFC 9110 §7.8), by extended CONNECT in HTTP/2 (RFC 8441).
//! Either side may speak either version; between versions only a WebSocket can change.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::request;
use http::response;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, Version, header};
use hyper::ext::Protocol;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use super::Refusal;
use super::connection::{has_token, tokens};

/// What a server appends to a client's key before it proves that it has read it (RFC 6455 §4.2.2).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const KEY: HeaderName = header::SEC_WEBSOCKET_KEY;
const ACCEPT: HeaderName = header::SEC_WEBSOCKET_ACCEPT;
const WEBSOCKET: &str = "websocket";

/// The protocol that a client wants to change to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// Its name.
    pub protocol: HeaderValue,
    /// It was asked for by an extended CONNECT, whose answer is a plain success.
    pub extended: bool,
    /// The proof of a WebSocket's server; none for other protocols, and without a key.
    accept: Option<HeaderValue>,
}

/// What the head of a backend's answer says about the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// It stays; the answer is one like any other.
    Stays,
    /// It changes to the one that was asked for.
    Changes,
    /// The answer does not fit what was asked for: passed on, it would make a tunnel that one side knows nothing of.
    Strange,
}

impl Upgrade {
    /// Whether the protocol has a form in every version of HTTP.
    pub fn is_websocket(&self) -> bool {
        self.protocol.as_bytes().eq_ignore_ascii_case(WEBSOCKET.as_bytes())
    }

    /// Whether a client of HTTP/1.1 wants a WebSocket without the key that its answer is made of.
    pub fn lacks_key(&self) -> bool {
        self.is_websocket() && self.accept.is_none()
    }

    /// Asks a backend of HTTP/1.1 for it.
    pub(super) fn towards_h1(&self, parts: &mut request::Parts) {
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(header::UPGRADE, self.protocol.clone());
    }

    /// Asks a backend of HTTP/2 for a WebSocket.
    pub(super) fn towards_h2(parts: &mut request::Parts) {
        parts.method = Method::CONNECT;
        parts.headers.remove(KEY);
        parts.extensions.insert(Protocol::from_static(WEBSOCKET));
    }

    /// What a backend's answer does, however the backend was asked.
    pub fn judge<B>(upgrade: Option<&Self>, answer: &Response<B>) -> Switch {
        let Some(upgrade) = upgrade else {
            return if answer.status() == StatusCode::SWITCHING_PROTOCOLS { Switch::Strange } else { Switch::Stays };
        };
        let asked_by_connect = answer.version() == Version::HTTP_2;
        match answer.status() {
            StatusCode::SWITCHING_PROTOCOLS if asked_by_connect => Switch::Strange,
            // A client of HTTP/1.1 checks the proof itself.
            StatusCode::SWITCHING_PROTOCOLS if upgrade.extended && answer.headers().get(ACCEPT) != upgrade.accept.as_ref() => {
                Switch::Strange
            }
            StatusCode::SWITCHING_PROTOCOLS => Switch::Changes,
            StatusCode::OK if asked_by_connect => Switch::Changes,
            // Either side of HTTP/2 would take it for a tunnel.
            other if other.is_success() && (asked_by_connect || upgrade.extended) => Switch::Strange,
            _ => Switch::Stays,
        }
    }

    /// Makes the cleaned head of a backend that changed its protocol one that the client understands.
    pub(super) fn answer(&self, parts: &mut response::Parts) {
        parts.headers.remove(header::CONTENT_LENGTH);
        if self.extended {
            parts.status = StatusCode::OK;
            parts.headers.remove(ACCEPT);
            return;
        }
        parts.status = StatusCode::SWITCHING_PROTOCOLS;
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        if let Some(accept) = &self.accept
            && !parts.headers.contains_key(ACCEPT)
        {
            parts.headers.insert(ACCEPT, accept.clone());
        }
    }
}

/// A WebSocket over HTTP/2 becomes the request that HTTP/1.1 makes for one (RFC 8441 §5); any other `CONNECT` is refused.
pub(super) fn extended_connect(parts: &mut request::Parts) -> Result<Option<Upgrade>, Refusal> {
    if parts.method != Method::CONNECT {
        return Ok(None);
    }
    match parts.extensions.remove::<Protocol>() {
        Some(protocol) if protocol.as_str().eq_ignore_ascii_case(WEBSOCKET) => {
            parts.method = Method::GET;
            let key = STANDARD.encode(rand::random::<[u8; 16]>());
            let accept = accept_of(key.as_bytes());
            parts.headers.insert(KEY, HeaderValue::try_from(key).map_err(|_| Refusal::Connect)?);
            Ok(Some(Upgrade { protocol: HeaderValue::from_static(WEBSOCKET), extended: true, accept }))
        }
        _ => Err(Refusal::Connect),
    }
}

/// The wanted protocol, unless it is another version of HTTP, or TLS for the same (RFC 2817): a tunnel of those would carry
/// requests past every rule.
pub(super) fn wanted(parts: &request::Parts) -> Option<Upgrade> {
    let mut lines = parts.headers.get_all(header::UPGRADE).iter();
    let (value, None) = (lines.next()?, lines.next()) else { return None };
    let http = |token: &[u8]| {
        let token = token.to_ascii_lowercase();
        [&b"h2c"[..], b"http/", b"tls/"].iter().any(|start| token.starts_with(start))
    };
    if !has_token(&parts.headers, &header::CONNECTION, "upgrade") || tokens(value).any(http) {
        return None;
    }
    let mut upgrade = Upgrade { protocol: value.clone(), extended: false, accept: None };
    if upgrade.is_websocket() {
        upgrade.accept = parts.headers.get(KEY).and_then(|key| accept_of(key.as_bytes()));
    }
    Some(upgrade)
}

/// The proof that a server has read a key.
fn accept_of(key: &[u8]) -> Option<HeaderValue> {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat());
    HeaderValue::try_from(STANDARD.encode(hash)).ok()
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Response, Version};

    use super::{Switch, Upgrade, accept_of};

    /// The key and the proof of RFC 6455 §1.3.
    #[test]
    fn the_proof_is_that_of_the_specification() {
        assert_eq!(accept_of(b"dGhlIHNhbXBsZSBub25jZQ==").unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn an_answer_changes_the_protocol_only_when_it_was_asked_for_in_its_own_way() {
        let websocket =
            |extended| Upgrade { protocol: HeaderValue::from_static("websocket"), extended, accept: Some(HeaderValue::from_static("yes")) };
        let judged = |upgrade: Option<Upgrade>, version, status: u16, accept: &str| {
            let answer = Response::builder().status(status).version(version).header("sec-websocket-accept", accept).body(()).unwrap();
            Upgrade::judge(upgrade.as_ref(), &answer)
        };
        let table = [
            (None, Version::HTTP_11, 101, Switch::Strange),
            (None, Version::HTTP_2, 101, Switch::Strange),
            (None, Version::HTTP_11, 200, Switch::Stays),
            (Some(false), Version::HTTP_11, 101, Switch::Changes),
            (Some(false), Version::HTTP_11, 200, Switch::Stays),
            (Some(false), Version::HTTP_11, 400, Switch::Stays),
            (Some(true), Version::HTTP_11, 101, Switch::Changes),
            (Some(true), Version::HTTP_11, 200, Switch::Strange),
            (Some(true), Version::HTTP_11, 204, Switch::Strange),
            (Some(true), Version::HTTP_11, 404, Switch::Stays),
            (Some(true), Version::HTTP_2, 200, Switch::Changes),
            (Some(false), Version::HTTP_2, 200, Switch::Changes),
            (Some(false), Version::HTTP_2, 204, Switch::Strange),
            (Some(false), Version::HTTP_2, 101, Switch::Strange),
            (Some(false), Version::HTTP_2, 403, Switch::Stays),
        ];
        for (asked, version, status, expected) in table {
            assert_eq!(judged(asked.map(websocket), version, status, "yes"), expected, "{asked:?} {version:?} {status}");
        }
        assert_eq!(judged(Some(websocket(true)), Version::HTTP_11, 101, "no"), Switch::Strange);
        assert_eq!(judged(Some(websocket(false)), Version::HTTP_11, 101, "no"), Switch::Changes);
    }
}
