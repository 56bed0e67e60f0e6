//! Why requests, or whole ports, go through the filter proxy: the two lists.

use std::fmt;

use serde::Serialize;

/// Why Sōzu does not decide a region alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Reason {
    /// Everything is sent to the filter by request (the differential test).
    Forced,
    /// A rule of the virtual host matches its path by regular expression.
    PathRegex,
    /// Routes declare hosts of different specificity for one virtual host, so that path order is not rank order.
    HostSpecificity,
    /// A path holds `?`, `#` or bytes that no request target has.
    PathBytes,
    /// The rule matches by header.
    HeaderMatch,
    /// The rule matches by query.
    QueryMatch,
    /// The rule spreads requests over several backends; Sōzu would choose once per client connection.
    Weights,
    /// The rule has no backend with a weight, which answers 500.
    NoBackend,
    /// A backend reference does not resolve, which answers 500.
    InvalidBackend,
    /// The backend speaks HTTP/2, and Sōzu balances it once per client connection.
    H2c,
    /// The rule redirects.
    Redirect,
    /// The rule answers with a fixed status.
    Answer,
    /// The rule rewrites the host; Sōzu would send two Host lines.
    HostRewrite,
    /// The rule rewrites the path in a form that Sōzu's templates do not have.
    PathRewrite,
    /// The rule edits a header that Sōzu handles itself.
    HeaderEdit(String),
    /// The rule bounds how long a request may take; Sōzu's clocks belong to the listener.
    Timeouts,
    /// The rule sends failed requests again, as Sōzu never does.
    Retry,
    /// The rule answers browsers across origins.
    Cors,
    /// The rule sends copies of requests to other backends.
    Mirror,
    /// Filters of one backend reference, other than header edits.
    BackendFilter,
    /// The port is relayed: only connections from before come to its requests here.
    Relayed,
    /// A host of this listener is covered by a broader listener of the port, whose routes it must not reach.
    Isolation,
    /// Sōzu's wildcards take one label only.
    WildcardDepth,
    /// Certificates are shown by name, and none for hosts of this region: the filter refuses them.
    NoCertificate,
    /// Too many rules for a list that Sōzu scans from its start.
    LongList,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forced => f.write_str("everything is sent to the filter"),
            Self::PathRegex => f.write_str("a path is matched by regular expression"),
            Self::HostSpecificity => f.write_str("routes declare this host with different specificity"),
            Self::PathBytes => f.write_str("a path holds bytes that no request path has"),
            Self::HeaderMatch => f.write_str("matched by header"),
            Self::QueryMatch => f.write_str("matched by query"),
            Self::Weights => f.write_str("weighted backends"),
            Self::NoBackend => f.write_str("no backend: 500"),
            Self::InvalidBackend => f.write_str("invalid backend: 500"),
            Self::H2c => f.write_str("HTTP/2 backend"),
            Self::Redirect => f.write_str("redirect"),
            Self::Answer => f.write_str("fixed answer"),
            Self::HostRewrite => f.write_str("host rewrite"),
            Self::PathRewrite => f.write_str("path rewrite"),
            Self::HeaderEdit(name) => write!(f, "edits header {name}"),
            Self::Timeouts => f.write_str("timeouts"),
            Self::Retry => f.write_str("retry"),
            Self::Cors => f.write_str("CORS"),
            Self::Mirror => f.write_str("mirror"),
            Self::BackendFilter => f.write_str("filters of one backend"),
            Self::Relayed => f.write_str("the port is relayed"),
            Self::Isolation => f.write_str("listener isolation"),
            Self::WildcardDepth => f.write_str("wildcard of several labels"),
            Self::NoCertificate => f.write_str("hosts without a certificate"),
            Self::LongList => f.write_str("too many rules for every host"),
        }
    }
}

/// Why Sōzu passes the connections of a port on as they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum RelayReason {
    /// Every port is relayed by request (the EdgeProfile, the differential test).
    Forced,
    /// Sōzu takes requests that an HTTP server should refuse, and the EdgeProfile wants them refused.
    Strict,
    /// Paths are brought to one form, or refused, before any rule looks at them.
    Paths,
    /// Connections begin with a header of the PROXY protocol, of which Sōzu reads version 2 only.
    ProxyProtocol,
    /// The client's address is what trusted proxies say; Sōzu knows the address of the connection only.
    ClientAddress,
    /// Connections of clients have a greatest age, which Sōzu does not know.
    MaxAge,
    /// A route sends requests to a backend that speaks HTTP/2. Without TLS its clients may come with HTTP/2 and prior knowledge,
    /// which Sōzu does not take; with TLS, trailers and tunnels would be lost on the way through HTTP/1.1.
    Http2,
    /// A listener has a GRPCRoute: the same, and Sōzu's own answers are not in gRPC's words.
    Grpc,
    /// A listener has no hostname: clients without SNI, or with any other, are to be shown its certificate.
    NoHostname,
    /// Hostnames of the port's listeners cover one another, so that Sōzu cannot tell which listener a connection is for.
    NestedHostnames,
    /// A certificate of one listener is valid for hosts of another, so that Sōzu cannot tell which one a connection is for.
    SharedCertificate,
    /// A listener has several certificates, of which the client's abilities choose.
    SeveralCertificates,
    /// Hosts of several labels below a wildcard listener: Sōzu has no certificate for them.
    WildcardDepth,
}

impl fmt::Display for RelayReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forced => "every port is relayed",
            Self::Strict => "strict HTTP",
            Self::Paths => "path normalization",
            Self::ProxyProtocol => "PROXY protocol from clients",
            Self::ClientAddress => "client address by trusted proxies",
            Self::MaxAge => "greatest age of connections",
            Self::Http2 => "HTTP/2 backend",
            Self::Grpc => "GRPCRoute",
            Self::NoHostname => "listener without hostname",
            Self::NestedHostnames => "listener hostnames cover one another",
            Self::SharedCertificate => "a certificate is valid for several listeners",
            Self::SeveralCertificates => "several certificates for one listener",
            Self::WildcardDepth => "hosts of several labels below a wildcard listener",
        })
    }
}
