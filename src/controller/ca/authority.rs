//! Certificate authorities and their succession. Pure: the time comes from outside, in seconds since the Unix epoch.

use std::collections::BTreeMap;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use time::OffsetDateTime;
use x509_parser::pem::parse_x509_pem;

/// Seconds before now at which validity begins, for clocks that are behind.
const BACKDATED: i64 = 3600;

/// How long things last, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// An authority.
    pub authority: i64,
    /// Age of an authority at which its successor is made.
    pub succession: i64,
    /// How long everybody has to learn of a successor before it is used, and how long the predecessor is trusted after that.
    pub overlap: i64,
    /// A server's certificate; it is renewed after two thirds.
    pub server: i64,
}

impl Default for Lifetimes {
    fn default() -> Self {
        const DAY: i64 = 24 * 3600;
        Self { authority: 365 * DAY, succession: 240 * DAY, overlap: DAY, server: 30 * DAY }
    }
}

/// An authority: certificate and key in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Authority {
    certificate: String,
    key: String,
    /// When it was made, and when it ends.
    made: i64,
    ends: i64,
}

/// The authorities of one installation.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorities {
    current: Authority,
    /// It is trusted already and signs nothing yet.
    next: Option<Authority>,
    /// The certificate that is trusted still.
    previous: Option<String>,
}

/// What makes no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A field of the Secret is missing or no text.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A certificate that cannot be read.
    #[error("{0} is no certificate in PEM")]
    Certificate(&'static str),
    /// A key that cannot be read, or a certificate that cannot be made.
    #[error(transparent)]
    Rcgen(#[from] rcgen::Error),
    /// A time out of range.
    #[error(transparent)]
    Time(#[from] time::error::ComponentRange),
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority({}..{})", self.made, self.ends)
    }
}

impl std::fmt::Debug for Authorities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authorities({:?}, next {:?}, previous {})", self.current, self.next, self.previous.is_some())
    }
}

impl Authority {
    fn make(now: i64, life: &Lifetimes) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        // Two authorities must not look alike: which of them signed is found by the name first.
        params.distinguished_name.push(DnType::CommonName, format!("Kakehi snapshots {now}"));
        valid(&mut params, now, life.authority)?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { certificate, key: key.serialize_pem(), made: now, ends: now + life.authority })
    }

    fn read(data: &BTreeMap<String, String>, fields: (&'static str, &'static str)) -> Result<Self, AuthorityError> {
        let (certificate_field, key_field) = fields;
        let certificate = data.get(certificate_field).ok_or(AuthorityError::Missing(certificate_field))?.clone();
        let key = data.get(key_field).ok_or(AuthorityError::Missing(key_field))?.clone();
        KeyPair::from_pem(&key)?;
        let (begins, ends) = validity(&certificate).ok_or(AuthorityError::Certificate(certificate_field))?;
        Ok(Self { certificate, key, made: begins + BACKDATED, ends })
    }

    fn server_certificate(&self, names: &[String], now: i64, life: &Lifetimes) -> Result<Certified, AuthorityError> {
        let issuer = Issuer::from_ca_cert_pem(&self.certificate, KeyPair::from_pem(&self.key)?)?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        valid(&mut params, now, life.server)?;
        let chain = params.signed_by(&key, &issuer)?.pem();
        Ok(Certified { chain, key: key.serialize_pem(), renew: now + life.server * 2 / 3 })
    }
}

/// A server's certificate.
pub struct Certified {
    /// Chain in PEM.
    pub chain: String,
    /// Private key in PEM.
    pub key: String,
    /// When it is to be replaced.
    pub renew: i64,
}

impl Authorities {
    /// The first authority of an installation.
    ///
    /// # Errors
    /// When no certificate can be made.
    pub fn make(now: i64, life: &Lifetimes) -> Result<Self, AuthorityError> {
        Ok(Self { current: Authority::make(now, life)?, next: None, previous: None })
    }

    /// From a Secret's data. What is not complete of a successor or predecessor is as if it were not there.
    ///
    /// # Errors
    /// When there is no usable authority in it.
    pub fn read(data: &BTreeMap<String, String>) -> Result<Self, AuthorityError> {
        let previous = data.get("previous.crt").filter(|text| validity(text).is_some()).cloned();
        let next = Authority::read(data, ("next.crt", "next.key")).ok();
        Ok(Self { current: Authority::read(data, ("ca.crt", "ca.key"))?, next, previous })
    }

    /// As a Secret's data.
    pub fn data(&self) -> BTreeMap<String, String> {
        let mut data = BTreeMap::new();
        let mut insert = |name: &str, text: &str| data.insert(name.to_owned(), text.to_owned());
        insert("ca.crt", &self.current.certificate);
        insert("ca.key", &self.current.key);
        if let Some(next) = &self.next {
            insert("next.crt", &next.certificate);
            insert("next.key", &next.key);
        }
        if let Some(previous) = &self.previous {
            insert("previous.crt", previous);
        }
        data
    }

    /// All certificates that are to be trusted, in PEM.
    pub fn bundle(&self) -> String {
        let next = self.next.as_ref().map(|next| next.certificate.as_str());
        [Some(self.current.certificate.as_str()), next, self.previous.as_deref()].into_iter().flatten().collect()
    }

    /// What is to be at this time, and whether that is something else.
    ///
    /// # Errors
    /// When no certificate can be made.
    pub fn at(mut self, now: i64, life: &Lifetimes) -> Result<(Self, bool), AuthorityError> {
        let before = self.clone();
        if self.current.ends <= now {
            // Nobody led for months. Who trusts it already comes first; else there is nothing to keep.
            self.current = match self.next.take().filter(|next| next.ends > now) {
                Some(next) => next,
                None => Authority::make(now, life)?,
            };
            self.previous = None;
        }
        if let Some(next) = self.next.take_if(|next| now >= next.made + life.overlap) {
            self.previous = Some(std::mem::replace(&mut self.current, next).certificate);
        }
        if self.next.is_none() && now >= self.current.made + life.succession {
            self.next = Some(Authority::make(now, life)?);
        }
        // The present one was made one overlap before it took over.
        let over = |certificate: &mut String| {
            now >= self.current.made + 2 * life.overlap || validity(certificate).is_none_or(|(_, ends)| ends <= now)
        };
        drop(self.previous.take_if(over));
        let changed = self != before;
        Ok((self, changed))
    }

    /// A server's certificate for these names, from the present authority.
    ///
    /// # Errors
    /// When no certificate can be made.
    pub fn server_certificate(&self, names: &[String], now: i64, life: &Lifetimes) -> Result<Certified, AuthorityError> {
        self.current.server_certificate(names, now, life)
    }
}

fn valid(params: &mut CertificateParams, now: i64, life: i64) -> Result<(), AuthorityError> {
    params.not_before = OffsetDateTime::from_unix_timestamp(now - BACKDATED)?;
    params.not_after = OffsetDateTime::from_unix_timestamp(now + life)?;
    Ok(())
}

fn validity(certificate: &str) -> Option<(i64, i64)> {
    let (_, pem) = parse_x509_pem(certificate.as_bytes()).ok()?;
    let validity = pem.parse_x509().ok()?.validity().clone();
    Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;
    use std::time::Duration;

    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

    use super::{Authorities, Certified, Lifetimes};

    const START: i64 = 1_800_000_000;
    const HOUR: i64 = 3600;
    const NAME: &str = "kakehi-snapshot.kakehi.svc";

    fn trusts(bundle: &str, shown: &Certified, now: i64) -> bool {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let leaf = CertificateDer::from_pem_slice(shown.chain.as_bytes()).unwrap();
        let time = UnixTime::since_unix_epoch(Duration::from_secs(now.cast_unsigned()));
        verifier.verify_server_cert(&leaf, &[], &ServerName::try_from(NAME).unwrap(), &[], time).is_ok()
    }

    fn shown(authorities: &Authorities, now: i64, life: &Lifetimes) -> Certified {
        authorities.server_certificate(&[NAME.to_owned()], now, life).unwrap()
    }

    /// Two years hour by hour: a client whose bundle is anything up to an overlap old trusts the server at any time.
    #[test]
    fn rotation_has_no_gap() {
        let life = Lifetimes::default();
        let mut authorities = Authorities::make(START, &life).unwrap();
        let mut certified = shown(&authorities, START, &life);
        let mut bundles: VecDeque<String> = VecDeque::new();
        let (mut rotations, mut widest) = (0, 0);
        for hour in 0..2 * 365 * 24 {
            let now = START + hour * HOUR;
            let (next, changed) = authorities.at(now, &life).unwrap();
            authorities = Authorities::read(&next.data()).unwrap();
            if changed || now >= certified.renew {
                rotations += u32::from(changed);
                certified = shown(&authorities, now, &life);
            }
            bundles.push_back(authorities.bundle());
            if bundles.len() > 24 {
                bundles.pop_front();
            }
            widest = widest.max(authorities.bundle().matches("BEGIN CERTIFICATE").count());
            // Verifying is slow: the hours around a change, and one a day.
            if changed || hour % 24 == 0 || authorities.bundle().matches("BEGIN").count() > 1 {
                assert!(trusts(&bundles[0], &certified, now), "hour {hour}: the oldest bundle");
                assert!(trusts(bundles.back().unwrap(), &certified, now), "hour {hour}: the newest bundle");
            }
        }
        assert_eq!((rotations, widest), (9, 2), "made, used, predecessor gone: three times in two years");
    }

    #[test]
    fn it_is_stable_between_the_changes_and_survives_a_long_sleep() {
        let life = Lifetimes::default();
        let first = Authorities::make(START, &life).unwrap();
        let (same, changed) = first.clone().at(START + 100 * HOUR, &life).unwrap();
        assert!(!changed && same == first);
        let late = START + 3 * life.authority;
        let (fresh, changed) = first.clone().at(late, &life).unwrap();
        assert!(changed && !fresh.bundle().contains(&first.bundle()));
        assert!(trusts(&fresh.bundle(), &shown(&fresh, late, &life), late));
        assert!(!trusts(&first.bundle(), &shown(&fresh, late, &life), late));
    }

    #[test]
    fn what_is_no_authority_is_told_and_a_key_is_in_no_log() {
        let authorities = Authorities::make(START, &Lifetimes::default()).unwrap();
        let good = authorities.data();
        assert_eq!(Authorities::read(&good).unwrap(), authorities);
        for (field, text) in [("ca.crt", "x"), ("ca.key", "x"), ("ca.crt", ""), ("ca.key", good["ca.crt"].as_str())] {
            let mut bad = good.clone();
            bad.insert(field.into(), text.into());
            assert!(Authorities::read(&bad).is_err(), "{field}");
        }
        assert!(Authorities::read(&std::collections::BTreeMap::new()).is_err());
        let mut half = good.clone();
        half.insert("next.crt".into(), good["ca.crt"].clone());
        assert_eq!(Authorities::read(&half).unwrap(), authorities, "a successor without its key is none");
        assert!(!format!("{authorities:?}").contains("BEGIN"));
    }
}
