//! The edge of an IngressClass: two ports for every host.

use crate::model::{EdgeId, ListenerName, Protocol};
use crate::report::{Issue, Scope};
use crate::translate::facts::{Body, Fact};
use crate::translate::groups::{Draft, Judged};
use crate::translate::reader::Reader;

/// Judges an IngressClass; none when it does not exist, cannot be read, or is another controller's.
pub(crate) fn draft(reader: &mut Reader<'_>, edge: &EdgeId) -> Option<Draft> {
    let Fact { meta, body, findings } = reader.fact(&edge.owner())?.clone();
    let Body::IngressClass(class) = body else { return None };
    let settings = reader.settings();
    if class.controller != settings.ingress.controller_name {
        return None;
    }
    let mut issues: Vec<(Scope, Issue)> = findings.into_iter().map(|finding| (finding.scope, finding.issue)).collect();
    if let Some(of) = &class.parameters {
        let issue = Issue::InvalidParameters { group: of.group.clone(), kind: of.kind.clone(), name: of.name.clone() };
        issues.push((Scope::Object, issue));
    }
    if class.default {
        let others = reader.ingress_classes().into_iter().filter(|other| other.facts.default && other.name != edge.name);
        let others: Vec<_> = others.map(|other| other.name).collect();
        if !others.is_empty() {
            issues.push((Scope::Object, Issue::SeveralDefaultClasses { others }));
        }
    }
    let listener = |name: &str, port, protocol| Judged::for_every_host(ListenerName(name.to_owned()), port, protocol);
    let (http, https) = settings.ingress.ports;
    let listeners = vec![listener("http", http, Protocol::Http), listener("https", https, Protocol::Https)];
    Some(Draft::new(meta, settings.default_address.into_iter().collect(), issues, listeners))
}
