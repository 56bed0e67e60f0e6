//! The meaning of a snapshot, one request at a time, with no thought of speed.

use crate::model::{Hostname, Listener, PathMatch, Rank, Rule, ValueMatch};
use crate::snapshot::{Key, Resource, Snapshot};

/// A request as far as routing sees it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub port: u16,
    pub host: String,
    /// With the query.
    pub target: String,
    pub method: String,
    /// Whether every header and query condition of the snapshot holds.
    pub conditions: bool,
    /// Whether it is a gRPC call.
    pub call: bool,
}

/// The rule that wins; none: 404.
pub(crate) fn decide(snapshot: &Snapshot, request: &Request) -> Option<(Key, Rule)> {
    let listener = owner(snapshot, request)?;
    let path = request.target.split('?').next().unwrap_or_default();
    let mut best: Option<(Rank, Key, Rule)> = None;
    for (key, resource) in snapshot.iter() {
        let Resource::Route(route) = &**resource else { continue };
        for attachment in route.attachments.iter().filter(|attachment| attachment.listener == listener.name) {
            for (declared, _) in attachment.hostnames.iter().filter(|(_, effective)| effective.matches(&request.host)) {
                for (number, rule) in route.rules.iter().enumerate().filter(|(_, rule)| rule.is_for(declared)) {
                    for (index, matched) in rule.matches.iter().enumerate() {
                        let conditions = request.conditions || (matched.headers.is_empty() && matched.query.is_empty());
                        let method = matched.method.as_ref().is_none_or(|method| *method == request.method);
                        if !(conditions && method && takes(&matched.path, path, request.call)) {
                            continue;
                        }
                        let rank = route.rank(declared, number, index, matched);
                        if best.as_ref().is_none_or(|(held, ..)| rank > *held) {
                            best = Some((rank, key.clone(), rule.clone()));
                        }
                    }
                }
            }
        }
    }
    best.map(|(_, key, rule)| (key, rule))
}

fn owner(snapshot: &Snapshot, request: &Request) -> Option<Listener> {
    let mut best: Option<Listener> = None;
    for (_, resource) in snapshot.iter() {
        let Resource::Listener(listener) = &**resource else { continue };
        let narrower = |held: &Listener| specificity(&listener.hostname) > specificity(&held.hostname);
        if listener.port == request.port && listener.hostname.matches(&request.host) && best.as_ref().is_none_or(narrower) {
            best = Some(listener.clone());
        }
    }
    best
}

fn specificity(hostname: &Hostname) -> (u8, usize) {
    match hostname {
        Hostname::Any => (0, 0),
        Hostname::Wildcard(suffix) | Hostname::Label(suffix) => (1, suffix.len()),
        Hostname::Exact(name) => (2, name.len()),
    }
}

fn takes(condition: &PathMatch, path: &str, call: bool) -> bool {
    match condition {
        PathMatch::Exact(text) => path == text,
        PathMatch::Prefix(text) if text == "/" => path.starts_with('/'),
        PathMatch::Prefix(text) => path.strip_prefix(text.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        PathMatch::Call { service, method } => {
            let mut parts: Vec<&str> = path.split('/').skip(1).collect();
            let last = parts.pop().unwrap_or_default();
            let first = parts.join("/");
            let named = !first.is_empty() && !last.is_empty();
            let is = |wanted: &Option<ValueMatch>, name: &str| match wanted {
                None => true,
                Some(ValueMatch::Exact(text)) => named && text == name,
                Some(ValueMatch::Regex(text)) => named && whole(text, name),
            };
            call && is(service, &first) && is(method, last)
        }
        PathMatch::Regex(text) => whole(text, path),
    }
}

fn whole(expression: &str, text: &str) -> bool {
    regex::Regex::new(&format!("^(?:{expression})$")).is_ok_and(|regex| regex.is_match(text))
}
