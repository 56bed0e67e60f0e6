//! Fields that belong to one connection (RFC 9110 §7.6.1).

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::Refusal;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Fields that `Connection` may not take away: they frame the message, name its host, or carry what the edge says about
/// the client.
const PROTECTED: [&str; 11] = [
    "host",
    "content-length",
    "transfer-encoding",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-host",
    "x-real-ip",
    "x-request-id",
    HOP_NAME,
];

const HOP_NAME: &str = "x-kakehi-hop";

/// Whether a list field holds `token` (ASCII letters in any case).
pub(super) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers.get_all(name).iter().any(|value| tokens(value).any(|own| own.eq_ignore_ascii_case(token.as_bytes())))
}

/// The members of one line of a list field.
pub(super) fn tokens(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// Removes the fields that `Connection` nominates, except protected ones.
///
/// # Errors
/// [`Refusal::Nomination`] when a protected one is among them.
pub(super) fn strip_nominated(headers: &mut HeaderMap) -> Result<(), Refusal> {
    let mut nominated = Vec::new();
    let mut result = Ok(());
    for token in headers.get_all(header::CONNECTION).iter().flat_map(tokens) {
        if [&b"close"[..], b"keep-alive", b"upgrade", b"te"].iter().any(|known| token.eq_ignore_ascii_case(known)) {
            continue;
        }
        if PROTECTED.iter().any(|name| token.eq_ignore_ascii_case(name.as_bytes())) {
            result = Err(Refusal::Nomination);
        } else {
            nominated.extend(HeaderName::from_bytes(token));
        }
    }
    for name in nominated {
        headers.remove(name);
    }
    result
}

/// Removes the fields that belong to the connection, framing included; `TE` stays when it asks for trailers.
pub(super) fn strip(headers: &mut HeaderMap) {
    let trailers = headers.contains_key(header::TE) && has_token(headers, &header::TE, "trailers");
    for name in [header::CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, header::TE, HTTP2_SETTINGS] {
        headers.remove(name);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// Takes out of a request's trailers what only a head may say, and what the edge says there about the client: some backends
/// merge the two.
pub fn clean_trailers(trailers: &mut HeaderMap) {
    for name in PROTECTED {
        trailers.remove(name);
    }
    strip(trailers);
}

/// Leaves one line of `Content-Length`, the first: the parser has seen to it that all are equal.
pub(super) fn single_length(headers: &mut HeaderMap) {
    let mut lines = headers.get_all(header::CONTENT_LENGTH).iter();
    if let (Some(first), Some(_)) = (lines.next(), lines.next()) {
        let first = first.clone();
        headers.insert(header::CONTENT_LENGTH, first);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{HOP_NAME, strip, strip_nominated};
    use crate::filter::hygiene::Refusal;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn nominated_fields_go_and_protected_ones_refuse() {
        let mut some =
            headers(&[("connection", "X-Gone, close"), ("connection", " x-too,,"), ("x-gone", "1"), ("x-too", "1"), ("x-stay", "1")]);
        strip_nominated(&mut some).unwrap();
        assert!(!some.contains_key("x-gone") && !some.contains_key("x-too") && some.contains_key("x-stay"));
        for protected in ["Host", "content-length", "X-Forwarded-For", "x-real-ip", "Transfer-Encoding", "X-Kakehi-Hop"] {
            let mut some = headers(&[]);
            some.insert("connection", protected.parse().unwrap());
            assert_eq!(strip_nominated(&mut some), Err(Refusal::Nomination), "{protected}");
        }
        assert_eq!(crate::filter::hygiene::HOP.as_str(), HOP_NAME);
    }

    #[test]
    fn connection_fields_go_and_te_keeps_trailers_only() {
        let mut some = headers(&[
            ("connection", "keep-alive"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "AA"),
            ("te", "gzip, Trailers"),
            ("trailer", "x-sum"),
        ]);
        strip(&mut some);
        let left: Vec<_> = some.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(left, [("trailer", "x-sum"), ("te", "trailers")]);
        let mut gzip = headers(&[("te", "gzip")]);
        strip(&mut gzip);
        assert!(gzip.is_empty());
    }
}
