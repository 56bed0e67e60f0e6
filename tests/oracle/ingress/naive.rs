//! The judge: the words of the Ingress documentation as straight-line code. Slow, and shares nothing with `src`.
//!
//! What they leave open follows the decisions of this project: a host belongs to the first namespace that uses it, and so
//! does the host of rules without one; `ImplementationSpecific` is `Prefix`; a request that no path of its host takes goes to
//! a wildcard, then to rules without host, then to a default backend, as long as these are of the same namespace; of equal paths the
//! older Ingress has it.

use super::super::naive::{Verdict, forwarded, path_and_query, request_host};
use super::super::world::{Match, Request, Rule, Service};
use super::{HostRule, Ingress, Path, PathType, Target};

/// The path that serves a request.
pub struct Winner<'a> {
    pub ingress: &'a Ingress,
    pub target: Target,
}

/// Every outcome that is right.
pub fn decide(set: &[Ingress], request: &Request) -> Vec<Verdict> {
    vec![match winner(set, request).map(|winner| winner.target) {
        None => Verdict::Answer(404),
        Some(Target::Resource | Target::Service(Service::Missing, _)) => Verdict::Answer(500),
        Some(Target::Service(Service::Idle, _)) => Verdict::Answer(503),
        Some(Target::Service(Service::Live(number), _)) => forwarded(&Rule::default(), None, number, &Match::default(), request),
    }]
}

/// Where a request goes.
pub fn winner<'a>(set: &'a [Ingress], request: &Request) -> Option<Winner<'a>> {
    let (host, (path, _)) = (request_host(request), path_and_query(&request.target));
    if !path.starts_with('/') {
        return None;
    }
    let wildcard = host.split_once('.').filter(|(label, _)| !label.is_empty()).map(|(_, rest)| format!("*.{rest}"));
    // Precise before wildcard before none.
    let patterns = [Some(Some(host.as_str())), wildcard.as_deref().map(Some), Some(None)];
    let mut first_owner = None;
    for pattern in patterns.into_iter().flatten() {
        let Some(owner) = owner(set, pattern) else { continue };
        // What is left over of a host never goes to another namespace.
        if *first_owner.get_or_insert(owner) != owner {
            return None;
        }
        if let Some(winner) = best_path(set, pattern, &path) {
            return Some(winner);
        }
    }
    let mut defaults: Vec<&Ingress> =
        set.iter().filter(|ingress| ingress.default_backend.is_some() && owner(set, None) == Some(ingress.namespace.as_str())).collect();
    defaults.sort_by_key(|ingress| (ingress.created, format!("{}/{}", ingress.namespace, ingress.name)));
    let first = defaults.first()?;
    Some(Winner { ingress: first, target: first.default_backend? })
}

/// The namespace of the oldest Ingress that uses a host.
fn owner<'a>(set: &'a [Ingress], host: Option<&str>) -> Option<&'a str> {
    let uses = |ingress: &&Ingress| {
        ingress.rules.iter().any(|rule| rule.host.as_deref() == host) || (host.is_none() && ingress.default_backend.is_some())
    };
    let mut users: Vec<_> = set.iter().filter(uses).collect();
    users.sort_by_key(|ingress| (ingress.created, ingress.namespace.clone(), ingress.name.clone()));
    users.first().map(|ingress| ingress.namespace.as_str())
}

/// Of the matching paths of all Ingresses for one host the longest, then an exact one, then the oldest.
fn best_path<'a>(set: &'a [Ingress], host: Option<&str>, path: &str) -> Option<Winner<'a>> {
    let owner = owner(set, host)?;
    let mut found = Vec::new();
    for ingress in set.iter().filter(|ingress| ingress.namespace == owner) {
        for rule in ingress.rules.iter().filter(|rule| rule.host.as_deref() == host) {
            for candidate in paths(ingress, rule) {
                if takes(&candidate, path) {
                    found.push((ingress, candidate));
                }
            }
        }
    }
    // By the weakest criterion first; a stable sort lets the strongest have the last word.
    found.sort_by_key(|(ingress, _)| (ingress.created, format!("{}/{}", ingress.namespace, ingress.name)));
    found.sort_by_key(|(_, candidate)| candidate.kind != PathType::Exact);
    found.sort_by_key(|(_, candidate)| usize::MAX - length(candidate));
    found.into_iter().next().map(|(ingress, candidate)| Winner { ingress, target: candidate.backend })
}

/// The paths of a rule. One without `http` sends its host to the default backend of its Ingress.
fn paths(ingress: &Ingress, rule: &HostRule) -> Vec<Path> {
    match (&rule.paths, ingress.default_backend, &rule.host) {
        (Some(paths), _, _) => paths.clone(),
        (None, Some(backend), Some(_)) => vec![Path { kind: PathType::Prefix, path: "/".to_owned(), backend }],
        (None, _, _) => Vec::new(),
    }
}

fn takes(candidate: &Path, path: &str) -> bool {
    if candidate.kind == PathType::Exact {
        return path == candidate.path;
    }
    // Element by element; an empty last element of the rule, from its trailing slash, says nothing.
    let wanted: Vec<&str> = candidate.path.trim_end_matches('/').split('/').collect();
    let given: Vec<&str> = path.split('/').collect();
    given.starts_with(&wanted)
}

fn length(candidate: &Path) -> usize {
    if candidate.kind == PathType::Exact { candidate.path.len() } else { candidate.path.trim_end_matches('/').len() }
}
