//! The judge: Gateway API's words on HTTPRoute as straight-line code over [`World`]. Slow, and shares nothing with `src`.
//!
//! What the specification leaves open follows the decisions of this project: a regular expression matches the whole
//! path and ranks between exact and prefix, by length; the first query parameter of a name counts; several header
//! lines of one name are one value joined by `,`; a replacement of a prefix loses its trailing slash.

use std::cell::RefCell;
use std::collections::HashMap;

use regex::Regex;

use super::world::{Condition, Edit, Listener, Match, Parent, PathChange, PathKind, Redirect, Request, Route, Rule, Service, World};

/// The match that decides: positions of route, rule and match.
pub type Winner = (usize, usize, usize);

/// An outcome that the specification permits for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The proxy answers by itself.
    Answer(u16),
    Redirect {
        status: u16,
        location: String,
    },
    Forward {
        /// Number of the test backend.
        backend: usize,
        /// The target in origin form.
        target: String,
        host: String,
        /// Request headers, edits applied: name in lower case and values joined by `,`.
        headers: Vec<(String, String)>,
        /// What the rule does to the backend's response headers.
        response: Edit,
    },
}

/// Every outcome that is right for `request`; several where weights leave a choice.
pub fn decide(world: &World, ports: &[u16], request: &Request) -> Vec<Verdict> {
    let Some((route, rule, matched)) = winner(world, request) else { return vec![Verdict::Answer(404)] };
    let rule = &world.routes[route].rules[rule];
    let matched = all_matches(rule)[matched].clone();
    if let Some(redirect) = &rule.redirect {
        return vec![redirected(redirect, &matched, ports[request.port], request)];
    }
    let total: u32 = rule.backends.iter().map(|backend| backend.weight.unwrap_or(1)).sum();
    if total == 0 {
        return vec![Verdict::Answer(500)];
    }
    let mut outcomes = Vec::new();
    for backend in &rule.backends {
        if backend.weight == Some(0) {
            continue;
        }
        outcomes.push(match backend.service {
            Service::Missing => Verdict::Answer(500),
            Service::Idle => Verdict::Answer(503),
            Service::Live(number) => forwarded(rule, backend.request_headers.as_ref(), number, &matched, request),
        });
    }
    outcomes
}

/// The match that serves `request`; `None` is 404.
pub fn winner(world: &World, request: &Request) -> Option<Winner> {
    let host = request_host(request);
    let listener = chosen_listener(world, request.port, &host)?;
    let mut candidates = Vec::new();
    for (route_index, route) in world.routes.iter().enumerate() {
        if !route.parents.iter().any(|parent| selects(parent, listener)) {
            continue;
        }
        let Some(specificity) = host_specificity(route, &host) else { continue };
        for (rule_index, rule) in route.rules.iter().enumerate() {
            for (match_index, matched) in all_matches(rule).iter().enumerate() {
                if holds(matched, request) {
                    candidates.push((specificity, route_index, rule_index, match_index));
                }
            }
        }
    }
    // Gateway API lists the criteria from the strongest to the weakest: sort by the weakest first, keeping order (a
    // stable sort), so that the strongest has the last word. Then the first of the list wins.
    let found = |candidate: &((usize, usize), usize, usize, usize)| {
        let route = &world.routes[candidate.1];
        (route, all_matches(&route.rules[candidate.2])[candidate.3].clone())
    };
    candidates.sort_by_key(|candidate| candidate.3);
    candidates.sort_by_key(|candidate| candidate.2);
    candidates.sort_by_key(|candidate| format!("{}/{}", found(candidate).0.namespace, found(candidate).0.name));
    candidates.sort_by_key(|candidate| found(candidate).0.created);
    candidates.sort_by_key(|candidate| usize::MAX - found(candidate).1.query.len());
    candidates.sort_by_key(|candidate| usize::MAX - found(candidate).1.headers.len());
    candidates.sort_by_key(|candidate| found(candidate).1.method.is_none());
    candidates.sort_by_key(|candidate| usize::MAX - path_specificity(&found(candidate).1));
    candidates.sort_by_key(|candidate| usize::MAX - candidate.0.1);
    candidates.sort_by_key(|candidate| usize::MAX - candidate.0.0);
    candidates.first().map(|candidate| (candidate.1, candidate.2, candidate.3))
}

/// The matches of a rule with the default made explicit.
fn all_matches(rule: &Rule) -> Vec<Match> {
    if rule.matches.is_empty() { vec![Match::default()] } else { rule.matches.clone() }
}

/// The host that the request is for: lower-case, without port. The authority of an absolute target wins over `Host`.
pub fn request_host(request: &Request) -> String {
    let mut authority = request.host.clone().unwrap_or_default();
    if let Some((_, rest)) = request.target.split_once("://").filter(|_| !request.target.starts_with('/')) {
        authority = rest.split(['/', '?']).next().unwrap_or_default().to_owned();
    }
    let mut host = authority.as_str();
    if let Some((name, port)) = authority.rsplit_once(':')
        && port.chars().all(|c| c.is_ascii_digit())
    {
        host = name;
    }
    host.to_ascii_lowercase()
}

/// Path and, with its `?`, query of the target.
pub fn path_and_query(target: &str) -> (String, String) {
    let mut rest = target;
    if let Some((_, after)) = target.split_once("://").filter(|_| !target.starts_with('/')) {
        rest = after.find(['/', '?']).map_or("", |at| &after[at..]);
    }
    let (path, query) = match rest.find('?') {
        Some(at) => (&rest[..at], &rest[at..]),
        None => (rest, ""),
    };
    (if path.is_empty() { "/".to_owned() } else { path.to_owned() }, query.to_owned())
}

/// Whether a hostname pattern covers a host. A wildcard takes one label or more, never the bare suffix.
fn covers(pattern: &str, host: &str) -> bool {
    let pattern = pattern.to_ascii_lowercase();
    match pattern.strip_prefix('*') {
        Some(suffix) => host.ends_with(suffix) && host.len() > suffix.len(),
        None => pattern == host,
    }
}

/// Listener isolation: only the most specific listener of the port counts.
pub fn chosen_listener<'a>(world: &'a World, port: usize, host: &str) -> Option<&'a Listener> {
    let on_port: Vec<_> = world.listeners.iter().filter(|listener| listener.port == port).collect();
    let exact =
        on_port.iter().find(|listener| listener.hostname.as_deref().is_some_and(|name| !name.starts_with('*') && covers(name, host)));
    let wildcard = on_port
        .iter()
        .filter(|listener| listener.hostname.as_deref().is_some_and(|name| name.starts_with('*') && covers(name, host)))
        .max_by_key(|listener| listener.hostname.as_ref().map(String::len));
    let any = on_port.iter().find(|listener| listener.hostname.is_none());
    exact.or(wildcard).or(any).copied()
}

pub fn selects(parent: &Parent, listener: &Listener) -> bool {
    parent.section.as_ref().is_none_or(|section| *section == listener.name) && parent.port.is_none_or(|port| port == listener.port)
}

/// The greatest (characters of a matching non-wildcard hostname, characters of a matching hostname) of a route; `None`
/// when it is not for this host. A route and a listener share exactly the hosts that both cover.
pub fn host_specificity(route: &Route, host: &str) -> Option<(usize, usize)> {
    if route.hostnames.is_empty() {
        return Some((0, 0));
    }
    let covering = route.hostnames.iter().filter(|hostname| covers(hostname, host));
    covering.map(|hostname| if hostname.starts_with('*') { (0, hostname.len()) } else { (hostname.len(), hostname.len()) }).max()
}

/// Exact before regular expression before prefix, each by length; a prefix without its trailing slash.
fn path_specificity(matched: &Match) -> usize {
    match &matched.path {
        None => 0,
        Some((PathKind::Prefix, prefix)) => prefix.trim_end_matches('/').len(),
        Some((PathKind::Regex, expression)) => 100_000 + expression.len(),
        Some((PathKind::Exact, path)) => 1_000_000 + path.len(),
    }
}

fn holds(matched: &Match, request: &Request) -> bool {
    let (path, query) = path_and_query(&request.target);
    let path_holds = match &matched.path {
        // The `*` of `OPTIONS *` is no path.
        _ if !path.starts_with('/') => false,
        None => true,
        Some((PathKind::Exact, wanted)) => path == *wanted,
        Some((PathKind::Prefix, prefix)) => {
            let prefix = prefix.trim_end_matches('/');
            path == prefix || path.starts_with(&format!("{prefix}/"))
        }
        Some((PathKind::Regex, expression)) => whole(expression, &path),
    };
    path_holds
        && matched.method.as_ref().is_none_or(|method| *method == request.method)
        && matched.headers.iter().all(|condition| header(request, &condition.name).is_some_and(|value| fits(condition, &value)))
        && matched.query.iter().all(|condition| parameter(&query, &condition.name).is_some_and(|value| fits(condition, &value)))
}

pub fn fits(condition: &Condition, value: &str) -> bool {
    if condition.regex { whole(&condition.value, value) } else { condition.value == value }
}

fn whole(expression: &str, text: &str) -> bool {
    thread_local!(static BUILT: RefCell<HashMap<String, Regex>> = RefCell::default());
    BUILT.with_borrow_mut(|built| {
        let build = || Regex::new(&format!("^(?:{expression})$")).expect("the generator writes valid expressions");
        built.entry(expression.to_owned()).or_insert_with(build).is_match(text)
    })
}

/// All lines of a name as one value.
pub fn header(request: &Request, name: &str) -> Option<String> {
    if name.eq_ignore_ascii_case("host") {
        return request.host.clone();
    }
    let lines: Vec<_> =
        request.headers.iter().filter(|(line, _)| line.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect();
    if lines.is_empty() { None } else { Some(lines.join(",")) }
}

/// The first query parameter of a name, form-decoded.
fn parameter(query: &str, name: &str) -> Option<String> {
    let pairs = query.strip_prefix('?')?.split('&').filter(|pair| !pair.is_empty());
    let mut pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(key, _)| form_decoded(key) == name).map(|(_, value)| form_decoded(value))
}

fn form_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (bytes[at], hex) {
            (b'+', _) => decoded.push(b' '),
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 2;
            }
            (byte, _) => decoded.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Replaces path or matched prefix, as the table of `HTTPPathModifier.replacePrefixMatch` shows.
fn changed_path(change: Option<&PathChange>, matched: &Match, path: &str) -> String {
    let replaced = match change {
        None => return path.to_owned(),
        Some(PathChange::Full(full)) => full.clone(),
        Some(PathChange::Prefix(replacement)) => {
            let prefix = matched.path.as_ref().map_or("", |(_, prefix)| prefix.trim_end_matches('/'));
            let rest = &path[prefix.len()..];
            format!("{}{rest}", replacement.trim_end_matches('/'))
        }
    };
    if replaced.is_empty() { "/".to_owned() } else { replaced }
}

fn redirected(redirect: &Redirect, matched: &Match, port: u16, request: &Request) -> Verdict {
    let (path, query) = path_and_query(&request.target);
    let scheme = redirect.scheme.as_deref().unwrap_or("http");
    let well_known = if scheme == "https" { 443 } else { 80 };
    let host = redirect.hostname.clone().unwrap_or_else(|| request_host(request));
    let port = redirect.port.unwrap_or(if redirect.scheme.is_some() { well_known } else { port });
    let port = if port == well_known { String::new() } else { format!(":{port}") };
    let location = format!("{scheme}://{host}{port}{}{query}", changed_path(redirect.path.as_ref(), matched, &path));
    Verdict::Redirect { status: redirect.status.unwrap_or(302), location }
}

/// What arrives at a backend, and what becomes of its answer.
pub fn forwarded(rule: &Rule, backend_edit: Option<&Edit>, backend: usize, matched: &Match, request: &Request) -> Verdict {
    let (path, query) = path_and_query(&request.target);
    let change = rule.rewrite.as_ref().and_then(|rewrite| rewrite.path.as_ref());
    let mut headers = Vec::new();
    for (name, _) in &request.headers {
        let name = name.to_ascii_lowercase();
        if !headers.iter().any(|(known, _)| *known == name) {
            headers.push((name.clone(), header(request, &name).unwrap_or_default()));
        }
    }
    for edit in [rule.request_headers.as_ref(), backend_edit].into_iter().flatten() {
        apply(edit, &mut headers);
    }
    Verdict::Forward {
        backend,
        target: format!("{}{query}", changed_path(change, matched, &path)),
        host: rule.rewrite.as_ref().and_then(|rewrite| rewrite.hostname.clone()).unwrap_or_else(|| request_host(request)),
        headers,
        response: rule.response_headers.clone().unwrap_or_default(),
    }
}

/// Applies an edit to headers with lower-case names and joined values.
pub fn apply(edit: &Edit, headers: &mut Vec<(String, String)>) {
    for (name, value) in &edit.set {
        headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        headers.push((name.to_ascii_lowercase(), value.clone()));
    }
    for (name, value) in &edit.add {
        match headers.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((_, old)) => *old = format!("{old},{value}"),
            None => headers.push((name.to_ascii_lowercase(), value.clone())),
        }
    }
    for name in &edit.remove {
        headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }
}
