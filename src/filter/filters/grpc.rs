//! The proxy's own answers to gRPC calls: a status that clients of gRPC understand, in a head without a body (gRPC over HTTP/2,
//! "Trailers-Only").

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

const CONTENT_TYPE: &str = "application/grpc";

/// Whether a request is a gRPC call: `application/grpc`, alone or followed by `+` or `;`.
pub fn is_call(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let rest = value.split_at_checked(CONTENT_TYPE.len()).filter(|(kind, _)| kind.eq_ignore_ascii_case(CONTENT_TYPE.as_bytes()));
    rest.is_some_and(|(_, rest)| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// The answer to a call in place of an HTTP status: 200 with the `grpc-status` that gRPC assigns to it
/// ("HTTP to gRPC Status Code Mapping"); UNAVAILABLE for our own 500, which a rule without a valid backend has (Gateway API,
/// `GRPCRouteRule.backendRefs`).
pub fn answer_call(status: StatusCode) -> Response<Bytes> {
    let code = match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 500 | 502 | 503 | 504 => 14,
        _ => 2,
    };
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    headers.insert("grpc-status", HeaderValue::from(code));
    headers.insert("grpc-message", HeaderValue::from_static(status.canonical_reason().unwrap_or_default()));
    response
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::{answer_call, is_call};

    #[test]
    fn calls_are_known_by_their_content_type() {
        let is = |value: &'static str| is_call(&HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static(value))]));
        assert!(is("application/grpc") && is("application/grpc+proto") && is("Application/GRPC;x=y"));
        assert!(!is("application/grpc-web") && !is("application/json") && !is("") && !is_call(&HeaderMap::new()));
    }

    #[test]
    fn statuses_are_those_of_grpc() {
        for (status, code) in [(404, "12"), (503, "14"), (504, "14"), (500, "14"), (421, "2"), (400, "13")] {
            let answer = answer_call(StatusCode::from_u16(status).unwrap());
            assert_eq!((answer.status(), &answer.headers()["grpc-status"]), (StatusCode::OK, &HeaderValue::from_static(code)));
        }
    }
}
