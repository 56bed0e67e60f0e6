//! The host of a request and the form of its target.

use http::{HeaderMap, HeaderValue, Method, Uri, Version, header, uri};

use super::Refusal;

/// Makes `Host` the one place that names the host, and the target a path (or `*`).
///
/// An authority in the target (absolute form, HTTP/2) wins over `Host` (RFC 9112 §3.2.2). HTTP/1.0 may leave the host
/// out; it is then empty.
pub(super) fn settle(method: &Method, uri: &mut Uri, version: Version, headers: &mut HeaderMap) -> Result<(), Refusal> {
    if headers.get_all(header::HOST).iter().nth(1).is_some() {
        return Err(Refusal::Host);
    }
    if let Some(authority) = uri.authority() {
        // `GET host:port` has an authority and no scheme; only HTTP/2 and absolute form have both.
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(Refusal::Target);
        }
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Refusal::Host)?;
        headers.insert(header::HOST, host);
        let mut parts = uri::Parts::default();
        parts.path_and_query = uri.path_and_query().cloned();
        *uri = Uri::from_parts(parts).map_err(|_| Refusal::Target)?;
    }
    let whole_server = uri.path() == "*" && *method == Method::OPTIONS;
    if !whole_server && !uri.path().starts_with('/') {
        return Err(Refusal::Target);
    }
    match headers.get(header::HOST) {
        Some(host) if valid(host.as_bytes()) => Ok(()),
        None if version <= Version::HTTP_10 => {
            headers.insert(header::HOST, HeaderValue::from_static(""));
            Ok(())
        }
        Some(_) | None => Err(Refusal::Host),
    }
}

/// A registered name, an IPv4 address or a bracketed IPv6 address, with an optional port; also nothing at all, which a
/// client must send when its URL has no host.
fn valid(host: &[u8]) -> bool {
    let (name, port) = match host.iter().rposition(|byte| *byte == b':') {
        Some(colon) if !host.ends_with(b"]") => host.split_at(colon),
        _ => (host, &[][..]),
    };
    let digits = port.strip_prefix(b":").unwrap_or(port);
    let inside = match name {
        [b'[', inside @ .., b']'] => inside.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')),
        _ => name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(byte)),
    };
    inside && digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method, Uri, Version};

    use super::{settle, valid};
    use crate::filter::hygiene::Refusal;

    fn settled(uri: &str, version: Version, hosts: &[&str]) -> Result<(String, String), Refusal> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append("host", host.parse().unwrap());
        }
        let mut uri: Uri = uri.parse().unwrap();
        let method = if uri.path() == "*" { Method::OPTIONS } else { Method::GET };
        settle(&method, &mut uri, version, &mut headers)?;
        Ok((headers["host"].to_str().unwrap().to_owned(), uri.to_string()))
    }

    #[test]
    fn exactly_one_host() {
        assert_eq!(settled("/a?b", Version::HTTP_11, &["h:1"]), Ok(("h:1".into(), "/a?b".into())));
        assert_eq!(settled("/", Version::HTTP_11, &[]), Err(Refusal::Host));
        assert_eq!(settled("/", Version::HTTP_11, &["a", "a"]), Err(Refusal::Host));
        assert_eq!(settled("/", Version::HTTP_10, &[]), Ok((String::new(), "/".into())));
        assert_eq!(settled("/", Version::HTTP_11, &[""]), Ok((String::new(), "/".into())));
        assert_eq!(settled("*", Version::HTTP_11, &["h"]), Ok(("h".into(), "*".into())));
    }

    #[test]
    fn the_authority_of_the_target_wins() {
        assert_eq!(settled("http://b:8/x?y", Version::HTTP_11, &["a"]), Ok(("b:8".into(), "/x?y".into())));
        assert_eq!(settled("http://b", Version::HTTP_11, &["a"]), Ok(("b".into(), "/".into())));
        assert_eq!(settled("https://b/", Version::HTTP_2, &[]), Ok(("b".into(), "/".into())));
        assert_eq!(settled("http://u@b/", Version::HTTP_11, &["b"]), Err(Refusal::Host));
        assert_eq!(settled("ftp://b/", Version::HTTP_11, &["b"]), Err(Refusal::Target));
        assert_eq!(settled("b:80", Version::HTTP_11, &["b"]), Err(Refusal::Target));
        assert_eq!(settled("http://b/", Version::HTTP_11, &["a", "b"]), Err(Refusal::Host));
    }

    #[test]
    fn hosts() {
        for good in ["a", "a.b:80", "a:", "[::1]", "[::1]:8080", "127.0.0.1", "a_b", "a.", "xn--a"] {
            assert!(valid(good.as_bytes()), "{good}");
        }
        for bad in ["a/b", "a b", "u@h", "a:b", "a:123456", "[::1", "[g]", "a,b", "a\\b", "a?b", "a#b", "[::1]x", "a:80:80"] {
            assert!(!valid(bad.as_bytes()), "{bad}");
        }
    }
}
