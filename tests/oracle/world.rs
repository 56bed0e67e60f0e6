//! What a random case is made of: a Gateway with its routes, and requests. Plain data, no behaviour of Kakehi's.

/// One Gateway, its listeners and the routes that name it.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub listeners: Vec<Listener>,
    pub routes: Vec<Route>,
}

#[derive(Clone, Debug)]
pub struct Listener {
    pub name: String,
    /// Index into the ports that the test binds.
    pub port: usize,
    pub hostname: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Route {
    pub namespace: String,
    pub name: String,
    /// Seconds since the Unix epoch.
    pub created: u64,
    pub parents: Vec<Parent>,
    pub hostnames: Vec<String>,
    pub rules: Vec<Rule>,
}

/// A parentRef to the Gateway.
#[derive(Clone, Debug, Default)]
pub struct Parent {
    pub section: Option<String>,
    pub port: Option<usize>,
}

#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// Empty: the rule says nothing, so the default applies.
    pub matches: Vec<Match>,
    pub request_headers: Option<Edit>,
    pub response_headers: Option<Edit>,
    pub rewrite: Option<Rewrite>,
    pub redirect: Option<Redirect>,
    pub backends: Vec<BackendRef>,
}

#[derive(Clone, Debug, Default)]
pub struct Match {
    pub path: Option<(PathKind, String)>,
    pub method: Option<String>,
    pub headers: Vec<Condition>,
    pub query: Vec<Condition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    Exact,
    Prefix,
    Regex,
}

/// A condition on a header or a query parameter.
#[derive(Clone, Debug)]
pub struct Condition {
    pub name: String,
    pub value: String,
    pub regex: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    pub set: Vec<(String, String)>,
    pub add: Vec<(String, String)>,
    pub remove: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Rewrite {
    pub hostname: Option<String>,
    pub path: Option<PathChange>,
}

#[derive(Clone, Debug)]
pub enum PathChange {
    Full(String),
    Prefix(String),
}

#[derive(Clone, Debug, Default)]
pub struct Redirect {
    pub scheme: Option<String>,
    pub hostname: Option<String>,
    pub port: Option<u16>,
    pub path: Option<PathChange>,
    pub status: Option<u16>,
}

#[derive(Clone, Debug)]
pub struct BackendRef {
    pub service: Service,
    pub weight: Option<u32>,
    pub request_headers: Option<Edit>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Served by the test backend of this number.
    Live(usize),
    /// Exists, without endpoints.
    Idle,
    /// Does not exist.
    Missing,
}

/// A request as it goes out on the wire.
#[derive(Clone, Debug)]
pub struct Request {
    /// Index into the ports that the test binds.
    pub port: usize,
    pub method: String,
    /// The request target, byte for byte.
    pub target: String,
    /// Value of `Host`; absent: no such line.
    pub host: Option<String>,
    pub headers: Vec<(String, String)>,
}
