//! Answers that the proxy makes itself.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};

/// A short text for people, e.g. `404 Not Found`; without a body for `HEAD`, with the length it would have had.
///
pub fn answer(status: StatusCode, method: &Method) -> Response<Bytes> {
    let text = match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    };
    let length = text.len();
    let mut response = Response::new(if *method == Method::HEAD { Bytes::new() } else { Bytes::from(text) });
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode, header};

    use super::answer;

    #[test]
    fn a_head_request_gets_the_length_without_the_body() {
        let get = answer(StatusCode::NOT_FOUND, &Method::GET);
        let head = answer(StatusCode::NOT_FOUND, &Method::HEAD);
        assert_eq!(get.body(), "404 Not Found");
        assert!(head.body().is_empty());
        assert_eq!(get.headers()[header::CONTENT_LENGTH], head.headers()[header::CONTENT_LENGTH]);
    }
}
