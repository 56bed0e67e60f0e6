//! Hostname patterns: exact, wildcard of any depth or of one label, or every host.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A host pattern of a listener or a route, lower-case.
///
/// A wildcard takes one or more labels to the left of its suffix, never the bare suffix
/// (Gateway API, `Listener.hostname`); in an Ingress it takes exactly one (`IngressRule.host`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Hostname {
    /// No hostname given: every host, also a request without one.
    Any,
    /// `*.suffix`; the value is the suffix without `*.`.
    Wildcard(String),
    /// One label before a suffix; the value is the suffix. Written `{label}.suffix`, which no user's hostname looks like.
    Label(String),
    /// One host.
    Exact(String),
}

/// How [`Hostname::Label`] is written.
const LABEL: &str = "{label}.";

/// The text is no hostname that Gateway API allows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a DNS name of at most 253 characters, optionally with a leading \"*.\"")]
pub struct HostnameError(pub String);

impl Hostname {
    /// Reads `example.com` or `*.example.com`; `*` and the empty text mean every host.
    ///
    /// # Errors
    /// [`HostnameError`] when the text is not an RFC 1123 name, or is an IPv4 address.
    pub fn parse(text: &str) -> Result<Self, HostnameError> {
        if text.is_empty() || text == "*" {
            return Ok(Self::Any);
        }
        let lower = text.to_ascii_lowercase();
        let (wildcard, name) = match lower.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, lower.as_str()),
        };
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let valid = lower.len() <= 253 && name.split('.').all(label) && name.parse::<std::net::Ipv4Addr>().is_err();
        match (valid, wildcard) {
            (false, _) => Err(HostnameError(text.to_owned())),
            (true, true) => Ok(Self::Wildcard(name.to_owned())),
            (true, false) => Ok(Self::Exact(name.to_owned())),
        }
    }

    /// Reads a host as an Ingress writes it: a wildcard stands for one label.
    ///
    /// # Errors
    /// As [`Hostname::parse`], and for a lone `*`.
    pub fn parse_ingress(text: &str) -> Result<Self, HostnameError> {
        match Self::parse(text)? {
            Self::Any if !text.is_empty() => Err(HostnameError(text.to_owned())),
            Self::Wildcard(suffix) => Ok(Self::Label(suffix)),
            other => Ok(other),
        }
    }

    /// Whether a request for `host` (lower-case, without port) is covered.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => name == host,
            Self::Wildcard(suffix) => host.strip_suffix(suffix.as_str()).is_some_and(|left| left.len() > 1 && left.ends_with('.')),
            Self::Label(suffix) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == suffix),
        }
    }

    /// Whether every host that `other` covers is covered too.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (_, Self::Any) | (Self::Exact(_), Self::Wildcard(_) | Self::Label(_)) | (Self::Label(_), Self::Wildcard(_)) => false,
            (_, Self::Exact(name)) => self.matches(name),
            (Self::Label(suffix), Self::Label(inner)) => inner == suffix,
            (Self::Wildcard(suffix), Self::Wildcard(inner) | Self::Label(inner)) => {
                inner == suffix || inner.strip_suffix(suffix.as_str()).is_some_and(|left| left.ends_with('.'))
            }
        }
    }

    /// Every hostname that covers this one, the narrowest first: itself, patterns of its parents, all hosts.
    pub fn covering(&self) -> Vec<Self> {
        let mut all = vec![self.clone()];
        let (Self::Exact(name) | Self::Label(name) | Self::Wildcard(name)) = self else { return all };
        let mut parents = name.match_indices('.').filter_map(|(dot, _)| name.get(dot + 1..));
        match self {
            Self::Exact(_) => {
                if let Some(parent) = parents.next() {
                    all.extend([Self::Label(parent.to_owned()), Self::Wildcard(parent.to_owned())]);
                }
            }
            Self::Label(_) => all.push(Self::Wildcard(name.clone())),
            Self::Wildcard(_) | Self::Any => {}
        }
        all.extend(parents.map(|parent| Self::Wildcard(parent.to_owned())));
        all.push(Self::Any);
        all
    }

    /// What both cover. Two patterns are nested or disjoint, so this is the narrower one or nothing.
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        if self.covers(other) {
            Some(other.clone())
        } else if other.covers(self) {
            Some(self.clone())
        } else {
            None
        }
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
            Self::Label(suffix) => write!(f, "{LABEL}{suffix}"),
            Self::Exact(name) => f.write_str(name),
        }
    }
}

impl From<Hostname> for String {
    fn from(hostname: Hostname) -> Self {
        hostname.to_string()
    }
}

impl TryFrom<String> for Hostname {
    type Error = HostnameError;

    fn try_from(text: String) -> Result<Self, HostnameError> {
        match text.strip_prefix(LABEL).map(Self::parse) {
            Some(Ok(Self::Exact(suffix))) => Ok(Self::Label(suffix)),
            Some(_) => Err(HostnameError(text)),
            None => Self::parse(&text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Hostname;

    fn host(text: &str) -> Hostname {
        Hostname::parse(text).unwrap()
    }

    #[test]
    fn wildcards_take_any_number_of_labels_but_not_the_bare_suffix() {
        let wildcard = host("*.Example.com");
        assert!(wildcard.matches("a.example.com"));
        assert!(wildcard.matches("a.b.example.com"));
        assert!(!wildcard.matches("example.com"));
        assert!(!wildcard.matches(".example.com"));
        assert!(!wildcard.matches("badexample.com"));
    }

    #[test]
    fn intersections_are_the_narrower_pattern_or_nothing() {
        assert_eq!(host("*.com").intersect(&host("*.example.com")), Some(host("*.example.com")));
        assert_eq!(host("a.example.com").intersect(&host("*.example.com")), Some(host("a.example.com")));
        assert_eq!(host("*").intersect(&host("a.example.com")), Some(host("a.example.com")));
        assert_eq!(host("example.com").intersect(&host("*.example.com")), None);
        assert_eq!(host("*.a.com").intersect(&host("*.b.com")), None);
    }

    #[test]
    fn what_covers_a_hostname_is_listed_the_narrowest_first() {
        let names = ["io", "a.io", "b.io", "a.a.io", "c.b.io", "d.c.b.io", "com"];
        let patterns = |name: &&str| [Hostname::Exact((*name).into()), Hostname::Label((*name).into()), Hostname::Wildcard((*name).into())];
        let all: Vec<_> = names.iter().flat_map(patterns).chain([Hostname::Any]).collect();
        for one in &all {
            let covering = one.covering();
            assert!(covering.first() == Some(one) && covering.windows(2).all(|pair| pair[0] != pair[1] && pair[1].covers(&pair[0])));
            assert!(all.iter().all(|other| other.covers(one) == covering.contains(other)), "{one}: {covering:?}");
        }
    }

    #[test]
    fn an_ingress_wildcard_takes_exactly_one_label() {
        let one = Hostname::parse_ingress("*.foo.com").unwrap();
        assert!(one.matches("bar.foo.com") && !one.matches("baz.bar.foo.com") && !one.matches("foo.com") && !one.matches(".foo.com"));
        let (deep, inner) = (host("*.foo.com"), Hostname::parse_ingress("*.a.foo.com").unwrap());
        assert!(deep.covers(&one) && !one.covers(&deep) && deep.covers(&inner) && !one.covers(&inner));
        assert_eq!(one.intersect(&inner), None);
        assert_eq!(one.intersect(&host("*.a.foo.com")), None);
        assert_eq!(one.intersect(&host("a.foo.com")), Some(host("a.foo.com")));
        assert_eq!(Hostname::parse_ingress(""), Ok(Hostname::Any));
        assert!(Hostname::parse_ingress("*").is_err() && Hostname::parse_ingress("a.*.com").is_err());
        let text = serde_json::to_string(&one).unwrap();
        assert_eq!(text, "\"{label}.foo.com\"");
        assert_eq!(serde_json::from_str::<Hostname>(&text).unwrap(), one);
        assert!(Hostname::parse("{label}.foo.com").is_err());
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in ["a..b", "-a.com", "a_b.com", "1.2.3.4", "*.", "a.*.com", "a.com:80", "*foo.com"] {
            assert!(Hostname::parse(bad).is_err(), "{bad}");
        }
    }
}
