//! A route becomes its share of every edge that it is attached to, and its report.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::attach::{self, Accepted};
use super::demand::{self, Demand};
use super::{BackendFacts, RouteFacts, RuleAction, RuleFacts, expressions, resolve};
use crate::model::{
    Action, Attachment, BackendId, BackendTarget, CertificateId, EdgeId, Filter, ListenerName, ObjectId, Place, Route, Rule,
};
use crate::report::{Finding, Issue, Limit, ObjectReport, ParentReport, Scope, Severity, Verdict};
use crate::snapshot::Resource;
use crate::translate::budget::PLACES_OF_ROUTE;
use crate::translate::facts::{Body, Fact};
use crate::translate::grant::Referrer;
use crate::translate::reader::Reader;

/// A route with at least one parent of ours.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RouteOutcome {
    pub(crate) report: Arc<ObjectReport>,
    pub(crate) shares: Arc<BTreeMap<EdgeId, Share>>,
    /// What it asks for of its namespace's budgets.
    pub(crate) demand: Demand,
}

/// What a route brings to one edge.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Share {
    /// For the snapshot; none when none of its listeners serves.
    pub(crate) route: Option<Arc<Resource>>,
    /// Listeners that count it.
    pub(crate) attached: BTreeSet<ListenerName>,
    /// Backends that the route forwards to.
    pub(crate) backends: BTreeSet<BackendId>,
    /// Certificates that it brings to the edge's HTTPS listener.
    pub(crate) certificates: BTreeMap<CertificateId, Offer>,
}

/// A certificate and the names that it is to be shown for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Offer {
    pub(crate) resource: Arc<Resource>,
    pub(crate) names: BTreeSet<String>,
}

/// Translates a route; none when it does not exist, cannot be read, or no parent of it is ours.
pub(crate) fn translate(reader: &mut Reader<'_>, id: &ObjectId) -> Option<RouteOutcome> {
    let Fact { meta, body, findings, .. } = reader.fact(id)?.clone();
    let Body::Route(facts) = body else { return None };
    let mut attached = attach_all(reader, id, &facts);
    if attached.parents.is_empty() {
        return None;
    }
    let mut demand = demand::ask(reader, (id, &meta.age), &facts, &mut attached);
    let facts = if attached.listeners.is_empty() {
        facts
    } else {
        let (judged, costly) = expressions::judge(reader, (id, &meta.age), facts);
        demand.costly = costly;
        judged
    };
    let mut issues: Vec<_> = findings.into_iter().map(|finding| (finding.scope, finding.issue)).collect();
    issues.extend(facts.issues.iter().cloned());
    issues.extend(attached.issues);
    let (rules, of_rules) = rules(reader, id, &facts);
    let written = written(&facts);
    issues.extend(of_rules);

    let counts = counts(&facts);
    let backends: BTreeSet<_> = rules.iter().flat_map(backends_of).cloned().collect();
    let shares = attached.listeners.into_iter().map(|(edge, listeners)| {
        let serving = listeners.values().filter(|(serving, _)| *serving).map(|(_, attachment)| attachment.clone());
        let attachments: Vec<_> = serving.collect();
        let route = Route::new(id.clone(), meta.age.clone(), (attachments, rules.clone(), written.clone()));
        let served = !route.attachments.is_empty() && !route.rules.is_empty();
        let share = Share {
            attached: if counts { listeners.into_keys().collect() } else { BTreeSet::new() },
            backends: if served { backends.clone() } else { BTreeSet::new() },
            route: served.then(|| Arc::new(Resource::Route(route))),
            certificates: BTreeMap::new(),
        };
        (edge, share)
    });
    let shares = Arc::new(shares.collect());
    let mut findings: Vec<_> = issues.into_iter().map(|(scope, issue)| Finding { object: id.clone(), scope, issue }).collect();
    findings.sort();
    findings.dedup();
    let verdict = Verdict::Route { parents: attached.parents, rules: facts.rules.len() };
    let report = Arc::new(ObjectReport { id: id.clone(), generation: meta.generation, findings, verdict });
    Some(RouteOutcome { report, shares, demand })
}

/// Attachments of one edge: whether the listener serves, and the hostnames.
pub(super) type Listeners = BTreeMap<ListenerName, (bool, Attachment)>;

/// Parents of ours, and the listeners that accept the route.
#[derive(Default)]
pub(super) struct Attached {
    parents: Vec<ParentReport>,
    pub(super) issues: Vec<(Scope, Issue)>,
    pub(super) listeners: BTreeMap<EdgeId, Listeners>,
}

fn attach_all(reader: &mut Reader<'_>, id: &ObjectId, facts: &RouteFacts) -> Attached {
    let mut all = Attached::default();
    // A route that is refused as a whole has parents, and attaches to none.
    let mut refused = facts.issues.iter().any(|(scope, issue)| *scope == Scope::Object && issue.severity() == Severity::Error);
    let mut room = PLACES_OF_ROUTE;
    for parent in &facts.parents {
        let Some((owner, edge)) = attach::parent(reader, parent, &id.namespace) else { continue };
        let Some(points) = reader.listeners(&edge) else { continue };
        all.parents.push(ParentReport { parent: parent.clone(), edge: edge.clone() });
        match attach::attach(reader, (id, facts), (parent, &owner), (&points, &mut room)) {
            Err(issue @ Issue::Limit(Limit::TooManyPlaces { .. })) => {
                all.issues.push((Scope::Object, issue));
                (refused, room) = (true, 0);
            }
            Err(issue) => all.issues.push((Scope::Parent(parent.clone()), issue)),
            Ok(_) if refused => {}
            Ok(accepted) => {
                let served = accepted.iter().any(|Accepted { point, .. }| point.serving);
                for Accepted { point, hostnames } in accepted {
                    if !served {
                        let issue = Issue::ListenerNotServing { listener: point.name.clone() };
                        all.issues.push((Scope::Parent(parent.clone()), issue));
                    }
                    let attachment = Attachment { listener: point.name.clone(), hostnames };
                    all.listeners.entry(edge.clone()).or_default().insert(point.name.clone(), (point.serving, attachment));
                }
            }
        }
    }
    if refused {
        all.listeners.clear();
    }
    all
}

/// Whether listeners count the route: at least one rule of it can be served (`Accepted` is not False for all of it).
fn counts(facts: &RouteFacts) -> bool {
    facts.rules.iter().any(|rule| !matches!(rule.action, RuleAction::Broken))
}

fn rules(reader: &mut Reader<'_>, id: &ObjectId, facts: &RouteFacts) -> (Vec<Rule>, Vec<(Scope, Issue)>) {
    let referrer = Referrer { kind: &facts.kind, namespace: &id.namespace };
    let mut issues = Vec::new();
    let mut rules = Vec::with_capacity(facts.rules.len());
    for (index, rule) in facts.rules.iter().enumerate() {
        let RuleFacts { name, matches, filters, mirrors, action } = rule;
        let action = match action {
            RuleAction::Broken => Action::Answer(500),
            RuleAction::Redirect(redirect) => Action::Redirect(redirect.clone()),
            RuleAction::Forward(backends) => {
                let (action, of_backends) = forward(reader, &referrer, backends);
                issues.extend(of_backends.into_iter().map(|(backend, issue)| (Scope::Rule { rule: index, backend: Some(backend) }, issue)));
                action
            }
        };
        let filters = match action {
            Action::Answer(_) => Vec::new(),
            Action::Redirect(_) | Action::Forward(_) => {
                let (mirrors, of_mirrors) = resolve::mirrors(reader, &referrer, mirrors);
                issues.extend(of_mirrors.into_iter().map(|issue| (Scope::Rule { rule: index, backend: None }, issue)));
                filters.iter().cloned().chain(mirrors).collect()
            }
        };
        if !matches.is_empty() {
            rules.push(Rule { name: name.clone(), host: None, fallback: false, matches: matches.to_vec(), filters, action });
        }
    }
    (rules, issues)
}

/// Where the matches of the rules are written, when that is not where they are in the model.
fn written(facts: &RouteFacts) -> Vec<Place> {
    let rules = facts.rules.iter().enumerate();
    let all: Vec<_> = rules.flat_map(|(rule, facts)| facts.matches.written.iter().map(move |part| Place::new(rule, Some(*part)))).collect();
    let kept = facts.rules.iter().filter(|rule| !rule.matches.is_empty()).enumerate();
    let here = kept.flat_map(|(rule, facts)| (0..facts.matches.len()).map(move |part| Place::new(rule, Some(part))));
    if here.eq(all.iter().copied()) { Vec::new() } else { all }
}

fn forward(reader: &mut Reader<'_>, referrer: &Referrer<'_>, backends: &[BackendFacts]) -> (Action, Vec<(usize, Issue)>) {
    let mut issues = Vec::new();
    let mut references = Vec::with_capacity(backends.len());
    for (number, backend) in backends.iter().enumerate() {
        let (reference, found) = resolve::resolve(reader, referrer, backend);
        references.push(reference);
        issues.extend(found.into_iter().map(|issue| (number, issue)));
    }
    (Action::Forward(references), issues)
}

/// The backends that a rule forwards to, mirrors included.
pub(crate) fn backends_of(rule: &Rule) -> impl Iterator<Item = &BackendId> {
    let references = match &rule.action {
        Action::Forward(references) => references.as_slice(),
        Action::Redirect(_) | Action::Answer(_) => &[],
    };
    let targets = references.iter().filter_map(|reference| match &reference.target {
        BackendTarget::Service(id) => Some(id),
        BackendTarget::Invalid(_) => None,
    });
    let filters = rule.filters.iter().chain(references.iter().flat_map(|reference| &reference.filters));
    targets.chain(filters.filter_map(|filter| match filter {
        Filter::Mirror(mirror) => Some(&mirror.backend),
        _ => None,
    }))
}
