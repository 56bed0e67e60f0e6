//! What a backend is told about the client of a relayed connection: the fields that Sōzu writes on the ports that it reads.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue};

const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What backends are told of one connection, ready to be written.
#[derive(Debug)]
pub struct Forwarded {
    address: HeaderValue,
    member: HeaderValue,
    proto: HeaderValue,
    port: HeaderValue,
}

impl Forwarded {
    /// Of a connection from `client` to `server`, with TLS or without.
    pub fn new(client: SocketAddr, server: SocketAddr, secure: bool) -> Self {
        let proto = if secure { "https" } else { "http" };
        let member = format!("proto={proto};for=\"{client}\";by={}", node(server.ip()));
        // Addresses have no bytes that a field could not hold.
        let value = |text: String| HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        Self {
            address: value(client.ip().to_string()),
            member: value(member),
            proto: HeaderValue::from_static(proto),
            port: HeaderValue::from(server.port()),
        }
    }

    /// Adds the client to the lists of forwarders, and replaces what it says itself about scheme, port and address. `id` names
    /// the request, unless the client has.
    pub fn write(&self, headers: &mut HeaderMap, id: u128) {
        append(headers, &FOR, &self.address);
        append(headers, &FORWARDED, &self.member);
        headers.insert(PROTO, self.proto.clone());
        headers.insert(PORT, self.port.clone());
        headers.insert(REAL_IP, self.address.clone());
        if !headers.contains_key(REQUEST_ID)
            && let Ok(value) = HeaderValue::try_from(format!("{id:032x}"))
        {
            headers.insert(REQUEST_ID, value);
        }
    }
}

/// An address as `Forwarded` writes it (RFC 7239 §6).
fn node(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("\"[{ip}]\""),
    }
}

/// Adds a member to a list field, in one line.
fn append(headers: &mut HeaderMap, name: &HeaderName, member: &HeaderValue) {
    if !headers.contains_key(name) {
        headers.insert(name, member.clone());
        return;
    }
    let held = headers.get_all(name).iter().chain([member]).map(HeaderValue::as_bytes).filter(|held| !held.is_empty());
    if let Ok(value) = HeaderValue::from_bytes(&held.collect::<Vec<_>>().join(&b", "[..])) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::Forwarded;

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
        Forwarded::new("192.0.2.1:4444".parse().unwrap(), "[2001:db8::1]:8443".parse().unwrap(), true).write(&mut headers, 1);
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
        Forwarded::new("192.0.2.1:4444".parse().unwrap(), "192.0.2.2:80".parse().unwrap(), false).write(&mut headers, 0xab);
        assert_eq!(headers["x-request-id"].len(), 32);
        assert_eq!(headers["forwarded"], "proto=http;for=\"192.0.2.1:4444\";by=192.0.2.2");
    }
}
