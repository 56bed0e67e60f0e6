//! Responses on their way to the client.

use http::response::Parts;
use http::{HeaderMap, StatusCode, Version, header};

use super::Upgrade;
use super::connection::{single_length, strip, strip_nominated};

/// Takes out what belongs to the connection to the backend.
///
/// A length beside `Transfer-Encoding` is dropped: the body was read as chunked, so the length is a lie. A nomination of
/// a protected field is ignored.
pub fn clean(parts: &mut Parts) {
    let headers = &mut parts.headers;
    if headers.contains_key(header::CONNECTION) {
        // What a backend nominates beyond its rights stays in place.
        strip_nominated(headers).unwrap_or_default();
    }
    if headers.contains_key(header::TRANSFER_ENCODING) || parts.status == StatusCode::NO_CONTENT {
        headers.remove(header::CONTENT_LENGTH);
    } else {
        single_length(headers);
    }
    strip(headers);
    parts.version = Version::HTTP_11;
}

/// The same for the answer of a backend that changed its protocol as `upgrade` asked for: the protocol stays, so that the
/// client may change to it.
pub fn clean_upgraded(parts: &mut Parts, upgrade: &Upgrade) {
    let protocol = parts.headers.remove(header::UPGRADE).unwrap_or_else(|| upgrade.protocol.clone());
    clean(parts);
    if !upgrade.extended {
        parts.headers.insert(header::UPGRADE, protocol);
    }
    upgrade.answer(parts);
}

/// How many bytes the fields of a head take in HTTP/1.1, with the line that ends them.
pub fn head_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum::<usize>() + "\r\n".len()
}

#[cfg(test)]
mod tests {
    use http::response::Parts;
    use http::{Request, Response, Version};

    use super::{clean, clean_upgraded};
    use crate::filter::hygiene::{Upgrade, admit};

    fn parts(status: u16, lines: &[(&str, &str)]) -> Parts {
        let mut response = Response::builder().status(status).version(Version::HTTP_2);
        for (name, value) in lines {
            response = response.header(*name, *value);
        }
        response.body(()).unwrap().into_parts().0
    }

    #[test]
    fn connection_fields_go_and_the_version_is_ours() {
        let mut some =
            parts(200, &[("connection", "x-own"), ("x-own", "1"), ("keep-alive", "5"), ("upgrade", "h2c"), ("trailer", "x"), ("x", "1")]);
        clean(&mut some);
        assert_eq!(some.headers.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["trailer", "x"]);
        assert_eq!(some.version, Version::HTTP_11);
    }

    #[test]
    fn lengths_that_lie_go() {
        for (status, lines) in [(200, &[("transfer-encoding", "chunked"), ("content-length", "3")][..]), (204, &[("content-length", "3")])]
        {
            let mut some = parts(status, lines);
            clean(&mut some);
            assert!(some.headers.is_empty(), "{status}");
        }
        let mut kept = parts(304, &[("content-length", "3"), ("connection", "content-length")]);
        clean(&mut kept);
        assert_eq!(kept.headers["content-length"], "3");
    }

    fn upgrade(version: Version) -> Upgrade {
        let mut request = Request::builder().version(version);
        request = match version {
            Version::HTTP_2 => request.method("CONNECT").uri("https://h/").extension(hyper::ext::Protocol::from_static("websocket")),
            _ => {
                request.header("host", "h").header("connection", "upgrade").header("upgrade", "websocket").header("sec-websocket-key", "x")
            }
        };
        admit(&mut request.body(()).unwrap().into_parts().0, false).unwrap().unwrap()
    }

    #[test]
    fn an_accepted_upgrade_stays() {
        let answer = || parts(101, &[("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-accept", "x")]);
        let mut some = answer();
        clean_upgraded(&mut some, &upgrade(Version::HTTP_11));
        assert_eq!((&some.headers["connection"], &some.headers["upgrade"]), (&"upgrade".parse().unwrap(), &"websocket".parse().unwrap()));
        assert_eq!(some.headers["sec-websocket-accept"], "x");
        let mut some = answer();
        clean_upgraded(&mut some, &upgrade(Version::HTTP_2));
        assert!(some.status == 200 && some.headers.is_empty());
        // From a backend of HTTP/2: the proof is ours.
        let mut some = parts(200, &[("sec-websocket-protocol", "chat")]);
        clean_upgraded(&mut some, &upgrade(Version::HTTP_11));
        assert_eq!((some.status.as_u16(), some.headers.len()), (101, 4));
        assert!(some.headers["sec-websocket-accept"].len() == 28 && some.headers["upgrade"] == "websocket");
    }
}
