//! Answers to browsers that ask across origins (`HTTPCORSFilter`, the CORS protocol of the Fetch standard).
//!
//! The rule's policy is the only one: what a backend says about it is taken out. A wildcard is never sent where credentials
//! are allowed; what the browser asked for is repeated instead.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION,
    COOKIE, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use crate::model::{self, Origin, Scheme};

/// What a policy says, and so a backend does not.
const OWN: [HeaderName; 6] = [
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
];

/// A compiled policy.
#[derive(Debug)]
pub struct Cors {
    origins: Listed<Vec<Origin>>,
    credentials: bool,
    methods: Listed<HeaderValue>,
    headers: Listed<HeaderValue>,
    exposed: Listed<HeaderValue>,
    max_age: HeaderValue,
}

/// A list of a policy.
#[derive(Debug)]
enum Listed<T> {
    /// Everything.
    All,
    These(T),
    None,
}

/// The method that a preflight request asks for; none when this is no preflight.
pub fn wanted<'h>(method: &str, request: &'h HeaderMap) -> Option<&'h HeaderValue> {
    let wanted = request.get(ACCESS_CONTROL_REQUEST_METHOD)?;
    (method == Method::OPTIONS.as_str() && request.contains_key(ORIGIN)).then_some(wanted)
}

/// Whether a request says who its user is. No wildcard answers it (`HTTPCORSFilter.exposeHeaders`).
pub fn is_credentialed(request: &HeaderMap) -> bool {
    request.contains_key(COOKIE) || request.contains_key(AUTHORIZATION)
}

impl Cors {
    /// Compiles; a list that cannot stand in a header is a problem.
    pub(super) fn compile(cors: &model::Cors, problems: &mut Vec<String>) -> Self {
        let mut listed = |list: &model::Allowed<String>| match list {
            model::Allowed::All => Listed::All,
            model::Allowed::These(items) if items.is_empty() => Listed::None,
            model::Allowed::These(items) => match HeaderValue::try_from(items.join(", ")) {
                Ok(value) => Listed::These(value),
                Err(_) => {
                    problems.push(format!("CORS list {items:?}"));
                    Listed::None
                }
            },
        };
        Self {
            methods: listed(&cors.methods),
            headers: listed(&cors.headers),
            exposed: listed(&cors.exposed),
            origins: match &cors.origins {
                model::Allowed::All => Listed::All,
                model::Allowed::These(origins) => Listed::These(origins.clone()),
            },
            credentials: cors.credentials,
            max_age: cors.max_age.into(),
        }
    }

    /// The answer to a preflight request that asks for this method.
    pub fn preflight(&self, wanted: &HeaderValue, request: &HeaderMap) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        let allowed = self.allows(request);
        self.apply(allowed.as_ref(), is_credentialed(request), headers);
        if allowed.is_some() {
            let lists = [
                (ACCESS_CONTROL_ALLOW_METHODS, &self.methods, Some(wanted)),
                (ACCESS_CONTROL_ALLOW_HEADERS, &self.headers, request.get(ACCESS_CONTROL_REQUEST_HEADERS)),
            ];
            for (name, listed, wanted) in lists {
                let value = match listed {
                    Listed::All => wanted,
                    Listed::These(list) => Some(list),
                    Listed::None => None,
                };
                value.into_iter().for_each(|value| drop(headers.insert(name.clone(), value.clone())));
            }
            headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        }
        response
    }

    /// The origin of a request, when it may read answers.
    pub fn allows(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let mut lines = request.get_all(ORIGIN).iter();
        let (origin, None) = (lines.next()?, lines.next()) else { return None };
        let allowed = match &self.origins {
            Listed::All => true,
            Listed::These(origins) => {
                let parsed = origin.to_str().ok().and_then(parse);
                parsed.is_some_and(|(scheme, host, port)| origins.iter().any(|origin| covers(origin, scheme, host, port)))
            }
            Listed::None => false,
        };
        allowed.then(|| origin.clone())
    }

    /// Says to the browser what the policy says; `origin` is what [`Cors::allows`] gave for the request, `credentialed` what
    /// [`is_credentialed`] did.
    pub fn apply(&self, origin: Option<&HeaderValue>, credentialed: bool, headers: &mut HeaderMap) {
        OWN.iter().for_each(|name| drop(headers.remove(name)));
        // Also where nothing is allowed: a cache must not give this answer to another origin.
        headers.append(VARY, HeaderValue::from_static("origin"));
        let Some(origin) = origin else { return };
        let exposed = match &self.exposed {
            Listed::All if self.credentials || credentialed => names_of(headers),
            Listed::All => Some(HeaderValue::from_static("*")),
            Listed::These(list) => Some(list.clone()),
            Listed::None => None,
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        exposed.into_iter().for_each(|exposed| drop(headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed)));
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}

/// All names, as a list: what `*` means where it is no wildcard.
fn names_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let names: Vec<&str> = headers.keys().filter(|name| **name != VARY).map(HeaderName::as_str).collect();
    if names.is_empty() { None } else { HeaderValue::try_from(names.join(", ")).ok() }
}

/// Scheme, host and port of an origin as browsers send it.
fn parse(origin: &str) -> Option<(Scheme, &str, u16)> {
    let (scheme, authority) = origin.split_once("://")?;
    let (scheme, well_known) = match scheme {
        "http" => (Scheme::Http, 80),
        "https" => (Scheme::Https, 443),
        _ => return None,
    };
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => Some((scheme, host, port.parse().ok()?)),
        _ => Some((scheme, authority, well_known)),
    }
}

/// Whether the origin of a policy covers this one. A `*` takes any number of labels.
fn covers(origin: &Origin, scheme: Scheme, host: &str, port: u16) -> bool {
    let host_fits = match origin.host.strip_prefix('*') {
        Some(suffix) => host
            .len()
            .checked_sub(suffix.len())
            .and_then(|start| host.get(start..).map(|end| start > 0 && end.eq_ignore_ascii_case(suffix)))
            .unwrap_or(false),
        None => host.eq_ignore_ascii_case(&origin.host),
    };
    origin.scheme == scheme && origin.port == port && host_fits
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::{Cors, is_credentialed, wanted};
    use crate::model::{self, Allowed, Origin, Scheme};

    fn these(items: &[&str]) -> Allowed<String> {
        Allowed::These(items.iter().map(|item| (*item).to_owned()).collect())
    }

    fn origin(scheme: Scheme, host: &str, port: u16) -> Origin {
        Origin { scheme, host: host.into(), port }
    }

    fn none() -> model::Cors {
        model::Cors {
            origins: Allowed::These(Vec::new()),
            credentials: false,
            methods: these(&[]),
            headers: these(&[]),
            exposed: these(&[]),
            max_age: 5,
        }
    }

    fn compiled(model: &model::Cors) -> Cors {
        let mut problems = Vec::new();
        let cors = Cors::compile(model, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        cors
    }

    fn fields(lines: &[(&str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())).collect()
    }

    /// Fields of the policy in an answer, sorted.
    fn said(headers: &HeaderMap) -> Vec<(&str, &str)> {
        let mut said: Vec<_> =
            headers.iter().filter(|(name, _)| *name != "vary").map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        said.sort_unstable();
        said.iter().map(|(name, value)| (name.trim_start_matches("access-control-"), *value)).collect()
    }

    fn preflight(model: &model::Cors, origin: &str, wanted: &[(&str, &str)]) -> HeaderMap {
        let mut request = fields(&[("origin", origin), ("access-control-request-method", "PUT")]);
        request.extend(fields(wanted));
        let response = compiled(model).preflight(&HeaderValue::from_static("PUT"), &request);
        assert_eq!(response.status(), 204);
        response.headers().clone()
    }

    #[test]
    fn origins_are_compared_by_scheme_host_and_port() {
        use Scheme::{Http, Https};
        let cors = compiled(&model::Cors {
            origins: Allowed::These(vec![
                origin(Https, "www.foo.com", 443),
                origin(Https, "*.bar.com", 443),
                origin(Http, "*", 8080),
                origin(Http, "odd.example", 80),
            ]),
            ..none()
        });
        let allows = |origin: &str| cors.allows(&fields(&[("origin", origin)])).is_some();
        for good in [
            "https://www.foo.com",
            "https://www.foo.com:443",
            "https://WWW.foo.com",
            "https://www.bar.com",
            "https://a.b.bar.com",
            "http://any.thing:8080",
            "http://odd.example:80",
        ] {
            assert!(allows(good), "{good}");
        }
        for bad in [
            "http://www.foo.com",
            "https://www.foo.com:8443",
            "https://bar.com",
            "https://xbar.com",
            "https://.bar.com.evil.example",
            "https://foo.com",
            "http://any.thing",
            "null",
            "",
            "https://",
            "ftp://www.foo.com",
        ] {
            assert!(!allows(bad), "{bad}");
        }
        assert!(cors.allows(&HeaderMap::new()).is_none());
        let mut twice = fields(&[("origin", "https://www.foo.com")]);
        twice.append("origin", HeaderValue::from_static("https://www.foo.com"));
        assert!(cors.allows(&twice).is_none());
    }

    #[test]
    fn a_preflight_names_the_lists_of_the_policy() {
        let model = model::Cors {
            origins: Allowed::These(vec![origin(Scheme::Https, "a.example", 443)]),
            credentials: true,
            methods: these(&["GET", "OPTIONS"]),
            headers: these(&["x-1", "x-2"]),
            exposed: these(&["x-3", "x-4"]),
            max_age: 3600,
        };
        let answer = preflight(&model, "https://a.example", &[("access-control-request-headers", "x-1")]);
        let expected = [
            ("allow-credentials", "true"),
            ("allow-headers", "x-1, x-2"),
            ("allow-methods", "GET, OPTIONS"),
            ("allow-origin", "https://a.example"),
            ("expose-headers", "x-3, x-4"),
            ("max-age", "3600"),
        ];
        assert_eq!(said(&answer), expected);
        assert_eq!(said(&preflight(&model, "https://b.example", &[])), []);
        assert_eq!(preflight(&model, "https://b.example", &[])["vary"], "origin");
    }

    #[test]
    fn wildcards_repeat_what_was_asked_for() {
        for credentials in [true, false] {
            let all = model::Cors { origins: Allowed::All, methods: Allowed::All, headers: Allowed::All, credentials, ..none() };
            let answer = preflight(&all, "http://o.example:81", &[("access-control-request-headers", "x-1, x-2")]);
            let expected =
                [("allow-headers", "x-1, x-2"), ("allow-methods", "PUT"), ("allow-origin", "http://o.example:81"), ("max-age", "5")];
            let said = said(&answer).into_iter().filter(|(name, _)| *name != "allow-credentials").collect::<Vec<_>>();
            assert_eq!(said, expected);
            assert_eq!(answer.contains_key("access-control-allow-credentials"), credentials);
            assert!(!preflight(&all, "http://o.example", &[]).contains_key("access-control-allow-headers"));
        }
    }

    #[test]
    fn only_a_question_for_a_method_is_a_preflight() {
        let asks = |method: &str, lines: &[(&str, &str)]| wanted(method, &fields(lines)).is_some();
        let (from, wants) = (("origin", "https://a"), ("access-control-request-method", "GET"));
        assert!(asks("OPTIONS", &[from, wants]));
        assert!(!asks("GET", &[from, wants]) && !asks("OPTIONS", &[from]) && !asks("OPTIONS", &[wants]));
    }

    #[test]
    fn the_policy_of_the_rule_replaces_that_of_the_backend() {
        let from_backend =
            [("access-control-allow-origin", "*"), ("access-control-allow-credentials", "true"), ("vary", "accept"), ("x-a", "1")];
        let cors = compiled(&model::Cors { origins: Allowed::All, exposed: Allowed::All, ..none() });
        let origin = HeaderValue::from_static("https://a.example");
        let mut answer = fields(&from_backend);
        cors.apply(Some(&origin), false, &mut answer);
        assert_eq!(said(&answer), [("allow-origin", "https://a.example"), ("expose-headers", "*"), ("x-a", "1")]);
        assert_eq!(answer.get_all("vary").iter().collect::<Vec<_>>(), ["accept", "origin"]);
        let mut answer = fields(&from_backend);
        cors.apply(None, false, &mut answer);
        assert_eq!(said(&answer), [("x-a", "1")]);
        let with_credentials = compiled(&model::Cors { origins: Allowed::All, exposed: Allowed::All, credentials: true, ..none() });
        let mut answer = fields(&from_backend);
        with_credentials.apply(Some(&origin), false, &mut answer);
        assert_eq!(answer["access-control-expose-headers"], "x-a");
    }

    /// What the documentation of `HTTPCORSFilter` says of wildcards, with `allowCredentials` and without, for requests that say
    /// who their user is and for those that do not.
    #[test]
    fn wildcards_never_meet_credentials() {
        for (allowed, cookie, exposed) in [(false, false, "*"), (false, true, "x-a"), (true, false, "x-a"), (true, true, "x-a")] {
            let policy = model::Cors {
                origins: Allowed::All,
                methods: Allowed::All,
                headers: Allowed::All,
                exposed: Allowed::All,
                credentials: allowed,
                max_age: 5,
            };
            let mut request = fields(&[("origin", "https://a.example"), ("access-control-request-headers", "x-1")]);
            if cookie {
                request.insert("cookie", HeaderValue::from_static("session=1"));
            }
            let (cors, mut answer) = (compiled(&policy), fields(&[("x-a", "1")]));
            cors.apply(cors.allows(&request).as_ref(), is_credentialed(&request), &mut answer);
            let preflight = cors.preflight(&HeaderValue::from_static("PUT"), &request);
            for headers in [&answer, preflight.headers()] {
                assert_eq!(headers["access-control-allow-origin"], "https://a.example");
                assert_eq!(headers.contains_key("access-control-allow-credentials"), allowed);
            }
            assert_eq!(answer["access-control-expose-headers"], exposed, "{allowed} {cookie}");
            let lists = ["access-control-allow-methods", "access-control-allow-headers"].map(|name| &preflight.headers()[name]);
            assert_eq!(lists, ["PUT", "x-1"]);
            request.remove("access-control-request-headers");
            assert!(!cors.preflight(&HeaderValue::from_static("PUT"), &request).headers().contains_key("access-control-allow-headers"));
        }
    }
}
