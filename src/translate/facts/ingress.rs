//! Ingresses and IngressClasses.

use std::collections::BTreeMap;

use kube::api::ObjectMeta;

use super::ObjectRef;
use crate::api::networking::{HTTPIngressPath, IngressBackend, IngressRule, IngressTLS};
use crate::api::{Ingress, IngressClass};
use crate::model::{Hostname, PathMatch};
use crate::report::{Issue, Scope};
use crate::translate::routes::{paths, shorten};

/// The annotation that named the class before `spec.ingressClassName`.
const CLASS: &str = "kubernetes.io/ingress.class";
/// The annotation that makes an IngressClass the one of Ingresses that name none.
const DEFAULT_CLASS: &str = "ingressclass.kubernetes.io/is-default-class";

/// Prefixes of annotations that well-known controllers read on Ingresses.
const FOREIGN: [&str; 12] = [
    "nginx.ingress.kubernetes.io",
    "ingress.kubernetes.io",
    "nginx.org",
    "nginx.com",
    "traefik.ingress.kubernetes.io",
    "haproxy.org",
    "haproxy-ingress.github.io",
    "konghq.com",
    "projectcontour.io",
    "alb.ingress.kubernetes.io",
    "appgw.ingress.kubernetes.io",
    "ingress.cilium.io",
];
/// Foreign annotations named of one Ingress, at most.
const MOST_FOREIGN: usize = 16;

/// An IngressClass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IngressClassFacts {
    pub(crate) controller: String,
    pub(crate) parameters: Option<ObjectRef>,
    /// It is for Ingresses that name no class.
    pub(crate) default: bool,
}

/// An Ingress.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct IngressFacts {
    /// `spec.ingressClassName`, else the deprecated annotation.
    pub(crate) class: Option<String>,
    pub(crate) rules: Vec<HostFacts>,
    pub(crate) default_backend: Option<BackendPort>,
    pub(crate) tls: Vec<TlsEntry>,
    /// Names of annotations that other controllers read, sorted.
    pub(crate) foreign: Vec<String>,
    /// What parsing found.
    pub(crate) issues: Vec<(Scope, Issue)>,
}

/// A rule: what happens on one host.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HostFacts {
    /// Index in `spec.rules`.
    pub(crate) index: usize,
    pub(crate) host: Hostname,
    /// None: everything on the host goes to the default backend (`IngressRule.http`).
    pub(crate) paths: Option<Vec<PathFacts>>,
}

/// A path of a rule that can be matched.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PathFacts {
    /// Index in `http.paths`.
    pub(crate) index: usize,
    pub(crate) path: PathMatch,
    pub(crate) backend: BackendPort,
}

/// A backend as an Ingress names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BackendPort {
    Number(String, i32),
    Name(String, String),
    /// Another kind of object: group and kind.
    Resource(String, String),
    /// Neither.
    Missing,
}

/// An entry of `spec.tls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsEntry {
    /// Index in `spec.tls`.
    pub(crate) index: usize,
    /// [`Hostname::Any`] alone when none is named: all hosts of the rules.
    pub(crate) hosts: Vec<Hostname>,
    pub(crate) secret: Option<String>,
}

impl IngressClassFacts {
    pub(super) fn read(metadata: &ObjectMeta, class: &IngressClass) -> Self {
        let spec = class.spec.as_ref();
        let parameters = spec.and_then(|spec| spec.parameters.as_ref()).map(|parameters| ObjectRef {
            group: parameters.api_group.clone().unwrap_or_default(),
            kind: parameters.kind.clone(),
            namespace: parameters.namespace.clone(),
            name: parameters.name.clone(),
        });
        Self {
            controller: spec.and_then(|spec| spec.controller.clone()).unwrap_or_default(),
            parameters,
            default: annotation(metadata, DEFAULT_CLASS).as_deref() == Some("true"),
        }
    }
}

impl IngressFacts {
    pub(super) fn read(metadata: &ObjectMeta, ingress: &Ingress) -> Self {
        let spec = ingress.spec.clone().unwrap_or_default();
        let mut issues = Vec::new();
        let rules = spec.rules.iter().flatten().enumerate().filter_map(|(index, rule)| self::rule(index, rule, &mut issues)).collect();
        let tls = spec.tls.iter().flatten().enumerate().map(|(index, tls)| tls_entry(index, tls, &mut issues)).collect();
        Self {
            class: spec.ingress_class_name.or_else(|| annotation(metadata, CLASS)).filter(|name| !name.is_empty()),
            rules,
            default_backend: spec.default_backend.as_ref().map(backend),
            tls,
            foreign: foreign(metadata),
            issues,
        }
    }

    /// The same Ingress without anything to serve.
    pub(crate) fn without_rules(&self) -> Self {
        Self { rules: Vec::new(), default_backend: None, tls: Vec::new(), ..self.clone() }
    }

    /// The hosts of the rules, each once, with the first rule that names it.
    pub(crate) fn hosts_of_rules(&self) -> BTreeMap<&Hostname, usize> {
        self.rules.iter().rev().map(|rule| (&rule.host, rule.index)).collect()
    }

    /// Every host that rules are declared for, the one for all hosts included.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &Hostname> {
        let any = self.default_backend.iter().map(|_| &Hostname::Any);
        self.rules.iter().map(|rule| &rule.host).chain(any)
    }
}

/// Annotations of an Ingress by which other controllers are told what to do.
fn foreign(metadata: &ObjectMeta) -> Vec<String> {
    let is_foreign = |name: &&String| name.split_once('/').is_some_and(|(prefix, _)| FOREIGN.contains(&prefix));
    metadata.annotations.iter().flatten().map(|(name, _)| name).filter(is_foreign).take(MOST_FOREIGN).cloned().collect()
}

fn annotation(metadata: &ObjectMeta, name: &str) -> Option<String> {
    metadata.annotations.as_ref()?.get(name).cloned()
}

fn rule(index: usize, rule: &IngressRule, issues: &mut Vec<(Scope, Issue)>) -> Option<HostFacts> {
    let text = rule.host.as_deref().unwrap_or_default();
    let Ok(host) = Hostname::parse_ingress(text) else {
        let issue = Issue::InvalidHostname { hostname: shorten(text) };
        issues.push((Scope::Field(format!("spec.rules[{index}].host")), issue));
        return None;
    };
    let mut parse = |(number, declared): (usize, &HTTPIngressPath)| match path(declared) {
        Ok(path) => Some(PathFacts { index: number, path, backend: backend(&declared.backend) }),
        Err(issue) => {
            issues.push((Scope::Field(format!("spec.rules[{index}].http.paths[{number}]")), issue));
            None
        }
    };
    let paths = rule.http.as_ref().map(|http| http.paths.iter().enumerate().filter_map(&mut parse).collect());
    Some(HostFacts { index, host, paths })
}

/// `ImplementationSpecific` is a prefix here, by element, like `Prefix`.
fn path(declared: &HTTPIngressPath) -> Result<PathMatch, Issue> {
    let text = declared.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
    match declared.path_type.as_str() {
        "Exact" => paths::exact(text),
        "Prefix" | "ImplementationSpecific" => paths::prefix(text),
        other => Err(Issue::InvalidValue { field: "pathType".into(), value: shorten(other) }),
    }
}

fn backend(declared: &IngressBackend) -> BackendPort {
    if let Some(resource) = &declared.resource {
        return BackendPort::Resource(resource.api_group.clone().unwrap_or_default(), resource.kind.clone());
    }
    let Some(service) = &declared.service else { return BackendPort::Missing };
    let port = service.port.as_ref();
    let name = port.and_then(|port| port.name.clone()).filter(|name| !name.is_empty());
    match (name, port.and_then(|port| port.number)) {
        (Some(port), _) => BackendPort::Name(service.name.clone(), port),
        (None, number) => BackendPort::Number(service.name.clone(), number.unwrap_or_default()),
    }
}

fn tls_entry(index: usize, tls: &IngressTLS, issues: &mut Vec<(Scope, Issue)>) -> TlsEntry {
    let mut hosts = Vec::new();
    for text in tls.hosts.iter().flatten() {
        match Hostname::parse_ingress(text) {
            Ok(host) if host != Hostname::Any => hosts.push(host),
            _ => issues.push((Scope::Field(format!("spec.tls[{index}].hosts")), Issue::InvalidHostname { hostname: shorten(text) })),
        }
    }
    if tls.hosts.as_ref().is_none_or(Vec::is_empty) {
        hosts.push(Hostname::Any);
    }
    TlsEntry { index, hosts, secret: tls.secret_name.clone().filter(|name| !name.is_empty()) }
}
