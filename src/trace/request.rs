//! The request that is asked about.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};

use crate::filter::router::host_of;
use crate::model::Protocol;

/// A request as the edge would see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// HTTP or HTTPS.
    pub protocol: Protocol,
    /// Port that the client connects to.
    pub port: u16,
    /// Host that decides, lower-case and without port: the `Host` header's, else the URL's.
    pub host: String,
    /// The server name that a TLS client sends: the URL's host, unless it sends none.
    pub server_name: Option<String>,
    /// Method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Header fields.
    pub headers: HeaderMap,
}

/// The arguments are no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No absolute `http` or `https` URL.
    #[error("{0:?} is no URL of the form http[s]://host[:port]/path")]
    Url(String),
    /// No `Name: value`.
    #[error("{0:?} is no header of the form \"Name: value\"")]
    Header(String),
    /// No method name.
    #[error("{0:?} is no method")]
    Method(String),
}

impl Request {
    /// Reads a URL, a method and header lines. What follows `#` in the URL is not part of a request.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn parse(url: &str, method: &str, lines: &[String]) -> Result<Self, RequestError> {
        let wrong = || RequestError::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let (protocol, well_known) = match uri.scheme_str() {
            Some("http") => (Protocol::Http, 80),
            Some("https") => (Protocol::Https, 443),
            _ => return Err(wrong()),
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(wrong)?;
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| RequestError::Method(method.to_owned()))?;
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = header_of(line).ok_or_else(|| RequestError::Header(line.clone()))?;
            headers.append(name, value);
        }
        if !headers.contains_key(header::HOST) {
            headers.insert(header::HOST, HeaderValue::from_str(authority.as_str()).map_err(|_| wrong())?);
        }
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).ok_or_else(wrong)?;
        Ok(Self {
            protocol,
            port: authority.port_u16().unwrap_or(well_known),
            host: host_of(host).into_owned(),
            server_name: Some(host_of(authority.as_str()).into_owned()),
            method: method.as_str().to_owned(),
            target: uri.path_and_query().map_or_else(|| "/".to_owned(), |target| target.as_str().to_owned()),
            headers,
        })
    }

    /// The path: the target up to `?`.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(&self.target, |(path, _)| path)
    }

    /// The query: the target after `?`, empty without one.
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }
}

fn header_of(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value.trim()).ok()?))
}
