//! A chain and a key as people have them: read whole, and checked by the code that serves them.

use std::sync::LazyLock;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{default_provider, sign::any_supported_type};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::{FromDer, X509Version};

use crate::report::CertificateProblem;

/// The leaf of a chain, and the key of `tls.key` that belongs to it. What stands around its block (text, attributes, parameters of
/// curves, the mark of Windows editors) does no harm.
///
/// # Errors
/// What would keep Sōzu or the filter proxy from showing all of the chain.
pub(super) fn leaf_and_key<'a>(
    chain: &'a [CertificateDer<'static>],
    key: &str,
) -> Result<(X509Certificate<'a>, PrivateKeyDer<'static>), CertificateProblem> {
    let mut parsed: Vec<X509Certificate<'_>> = chain.iter().enumerate().map(|(at, der)| parse(at, der)).collect::<Result<_, _>>()?;
    let leaf = parsed.first().ok_or(CertificateProblem::BadCertificate)?;
    let key = private_key(key)?;
    let signing = any_supported_type(&key).map_err(|_| CertificateProblem::UnsupportedKey)?;
    let public = signing.public_key().ok_or(CertificateProblem::UnsupportedKey)?;
    if public.as_ref() != leaf.public_key().raw {
        let other = parsed.iter().position(|other| public.as_ref() == other.public_key().raw);
        return Err(other.map_or(CertificateProblem::KeyMismatch, |at| CertificateProblem::WrongOrder { number: at + 1 }));
    }
    if leaf.version() != X509Version::V3 {
        return Err(CertificateProblem::OldVersion);
    }
    // The filter proxy does just this, and Sōzu the same as far as it looks.
    CertifiedKey::from_der(chain.to_vec(), key.clone_key(), provider()).map_err(|_| CertificateProblem::Refused)?;
    Ok((parsed.swap_remove(0), key))
}

fn provider() -> &'static CryptoProvider {
    static PROVIDER: LazyLock<CryptoProvider> = LazyLock::new(default_provider);
    &PROVIDER
}

/// Text without the mark by which Windows editors begin a file.
fn unmarked(text: &str) -> &str {
    text.trim_start_matches('\u{feff}')
}

/// The certificates of `tls.crt`, the leaf first.
///
/// # Errors
/// Where a block cannot be read, or would be passed over.
pub(super) fn chain(text: &str) -> Result<Vec<CertificateDer<'static>>, CertificateProblem> {
    let text = unmarked(text);
    let mut chain = Vec::new();
    for der in CertificateDer::pem_slice_iter(text.as_bytes()) {
        let number = chain.len() + 1;
        chain.push(der.map_err(|_| CertificateProblem::BadBlock { number })?);
    }
    // A block that does not begin on a line of its own is passed over by the parser, silently.
    let begun = text.split("-----BEGIN ").skip(1).filter_map(|rest| rest.split_once("-----"));
    let blocks = begun.filter(|(label, _)| label.ends_with("CERTIFICATE")).count();
    match chain.len() {
        read if read < blocks => Err(CertificateProblem::LostBlocks { blocks, read }),
        0 => Err(CertificateProblem::BadCertificate),
        _ => Ok(chain),
    }
}

fn parse(at: usize, der: &[u8]) -> Result<X509Certificate<'_>, CertificateProblem> {
    match X509Certificate::from_der(der) {
        Ok(([], parsed)) => Ok(parsed),
        Ok(_) | Err(_) => Err(CertificateProblem::BadBlock { number: at + 1 }),
    }
}

fn private_key(text: &str) -> Result<PrivateKeyDer<'static>, CertificateProblem> {
    let text = unmarked(text);
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| {
        let encrypted = text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || text.contains("Proc-Type: 4,ENCRYPTED");
        match text {
            _ if encrypted => CertificateProblem::EncryptedKey,
            // A kind of key with a label of its own.
            _ if text.contains(" PRIVATE KEY-----") && !text.contains("-----BEGIN PRIVATE KEY-----") => CertificateProblem::UnsupportedKey,
            _ => CertificateProblem::BadKey,
        }
    })
}
