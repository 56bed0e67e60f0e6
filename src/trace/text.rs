//! A trace for people.

use std::fmt;

use super::reports::Told;
use super::{Answer, Apart, Candidate, Choice, Decided, Elsewhere, Fails, Grpc, Judged, Request, Said, Share, Stage, Standing, Trace};
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
        self.listeners.iter().try_for_each(|listener| write!(f, "{listener}"))?;
        self.certificate(f)?;
        self.won(f)?;
        writeln!(f, "  stage        {}", self.stage)?;
        for (name, value) in &self.policy {
            writeln!(f, "  {name:<12} {value}")?;
        }
        write!(f, "  answer       {}", self.answer)?;
        self.grpc.iter().try_for_each(|grpc| write!(f, "{grpc}"))?;
        for Said { resource, state } in &self.acknowledged {
            writeln!(f, "  edge says    {resource}: {state}")?;
        }
        if !self.candidates.is_empty() {
            writeln!(f, "  candidates, the highest rank first")?;
        }
        let winner = self.winning();
        for candidate in &self.candidates {
            let why: Vec<_> = candidate.losses.iter().map(|loss| candidate.why(loss, winner)).collect();
            let verdict = if why.is_empty() { "wins".to_owned() } else { why.join("; ") };
            writeln!(f, "    {candidate} → {verdict}")?;
        }
        if self.other_hosts > 0 {
            writeln!(f, "  {} further matches of this listener are for other hosts", self.other_hosts)?;
        }
        self.unattached.routes.iter().try_for_each(|apart| writeln!(f, "  {apart}"))?;
        match self.unattached.left_out {
            0 => Ok(()),
            left_out => writeln!(f, "  {left_out} further routes for this host are not attached to this listener"),
        }
    }
}

impl Trace {
    fn certificate(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(shown) = &self.certificates else { return Ok(()) };
        let secrets: Vec<_> = shown.iter().map(|id| format!("Secret {id}")).collect();
        let shown = match (secrets.is_empty(), &self.answer) {
            (false, _) => secrets.join(", "),
            (true, Answer::Closed { .. } | Answer::Unreachable { .. }) => "none".to_owned(),
            // It has one built in for names that it has no certificate of.
            (true, _) => "none for this name: the client is shown one of Sōzu's own, which it does not trust".to_owned(),
        };
        writeln!(f, "  certificate  {shown}")?;
        self.certificate_problems.iter().try_for_each(|problem| writeln!(f, "    {problem}"))
    }

    fn won(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(winner), Some(candidate)) = (&self.winner, self.winning()) else { return writeln!(f, "  winner       none") };
        writeln!(f, "  winner       {candidate}")?;
        if let Some(Decided { over, field, words, .. }) = &winner.decided {
            writeln!(f, "    before {over} {field}: {words}")?;
        }
        winner.problems.iter().try_for_each(|problem| writeln!(f, "    {}: {}", problem.at, Told(problem)))
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.outcome {
            Choice::Chosen => "chosen: the most specific hostname that covers the host",
            Choice::LessSpecific => "less specific",
            Choice::OtherHost => "does not cover the host",
            Choice::NotServing => "does not serve",
        };
        writeln!(f, "  listener     {} ({}): {why}", self.name, self.hostname)?;
        self.problems.iter().try_for_each(|problem| writeln!(f, "    {}: {}", problem.object, Told(problem)))
    }
}

impl fmt::Display for Apart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Elsewhere::Refused(problem) if problem.at.is_empty() => write!(f, "{} is not attached: {}", self.route, Told(problem)),
            Elsewhere::Refused(problem) => write!(f, "{} is not attached: {}: {}", self.route, problem.at, Told(problem)),
            Elsewhere::OtherListener { listener } => {
                write!(f, "{} is attached to listener {listener}, so this request does not reach it", self.route)
            }
            Elsewhere::OtherPort { listener, port } => {
                write!(f, "{} is attached to listener {listener} of port {port}, so this request does not reach it", self.route)
            }
        }
    }
}

impl fmt::Display for Grpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("  gRPC         ")?;
        match (&self.service, &self.method) {
            (Some(service), Some(method)) => write!(f, "a call of service {service}, method {method}")?,
            _ => f.write_str("a call of no service and method")?,
        }
        match self.status {
            Some(status) => writeln!(f, ": the client gets HTTP status 200 with grpc-status {status}")?,
            None => writeln!(f)?,
        }
        self.mismatches.iter().try_for_each(|mismatch| writeln!(f, "    {mismatch}"))
    }
}

impl fmt::Display for Fails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.grpc_status {
            None => write!(f, "{}", self.status),
            Some(grpc) => write!(f, "grpc-status {grpc}"),
        }
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
            Self::Unreachable { why } => writeln!(f, "none, the connection is refused: {why}"),
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
        match (&self.backend, &self.fails) {
            (Some(backend), Some(fails)) => write!(f, "Service {backend}, {fails}: {}", fails.why)?,
            (None, Some(fails)) => write!(f, "{fails}: {}", fails.why)?,
            (backend, None) => {
                backend.iter().try_for_each(|backend| write!(f, "Service {backend}"))?;
                f.write_str(match self.protocol {
                    BackendProtocol::Http => " over HTTP/1.1 at ",
                    BackendProtocol::H2c => " over HTTP/2 at ",
                })?;
            }
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
        match (&self.fails, self.problems.is_empty()) {
            (Some(_), true) if !self.field.is_empty() => writeln!(f, "      {}", self.field)?,
            _ => self.problems.iter().try_for_each(|problem| writeln!(f, "      {}: {}", problem.at, Told(problem)))?,
        }
        self.unanswered.iter().try_for_each(|unanswered| writeln!(f, "      {unanswered}"))?;
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
