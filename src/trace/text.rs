//! A trace for people.

use std::fmt;

use super::{Answer, Candidate, Choice, Criterion, Loss, Request, Said, Share, Stage, Standing, Trace};
use crate::model::{Affinity, BackendProtocol, Hostname, Match, Protocol, ValueMatch};

/// The scheme of a protocol.
pub(super) fn scheme(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "http",
        Protocol::Https => "https",
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} for host {:?} on {} port {}", self.method, self.target, self.host, scheme(self.protocol), self.port)?;
        let nameless = self.protocol == Protocol::Https && self.server_name.is_none();
        if nameless { f.write_str(", without a server name") } else { Ok(()) }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for listener in &self.listeners {
            let why = match listener.outcome {
                Choice::Chosen => "chosen: the most specific hostname that covers the host",
                Choice::LessSpecific => "less specific",
                Choice::OtherHost => "does not cover the host",
            };
            writeln!(f, "  listener     {} ({}): {why}", listener.name, listener.hostname)?;
        }
        if let Some(shown) = &self.certificates {
            let secrets: Vec<_> = shown.iter().map(|id| format!("Secret {id}")).collect();
            let shown = if secrets.is_empty() { "none".to_owned() } else { secrets.join(", ") };
            writeln!(f, "  certificate  {shown}")?;
        }
        match self.candidates.iter().find(|candidate| candidate.losses.is_empty()) {
            Some(winner) => writeln!(f, "  winner       {winner}")?,
            None => writeln!(f, "  winner       none")?,
        }
        writeln!(f, "  stage        {}", self.stage)?;
        for (name, value) in &self.policy {
            writeln!(f, "  {name:<12} {value}")?;
        }
        write!(f, "  answer       {}", self.answer)?;
        for Said { resource, state } in &self.acknowledged {
            writeln!(f, "  edge says    {resource}: {state}")?;
        }
        if !self.candidates.is_empty() {
            writeln!(f, "  candidates, the highest rank first")?;
        }
        for candidate in &self.candidates {
            let why: Vec<_> = candidate.losses.iter().map(|loss| candidate.why(loss)).collect();
            let verdict = if why.is_empty() { "wins".to_owned() } else { why.join("; ") };
            writeln!(f, "    {candidate} → {verdict}")?;
        }
        if self.other_hosts > 0 {
            writeln!(f, "  {} further matches of this listener are for other hosts", self.other_hosts)?;
        }
        for isolated in &self.isolated {
            writeln!(f, "  {} is attached to listener {}, so this request does not reach it", isolated.route, isolated.listener)?;
        }
        Ok(())
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native { entry: Some(entry) } => write!(f, "native: Sōzu decides alone, by {} {}", entry.host, entry.path),
            Self::Native { entry: None } => f.write_str("native: Sōzu answers alone"),
            Self::Relay { reason } => write!(f, "relay: the filter proxy takes the port's connections: {reason}"),
            Self::Bounced { field, reason } => write!(f, "hop: the filter proxy decides every request with {field}: {reason}"),
            Self::Hop { reason, entry } => write!(f, "hop: the filter proxy decides all of {} {}: {reason}", entry.host, entry.path),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { status, why } => writeln!(f, "{status}: {why}"),
            Self::Closed { why } => writeln!(f, "none, the TLS handshake fails: {why}"),
            Self::Redirect { status, location } => writeln!(f, "{status} to {location}"),
            Self::Preflight { status, headers } => {
                writeln!(f, "{status}, to a CORS preflight")?;
                headers.iter().try_for_each(|(name, value)| writeln!(f, "    {name}: {value}"))
            }
            Self::Forward { shares } => {
                writeln!(f, "forwarded")?;
                shares.iter().try_for_each(|share| write!(f, "{share}"))
            }
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acknowledged => f.write_str("acknowledged"),
            Self::Refused { reason } => write!(f, "refused: {reason}"),
            Self::Pending => f.write_str("not acknowledged yet"),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "    weight {} of {}: ", self.weight, self.of)?;
        match &self.backend {
            Some(backend) => write!(f, "Service {backend}")?,
            None => f.write_str("no Service")?,
        }
        match (&self.fails, self.protocol) {
            (Some((status, why)), _) => write!(f, ", {status}: {why}")?,
            (None, BackendProtocol::Http) => f.write_str(" over HTTP/1.1 at ")?,
            (None, BackendProtocol::H2c) => f.write_str(" over HTTP/2 at ")?,
        }
        let endpoints = self.endpoints.iter().map(|endpoint| {
            let address = std::net::SocketAddr::new(endpoint.ip, endpoint.port);
            self.topology.get(&endpoint.ip).map_or_else(|| address.to_string(), |topology| format!("{address} ({topology})"))
        });
        write!(f, "{}", endpoints.collect::<Vec<_>>().join(", "))?;
        match self.affinity {
            Affinity::ClientIp if self.fails.is_none() => writeln!(f, "; each client address has one of them (sessionAffinity: ClientIP)")?,
            Affinity::ClientIp | Affinity::None => writeln!(f)?,
        }
        self.policy.iter().try_for_each(|(name, value)| writeln!(f, "      {name} {value}"))
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.route, self.field)?;
        if let Some(name) = &self.name {
            write!(f, " \"{name}\"")?;
        }
        write!(f, " ({}): ", pattern(&self.declared))?;
        conditions(&self.matched, f)
    }
}

/// A hostname as users write it.
fn pattern(hostname: &Hostname) -> String {
    match hostname {
        Hostname::Label(suffix) => format!("*.{suffix}, one label"),
        other => other.to_string(),
    }
}

impl Candidate {
    fn why(&self, loss: &Loss) -> String {
        let value = |found: &Option<String>| found.as_ref().map_or_else(|| "absent".to_owned(), |found| format!("{found:?}"));
        match loss {
            Loss::NotCall => "not a gRPC request".to_owned(),
            Loss::Path => "path does not match".to_owned(),
            Loss::Method => "method does not match".to_owned(),
            Loss::Header { name, found } => format!("header {name} is {}", value(found)),
            Loss::Query { name, found } => format!("query parameter {name} is {}", value(found)),
            Loss::Rank { by } => format!("matches, but ranks lower: {by}"),
        }
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "the winner declares a more specific hostname",
            Self::Path => "the winner's path is more specific",
            Self::Fallback => "a default backend takes only what nothing else takes",
            Self::Method => "the winner names a method",
            Self::Headers => "the winner has more header conditions",
            Self::Query => "the winner has more query conditions",
            Self::Age => "the winner is older",
            Self::Name => "the winner is first by namespace and name",
            Self::RuleOrder => "the winner's rule comes first",
            Self::MatchOrder => "the winner's match comes first",
        })
    }
}

fn conditions(matched: &Match, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{}", matched.path)?;
    if let Some(method) = &matched.method {
        write!(f, ", {method}")?;
    }
    let value = |value: &ValueMatch| match value {
        ValueMatch::Exact(text) => format!("= {text:?}"),
        ValueMatch::Regex(expression) => format!("~ {expression}"),
    };
    for header in &matched.headers {
        write!(f, ", header {} {}", header.name, value(&header.value))?;
    }
    matched.query.iter().try_for_each(|parameter| write!(f, ", query {} {}", parameter.name, value(&parameter.value)))
}
