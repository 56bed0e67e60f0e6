//! Redirects (`HTTPRequestRedirectFilter`).

use http::{HeaderValue, StatusCode};

use super::path;
use crate::model::{self, Listener, Protocol, Scheme};

/// A compiled redirect.
#[derive(Debug)]
pub struct Redirect {
    model: model::Redirect,
    status: StatusCode,
}

impl Redirect {
    /// Compiles; a status other than 301, 302, 303, 307 and 308, or a host or path that cannot stand in a URL, is a
    /// problem.
    pub fn compile(redirect: &model::Redirect, problems: &mut Vec<String>) -> Self {
        let status = match redirect.status {
            301 | 302 | 303 | 307 | 308 => StatusCode::from_u16(redirect.status).unwrap_or(StatusCode::FOUND),
            other => {
                problems.push(format!("redirect with status {other}"));
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        if let Some(hostname) = redirect.hostname.as_deref().filter(|name| model::Hostname::parse(name).is_err()) {
            problems.push(format!("redirect to host name {hostname:?}"));
        }
        if let Some(modifier) = &redirect.path {
            path::check(modifier, problems);
        }
        Self { model: redirect.clone(), status }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// `Location` for a request to `host` (without port) and `target` (path and query) on `listener`; nothing when the
    /// parts make no header value.
    ///
    /// The port is the redirect's, else the well-known one of its scheme, else the listener's; it is left out when it
    /// is the well-known port of the resulting scheme.
    pub fn location(&self, listener: &Listener, host: &str, target: &str, prefix: Option<usize>) -> Option<HeaderValue> {
        let own = match listener.protocol {
            Protocol::Http => Scheme::Http,
            Protocol::Https => Scheme::Https,
        };
        let scheme = self.model.scheme.unwrap_or(own);
        let (name, well_known) = match scheme {
            Scheme::Http => ("http://", 80),
            Scheme::Https => ("https://", 443),
        };
        let port = self.model.port.or(self.model.scheme.map(|_| well_known)).unwrap_or(listener.port);
        let port = if port == well_known { String::new() } else { format!(":{port}") };
        let host = self.model.hostname.as_deref().unwrap_or(host);
        let changed = self.model.path.as_ref().map(|modifier| path::modify(modifier, target, prefix));
        let location = [name, host, &port, changed.as_deref().unwrap_or(target)].concat();
        HeaderValue::try_from(location).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Redirect;
    use crate::model::{self, Hostname, Listener, ListenerName, PathModifier, Protocol, Scheme};

    fn listener(protocol: Protocol, port: u16) -> Listener {
        Listener {
            name: ListenerName("l".into()),
            port,
            protocol,
            hostname: Hostname::Any,
            certificates: Vec::new(),
            certificates_by_name: false,
            tuning: Default::default(),
        }
    }

    fn same() -> model::Redirect {
        model::Redirect { scheme: None, hostname: None, port: None, path: None, status: 302 }
    }

    fn location(redirect: &model::Redirect, listener: &Listener) -> String {
        let mut problems = Vec::new();
        let compiled = Redirect::compile(redirect, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        compiled.location(listener, "example.org", "/a/b?c=d", Some(2)).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn the_port_follows_redirect_then_scheme_then_listener() {
        use Protocol::{Http, Https};
        // (listener, scheme, port, result before the path)
        let table = [
            (Http, 80, None, None, "http://example.org"),
            (Http, 8080, None, None, "http://example.org:8080"),
            (Https, 443, None, None, "https://example.org"),
            (Https, 8443, None, None, "https://example.org:8443"),
            (Http, 443, None, None, "http://example.org:443"),
            (Http, 8080, Some(Scheme::Http), None, "http://example.org"),
            (Http, 8080, Some(Scheme::Https), None, "https://example.org"),
            (Https, 8443, Some(Scheme::Http), None, "http://example.org"),
            (Http, 8080, None, Some(80), "http://example.org"),
            (Http, 80, None, Some(8080), "http://example.org:8080"),
            (Http, 80, None, Some(443), "http://example.org:443"),
            (Https, 443, None, Some(80), "https://example.org:80"),
            (Https, 443, None, Some(443), "https://example.org"),
            (Http, 80, Some(Scheme::Https), Some(8443), "https://example.org:8443"),
            (Http, 80, Some(Scheme::Https), Some(443), "https://example.org"),
            (Http, 80, Some(Scheme::Https), Some(80), "https://example.org:80"),
        ];
        for (protocol, number, scheme, port, expected) in table {
            let redirect = model::Redirect { scheme, port, ..same() };
            let found = location(&redirect, &listener(protocol, number));
            assert_eq!(found, format!("{expected}/a/b?c=d"), "{protocol:?} {number} {scheme:?} {port:?}");
        }
    }

    #[test]
    fn host_and_path_are_replaced_and_the_query_is_kept() {
        let plain = listener(Protocol::Http, 80);
        let with = |hostname: Option<&str>, path| model::Redirect { hostname: hostname.map(Into::into), path, ..same() };
        assert_eq!(location(&with(Some("new.example"), None), &plain), "http://new.example/a/b?c=d");
        assert_eq!(location(&with(None, Some(PathModifier::Full("/one".into()))), &plain), "http://example.org/one?c=d");
        assert_eq!(location(&with(None, Some(PathModifier::Prefix("/z/".into()))), &plain), "http://example.org/z/b?c=d");
        assert_eq!(location(&with(None, Some(PathModifier::Prefix("/".into()))), &plain), "http://example.org/b?c=d");
    }

    #[test]
    fn all_five_statuses_and_no_other() {
        for status in [301, 302, 303, 307, 308, 200, 300, 304, 306, 0] {
            let mut problems = Vec::new();
            let redirect = Redirect::compile(&model::Redirect { status, ..same() }, &mut problems);
            assert_eq!(problems.is_empty(), redirect.status() == status);
        }
    }

    #[test]
    fn what_cannot_stand_in_a_url_is_a_problem() {
        for bad in ["a/b", "a:80", "a\r\nb", "a b"] {
            let mut problems = Vec::new();
            Redirect::compile(&model::Redirect { hostname: Some(bad.into()), ..same() }, &mut problems);
            assert_eq!(problems.len(), 1, "{bad:?}");
        }
    }
}
