//! `spec.tls` of an Ingress: which certificate is shown for which host.

use std::collections::{BTreeMap, BTreeSet};

use super::translate::Owned;
use super::{Applicant, Wish};
use crate::model::{CertificateId, Hostname, ObjectId};
use crate::report::{Issue, Limit, Scope};
use crate::translate::certificate::{Usable, fits};
use crate::translate::facts::{IngressFacts, TlsEntry};
use crate::translate::reader::Reader;
use crate::translate::routes::Offer;

/// Hosts that entries of one Ingress may name again after an earlier entry did.
const MOST_TWICE: usize = 2_048;

/// Certificates by Secret, each with the names that it is shown for.
pub(super) type Offers = BTreeMap<CertificateId, Offer>;

/// What an Ingress offers: its Secrets, for those of its own hosts that they are meant for. Never for other names in the
/// certificate: these may be somebody else's hosts.
pub(super) fn offers(reader: &mut Reader<'_>, (id, facts): (&ObjectId, &IngressFacts), owned: &Owned<'_>) -> (Offers, Vec<(Scope, Issue)>) {
    let mut offers = Offers::new();
    let mut issues = Vec::new();
    let (all, complete) = covered(facts);
    if !complete {
        issues.push((Scope::Field("spec.tls".to_owned()), Issue::Limit(Limit::TooManyTlsHosts { most: MOST_TWICE })));
    }
    for Covered { entry, hosts, unused } in all {
        let at = |field: &str| Scope::Field(format!("spec.tls[{}]{field}", entry.index));
        let mut hosts = owned_hosts(reader, hosts, owned);
        issues.extend(unused.into_iter().map(|hostname| (at(".hosts"), Issue::HostWithoutRule { hostname })));
        let Some(secret) = &entry.secret else {
            issues.push((at(""), Issue::UnsupportedField { field: "tls without secretName".to_owned() }));
            continue;
        };
        let certificate = CertificateId { namespace: id.namespace.clone(), name: secret.clone() };
        match reader.certificate(&certificate).as_ref() {
            Err(problem) => issues.push((at(".secretName"), Issue::InvalidCertificateRef { certificate, problem: *problem })),
            Ok(usable) => {
                let lost = contested(reader, &certificate, owned, &mut hosts);
                issues.extend(lost.into_iter().map(|issue| (at(".hosts"), issue)));
                issues.extend(remarks(usable, &certificate, &hosts).into_iter().map(|issue| (at(".secretName"), issue)));
                let offer =
                    offers.entry(certificate).or_insert_with(|| Offer { resource: usable.resource.clone(), names: BTreeSet::new() });
                offer.names.extend(hosts.iter().map(server_name));
            }
        }
    }
    offers.retain(|_, offer| !offer.names.is_empty());
    (offers, issues)
}

/// An entry of `spec.tls`, with what its hosts have in common with hosts of the rules.
pub(super) struct Covered<'a> {
    pub(super) entry: &'a TlsEntry,
    pub(super) hosts: BTreeSet<Hostname>,
    /// Hosts of it that have nothing in common with any rule.
    unused: Vec<Hostname>,
}

/// The entries with their hosts, as far as they are looked at, and whether that is all of them. Entries without hosts, and
/// wildcards, are for many hosts each.
pub(super) fn covered(facts: &IngressFacts) -> (Vec<Covered<'_>>, bool) {
    let declared: BTreeSet<_> = facts.hosts().filter(|host| **host != Hostname::Any).collect();
    let mut below: BTreeMap<&str, Vec<&Hostname>> = BTreeMap::new();
    for host in &declared {
        if let Hostname::Exact(name) = host
            && let Some((_, suffix)) = name.split_once('.')
        {
            below.entry(suffix).or_default().push(host);
        }
    }
    let mut room = declared.len() + MOST_TWICE;
    let mut all = Vec::new();
    for entry in &facts.tls {
        let (mut hosts, mut unused) = (BTreeSet::new(), Vec::new());
        for host in &entry.hosts {
            let of_host: Vec<&Hostname> = match host {
                Hostname::Any => declared.iter().copied().collect(),
                Hostname::Label(suffix) | Hostname::Wildcard(suffix) => {
                    let itself = declared.get(host).copied();
                    itself.into_iter().chain(below.get(suffix.as_str()).into_iter().flatten().copied()).collect()
                }
                Hostname::Exact(name) => {
                    let wider = name.split_once('.').is_some_and(|(_, suffix)| declared.contains(&Hostname::Label(suffix.to_owned())));
                    Vec::from_iter((wider || declared.contains(host)).then_some(host))
                }
            };
            let Some(left) = room.checked_sub(of_host.len()) else { return (all, false) };
            room = left;
            if of_host.is_empty() && *host != Hostname::Any {
                unused.push(host.clone());
            }
            hosts.extend(of_host.into_iter().cloned());
        }
        all.push(Covered { entry, hosts, unused });
    }
    (all, true)
}

/// Those of the hosts that the Ingress's namespace owns.
fn owned_hosts(reader: &mut Reader<'_>, hosts: BTreeSet<Hostname>, owned: &Owned<'_>) -> BTreeSet<Hostname> {
    // A host within a wildcard of ours may belong to another namespace by itself.
    let is_free = |host: &Hostname| reader.host_owner(owned.edge, host).is_none_or(|owner| owner == owned.namespace);
    hosts.into_iter().filter(|host| owned.covers(host)).filter(is_free).collect()
}

/// Takes out the hosts for which another Secret is shown: that of the oldest Ingress, of several the first. Two certificates
/// for one name would be served at random.
fn contested(reader: &mut Reader<'_>, certificate: &CertificateId, owned: &Owned<'_>, hosts: &mut BTreeSet<Hostname>) -> Vec<Issue> {
    let mut issues = Vec::new();
    hosts.retain(|host| match reader.granted(owned.edge, Wish::Certificate(owned.namespace.to_owned(), host.clone())) {
        Some(Applicant { id, secret: Some((_, shown)), .. }) if shown != certificate.name => {
            issues.push(Issue::CertificateTaken { hostname: host.clone(), owner: id.name, shown });
            false
        }
        _ => true,
    });
    issues
}

fn remarks(usable: &Usable, certificate: &CertificateId, hosts: &BTreeSet<Hostname>) -> Vec<Issue> {
    let certificate = || certificate.clone();
    let expired = usable.expired.then(|| Issue::CertificateExpired { certificate: certificate() });
    let early = usable.early.then(|| Issue::CertificateNotYetValid { certificate: certificate() });
    let strange = hosts.iter().filter(|host| !usable.names.iter().any(|name| fits(name, host)));
    let strange = strange.map(|hostname| Issue::CertificateNameMismatch { certificate: certificate(), hostname: hostname.clone() });
    expired.into_iter().chain(early).chain(strange).collect()
}

/// A host as TLS names it: there a wildcard stands for one label anyway.
fn server_name(host: &Hostname) -> String {
    match host {
        Hostname::Label(suffix) => format!("*.{suffix}"),
        other => other.to_string(),
    }
}
