//! What a backend is told about the client of a relayed connection: the fields that Sōzu writes on the ports that it reads.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue};

const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Adds the client to the lists of forwarders, and replaces what it says itself about scheme, port and address. `id` names
/// the request, unless the client has.
pub fn forwarded(headers: &mut HeaderMap, client: SocketAddr, server: SocketAddr, secure: bool, id: u128) {
    let proto = if secure { "https" } else { "http" };
    append(headers, &FOR, &client.ip().to_string());
    append(headers, &FORWARDED, &format!("proto={proto};for=\"{client}\";by={}", node(server.ip())));
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(PROTO, proto);
    set(PORT, &server.port().to_string());
    set(REAL_IP, &client.ip().to_string());
    if !headers.contains_key(REQUEST_ID)
        && let Ok(value) = HeaderValue::from_str(&format!("{id:032x}"))
    {
        headers.insert(REQUEST_ID, value);
    }
}

/// The client of a request, as Sōzu says on a hop, or [`forwarded`] of a relayed connection.
pub fn client(headers: &HeaderMap) -> Option<IpAddr> {
    headers.get(REAL_IP)?.to_str().ok()?.parse().ok()
}

/// An address as `Forwarded` writes it (RFC 7239 §6).
fn node(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("\"[{ip}]\""),
    }
}

/// Adds a member to a list field, in one line.
fn append(headers: &mut HeaderMap, name: &HeaderName, member: &str) {
    let mut list: Vec<u8> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b", "[..]);
    if !list.is_empty() {
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(member.as_bytes());
    if let Ok(value) = HeaderValue::from_bytes(&list) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::forwarded;

    #[test]
    fn the_client_is_added_to_lists_and_believed_in_nothing_else() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-forwarded-for", "10.0.0.9"),
            ("x-forwarded-for", "10.0.0.8"),
            ("x-real-ip", "6.6.6.6"),
            ("x-forwarded-proto", "gopher"),
            ("x-forwarded-port", "1"),
            ("x-request-id", "mine"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        forwarded(&mut headers, "192.0.2.1:4444".parse().unwrap(), "[2001:db8::1]:8443".parse().unwrap(), true, 1);
        let mut lines: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        let expected = [
            "forwarded: proto=https;for=\"192.0.2.1:4444\";by=\"[2001:db8::1]\"",
            "x-forwarded-for: 10.0.0.9, 10.0.0.8, 192.0.2.1",
            "x-forwarded-port: 8443",
            "x-forwarded-proto: https",
            "x-real-ip: 192.0.2.1",
            "x-request-id: mine",
        ];
        assert_eq!(lines, expected);
        let mut headers = HeaderMap::new();
        forwarded(&mut headers, "192.0.2.1:4444".parse().unwrap(), "192.0.2.2:80".parse().unwrap(), false, 0xab);
        assert_eq!(headers["x-request-id"].len(), 32);
        assert_eq!(headers["forwarded"], "proto=http;for=\"192.0.2.1:4444\";by=192.0.2.2");
    }
}
