//! An Ingress becomes its share of the edge of its class, and its report.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use super::edge::HTTPS;
use super::{Applicant, Wish, bytes_of, class, rest, tls};
use crate::model::{Action, Attachment, BackendRef, BackendTarget, EdgeId, Hostname, InvalidBackend, ObjectId, Place, Route, Rule};
use crate::report::{Finding, Issue, Limit, ObjectReport, RouteKind, Scope, Verdict};
use crate::snapshot::Resource;
use crate::translate::budget::{Good, HOST_BYTES_OF_NAMESPACE};
use crate::translate::facts::{BackendPort, Body, Fact, HostFacts, IngressFacts, ObjectRef};
use crate::translate::grant::Referrer;
use crate::translate::groups::Points;
use crate::translate::reader::Reader;
use crate::translate::routes::{BackendFacts, Demand, RouteOutcome, Share, backends_of, resolve};

const GROUP: &str = "networking.k8s.io";

/// The hosts of an Ingress that its namespace owns.
pub(super) struct Owned<'a> {
    pub(super) edge: &'a EdgeId,
    pub(super) namespace: &'a str,
    /// Each with the namespace that it belongs to, when that is another one.
    hosts: BTreeMap<Hostname, Option<String>>,
}

impl<'a> Owned<'a> {
    fn of(reader: &mut Reader<'_>, edge: &'a EdgeId, namespace: &'a str, facts: &IngressFacts) -> Self {
        let stranger = |reader: &mut Reader<'_>, host: &Hostname| reader.host_owner(edge, host).filter(|owner| owner != namespace);
        let declared: BTreeSet<_> = facts.hosts().cloned().collect();
        let hosts = declared.into_iter().map(|host| (host.clone(), stranger(reader, &host))).collect();
        Self { edge, namespace, hosts }
    }

    /// The hosts that belong to the namespace.
    pub(super) fn hosts(&self) -> impl Iterator<Item = &Hostname> {
        self.hosts.iter().filter(|(_, stranger)| stranger.is_none()).map(|(host, _)| host)
    }

    /// Whether a host is one of these, or within a wildcard that is.
    pub(super) fn covers(&self, host: &Hostname) -> bool {
        let own = |host: &Hostname| self.hosts.get(host).is_some_and(Option::is_none);
        let parent = match host {
            Hostname::Exact(name) => name.split_once('.').map(|(_, suffix)| Hostname::Label(suffix.to_owned())),
            _ => None,
        };
        *host != Hostname::Any && (own(host) || parent.is_some_and(|parent| own(&parent)))
    }

    /// What is wrong with a host that is not the namespace's.
    fn issue(&self, host: &Hostname) -> Option<Issue> {
        let owner = self.hosts.get(host)?.clone()?;
        Some(Issue::HostTaken { hostname: host.clone(), owner })
    }
}

/// Translates an Ingress; none when it does not exist, cannot be read, or its class is not ours.
pub(crate) fn translate(reader: &mut Reader<'_>, id: &ObjectId) -> Option<RouteOutcome> {
    let Fact { meta, body, findings, .. } = reader.fact(id)?.clone();
    let Body::Ingress(mut facts) = body else { return None };
    let edge = class::edge_of(reader, &facts)?;
    let points = reader.listeners(&edge)?;
    let mut issues: Vec<_> = findings.into_iter().map(|finding| (finding.scope, finding.issue)).collect();
    if !reader.within(Good::Hosts, (id, &meta.age), bytes_of(&facts.hosts().cloned().collect())) {
        issues.push((Scope::Object, Issue::Limit(Limit::HostBudget { namespace: id.namespace.clone(), most: HOST_BYTES_OF_NAMESPACE })));
        facts = Arc::new(facts.without_rules());
    }
    let owned = Owned::of(reader, &edge, &id.namespace, &facts);
    issues.extend(facts.issues.iter().cloned());
    let silent = points.values().flatten().filter(|point| !point.serving);
    issues.extend(silent.map(|point| (Scope::Object, Issue::ListenerNotServing { listener: point.name.clone() })));
    let Rules { rules, written, issues: of_rules, .. } = Rules::of(reader, (id, &facts), &owned);
    issues.extend(of_rules);
    let (certificates, of_tls) = tls::offers(reader, (id, &facts), &owned);
    issues.extend(of_tls);

    let backends: BTreeSet<_> = rules.iter().flat_map(backends_of).cloned().collect();
    let route = Route::new(id.clone(), meta.age, (attachments(&points, &owned), rules, written));
    let secure = points.values().flatten().any(|point| point.serving && point.name.0 == HTTPS);
    let served = !route.attachments.is_empty() && !route.rules.is_empty();
    let share = Share {
        attached: BTreeSet::new(),
        backends: if served { backends } else { BTreeSet::new() },
        route: served.then(|| Arc::new(Resource::Route(route))),
        certificates: if served && secure { certificates } else { BTreeMap::new() },
    };
    let mut findings: Vec<_> = issues.into_iter().map(|(scope, issue)| Finding { object: id.clone(), scope, issue }).collect();
    findings.sort();
    findings.dedup();
    let verdict = Verdict::Ingress { edge: edge.clone(), addresses: reader.addresses(&edge), served };
    let report = Arc::new(ObjectReport { id: id.clone(), generation: meta.generation, findings, verdict });
    Some(RouteOutcome { report, shares: Arc::new(BTreeMap::from([(edge, share)])), demand: Demand::default() })
}

/// Every listener of a class takes every host.
fn attachments(points: &Points, owned: &Owned<'_>) -> Vec<Attachment> {
    let hostnames: Vec<_> = owned.hosts().map(|host| (host.clone(), host.clone())).collect();
    let serving = points.values().flatten().filter(|point| point.serving && !hostnames.is_empty());
    serving.map(|point| Attachment { listener: point.name.clone(), hostnames: hostnames.clone() }).collect()
}

/// The rules of an Ingress as they are built, one for each path.
struct Rules<'r, 'g, 'a> {
    reader: &'r mut Reader<'g>,
    id: &'a ObjectId,
    edge: &'a EdgeId,
    /// What its own rules have taken so far.
    taken: BTreeSet<Wish>,
    rules: Vec<Rule>,
    /// Where each rule is written.
    written: Vec<Place>,
    issues: Vec<(Scope, Issue)>,
}

impl<'r, 'g, 'a> Rules<'r, 'g, 'a> {
    fn of(reader: &'r mut Reader<'g>, (id, facts): (&'a ObjectId, &IngressFacts), owned: &Owned<'a>) -> Self {
        let mut all =
            Self { reader, id, edge: owned.edge, taken: BTreeSet::new(), rules: Vec::new(), written: Vec::new(), issues: Vec::new() };
        for rule in &facts.rules {
            match owned.issue(&rule.host) {
                Some(issue) => all.issues.push((Scope::Field(format!("spec.rules[{}].host", rule.index)), issue)),
                None => all.host(rule, facts.default_backend.as_ref()),
            }
        }
        for (host, index) in facts.hosts_of_rules() {
            if owned.issue(host).is_none()
                && let Some(rule) = rest::close(all.reader, (id, owned.edge), host, &all.rules)
            {
                all.add(Place::new(index, None), rule);
            }
        }
        if let Some(backend) = &facts.default_backend {
            let at = "spec.defaultBackend";
            match owned.issue(&Hostname::Any) {
                Some(issue) => all.issues.push((Scope::Field(at.to_owned()), issue)),
                None => {
                    all.contest(at.to_owned(), Wish::Fallback(id.namespace.clone()));
                    let action = all.action(at, backend);
                    all.add(Place { rule: None, part: None }, Rule::for_every_path(Hostname::Any, action, true));
                }
            }
        }
        all
    }

    fn add(&mut self, place: Place, rule: Rule) {
        self.rules.push(rule);
        self.written.push(place);
    }

    fn host(&mut self, rule: &HostFacts, default_backend: Option<&BackendPort>) {
        match (&rule.paths, default_backend) {
            (Some(paths), _) => {
                for path in paths {
                    let at = format!("spec.rules[{}].http.paths[{}]", rule.index, path.index);
                    let action = self.action(&format!("{at}.backend"), &path.backend);
                    self.contest(at, Wish::Path(self.id.namespace.clone(), rule.host.clone(), path.path.clone()));
                    self.add(Place::new(rule.index, Some(path.index)), Rule::for_path(rule.host.clone(), path.path.clone(), action));
                }
            }
            (None, Some(backend)) if rule.host != Hostname::Any => {
                let action = self.action("spec.defaultBackend", backend);
                self.add(Place::new(rule.index, None), Rule::for_every_path(rule.host.clone(), action, false));
            }
            (None, _) => {}
        }
    }

    /// Reports what an older Ingress, or an earlier rule of this one, answers.
    fn contest(&mut self, at: String, wish: Wish) {
        let owner = match self.reader.granted(self.edge, wish.clone()) {
            Some(Applicant { id, .. }) if id != *self.id => id.name,
            _ if self.taken.contains(&wish) => self.id.name.clone(),
            _ => {
                self.taken.insert(wish);
                return;
            }
        };
        let issue = match wish {
            Wish::Path(_, hostname, path) => Issue::PathTaken { hostname, path, owner },
            Wish::Fallback(_) | Wish::Certificate(..) | Wish::Rest(..) => Issue::DefaultBackendTaken { owner },
        };
        self.issues.push((Scope::Field(at), issue));
    }

    fn action(&mut self, at: &str, backend: &BackendPort) -> Action {
        let (action, issues) = self.resolve(backend);
        self.issues.extend(issues.into_iter().map(|issue| (Scope::Field(at.to_owned()), issue)));
        action
    }

    fn resolve(&mut self, backend: &BackendPort) -> (Action, Vec<Issue>) {
        let (name, port) = match backend {
            BackendPort::Number(name, port) => (name, Ok(*port)),
            BackendPort::Name(name, port) => (name, self.port_number(name, port)),
            BackendPort::Resource(group, kind) => {
                return (Action::Answer(500), vec![Issue::InvalidBackendKind { group: group.clone(), kind: kind.clone() }]);
            }
            BackendPort::Missing => {
                return (Action::Answer(500), vec![Issue::InvalidBackendKind { group: String::new(), kind: String::new() }]);
            }
        };
        match port {
            Ok(port) => forward(self.reader, &referrer(&self.id.namespace), name, port),
            Err(issue) => {
                let target = BackendTarget::Invalid(InvalidBackend::NotFound);
                (Action::Forward(vec![BackendRef { weight: 1, target, filters: Vec::new() }]), vec![issue])
            }
        }
    }

    /// The number of a Service's port of this name.
    fn port_number(&mut self, service: &str, port: &str) -> Result<i32, Issue> {
        let (namespace, name) = (self.id.namespace.clone(), service.to_owned());
        let Some(found) = self.reader.service(&namespace, service) else {
            return Err(Issue::BackendNotFound { namespace, name, port: None });
        };
        let named = found.ports.iter().find(|of| of.name == port && of.protocol == "TCP");
        named.map(|of| of.port).ok_or_else(|| Issue::BackendPortNotFound { namespace, name, port: port.to_owned() })
    }
}

/// Ingresses of a namespace as what refers to Services.
pub(super) fn referrer(namespace: &str) -> Referrer<'_> {
    static KIND: LazyLock<RouteKind> = LazyLock::new(|| RouteKind { group: GROUP.to_owned(), kind: "Ingress".to_owned() });
    Referrer { kind: &KIND, namespace }
}

/// Forwarding to one Service of the referrer's namespace.
pub(super) fn forward(reader: &mut Reader<'_>, referrer: &Referrer<'_>, service: &str, port: i32) -> (Action, Vec<Issue>) {
    let reference = ObjectRef { group: String::new(), kind: "Service".to_owned(), namespace: None, name: service.to_owned() };
    let backend = BackendFacts { reference, port: Some(port), weight: 1, filters: Vec::new(), mirrors: Vec::new(), broken: false };
    let (reference, issues) = resolve::resolve(reader, referrer, &backend);
    (Action::Forward(vec![reference]), issues)
}
