//! Certificates: a Secret becomes a chain and a key that belong together, or a problem.

mod material;

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::digest::{SHA256, digest};
use rustls_pki_types::PrivateKeyDer;
use x509_parser::prelude::{GeneralName, X509Certificate};

use super::reader::Reader;
use crate::model::{Certificate, CertificateId, Hostname, PrivateKey};
use crate::report::CertificateProblem;
use crate::snapshot::Resource;

/// What a Secret is as a certificate.
pub(super) type CertificateOutcome = Result<Usable, CertificateProblem>;

/// A certificate that can be served.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Usable {
    /// For snapshots.
    pub(super) resource: Arc<Resource>,
    /// DNS names.
    pub(super) names: Vec<String>,
    /// Past its end.
    pub(super) expired: bool,
    /// Before its start.
    pub(super) early: bool,
}

/// Makes a certificate of a Secret.
pub(super) fn resolve(reader: &mut Reader<'_>, id: &CertificateId) -> CertificateOutcome {
    let secret = reader.secret(&id.namespace, &id.name).ok_or(CertificateProblem::NotFound)?;
    let (Some(certificate), Some(key)) = (&secret.certificate, &secret.key) else { return Err(CertificateProblem::Incomplete) };
    let chain = material::chain(certificate.pem())?;
    let (leaf, key) = material::leaf_and_key(&chain, key.pem())?;
    let names = names(&leaf);
    let validity = leaf.validity();
    let today = reader.today();
    let certificate = Certificate {
        id: id.clone(),
        chain: chain.iter().map(|der| pem("CERTIFICATE", der)).collect(),
        key: PrivateKey::new(pem(key_label(&key), key.secret_der())),
        names: names.clone(),
        fingerprint: digest(&SHA256, leaf.as_raw()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
        not_after: validity.not_after.timestamp(),
    };
    Ok(Usable {
        resource: Arc::new(Resource::Certificate(certificate)),
        names,
        expired: validity.not_after.timestamp() < today,
        early: validity.not_before.timestamp() >= today + super::SECONDS_PER_DAY,
    })
}

/// DNS names of the leaf, lower-case; the common name when there is no such name at all.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let mut names: Vec<_> = alternatives
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        names.extend(common.map(str::to_ascii_lowercase));
    }
    names
}

/// Whether a certificate name fits some host of a listener. In certificates a wildcard stands for one label.
pub(super) fn fits(name: &str, hostname: &Hostname) -> bool {
    let wildcard = name.strip_prefix("*.");
    match hostname {
        Hostname::Any => true,
        Hostname::Exact(host) => {
            name == host || wildcard.is_some_and(|suffix| host.split_once('.').is_some_and(|(_, rest)| rest == suffix))
        }
        Hostname::Wildcard(_) | Hostname::Label(_) => Hostname::parse(name).is_ok_and(|name| name.intersect(hostname).is_some()),
    }
}

fn key_label(key: &PrivateKeyDer<'_>) -> &'static str {
    match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    }
}

/// One PEM block, without whatever stood around it in the Secret.
fn pem(label: &str, der: &[u8]) -> String {
    let encoded = BASE64_STANDARD.encode(der);
    let lines: Vec<_> = encoded.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::fits;
    use crate::model::Hostname;

    #[test]
    fn certificate_wildcards_stand_for_one_label() {
        for (name, hostname, expected) in [
            ("a.x.io", "a.x.io", true),
            ("*.x.io", "a.x.io", true),
            ("*.x.io", "a.b.x.io", false),
            ("*.x.io", "x.io", false),
            ("*.x.io", "*.x.io", true),
            ("a.x.io", "*.x.io", true),
            ("a.y.io", "*.x.io", false),
            ("a.x.io", "", true),
        ] {
            assert_eq!(fits(name, &Hostname::parse(hostname).unwrap()), expected, "{name} for {hostname}");
        }
    }
}
