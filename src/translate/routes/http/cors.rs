//! `HTTPCORSFilter`.

use crate::api::httproutes::HttpRouteRulesFiltersCors;
use crate::model::{Allowed, Cors, Hostname, Origin, Scheme};
use crate::report::Issue;
use crate::translate::routes::{headers, shorten};

/// Seconds for which a browser keeps the answer to a preflight when the filter does not say (`HTTPCORSFilter.maxAge`).
const MAX_AGE: i32 = 5;

/// The policy of a filter.
pub(super) fn read(declared: &HttpRouteRulesFiltersCors) -> Result<Cors, Issue> {
    let max_age = declared.max_age.unwrap_or(MAX_AGE);
    let invalid = |_| Issue::InvalidValue { field: "cors.maxAge".into(), value: max_age.to_string() };
    Ok(Cors {
        origins: allowed("cors.allowOrigins", declared.allow_origins.as_deref(), origin)?,
        credentials: declared.allow_credentials.unwrap_or(false),
        methods: allowed("cors.allowMethods", declared.allow_methods.as_deref(), method)?,
        headers: allowed("cors.allowHeaders", declared.allow_headers.as_deref(), |name| headers::name(name).ok())?,
        exposed: allowed("cors.exposeHeaders", declared.expose_headers.as_deref(), |name| headers::name(name).ok())?,
        max_age: u32::try_from(max_age).map_err(invalid)?,
    })
}

/// A list; a `*` in it is everything, whatever stands beside it.
fn allowed<T: PartialEq>(field: &str, declared: Option<&[String]>, read: impl Fn(&str) -> Option<T>) -> Result<Allowed<T>, Issue> {
    let declared = declared.unwrap_or_default();
    if declared.iter().any(|item| item == "*") {
        return Ok(Allowed::All);
    }
    let mut items = Vec::with_capacity(declared.len());
    for text in declared {
        let item = read(text).ok_or_else(|| Issue::InvalidValue { field: field.to_owned(), value: shorten(text) })?;
        if !items.contains(&item) {
            items.push(item);
        }
    }
    Ok(Allowed::These(items))
}

fn method(text: &str) -> Option<String> {
    http::Method::from_bytes(text.as_bytes()).is_ok().then(|| text.to_owned())
}

/// Scheme, host and port; the host may begin with `*.` or be `*`.
fn origin(text: &str) -> Option<Origin> {
    let (scheme, authority) = text.split_once("://")?;
    let (scheme, well_known) = match scheme {
        "http" => (Scheme::Http, 80),
        "https" => (Scheme::Https, 443),
        _ => return None,
    };
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, port.parse().ok().filter(|port| *port > 0)?),
        None => (authority, well_known),
    };
    let host = host.to_ascii_lowercase();
    let is_name = |name: &str| matches!(Hostname::parse(name), Ok(Hostname::Exact(_)));
    let is_address = host.parse::<std::net::Ipv4Addr>().is_ok();
    let is_host = host == "*" || is_address || is_name(host.strip_prefix("*.").unwrap_or(&host));
    is_host.then_some(Origin { scheme, host, port })
}

#[cfg(test)]
mod tests {
    use super::origin;
    use crate::model::{Origin, Scheme};

    #[test]
    fn origins_have_scheme_host_and_port() {
        let read = |text| origin(text).map(|Origin { scheme, host, port }| (scheme, host, port));
        assert_eq!(read("https://Www.Foo.com"), Some((Scheme::Https, "www.foo.com".into(), 443)));
        assert_eq!(read("http://*.bar.com:8080"), Some((Scheme::Http, "*.bar.com".into(), 8080)));
        assert_eq!(read("http://*"), Some((Scheme::Http, "*".into(), 80)));
        assert_eq!(read("http://10.0.0.1"), Some((Scheme::Http, "10.0.0.1".into(), 80)));
        for bad in [
            "foo.com",
            "ftp://a",
            "https://",
            "https://a:0",
            "https://a:70000",
            "https://a/b",
            "https://a\r\nb",
            "https://*a",
            "https://a.*",
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
