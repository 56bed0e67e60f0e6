//! The hosts that certificates are shown for, where Ingresses name these one by one.

use std::collections::BTreeSet;

use imbl::{HashMap, OrdSet};

use crate::model::{Certificate, CertificateId, Hostname};

/// Hosts by certificate. A clone is cheap.
#[derive(Clone, Debug, Default)]
pub struct Certified {
    names: HashMap<CertificateId, BTreeSet<Hostname>>,
    /// Certificates by name.
    exact: HashMap<String, OrdSet<CertificateId>>,
    /// Certificates by the suffix of a wildcard of one label.
    wildcard: HashMap<String, OrdSet<CertificateId>>,
}

impl Certified {
    /// Holds a certificate in its present form. Returns the hosts that it was not shown for before, or is not any more.
    pub fn set(&mut self, certificate: &Certificate) -> BTreeSet<Hostname> {
        // In a certificate a wildcard stands for one label.
        let names: BTreeSet<_> = certificate.names.iter().filter_map(|name| Hostname::parse_ingress(name).ok()).collect();
        let before = self.names.insert(certificate.id.clone(), names.clone()).unwrap_or_default();
        self.replace(&certificate.id, &before, &names)
    }

    /// Forgets a certificate. Returns the hosts that it was shown for.
    pub fn remove(&mut self, id: &CertificateId) -> BTreeSet<Hostname> {
        let before = self.names.remove(id).unwrap_or_default();
        self.replace(id, &before, &BTreeSet::new())
    }

    fn replace(&mut self, id: &CertificateId, before: &BTreeSet<Hostname>, after: &BTreeSet<Hostname>) -> BTreeSet<Hostname> {
        for name in before.difference(after) {
            let Some((certificates, name)) = self.naming(name) else { continue };
            let left = certificates.get_mut(name).is_some_and(|ids| {
                ids.remove(id);
                !ids.is_empty()
            });
            if !left {
                certificates.remove(name);
            }
        }
        for name in after.difference(before) {
            if let Some((certificates, name)) = self.naming(name) {
                certificates.entry(name.to_owned()).or_default().insert(id.clone());
            }
        }
        before.symmetric_difference(after).cloned().collect()
    }

    /// Where certificates with such a name are found, and under which text.
    fn naming<'a>(&mut self, name: &'a Hostname) -> Option<(&mut HashMap<String, OrdSet<CertificateId>>, &'a str)> {
        match name {
            Hostname::Exact(name) => Some((&mut self.exact, name)),
            Hostname::Label(suffix) => Some((&mut self.wildcard, suffix)),
            Hostname::Any | Hostname::Wildcard(_) => None,
        }
    }

    /// Whether a certificate of this namespace is shown for every host of `host`; of any namespace if it is empty, as that of an
    /// IngressClass is, whose route serves what no Ingress takes.
    pub fn covers(&self, host: &Hostname, namespace: &str) -> bool {
        match host {
            Hostname::Exact(name) => self.covers_name(name, namespace),
            Hostname::Label(suffix) => self.wildcard.get(suffix).is_some_and(|ids| is_among(ids, namespace)),
            Hostname::Any | Hostname::Wildcard(_) => false,
        }
    }

    /// The same of one host, in lower case.
    pub fn covers_name(&self, name: &str, namespace: &str) -> bool {
        let wildcard = name.split_once('.').and_then(|(_, suffix)| self.wildcard.get(suffix));
        [self.exact.get(name), wildcard].into_iter().flatten().any(|ids| is_among(ids, namespace))
    }
}

/// Whether one of the certificates is of a namespace.
fn is_among(ids: &OrdSet<CertificateId>, namespace: &str) -> bool {
    namespace.is_empty() || ids.iter().any(|id| id.namespace == namespace)
}

#[cfg(test)]
mod tests {
    use super::Certified;
    use crate::model::{Certificate, CertificateId, Hostname, PrivateKey};

    fn certificate(namespace: &str, names: &[&str]) -> Certificate {
        Certificate {
            id: CertificateId { namespace: namespace.to_owned(), name: "tls".to_owned() },
            chain: Vec::new(),
            key: PrivateKey::new(""),
            names: names.iter().map(ToString::to_string).collect(),
            fingerprint: String::new(),
            not_after: 0,
        }
    }

    fn host(text: &str) -> Hostname {
        Hostname::parse_ingress(text).unwrap_or(Hostname::Any)
    }

    #[test]
    fn a_host_is_covered_by_certificates_of_its_own_namespace() {
        let mut certified = Certified::default();
        certified.set(&certificate("a", &["one.test", "*.wild.test"]));
        for (text, namespace, expected) in [
            ("one.test", "a", true),
            ("one.test", "b", false),
            ("one.test", "", true),
            ("two.test", "a", false),
            ("x.wild.test", "a", true),
            ("x.wild.test", "b", false),
            ("y.x.wild.test", "a", false),
            ("*.wild.test", "a", true),
            ("wild.test", "a", false),
            ("*", "", false),
        ] {
            assert_eq!(certified.covers(&host(text), namespace), expected, "{text} of {namespace:?}");
        }
    }

    #[test]
    fn a_change_tells_the_hosts_that_it_concerns() {
        let mut certified = Certified::default();
        let names = |changed: std::collections::BTreeSet<Hostname>| changed.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(certified.set(&certificate("a", &["one.test", "two.test"]))), ["one.test", "two.test"]);
        assert_eq!(names(certified.set(&certificate("a", &["two.test", "three.test"]))), ["one.test", "three.test"]);
        assert!(!certified.covers(&host("one.test"), "a"));
        certified.set(&certificate("b", &["two.test"]));
        assert_eq!(names(certified.remove(&certificate("a", &[]).id)), ["three.test", "two.test"]);
        assert!(certified.covers(&host("two.test"), "b") && !certified.covers(&host("two.test"), "a"));
        assert_eq!(names(certified.remove(&certificate("b", &[]).id)), ["two.test"]);
        assert!(!certified.covers(&host("two.test"), ""));
    }
}
