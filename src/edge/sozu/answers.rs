//! Answers that Sōzu makes itself, in the filter's words (law 7: both stages answer alike) and without names of clusters.

use std::collections::BTreeMap;

/// Statuses that Sōzu answers by itself on an HTTP listener.
const STATUSES: [(u16, &str); 8] = [
    (400, "Bad Request"),
    (404, "Not Found"),
    (408, "Request Timeout"),
    (413, "Payload Too Large"),
    (421, "Misdirected Request"),
    (502, "Bad Gateway"),
    (503, "Service Unavailable"),
    (504, "Gateway Timeout"),
];

/// Templates by status, as a listener takes them. Each closes the connection: Sōzu sends the body on `HEAD` too.
pub(super) fn templates() -> BTreeMap<String, String> {
    STATUSES.iter().map(|(status, reason)| (status.to_string(), template(*status, reason))).collect()
}

fn template(status: u16, reason: &str) -> String {
    let body = format!("{status} {reason}");
    format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\nSozu-Id: %REQUEST_ID\r\n\r\n{body}",
        body.len()
    )
}
