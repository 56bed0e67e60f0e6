//! The plan's words as Sōzu's requests.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use sozu_command_lib::config::{ForwardedHeadersMode, ListenerBuilder};
use sozu_command_lib::proto::command::request::RequestType;
use sozu_command_lib::proto::command::{
    ActivateListener, AddBackend, AddCertificate, CertificateAndKey, Cluster, DeactivateListener, Header, HeaderMatchKind, HeaderPosition,
    HeaderPredicate, HttpListenerConfig, HttpsListenerConfig, ListenerType, LoadBalancingAlgorithms, PathRule as SozuPathRule,
    PathRuleKind, ProxyProtocolConfig, RemoveBackend, RemoveCertificate, RemoveListener, ReplaceCertificate, RequestHttpFrontend,
    RequestTcpFrontend, RulePosition, UpdateHttpListenerConfig, UpdateHttpsListenerConfig,
};

use super::access::ROUTE_TAG;
use super::{Error, answers};
use crate::edge::plan::{
    Bouncer, ClusterId, Frontend, HostRule, PathKind, PortCertificate, PortId, PortKind, PortLimits, Side, Stage, USUAL_SILENCE,
};
use crate::model::{Affinity, HOP_FIELD};
use crate::snapshot::Key;

/// How long client and backend may be silent on relayed ports, and on those with a rule that may take longer than is usual: there
/// the filter's clocks are to end what takes too long.
pub(super) const LONG_SECONDS: u32 = 2 * 60 * 60;
/// The head of a request arrives within this, and so does a handshake.
pub(super) const REQUEST_SECONDS: u32 = 10;

/// Fields in which a client may say who it is and that Sōzu does not write: no backend is to take them for the edge's words.
const CLAIMED: [&str; 2] = ["forwarded", "x-forwarded-host"];

/// Where a plan meets this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    /// Address of the listeners.
    pub address: IpAddr,
    /// Unix socket of the filter proxy for requests.
    pub hop: PathBuf,
    /// Unix socket of the filter proxy for connections.
    pub relay: PathBuf,
    /// How long both sides of a connection may be silent.
    pub silence: Silence,
}

/// How long both sides of a connection may be silent, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// On ports whose rules ask for nothing else.
    pub usual: u32,
    /// On all others.
    pub long: u32,
}

impl Default for Silence {
    fn default() -> Self {
        Self { usual: USUAL_SILENCE, long: LONG_SECONDS }
    }
}

impl Wire {
    pub(super) fn address(&self, port: PortId) -> SocketAddr {
        SocketAddr::new(self.address, port.number)
    }

    fn silence(&self, port: PortId, limits: PortLimits) -> u32 {
        if limits.patient || port.kind == PortKind::Relay { self.silence.long } else { self.silence.usual }
    }

    /// Adds a listener, not yet bound.
    pub(super) fn add_listener(&self, port: PortId, limits: PortLimits) -> Result<RequestType, Error> {
        let address = self.address(port).into();
        let mut builder = match port.kind {
            PortKind::Http => ListenerBuilder::new_http(address),
            PortKind::Https => ListenerBuilder::new_https(address),
            PortKind::Relay => ListenerBuilder::new_tcp(address),
        };
        let silence = self.silence(port, limits);
        builder.front_timeout = Some(silence);
        builder.back_timeout = Some(silence);
        builder.connect_timeout = Some(limits.connect_seconds);
        builder.h2_max_concurrent_streams = Some(limits.max_streams);
        let refused = |error: sozu_command_lib::config::ConfigError| Error::Listener(error.to_string());
        if port.kind == PortKind::Relay {
            return Ok(RequestType::AddTcpListener(builder.to_tcp(None).map_err(refused)?));
        }
        builder.request_timeout = Some(REQUEST_SECONDS);
        builder.elide_x_real_ip = Some(true);
        builder.send_x_real_ip = Some(true);
        builder.forwarded_headers = Some(ForwardedHeadersMode::XForwarded);
        Ok(match port.kind {
            PortKind::Http | PortKind::Relay => {
                let listener = builder.to_http(None).map_err(refused)?;
                RequestType::AddHttpListener(HttpListenerConfig { answers: answers::templates(), ..listener })
            }
            PortKind::Https => {
                let listener = builder.to_tls(None).map_err(refused)?;
                RequestType::AddHttpsListener(HttpsListenerConfig { answers: answers::templates(), ..listener })
            }
        })
    }

    /// Gives a listener that reads requests other limits. For how long connections that are open may be silent stays as it is.
    pub(super) fn limit_listener(&self, port: PortId, limits: PortLimits) -> RequestType {
        let address = self.address(port).into();
        let (silence, connect_timeout) = (Some(self.silence(port, limits)), Some(limits.connect_seconds));
        let h2_max_concurrent_streams = Some(limits.max_streams);
        match port.kind {
            PortKind::Http | PortKind::Relay => RequestType::UpdateHttpListener(UpdateHttpListenerConfig {
                address,
                front_timeout: silence,
                back_timeout: silence,
                connect_timeout,
                h2_max_concurrent_streams,
                ..Default::default()
            }),
            PortKind::Https => RequestType::UpdateHttpsListener(UpdateHttpsListenerConfig {
                address,
                front_timeout: silence,
                back_timeout: silence,
                connect_timeout,
                h2_max_concurrent_streams,
                ..Default::default()
            }),
        }
    }

    pub(super) fn remove_listener(&self, port: PortId) -> RequestType {
        let address = self.address(port).into();
        RequestType::RemoveListener(RemoveListener { address, proxy: kind(port).into(), ..Default::default() })
    }

    pub(super) fn activate(&self, port: PortId) -> RequestType {
        let address = self.address(port).into();
        RequestType::ActivateListener(ActivateListener { address, proxy: kind(port).into(), from_scm: false, ..Default::default() })
    }

    pub(super) fn deactivate(&self, port: PortId) -> RequestType {
        let address = self.address(port).into();
        RequestType::DeactivateListener(DeactivateListener { address, proxy: kind(port).into(), to_scm: false, ..Default::default() })
    }

    pub(super) fn add_certificate(&self, port: PortId, certificate: &PortCertificate) -> RequestType {
        let certificate = certificate_and_key(certificate);
        RequestType::AddCertificate(AddCertificate { address: self.address(port).into(), certificate, expired_at: None })
    }

    pub(super) fn replace_certificate(&self, port: PortId, old: &str, certificate: &PortCertificate) -> RequestType {
        RequestType::ReplaceCertificate(ReplaceCertificate {
            address: self.address(port).into(),
            new_certificate: certificate_and_key(certificate),
            old_fingerprint: old.to_owned(),
            new_expired_at: None,
        })
    }

    pub(super) fn remove_certificate(&self, port: PortId, fingerprint: &str) -> RequestType {
        RequestType::RemoveCertificate(RemoveCertificate { address: self.address(port).into(), fingerprint: fingerprint.to_owned() })
    }

    /// Adds a cluster, or gives one that is there this affinity.
    pub(super) fn add_cluster(id: &ClusterId, affinity: Affinity) -> RequestType {
        let balancing = match affinity {
            Affinity::None => LoadBalancingAlgorithms::RoundRobin,
            // By the client's address; the filter ranks alike (`filter/upstream/affinity.rs`).
            Affinity::ClientIp => LoadBalancingAlgorithms::Hrw,
        };
        RequestType::AddCluster(Cluster {
            cluster_id: id.to_string(),
            sticky_session: false,
            https_redirect: false,
            load_balancing: balancing.into(),
            proxy_protocol: (*id == ClusterId::Relay).then(|| ProxyProtocolConfig::SendHeader.into()),
            ..Default::default()
        })
    }

    pub(super) fn remove_cluster(id: &ClusterId) -> RequestType {
        RequestType::RemoveCluster(id.to_string())
    }

    pub(super) fn add_backend(id: &ClusterId, address: SocketAddr) -> RequestType {
        RequestType::AddBackend(AddBackend {
            cluster_id: id.to_string(),
            backend_id: address.to_string(),
            address: address.into(),
            ..Default::default()
        })
    }

    pub(super) fn remove_backend(id: &ClusterId, address: SocketAddr) -> RequestType {
        RequestType::RemoveBackend(RemoveBackend { cluster_id: id.to_string(), backend_id: address.to_string(), address: address.into() })
    }

    pub(super) fn add_hop_backend(&self) -> RequestType {
        unix_backend(&ClusterId::Hop, "hop", &self.hop)
    }

    pub(super) fn add_relay_backend(&self) -> RequestType {
        unix_backend(&ClusterId::Relay, "relay", &self.relay)
    }

    pub(super) fn add_relay(&self, port: PortId) -> RequestType {
        RequestType::AddTcpFrontend(self.relay_frontend(port))
    }

    pub(super) fn remove_relay(&self, port: PortId) -> RequestType {
        RequestType::RemoveTcpFrontend(self.relay_frontend(port))
    }

    fn relay_frontend(&self, port: PortId) -> RequestTcpFrontend {
        RequestTcpFrontend { cluster_id: ClusterId::Relay.to_string(), address: self.address(port).into(), ..Default::default() }
    }

    pub(super) fn add_frontend(&self, port: PortId, frontend: &Frontend) -> RequestType {
        added(port, self.frontend(port, frontend))
    }

    pub(super) fn remove_frontend(&self, port: PortId, frontend: &Frontend) -> RequestType {
        removed(port, self.frontend(port, frontend))
    }

    pub(super) fn add_bouncer(&self, port: PortId, bouncer: &Bouncer) -> RequestType {
        added(port, self.bouncer(port, bouncer))
    }

    pub(super) fn remove_bouncer(&self, port: PortId, bouncer: &Bouncer) -> RequestType {
        removed(port, self.bouncer(port, bouncer))
    }

    fn bouncer(&self, port: PortId, bouncer: &Bouncer) -> RequestHttpFrontend {
        let kind = if bouncer.value.is_some() { HeaderMatchKind::Regex } else { HeaderMatchKind::Present };
        RequestHttpFrontend {
            cluster_id: Some(ClusterId::Hop.to_string()),
            address: self.address(port).into(),
            hostname: "*".to_owned(),
            path: SozuPathRule { kind: PathRuleKind::Prefix.into(), value: "/".to_owned() },
            position: RulePosition::Pre.into(),
            headers: hop_headers(port),
            header_predicates: vec![HeaderPredicate { name: bouncer.name.clone(), kind: kind.into(), value: bouncer.value.clone() }],
            ..Default::default()
        }
    }

    fn frontend(&self, port: PortId, frontend: &Frontend) -> RequestHttpFrontend {
        let (hostname, position) = match &frontend.host {
            HostRule::Exact(name) => (name.clone(), RulePosition::Tree),
            HostRule::Label(suffix) => (format!("*.{suffix}"), RulePosition::Tree),
            HostRule::Labels(suffix) => (format!("/.+/.{suffix}"), RulePosition::Post),
            HostRule::Any => ("*".to_owned(), RulePosition::Post),
        };
        let kind = match frontend.path.kind {
            PathKind::Prefix => PathRuleKind::Prefix,
            PathKind::Equals => PathRuleKind::Equals,
        };
        let rewrite_path = match &frontend.stage {
            Stage::Native { rewrite, .. } => rewrite.clone(),
            Stage::Hop(_) => None,
        };
        RequestHttpFrontend {
            cluster_id: Some(frontend.stage.cluster().to_string()),
            address: self.address(port).into(),
            hostname,
            path: SozuPathRule { kind: kind.into(), value: frontend.path.text.clone() },
            method: frontend.method.clone(),
            position: position.into(),
            rewrite_path,
            headers: headers(port, &frontend.stage),
            tags: tags(frontend),
            ..Default::default()
        }
    }
}

fn added(port: PortId, frontend: RequestHttpFrontend) -> RequestType {
    match port.kind {
        PortKind::Http | PortKind::Relay => RequestType::AddHttpFrontend(frontend),
        PortKind::Https => RequestType::AddHttpsFrontend(frontend),
    }
}

fn removed(port: PortId, frontend: RequestHttpFrontend) -> RequestType {
    match port.kind {
        PortKind::Http | PortKind::Relay => RequestType::RemoveHttpFrontend(frontend),
        PortKind::Https => RequestType::RemoveHttpsFrontend(frontend),
    }
}

/// What the record of a request says of the frontend that took it. The filter counts its own.
fn tags(frontend: &Frontend) -> BTreeMap<String, String> {
    match (&frontend.stage, &frontend.owner) {
        (Stage::Native { .. }, Some(Key::Route(id))) => BTreeMap::from([(ROUTE_TAG.to_owned(), id.to_string())]),
        _ => BTreeMap::new(),
    }
}

/// The edits of a frontend. What the client says about scheme and port is replaced by the truth, and what it says in fields
/// that nobody here writes is taken out; Sōzu itself would pass it on (`tests/sozu/headers.rs`). Fields that a bouncer takes are
/// not here.
fn headers(port: PortId, stage: &Stage) -> Vec<Header> {
    let Stage::Native { edits, .. } = stage else { return hop_headers(port) };
    let edits = edits.iter().map(|edit| {
        let side = match edit.side {
            Side::Request => HeaderPosition::Request,
            Side::Response => HeaderPosition::Response,
        };
        header(side, &edit.name, edit.value.as_deref().unwrap_or_default())
    });
    truths(port).into_iter().chain(edits).collect()
}

fn hop_headers(port: PortId) -> Vec<Header> {
    truths(port).into_iter().chain(set(HOP_FIELD, &port.number.to_string())).collect()
}

/// What every backend is told, the filter proxy too.
fn truths(port: PortId) -> Vec<Header> {
    let scheme = match port.kind {
        PortKind::Http | PortKind::Relay => "http",
        PortKind::Https => "https",
    };
    let claimed = CLAIMED.into_iter().map(|name| header(HeaderPosition::Request, name, ""));
    claimed.chain(set("x-forwarded-proto", scheme)).chain(set("x-forwarded-port", &port.number.to_string())).collect()
}

fn set(name: &str, value: &str) -> [Header; 2] {
    [header(HeaderPosition::Request, name, ""), header(HeaderPosition::Request, name, value)]
}

/// The address of a unix backend is only its name within the cluster.
fn unix_backend(cluster: &ClusterId, name: &str, path: &Path) -> RequestType {
    RequestType::AddUnixBackend(AddBackend {
        cluster_id: cluster.to_string(),
        backend_id: name.to_owned(),
        address: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0).into(),
        unix_path: Some(path.to_string_lossy().into_owned()),
        ..Default::default()
    })
}

fn header(position: HeaderPosition, key: &str, val: &str) -> Header {
    Header { position: position.into(), key: key.to_owned(), val: val.to_owned() }
}

fn kind(port: PortId) -> ListenerType {
    match port.kind {
        PortKind::Http => ListenerType::Http,
        PortKind::Https => ListenerType::Https,
        PortKind::Relay => ListenerType::Tcp,
    }
}

fn certificate_and_key(held: &PortCertificate) -> CertificateAndKey {
    let mut chain = held.certificate.chain.iter().cloned();
    CertificateAndKey {
        certificate: chain.next().unwrap_or_default(),
        certificate_chain: chain.collect(),
        key: held.certificate.key.pem().to_owned(),
        versions: Vec::new(),
        names: held.names.iter().cloned().collect(),
    }
}
