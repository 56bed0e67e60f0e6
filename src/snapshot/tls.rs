//! TLS 1.3 between an edge and its control plane.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The server's certificate, which can be replaced while connections are made.
#[derive(Clone)]
pub struct Identity(Arc<Holder>);

struct Holder(ArcSwap<CertifiedKey>);

/// A certificate and key that make no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Text that is not PEM, or not what it should be.
    #[error(transparent)]
    Pem(#[from] rustls_pki_types::pem::Error),
    /// A key that does not go with the certificate, or is of an unknown kind.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

impl Identity {
    /// From a chain and a private key in PEM.
    ///
    /// # Errors
    /// When they are no such thing, or do not go together.
    pub fn new(chain: &str, key: &str) -> Result<Self, IdentityError> {
        Ok(Self(Arc::new(Holder(ArcSwap::from_pointee(certified(chain, key)?)))))
    }

    /// Shows this certificate from now on. Connections that are open stay.
    ///
    /// # Errors
    /// As [`Self::new`]; what was shown before stays then.
    pub fn replace(&self, chain: &str, key: &str) -> Result<(), IdentityError> {
        self.0.0.store(Arc::new(certified(chain, key)?));
        Ok(())
    }

    /// What accepts TLS with it.
    ///
    /// # Errors
    /// Those of the TLS library.
    pub fn acceptor(&self) -> Result<TlsAcceptor, IdentityError> {
        let versions = [&rustls::version::TLS13];
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider())).with_protocol_versions(&versions)?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(self.0.clone());
        config.send_tls13_tickets = 0;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl ResolvesServerCert for Holder {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl std::fmt::Debug for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Holder")
    }
}

fn certified(chain: &str, key: &str) -> Result<CertifiedKey, IdentityError> {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
    Ok(CertifiedKey::from_der(chain, key, &ring::default_provider())?)
}

/// What connects to servers whose certificate comes from an authority in this PEM bundle.
pub(super) fn connector(bundle: &[u8]) -> io::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle) {
        roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    if roots.is_empty() {
        return Err(io::Error::other("the bundle of authorities is empty"));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).map_err(io::Error::other)?;
    Ok(TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth())))
}
