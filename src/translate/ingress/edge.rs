//! The edge of an IngressClass: two ports for every host.

use crate::model::{EdgeId, Kind, ListenerName, Protocol};
use crate::report::{Issue, Scope};
use crate::translate::EdgeData;
use crate::translate::facts::{Body, Fact};
use crate::translate::groups::{Draft, Judged, resolve, without_effect};
use crate::translate::reader::Reader;

/// Its listener of requests without TLS.
const HTTP: &str = "http";
/// Its listener of requests with TLS.
pub(super) const HTTPS: &str = "https";

/// Judges an IngressClass; none when it does not exist, cannot be read, or is another controller's.
pub(crate) fn draft(reader: &mut Reader<'_>, edge: &EdgeId) -> Option<Draft> {
    let Fact { meta, uid, body, findings } = reader.fact(&edge.owner())?.clone();
    let Body::IngressClass(class) = body else { return None };
    let settings = reader.settings();
    if class.controller != settings.ingress.controller_name {
        return None;
    }
    let mut issues: Vec<(Scope, Issue)> = findings.into_iter().map(|finding| (finding.scope, finding.issue)).collect();
    let for_cluster = settings.ingress.cluster_profiles.clone();
    let profile = class.parameters.as_ref().map(|of| resolve(reader, of, of.namespace.as_deref().or(for_cluster.as_deref())));
    let profile = profile.transpose().unwrap_or_else(|issue| {
        issues.push((Scope::Object, issue));
        None
    });
    if class.default {
        let others = reader.ingress_classes().into_iter().filter(|other| other.facts.default && other.name != edge.name);
        let others: Vec<_> = others.map(|other| other.name).collect();
        if !others.is_empty() {
            issues.push((Scope::Object, Issue::SeveralDefaultClasses { others }));
        }
    }
    let listener = |name: &str, port, protocol| Judged::for_every_host(edge.owner(), ListenerName(name.to_owned()), port, protocol);
    let profile = profile.unwrap_or_default();
    issues.extend(without_effect(reader, &profile, Kind::IngressClass).into_iter().map(|issue| (Scope::Object, issue)));
    let settings = reader.settings();
    let port = |own: Option<i32>, default| own.and_then(|port| u16::try_from(port).ok()).unwrap_or(default);
    let (http, https) = (port(profile.http_port, settings.ingress.ports.0), port(profile.https_port, settings.ingress.ports.1));
    let listeners = vec![listener(HTTP, http, Protocol::Http), listener(HTTPS, https, Protocol::Https)];
    let addresses = settings.default_address.into_iter().collect();
    let data = EdgeData { uid, addresses, profile, ..EdgeData::default() };
    Some(Draft::new(meta, data, issues, listeners))
}
