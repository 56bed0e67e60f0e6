//! TLS on relayed ports: which certificate a client is shown.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{ClientHello, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::model::{Certificate, CertificateId, Hostname, Listener, ListenerName, Protocol};
use crate::snapshot::wire::Refusal;
use crate::snapshot::{Delta, Key, Resource};

/// Protocols that clients are offered, the preferred first.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// TLS of every port, followed with the snapshot. A clone costs as much as there are listeners and certificates, and is
/// made only when one of them changes.
#[derive(Clone)]
pub(in crate::filter) struct Tls {
    provider: Arc<CryptoProvider>,
    tickets: Option<Arc<dyn ProducesTickets>>,
    listeners: BTreeMap<ListenerName, Listener>,
    certificates: BTreeMap<CertificateId, Arc<Shown>>,
    refused: BTreeMap<CertificateId, String>,
    ports: BTreeMap<u16, Port>,
}

/// How TLS is spoken on a port.
#[derive(Clone)]
struct Port {
    config: Arc<ServerConfig>,
    choice: Arc<Choice>,
}

/// A certificate, ready to be shown.
#[derive(Clone, Debug)]
struct Shown {
    key: Arc<CertifiedKey>,
    /// The hosts that it is shown for.
    names: BTreeSet<Hostname>,
    fingerprint: String,
}

/// The certificates of one port by listener.
struct Choice {
    /// The most specific hostname first.
    listeners: Vec<(Hostname, Offer)>,
}

/// The certificates of one listener.
enum Offer {
    /// For every name, the first that fits.
    InOrder(Vec<Arc<Shown>>),
    /// By the names that they are offered for, and for nothing else ([`Listener::certificates_by_name`]).
    ByName(BTreeMap<Hostname, Arc<Shown>>),
}

impl Default for Tls {
    fn default() -> Self {
        let tickets = ring::Ticketer::new().inspect_err(|error| tracing::warn!(%error, "no session tickets")).ok();
        Self {
            provider: Arc::new(ring::default_provider()),
            tickets,
            listeners: BTreeMap::new(),
            certificates: BTreeMap::new(),
            refused: BTreeMap::new(),
            ports: BTreeMap::new(),
        }
    }
}

impl Tls {
    /// Whether a change concerns TLS.
    pub(in crate::filter) fn concerns(&self, delta: &Delta) -> bool {
        let set = |resource: &Arc<Resource>| match &**resource {
            Resource::Certificate(_) => true,
            Resource::Listener(listener) => listener.protocol == Protocol::Https || self.listeners.contains_key(&listener.name),
            Resource::Backend(_) | Resource::Route(_) => false,
        };
        let removed = |key: &Key| match key {
            Key::Certificate(_) => true,
            Key::Listener(name) => self.listeners.contains_key(name),
            Key::Backend(_) | Key::Route(_) => false,
        };
        delta.set.iter().any(set) || delta.remove.iter().any(removed)
    }

    /// Follows a change.
    pub(in crate::filter) fn apply(&mut self, delta: &Delta) {
        let mut ports = BTreeSet::new();
        let mut changed = BTreeSet::new();
        for key in delta.keys() {
            match key {
                Key::Listener(name) => ports.extend(self.listeners.remove(&name).map(|listener| listener.port)),
                Key::Certificate(id) => {
                    self.certificates.remove(&id);
                    self.refused.remove(&id);
                    changed.insert(id);
                }
                Key::Backend(_) | Key::Route(_) => {}
            }
        }
        for resource in &delta.set {
            match &**resource {
                Resource::Listener(listener) if listener.protocol == Protocol::Https => {
                    ports.insert(listener.port);
                    self.listeners.insert(listener.name.clone(), listener.clone());
                }
                // Of the others only the names are known here (`router`).
                Resource::Certificate(certificate) if certificate.has_key() => match shown(certificate, &self.provider) {
                    Ok(shown) => {
                        self.certificates.insert(certificate.id.clone(), Arc::new(shown));
                    }
                    Err(reason) => {
                        self.refused.insert(certificate.id.clone(), reason);
                    }
                },
                Resource::Listener(_) | Resource::Certificate(_) | Resource::Backend(_) | Resource::Route(_) => {}
            }
        }
        let holds = |listener: &&Listener| listener.certificates.iter().any(|id| changed.contains(id));
        ports.extend(self.listeners.values().filter(holds).map(|listener| listener.port));
        for port in ports {
            match self.speak(port) {
                Some(spoken) => self.ports.insert(port, spoken),
                None => self.ports.remove(&port),
            };
        }
    }

    /// How TLS is spoken on a port; not at all when none of its listeners has a certificate.
    pub(in crate::filter) fn port(&self, port: u16) -> Option<Arc<ServerConfig>> {
        self.ports.get(&port).map(|port| port.config.clone())
    }

    /// Whether a connection to a port that was made for `name` may carry requests for `host`, as far as the certificate counts
    /// that is shown for the name.
    pub(in crate::filter) fn carries(&self, port: u16, name: &str, host: &str) -> bool {
        name == host || self.ports.get(&port).is_none_or(|port| port.choice.carries(name, host))
    }

    /// What cannot be shown, with the reason.
    pub(in crate::filter) fn refused(&self) -> impl Iterator<Item = Refusal> {
        self.refused.iter().map(|(id, reason)| Refusal { key: Key::Certificate(id.clone()), reason: reason.clone() })
    }

    fn speak(&self, port: u16) -> Option<Port> {
        let of_port = self.listeners.values().filter(|listener| listener.port == port);
        let mut listeners: Vec<(Hostname, Offer)> = of_port
            .map(|listener| {
                let shown = listener.certificates.iter().filter_map(|id| self.certificates.get(id)).cloned();
                (listener.hostname.clone(), if listener.certificates_by_name { by_name(shown) } else { Offer::InOrder(shown.collect()) })
            })
            .collect();
        listeners.sort_by_key(|(hostname, _)| std::cmp::Reverse(specificity(hostname)));
        if listeners.iter().all(|(_, offer)| offer.is_empty()) {
            return None;
        }
        let choice = Arc::new(Choice { listeners });
        let builder = ServerConfig::builder_with_provider(self.provider.clone()).with_safe_default_protocol_versions();
        let builder = builder.inspect_err(|error| tracing::error!(%error, "no TLS")).ok()?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(choice.clone());
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
        if let Some(tickets) = &self.tickets {
            config.ticketer = tickets.clone();
        }
        Some(Port { config: Arc::new(config), choice })
    }
}

/// Certificates by their names. One that is in several Secrets is one, for the names of all.
fn by_name(shown: impl Iterator<Item = Arc<Shown>>) -> Offer {
    let mut certificates: BTreeMap<String, Arc<Shown>> = BTreeMap::new();
    for one in shown {
        match certificates.entry(one.fingerprint.clone()) {
            Entry::Vacant(free) => {
                free.insert(one);
            }
            Entry::Occupied(mut held) => Arc::make_mut(held.get_mut()).names.extend(one.names.iter().cloned()),
        }
    }
    let names = certificates.values().flat_map(|shown| shown.names.iter().map(move |name| (name.clone(), shown.clone())));
    Offer::ByName(names.collect())
}

/// Order of hostnames that cover one host: exact, one label, longer suffixes before shorter ones, every host.
fn specificity(hostname: &Hostname) -> (u8, usize) {
    match hostname {
        Hostname::Exact(_) => (3, 0),
        Hostname::Label(_) => (2, 0),
        Hostname::Wildcard(suffix) => (1, suffix.len()),
        Hostname::Any => (0, 0),
    }
}

fn shown(certificate: &Certificate, provider: &CryptoProvider) -> Result<Shown, String> {
    let parse = |pem: &String| CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| error.to_string());
    let chain = certificate.chain.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(certificate.key.pem().as_bytes()).map_err(|error| error.to_string())?;
    let key = CertifiedKey::from_der(chain, key, provider).map_err(|error| error.to_string())?;
    // In a certificate a wildcard stands for one label.
    let names = certificate.names.iter().filter_map(|name| Hostname::parse_ingress(name).ok()).collect();
    Ok(Shown { key: Arc::new(key), names, fingerprint: certificate.fingerprint.clone() })
}

impl Offer {
    fn is_empty(&self) -> bool {
        match self {
            Self::InOrder(all) => all.is_empty(),
            Self::ByName(names) => names.is_empty(),
        }
    }
}

/// The certificate that is offered for a name itself, else for all names with its suffix.
fn named<'n>(names: &'n BTreeMap<Hostname, Arc<Shown>>, name: &str) -> Option<&'n Arc<Shown>> {
    let suffix = || names.get(&Hostname::Label(name.split_once('.')?.1.to_owned()));
    names.get(&Hostname::Exact(name.to_owned())).or_else(suffix)
}

impl Choice {
    /// The certificates of the listener that a client asks for. Without a name it is the one without hostname, or the only
    /// one.
    fn listener(&self, name: Option<&str>) -> Option<&Offer> {
        let covers = |hostname: &Hostname| match name {
            Some(name) => hostname.matches(name),
            None => *hostname == Hostname::Any,
        };
        let found = self.listeners.iter().find(|(hostname, _)| covers(hostname));
        let (_, offer) = found.or(match self.listeners.as_slice() {
            [only] if name.is_none() => Some(only),
            _ => None,
        })?;
        Some(offer)
    }

    /// Whether the certificate shown for a name is offered for another host too, where that counts.
    fn carries(&self, name: &str, host: &str) -> bool {
        match self.listener(Some(name)) {
            Some(Offer::ByName(names)) => named(names, name).is_some_and(|shown| shown.names.iter().any(|own| own.matches(host))),
            Some(Offer::InOrder(_)) | None => true,
        }
    }

    /// The certificate that is offered for the name; where they are not offered by name, the first that is valid for it and
    /// that the client understands, else the first that it understands.
    fn choose(&self, hello: &ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let all = match self.listener(name.as_deref())? {
            Offer::ByName(names) => return Some(named(names, name.as_deref()?)?.key.clone()),
            Offer::InOrder(all) => all,
        };
        let understood = |shown: &&Arc<Shown>| shown.key.key.choose_scheme(hello.signature_schemes()).is_some();
        let fits = |shown: &&Arc<Shown>| name.as_deref().is_some_and(|name| shown.names.iter().any(|own| own.matches(name)));
        let candidates = || all.iter().filter(understood);
        Some(candidates().find(fits).or_else(|| candidates().next())?.key.clone())
    }
}

impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(&hello)
    }
}

impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Choice").field("listeners", &self.listeners.len()).finish_non_exhaustive()
    }
}
