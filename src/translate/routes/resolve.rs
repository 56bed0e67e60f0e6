//! Resolving: where a backend reference leads.

use super::BackendFacts;
use crate::model::{BackendId, BackendRef, BackendTarget, InvalidBackend};
use crate::report::Issue;
use crate::translate::backend::BackendState;
use crate::translate::grant::{Referrer, permits};
use crate::translate::reader::Reader;

/// Resolves a backend reference. What does not resolve keeps its share of the traffic, which is answered with 500.
pub(in crate::translate) fn resolve(
    reader: &mut Reader<'_>,
    referrer: &Referrer<'_>,
    backend: &BackendFacts,
) -> (BackendRef, Option<Issue>) {
    let (target, issue) = target(reader, referrer, backend);
    let target = if backend.broken { BackendTarget::Invalid(InvalidBackend::UnsupportedFilter) } else { target };
    let filters = if backend.broken { Vec::new() } else { backend.filters.clone() };
    (BackendRef { weight: backend.weight, target, filters }, issue)
}

fn target(reader: &mut Reader<'_>, referrer: &Referrer<'_>, backend: &BackendFacts) -> (BackendTarget, Option<Issue>) {
    let invalid = |why, issue| (BackendTarget::Invalid(why), Some(issue));
    let reference = &backend.reference;
    if !reference.is_core("Service") {
        let issue = Issue::InvalidBackendKind { group: reference.group.clone(), kind: reference.kind.clone() };
        return invalid(InvalidBackend::UnknownKind, issue);
    }
    let namespace = reference.namespace.clone().unwrap_or_else(|| referrer.namespace.to_owned());
    let name = reference.name.clone();
    // Before anything is looked up: what is not permitted must not tell whether it exists.
    if !permits(reader, referrer, reference, &namespace) {
        return invalid(InvalidBackend::NotPermitted, Issue::BackendNotPermitted { namespace, name });
    }
    let Some(port) = backend.port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0) else {
        return invalid(InvalidBackend::NotFound, Issue::BackendPortMissing { namespace, name });
    };
    let id = BackendId { namespace, service: name, port };
    match reader.backend(&id) {
        BackendState::Invalid(why, issue) => invalid(why, issue),
        BackendState::Resolved { empty: false } => (BackendTarget::Service(id), None),
        BackendState::Resolved { empty: true } => {
            let issue = Issue::NoEndpoints { backend: id.clone() };
            (BackendTarget::Service(id), Some(issue))
        }
    }
}
