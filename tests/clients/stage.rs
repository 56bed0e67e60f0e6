//! The three ways of a request through Kakehi, and connections to each.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::rig::Rig;

/// Who decides the requests of a rig.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Sōzu alone, as far as it can.
    Native,
    /// The filter proxy, request by request.
    Hop,
    /// The filter proxy, which has the connections themselves.
    Relay,
}

/// Any stream to a listener.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// The hostname of the quickstart's plain listener, and of its first TLS listener.
pub const PLAIN: &str = "demo.localhost";
pub const SECURE: &str = "one.localhost";

/// Memory of an edge: with half of it for Sōzu, buffers are as large as they get by themselves.
const MEMORY: &str = "8589934592";

impl Stage {
    pub const ALL: [Self; 3] = [Self::Native, Self::Hop, Self::Relay];

    /// Starts the quickstart with these manifests beside it, which leave the decision to this stage.
    pub fn start(self, manifests: &[String]) -> Rig {
        let rig = self.begin(manifests);
        self.decides(&rig);
        rig
    }

    /// The same, where the manifests may have ports relayed.
    pub fn begin(self, manifests: &[String]) -> Rig {
        let mut flags = vec!["--memory", MEMORY];
        flags.extend(match self {
            Self::Native => None,
            Self::Hop => Some("--force-hop"),
            Self::Relay => Some("--force-relay"),
        });
        Rig::start(&flags, |config, _| std::fs::write(config.join("more.yaml"), manifests.join("---\n")).unwrap())
    }

    /// Asserts by the plan that this stage decides what tests send to the quickstart's `/`.
    fn decides(self, rig: &Rig) {
        let plan = rig.admin("/debug/plan").json()["demo/web"].clone();
        for (host, port) in [(PLAIN, format!("http:{}", rig.ports.http)), (SECURE, format!("https:{}", rig.ports.https))] {
            let relayed = plan["relays"].as_object().is_some_and(|ports| ports.values().all(|reason| reason == "every port is relayed"));
            let regions = plan["vhosts"][format!("{port} {host}")].as_array().cloned().unwrap_or_default();
            let root = regions.iter().find(|region| region["path"] == "/*").map(|region| region["reason"].as_str().unwrap_or("none"));
            match self {
                Self::Native => assert_eq!(root, Some("none"), "{plan}"),
                Self::Hop => assert_eq!(root, Some("everything is sent to the filter"), "{plan}"),
                Self::Relay => assert!(relayed, "{plan}"),
            }
        }
    }
}

/// The address of the rig's listeners.
pub fn address(rig: &Rig, secure: bool) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, if secure { rig.ports.https } else { rig.ports.http }).into()
}

/// How TLS is spoken to a rig: only the quickstart's certificates are trusted.
pub fn trust(rig: &Rig, protocols: &[&str]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let pem = std::fs::read(rig.config().join("demo-ca.crt")).unwrap();
    CertificateDer::pem_slice_iter(&pem).for_each(|root| roots.add(root.unwrap()).unwrap());
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}

/// A connection to the plain listener, or to that of [`SECURE`] with these protocols offered.
pub async fn connect(rig: &Rig, secure: bool, protocols: &[&str]) -> Box<dyn Duplex> {
    connect_to(rig, address(rig, secure), secure, protocols).await
}

/// The same to a port of its own.
pub async fn connect_to(rig: &Rig, at: SocketAddr, secure: bool, protocols: &[&str]) -> Box<dyn Duplex> {
    let stream = TcpStream::connect(at).await.unwrap();
    stream.set_nodelay(true).unwrap();
    if !secure {
        return Box::new(stream);
    }
    let name = ServerName::try_from(SECURE).unwrap();
    Box::new(TlsConnector::from(Arc::new(trust(rig, protocols))).connect(name, stream).await.unwrap())
}

/// The host that requests to the plain or to the TLS listener are for.
pub fn host(secure: bool) -> &'static str {
    if secure { SECURE } else { PLAIN }
}
