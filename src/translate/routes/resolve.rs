//! Resolving: where a backend reference leads.

use super::{BackendFacts, MirrorFacts};
use crate::model::{BackendId, BackendRef, BackendTarget, Filter, InvalidBackend, Mirror};
use crate::report::Issue;
use crate::translate::backend::BackendState;
use crate::translate::facts::ObjectRef;
use crate::translate::grant::{Referrer, permits};
use crate::translate::reader::Reader;

/// Resolves a backend reference. What does not resolve keeps its share of the traffic, which is answered with 500.
pub(in crate::translate) fn resolve(reader: &mut Reader<'_>, referrer: &Referrer<'_>, backend: &BackendFacts) -> (BackendRef, Vec<Issue>) {
    let (target, issue) = target(reader, referrer, &backend.reference, backend.port);
    let mut issues = Vec::from_iter(issue);
    if backend.broken {
        let target = BackendTarget::Invalid(InvalidBackend::UnsupportedFilter);
        return (BackendRef { weight: backend.weight, target, filters: Vec::new() }, issues);
    }
    let (mirrors, of_mirrors) = mirrors(reader, referrer, &backend.mirrors);
    issues.extend(of_mirrors);
    let filters = backend.filters.iter().cloned().chain(mirrors).collect();
    (BackendRef { weight: backend.weight, target, filters }, issues)
}

/// Resolves mirrors. What does not resolve is left out, and requests are served without it
/// (`HTTPRequestMirrorFilter.backendRef`).
pub(super) fn mirrors(reader: &mut Reader<'_>, referrer: &Referrer<'_>, declared: &[MirrorFacts]) -> (Vec<Filter>, Vec<Issue>) {
    let (mut mirrors, mut issues) = (Vec::with_capacity(declared.len()), Vec::new());
    for MirrorFacts { reference, port, share: (numerator, denominator) } in declared {
        let (target, issue) = target(reader, referrer, reference, *port);
        issues.extend(issue);
        if let BackendTarget::Service(backend) = target {
            mirrors.push(Filter::Mirror(Mirror { backend, numerator: *numerator, denominator: *denominator }));
        }
    }
    (mirrors, issues)
}

fn target(reader: &mut Reader<'_>, referrer: &Referrer<'_>, reference: &ObjectRef, port: Option<i32>) -> (BackendTarget, Option<Issue>) {
    let invalid = |why, issue| (BackendTarget::Invalid(why), Some(issue));
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
    let Some(port) = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0) else {
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
