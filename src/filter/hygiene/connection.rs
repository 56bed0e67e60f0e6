//! Fields that belong to one connection (RFC 9110 §7.6.1).

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::Refusal;
use super::names::{self, FRAMING, OURS};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Whether a list field holds `token` (ASCII letters in any case).
pub(super) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers.get_all(name).iter().any(|value| tokens(value).any(|own| own.eq_ignore_ascii_case(token.as_bytes())))
}

/// The members of one line of a list field.
pub(super) fn tokens(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// Removes the fields that `Connection` nominates. What the edge says about the client is not the client's to take away:
/// such a nomination is passed over.
///
/// # Errors
/// [`Refusal::Nomination`] when a field that frames the message or names its host is among them.
pub(super) fn strip_nominated(headers: &mut HeaderMap) -> Result<(), Refusal> {
    let is_of = |names: &[&str], token: &[u8]| names.iter().any(|name| token.eq_ignore_ascii_case(name.as_bytes()));
    let mut nominated = Vec::new();
    let mut result = Ok(());
    for token in headers.get_all(header::CONNECTION).iter().flat_map(tokens) {
        if is_of(&["close", "keep-alive", "upgrade", "te"], token) || is_of(&OURS, token) {
            continue;
        }
        if is_of(&FRAMING, token) {
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
    for name in FRAMING.iter().chain(&OURS) {
        trailers.remove(*name);
    }
    names::drop_twins(trailers, false);
    names::drop_claims(trailers);
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

    use super::{clean_trailers, strip, strip_nominated};
    use crate::filter::hygiene::Refusal;
    use crate::model::HOP_FIELD;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn nominated_fields_go_and_those_that_frame_refuse() {
        let mut some =
            headers(&[("connection", "X-Gone, close"), ("connection", " x-too,,"), ("x-gone", "1"), ("x-too", "1"), ("x-stay", "1")]);
        strip_nominated(&mut some).unwrap();
        assert!(!some.contains_key("x-gone") && !some.contains_key("x-too") && some.contains_key("x-stay"));
        for framing in ["Host", "content-length", "Transfer-Encoding"] {
            let mut some = headers(&[]);
            some.insert("connection", framing.parse().unwrap());
            assert_eq!(strip_nominated(&mut some), Err(Refusal::Nomination), "{framing}");
        }
    }

    #[test]
    fn what_the_edge_says_outlives_its_nomination() {
        let mut some = headers(&[
            ("connection", "close, X-Real-IP, x-forwarded-proto"),
            ("connection", "X-Kakehi-Hop, x-gone"),
            ("x-real-ip", "1.1.1.1"),
            ("x-forwarded-proto", "https"),
            ("x-kakehi-hop", "80"),
            ("x-gone", "1"),
        ]);
        strip_nominated(&mut some).unwrap();
        let left: Vec<_> = some.keys().map(|name| name.as_str()).collect();
        assert_eq!(left, ["connection", "x-real-ip", "x-forwarded-proto", "x-kakehi-hop"]);
        assert_eq!(crate::filter::hygiene::HOP.as_str(), HOP_FIELD);
    }

    #[test]
    fn trailers_say_nothing_that_a_head_may_not() {
        let mut some = headers(&[("content_length", "3"), ("x_real_ip", "1"), ("x-original-url", "/"), ("x-real-ip", "1"), ("x-sum", "7")]);
        clean_trailers(&mut some);
        assert_eq!(some.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["x-sum"]);
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
