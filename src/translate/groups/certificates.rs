//! Certificates of an HTTPS listener.

use std::sync::Arc;

use crate::model::{CertificateId, Hostname, ObjectId};
use crate::report::{CertificateProblem, Issue, RouteKind};
use crate::snapshot::Resource;
use crate::translate::certificate::fits;
use crate::translate::facts::{GATEWAY_GROUP, ObjectRef, TlsFacts};
use crate::translate::grant::{Referrer, permits};
use crate::translate::reader::Reader;

type Certificates = Vec<(CertificateId, Arc<Resource>)>;

/// The certificates that can be served, in the order of the listener, and issues. `owner` is the Gateway or ListenerSet that
/// refers to them.
pub(super) fn resolve(
    reader: &mut Reader<'_>,
    owner: &ObjectId,
    tls: Option<&TlsFacts>,
    hostname: Option<&Hostname>,
) -> (Certificates, Vec<Issue>) {
    let mut issues = Vec::new();
    let mut certificates = Certificates::new();
    if tls.is_some_and(|tls| tls.passthrough) {
        issues.push(Issue::UnsupportedTlsMode { mode: "Passthrough".to_owned() });
    }
    if tls.is_some_and(|tls| tls.options) {
        issues.push(Issue::UnsupportedField { field: "tls.options".to_owned() });
    }
    let references = tls.map(|tls| tls.certificates.as_slice()).unwrap_or_default();
    if references.is_empty() {
        issues.push(Issue::NoCertificateRef);
    }
    for reference in references {
        let (found, of_reference) = one(reader, owner, reference, hostname);
        issues.extend(of_reference);
        certificates.extend(found.filter(|(id, _)| !certificates.iter().any(|(earlier, _)| earlier == id)));
    }
    if certificates.is_empty() {
        issues.push(Issue::NoCertificate);
    }
    (certificates, issues)
}

fn one(
    reader: &mut Reader<'_>,
    owner: &ObjectId,
    reference: &ObjectRef,
    hostname: Option<&Hostname>,
) -> (Option<(CertificateId, Arc<Resource>)>, Vec<Issue>) {
    let namespace = reference.namespace.clone().unwrap_or_else(|| owner.namespace.clone());
    let certificate = CertificateId { namespace, name: reference.name.clone() };
    if !reference.is_core("Secret") {
        return (None, vec![Issue::InvalidCertificateRef { certificate, problem: CertificateProblem::UnknownKind }]);
    }
    let kind = RouteKind { group: GATEWAY_GROUP.to_owned(), kind: owner.kind.name().to_owned() };
    let referrer = Referrer { kind: &kind, namespace: &owner.namespace };
    if !permits(reader, &referrer, reference, &certificate.namespace) {
        return (None, vec![Issue::CertificateNotPermitted { certificate }]);
    }
    match reader.certificate(&certificate).as_ref() {
        Err(problem) => (None, vec![Issue::InvalidCertificateRef { certificate, problem: *problem }]),
        Ok(usable) => {
            let mut issues = Vec::new();
            if usable.expired {
                issues.push(Issue::CertificateExpired { certificate: certificate.clone() });
            }
            if usable.early {
                issues.push(Issue::CertificateNotYetValid { certificate: certificate.clone() });
            }
            if let Some(hostname) = hostname.filter(|hostname| !usable.names.iter().any(|name| fits(name, hostname))) {
                issues.push(Issue::CertificateNameMismatch { certificate: certificate.clone(), hostname: hostname.clone() });
            }
            (Some((certificate, usable.resource.clone())), issues)
        }
    }
}
