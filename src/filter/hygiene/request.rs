//! Requests: what is admitted, and how it is written to a backend.

use std::borrow::Cow;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Uri, Version, header, uri};

use super::connection::{single_length, strip, strip_nominated};
use super::upgrade::{self, Upgrade};
use super::{HOP, Refusal, host};
use crate::model::PathForm;

/// Checks a request and takes out everything that belongs to the connection it came by. `body` says whether it has one. The
/// protocol that it wants to change to is returned, where a tunnel may be offered.
///
/// # Errors
/// [`Refusal`]: the request is answered, not passed on.
pub fn admit(parts: &mut Parts, body: bool) -> Result<Option<Upgrade>, Refusal> {
    let extended = upgrade::extended_connect(parts)?;
    host::settle(&parts.method, &mut parts.uri, parts.version, &mut parts.headers)?;
    let headers = &mut parts.headers;
    if headers.contains_key(header::CONNECTION) {
        strip_nominated(headers)?;
    }
    if let Some(expectation) = headers.remove(header::EXPECT)
        && !expectation.as_bytes().eq_ignore_ascii_case(b"100-continue")
    {
        return Err(Refusal::Expectation);
    }
    let wanted = if body || parts.version != Version::HTTP_11 { None } else { upgrade::wanted(parts) };
    let headers = &mut parts.headers;
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
    } else {
        single_length(headers);
    }
    strip(headers);
    if parts.version == Version::HTTP_2 {
        join_cookies(headers);
    }
    Ok(extended.or(wanted))
}

/// Gives the path of a target the form that the port wants.
///
/// # Errors
/// [`Refusal::Path`] where it wants none that can be read in two ways.
pub fn settle_path(target: &mut Uri, form: PathForm) -> Result<(), Refusal> {
    let Some(held) = target.path_and_query().filter(|_| !form.is_keep()) else { return Ok(()) };
    if let Cow::Owned(settled) = form.settle(held.as_str())? {
        let mut parts = target.clone().into_parts();
        parts.path_and_query = Some(settled.try_into().map_err(|_| Refusal::Target)?);
        *target = Uri::from_parts(parts).map_err(|_| Refusal::Target)?;
    }
    Ok(())
}

/// Makes one line of the cookies that HTTP/2 lets a client send in several: backends of HTTP/1.1 read one line only, or join
/// several by commas (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let lines: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if lines.len() > 1
        && let Ok(joined) = HeaderValue::try_from(lines.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, joined);
    }
}

/// Takes the port of the listener out of a request that came over the hop.
///
/// # Errors
/// [`Refusal::Hop`] when it names none, or several.
pub fn hop_port(headers: &mut HeaderMap) -> Result<u16, Refusal> {
    let mut ports = headers.get_all(HOP).iter();
    let port = match (ports.next(), ports.next()) {
        (Some(port), None) => port.to_str().ok().and_then(|text| text.parse().ok()),
        _ => None,
    };
    headers.remove(HOP);
    port.ok_or(Refusal::Hop)
}

/// Readies a request for an HTTP/1.1 backend. `streamed` says that it has a body of unknown length, which is framed
/// explicitly because the client library assumes that `GET` and `HEAD` have none.
pub fn towards_h1(parts: &mut Parts, streamed: bool, upgrade: Option<&Upgrade>) {
    parts.version = Version::HTTP_11;
    if streamed {
        parts.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    } else if upgrade.is_none() && means_a_body(&parts.method) && !parts.headers.contains_key(header::CONTENT_LENGTH) {
        // HTTP/2 says by its frames that there is none, and strict servers answer 411 to silence.
        parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    if let Some(upgrade) = upgrade {
        upgrade.towards_h1(parts);
    } else if parts.headers.contains_key(header::TE) {
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
    }
}

/// Whether a method is expected to bring a body, so that a request without one says so (RFC 9110 §8.6).
fn means_a_body(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH].contains(method)
}

/// Readies a request for an HTTP/2 backend: the host moves into `:authority`. Of upgrades only a WebSocket can be asked for.
///
/// # Errors
/// [`Refusal::Host`] when the host is empty, which `:authority` cannot be; [`Refusal::Key`] for a WebSocket without a key.
pub fn towards_h2(parts: &mut Parts, upgrade: Option<&Upgrade>) -> Result<(), Refusal> {
    parts.version = Version::HTTP_2;
    let host = parts.headers.remove(header::HOST).ok_or(Refusal::Host)?;
    let mut target = uri::Parts::default();
    target.scheme = Some(uri::Scheme::HTTP);
    target.authority = Some(uri::Authority::try_from(host.as_bytes()).map_err(|_| Refusal::Host)?);
    target.path_and_query = parts.uri.path_and_query().cloned();
    parts.uri = Uri::from_parts(target).map_err(|_| Refusal::Target)?;
    match upgrade {
        Some(upgrade) if upgrade.lacks_key() => Err(Refusal::Key),
        Some(_) => {
            Upgrade::towards_h2(parts);
            Ok(())
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use http::request::Parts;
    use http::{Request, Version};
    use proptest::prelude::*;

    use super::{Upgrade, admit, hop_port, towards_h1, towards_h2};
    use crate::filter::hygiene::Refusal;

    fn parts(method: &str, lines: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri("/p?q");
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn admitted(method: &str, lines: &[(&str, &str)]) -> (Result<Option<Upgrade>, Refusal>, Parts) {
        let mut parts = parts(method, lines);
        (admit(&mut parts, false), parts)
    }

    const HOST: (&str, &str) = ("host", "h");
    const HOP: (&str, &str) = ("x-kakehi-hop", "8080");

    #[test]
    fn the_hop_port_is_read_once_and_taken_out() {
        let (_, mut parts) = admitted("GET", &[HOST, HOP]);
        assert_eq!(hop_port(&mut parts.headers), Ok(8080));
        assert!(!parts.headers.contains_key("x-kakehi-hop"));
        for bad in [&[HOST][..], &[HOST, HOP, HOP], &[HOST, ("x-kakehi-hop", "x")], &[HOST, ("x-kakehi-hop", "70000")]] {
            let (_, mut parts) = admitted("GET", bad);
            assert_eq!(hop_port(&mut parts.headers), Err(Refusal::Hop));
            assert!(!parts.headers.contains_key("x-kakehi-hop"));
        }
    }

    #[test]
    fn connect_and_unknown_expectations_are_refused() {
        assert_eq!(admitted("CONNECT", &[HOST, HOP]).0, Err(Refusal::Connect));
        assert_eq!(admitted("POST", &[HOST, HOP, ("expect", "tea")]).0, Err(Refusal::Expectation));
        let (result, parts) = admitted("POST", &[HOST, HOP, ("expect", "100-Continue")]);
        assert!(result.is_ok() && !parts.headers.contains_key("expect"));
    }

    #[test]
    fn transfer_encoding_drops_the_length_and_equal_lengths_become_one() {
        let (_, parts) = admitted("POST", &[HOST, HOP, ("transfer-encoding", "chunked"), ("content-length", "3")]);
        assert!(!parts.headers.contains_key("content-length") && !parts.headers.contains_key("transfer-encoding"));
        let (_, parts) = admitted("POST", &[HOST, HOP, ("content-length", "3"), ("content-length", "3")]);
        assert_eq!(parts.headers.get_all("content-length").iter().count(), 1);
    }

    #[test]
    fn an_upgrade_is_offered_unless_it_is_http_or_has_a_body() {
        let upgrade = |protocol| {
            admitted("GET", &[HOST, HOP, ("connection", "Upgrade"), ("upgrade", protocol)]).0.unwrap().map(|upgrade| upgrade.protocol)
        };
        assert_eq!(upgrade("websocket").unwrap(), "websocket");
        assert_eq!(upgrade("SPDY/3.1").unwrap(), "SPDY/3.1");
        for http in ["h2c", "H2C", "HTTP/2.0", "TLS/1.2", "websocket, h2c"] {
            assert_eq!(upgrade(http), None, "{http}");
        }
        assert_eq!(admitted("GET", &[HOST, HOP, ("upgrade", "websocket")]).0, Ok(None));
        let mut with_body = parts("POST", &[HOST, HOP, ("connection", "upgrade"), ("upgrade", "websocket")]);
        assert_eq!(admit(&mut with_body, true), Ok(None));
    }

    #[test]
    fn cookies_of_http2_become_one_line() {
        let lines = [("cookie", "a=1"), ("cookie", "b=2; c=3"), ("x", "1"), ("cookie", "d=4")];
        let cookies = |version| {
            let mut parts = parts("GET", &[&[HOST][..], &lines].concat());
            parts.version = version;
            admit(&mut parts, false).unwrap();
            parts.headers.get_all("cookie").iter().map(|line| line.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(cookies(Version::HTTP_2), ["a=1; b=2; c=3; d=4"]);
        assert_eq!(cookies(Version::HTTP_11), ["a=1", "b=2; c=3", "d=4"], "they pass as they came");
    }

    #[test]
    fn a_request_without_the_body_that_its_method_means_says_so() {
        let length = |method, lines: &[_], streamed| {
            let mut parts = parts(method, lines);
            towards_h1(&mut parts, streamed, None);
            parts.headers.get("content-length").map(|length| length.to_str().unwrap().to_owned())
        };
        for method in ["POST", "PUT", "PATCH"] {
            assert_eq!(length(method, &[HOST], false).as_deref(), Some("0"), "{method}");
            assert_eq!(length(method, &[HOST], true), None, "{method}");
            assert_eq!(length(method, &[HOST, ("content-length", "3")], false).as_deref(), Some("3"), "{method}");
        }
        for method in ["GET", "DELETE", "OPTIONS"] {
            assert_eq!(length(method, &[HOST], false), None, "{method}");
        }
    }

    fn parts_of_websocket() -> Parts {
        let request = Request::builder().method("CONNECT").uri("https://h/p").version(Version::HTTP_2);
        let request = request.header("sec-websocket-version", "13").extension(hyper::ext::Protocol::from_static("websocket"));
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_websocket_over_http2_becomes_one_over_either_version() {
        let mut parts = parts_of_websocket();
        let upgrade = admit(&mut parts, false).unwrap().unwrap();
        assert!(upgrade.extended && parts.headers.contains_key("sec-websocket-key"));
        towards_h1(&mut parts, false, Some(&upgrade));
        assert_eq!((parts.method.as_str(), parts.uri.to_string().as_str(), &parts.headers["host"]), ("GET", "/p", &"h".parse().unwrap()));
        let mut parts = parts_of_websocket();
        let upgrade = admit(&mut parts, false).unwrap().unwrap();
        towards_h2(&mut parts, Some(&upgrade)).unwrap();
        assert_eq!((parts.method.as_str(), parts.uri.to_string().as_str()), ("CONNECT", "http://h/p"));
        assert!(!parts.headers.contains_key("sec-websocket-key") && parts.extensions.get::<hyper::ext::Protocol>().is_some());
        let mut other = Request::builder().method("CONNECT").uri("https://h/p").extension(hyper::ext::Protocol::from_static("connect-udp"));
        other = other.version(Version::HTTP_2);
        assert_eq!(admit(&mut other.body(()).unwrap().into_parts().0, false), Err(Refusal::Connect));
    }

    #[test]
    fn a_websocket_over_http1_becomes_one_over_http2_if_it_can_be_answered() {
        let asked = [HOST, ("connection", "upgrade"), ("upgrade", "WebSocket"), ("sec-websocket-key", "x")];
        let (result, mut parts) = admitted("GET", &asked);
        towards_h2(&mut parts, result.unwrap().as_ref()).unwrap();
        assert_eq!(parts.method, "CONNECT");
        let (result, mut parts) = admitted("GET", &asked[..3]);
        assert_eq!(towards_h2(&mut parts, result.unwrap().as_ref()), Err(Refusal::Key));
    }

    #[test]
    fn requests_are_written_for_the_backend_protocol() {
        let (result, mut parts) = admitted("GET", &[HOST, HOP, ("connection", "upgrade"), ("upgrade", "websocket")]);
        towards_h1(&mut parts, false, result.unwrap().as_ref());
        assert_eq!((&parts.headers["connection"], &parts.headers["upgrade"]), (&"upgrade".parse().unwrap(), &"websocket".parse().unwrap()));

        let (_, mut parts) = admitted("GET", &[HOST, HOP, ("te", "trailers")]);
        towards_h1(&mut parts, true, None);
        assert_eq!((&parts.headers["connection"], &parts.headers["te"]), (&"te".parse().unwrap(), &"trailers".parse().unwrap()));
        assert_eq!(parts.headers["transfer-encoding"], "chunked");

        let (_, mut parts) = admitted("GET", &[HOST, HOP]);
        towards_h2(&mut parts, None).unwrap();
        assert_eq!((parts.uri.to_string().as_str(), parts.version), ("http://h/p?q", Version::HTTP_2));
        assert!(!parts.headers.contains_key("host"));
    }

    /// Fields that a hostile client may combine, each with values that matter.
    fn any_field() -> impl Strategy<Value = (&'static str, &'static str)> {
        prop::sample::select(vec![
            ("host", "h"),
            ("host", "other:80"),
            ("x-kakehi-hop", "8080"),
            ("x-kakehi-hop", "81"),
            ("content-length", "3"),
            ("transfer-encoding", "chunked"),
            ("connection", "close, x-a"),
            ("connection", "Upgrade"),
            ("connection", "content-length"),
            ("connection", "x-real-ip"),
            ("connection", ",,, ,TE"),
            ("upgrade", "websocket"),
            ("upgrade", "h2c"),
            ("te", "trailers;q=0.5"),
            ("te", "trailers, gzip"),
            ("keep-alive", "1"),
            ("proxy-connection", "keep-alive"),
            ("http2-settings", "x"),
            ("expect", "100-continue"),
            ("x-real-ip", "10.0.0.1"),
            ("x-a", "1"),
        ])
    }

    proptest! {
        #[test]
        fn what_is_admitted_frames_nothing_and_names_one_host(fields in prop::collection::vec(any_field(), 0..12), body in any::<bool>()) {
            let mut parts = parts("POST", &fields);
            let real = parts.headers.get_all("x-real-ip").iter().count();
            if let Ok(upgrade) = admit(&mut parts, body) {
                let headers = &parts.headers;
                for gone in ["connection", "transfer-encoding", "upgrade", "keep-alive", "proxy-connection", "http2-settings", "expect"] {
                    prop_assert!(!headers.contains_key(gone), "{gone}");
                }
                prop_assert_eq!(headers.get_all("host").iter().count(), 1);
                prop_assert!(headers.get_all("content-length").iter().count() <= 1);
                prop_assert!(headers.get_all("te").iter().all(|te| te == "trailers"));
                prop_assert_eq!(headers.get_all("x-real-ip").iter().count(), real);
                prop_assert!(upgrade.is_none_or(|upgrade| !body && upgrade.protocol == "websocket" && !upgrade.extended));
                let length = headers.contains_key("content-length");
                towards_h1(&mut parts, !length, None);
                prop_assert!(!(length && parts.headers.contains_key("transfer-encoding")));
            }
        }
    }
}
