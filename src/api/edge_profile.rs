//! `EdgeProfile`: parameters of edges, for a GatewayClass (`spec.parametersRef`), one Gateway
//! (`spec.infrastructure.parametersRef`) or an IngressClass (`spec.parameters`). A field of the Gateway's profile wins over
//! that of the class.

use ipnet::IpNet;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Field by field.
macro_rules! over {
    ($type:ident { $($field:ident),* $(,)? }) => {
        impl $type {
            /// These fields, where they are set, over those of `below`.
            #[must_use]
            pub fn over(self, below: &Self) -> Self {
                Self { $($field: self.$field.or_else(|| below.$field.clone())),* }
            }
        }
    };
}

mod logs;
mod pods;
mod service;

pub use logs::{AccessLogField, AccessLogFormat, AccessLogProfile, LogProfile, SozuLogLevel};
pub use pods::{ImageOverrides, Placement, PodNetwork, PullPolicy, Resources, WorkloadKind};
pub use service::{IpFamily, IpFamilyPolicy, NodePort, ServiceProfile, ServiceType, TrafficPolicy};

use crate::model::{FILTER_CONNECTIONS, FILTER_CONNECTIONS_PER_ADDRESS, FILTER_WORKERS, capacity as names};

/// Parameters of edges: named by a GatewayClass (spec.parametersRef) for all its Gateways, by one Gateway
/// (spec.infrastructure.parametersRef), whose fields win over those of the class, or by an IngressClass (spec.parameters).
/// Every field is optional; its description names the default. In standalone mode, where no pods are made, replicas,
/// autoscaling, service, resources, placement and images have no effect, which is said in the report.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "kakehi.dev",
    version = "v1alpha1",
    kind = "EdgeProfile",
    plural = "edgeprofiles",
    shortname = "ep",
    category = "kakehi",
    namespaced,
    derive = "PartialEq",
    doc = "Parameters of edges, the data planes of Gateways and IngressClasses.",
    printcolumn = r#"{"name":"Replicas","type":"integer","jsonPath":".spec.replicas"}"#,
    printcolumn = r#"{"name":"Service","type":"string","jsonPath":".spec.service.type"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("!(has(self.replicas) && has(self.autoscaling))", "replicas and autoscaling exclude each other"),
    validation = (
        "!has(self.placement) || !has(self.placement.workload) || self.placement.workload != 'DaemonSet' || !(has(self.replicas) || has(self.autoscaling))",
        "a DaemonSet has a pod on each node: replicas and autoscaling are of a Deployment"
    ),
    validation = ("!has(self.httpPort) || !has(self.httpsPort) || self.httpPort != self.httpsPort", "httpPort and httpsPort must differ")
)]
pub struct EdgeProfileSpec {
    /// Number of pods of the edge. Default: 2; of a DaemonSet: one a node.
    #[schemars(range(min = 1, max = 1000))]
    pub replicas: Option<i32>,
    /// A HorizontalPodAutoscaler in place of a fixed number of pods. Default: none.
    pub autoscaling: Option<Autoscaling>,
    /// The Service of the edge.
    pub service: Option<ServiceProfile>,
    /// Requests and limits of the two containers.
    pub resources: Option<Resources>,
    /// Where the pods run. Counts from the profile of a class alone, unless the operator is told otherwise
    /// (--allow-gateway-pods).
    pub placement: Option<Placement>,
    /// Images in place of those of the installation. Counts from the profile of a class alone, unless the operator is told
    /// otherwise (--allow-gateway-pods).
    pub images: Option<ImageOverrides>,
    /// Serve every route through the filter proxy, none by Sōzu alone. Default: false.
    pub force_hop: Option<bool>,
    /// Relay the connections of every port to the filter proxy, which then also ends TLS: HTTP/2 with prior knowledge and
    /// clients without SNI are served on any port. Default: false.
    pub force_relay: Option<bool>,
    /// Have the filter proxy read what clients send on every port, because Sōzu takes some requests that an HTTP server should
    /// refuse (`docs/wire.md` lists them). Ports are then relayed to the filter proxy. Default: false.
    #[serde(rename = "strictHTTP")]
    pub strict_http: Option<bool>,
    /// What is done with paths that can be read in two ways: those with dot segments, empty segments or encoded slashes. Ports
    /// with anything but Keep are relayed to the filter proxy. Default: Keep.
    pub path_normalization: Option<PathNormalization>,
    /// What is done with fields of clients that backends take for a proxy's: X_Real_IP and its like with underscores,
    /// X-Forwarded-Prefix, X-Forwarded-Client-Cert, X-Original-URL, X-Original-URI and X-Rewrite-URL. Default: Drop.
    pub claimed_fields: Option<ClaimedFields>,
    /// How the address of a client is found behind other proxies. Where it is set, even empty, ports are relayed to the
    /// filter proxy, and whatever somebody says in X-Forwarded-For who is not trusted is taken out. Default: it is the
    /// address of the connection, in X-Real-IP and as the last member of X-Forwarded-For.
    pub client_address: Option<ClientAddress>,
    /// Seconds until a connection to an endpoint is given up; another endpoint is tried then. Default: 3.
    #[schemars(range(min = 1, max = 60))]
    pub connect_timeout_seconds: Option<i32>,
    /// Requests that one HTTP/2 connection of a client may have open at a time. Default: 100.
    #[schemars(range(min = 1, max = 65535))]
    pub max_concurrent_streams: Option<i32>,
    /// Seconds after which a connection of a client is ended with its next answer, give or take a tenth. Where it is set, ports are
    /// relayed to the filter proxy. Default: none.
    #[schemars(range(min = 10, max = 86400))]
    pub max_connection_age_seconds: Option<i32>,
    /// Threads of the filter proxy. A change replaces pods. Default: 1.
    #[schemars(range(min = 1, max = 64))]
    pub filter_workers: Option<i32>,
    /// Access log of the edge: a line on standard output for each request, in the log of container edge. A change replaces pods.
    /// Default: none.
    pub access_log: Option<AccessLogProfile>,
    /// What the edge's processes log. A change replaces pods.
    pub log: Option<LogProfile>,
    /// Seconds that requests, streams and tunnels in flight may take when a pod ends. A change replaces pods. Default: 25.
    #[schemars(range(min = 1, max = 3600))]
    pub drain_seconds: Option<i32>,
    /// How much an edge pod holds. What is left out follows from the memory limits of its containers. A change replaces pods.
    pub capacity: Option<EdgeCapacity>,
    /// Port for HTTP of the edge of an IngressClass; a Gateway's listeners have ports of their own. Default: that of the
    /// installation.
    #[schemars(range(min = 1, max = 65535))]
    pub http_port: Option<i32>,
    /// Port for HTTPS of the edge of an IngressClass. Default: that of the installation.
    #[schemars(range(min = 1, max = 65535))]
    pub https_port: Option<i32>,
    /// Hosts of an IngressClass that belong to a namespace, whichever namespace named them first. Only in the profile of an
    /// IngressClass.
    /// Default: a host belongs to the namespace whose Ingress was accepted for it first.
    #[schemars(length(max = 1024))]
    pub hosts: Option<Vec<ReservedHosts>>,
}

/// Hosts that belong to a namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReservedHosts {
    /// The namespace.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// Hosts: a name, or `*.` and a name for that name's subdomains of any depth and their wildcards. Of several entries that
    /// cover a host the longest counts, of equal ones the first.
    #[schemars(length(min = 1, max = 1024), inner(length(min = 1, max = 253)))]
    pub hosts: Vec<String>,
}

/// How much an edge pod holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EdgeCapacity {
    /// Client connections. Fewer where memory does not suffice. Default: as many as memory allows, about 11000 on 1Gi.
    #[schemars(range(min = 100, max = 1_000_000))]
    pub connections: Option<i32>,
    /// Connections of one client address; 0 is no bound, for edges that see all clients under few addresses. Default: half of all.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub connections_per_address: Option<i32>,
    /// Size of Sōzu's buffers in bytes. A connection may use two; larger ones make long answers cheaper, and the head of an
    /// answer must fit into one. Default: what memory gives to the connections that are wanted, 10000 when nothing is said, from 16393
    /// to 73728.
    #[schemars(range(min = 16393, max = 1_048_576))]
    pub buffer_bytes: Option<i32>,
    /// Worker processes of each Sōzu. Default: 1.
    #[schemars(range(min = 1, max = 16))]
    pub sozu_workers: Option<i32>,
    /// Sōzus that serve the same ports: with 2 one serves while the other is replaced, 1 needs less memory. Default: 2.
    #[schemars(range(min = 1, max = 2))]
    pub sozus: Option<i32>,
}

/// A variable of the environment of an edge's processes.
pub type Variable = (&'static str, String);

/// How the address of a client is found. It is the first address that is not trusted, read from the right of
/// X-Forwarded-For; from a proxy that is trusted X-Forwarded-Proto, -Port and -Host are passed on too.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!(has(self.trustedCIDRs) && has(self.trustedHops))", "trustedCIDRs and trustedHops exclude each other"))]
pub struct ClientAddress {
    /// Networks of the proxies in front of the edge. Default: nobody is trusted.
    #[serde(rename = "trustedCIDRs")]
    #[schemars(with = "Option<Vec<String>>", length(max = 64), inner(regex(pattern = r"^[0-9A-Fa-f:.]+/[0-9]{1,3}$")))]
    pub trusted_cidrs: Option<Vec<IpNet>>,
    /// Number of proxies in front of the edge, for those without fixed addresses: each adds one member to X-Forwarded-For.
    /// Only where nobody can reach the edge but through them. Default: none.
    #[schemars(range(min = 1, max = 16))]
    pub trusted_hops: Option<i32>,
    /// Every connection begins with a header of the PROXY protocol, version 1 or 2, as load balancers of layer 4 write it;
    /// one without is closed. Only where nobody can reach the edge but through them. Default: false.
    pub proxy_protocol: Option<bool>,
}

/// A HorizontalPodAutoscaler.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!has(self.minReplicas) || self.minReplicas <= self.maxReplicas", "minReplicas exceeds maxReplicas"))]
pub struct Autoscaling {
    /// Fewest pods. Default: 2, or maxReplicas where that is less.
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: Option<i32>,
    /// Most pods.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,
    /// Average use of the requested CPU to aim at, in percent. Default: 80.
    #[schemars(range(min = 1, max = 1000))]
    pub target_cpu_percent: Option<i32>,
}

/// What is done with paths that can be read in two ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PathNormalization {
    /// Rules compare them as they came, and backends get them so.
    #[default]
    Keep,
    /// They are brought to one form first: dot segments and empty ones go, encoded slashes and letters are decoded.
    Normalize,
    /// They are answered 400.
    Reject,
}

/// What is done with fields of clients that backends take for a proxy's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClaimedFields {
    /// Backends do not get them.
    #[default]
    Drop,
    /// They pass as they came.
    Keep,
}

over! { EdgeCapacity { connections, connections_per_address, buffer_bytes, sozu_workers, sozus } }

impl EdgeProfileSpec {
    /// What the profile says to the processes of an edge when they start.
    pub fn variables(&self) -> Vec<Variable> {
        let capacity = self.capacity.clone().unwrap_or_default();
        let given = [
            (FILTER_WORKERS, self.filter_workers),
            (FILTER_CONNECTIONS, capacity.connections),
            (FILTER_CONNECTIONS_PER_ADDRESS, capacity.connections_per_address),
            (names::BUFFER_BYTES, capacity.buffer_bytes),
            (names::SOZU_WORKERS, capacity.sozu_workers),
            (names::SOZUS, capacity.sozus),
        ];
        let numbers = given.into_iter().filter_map(|(name, value)| Some((name, value?.to_string())));
        numbers.chain(self.drain_seconds.map(|seconds| (names::DRAIN, seconds.to_string()))).chain(logs::variables(self)).collect()
    }

    /// These fields, where they are set, over those of `below`. A number of pods replaces an autoscaler and the other way
    /// round.
    #[must_use]
    pub fn over(self, below: &Self) -> Self {
        let scaled = self.replicas.is_some() || self.autoscaling.is_some();
        Self {
            replicas: if scaled { self.replicas } else { below.replicas },
            autoscaling: if scaled { self.autoscaling } else { below.autoscaling.clone() },
            service: nested(self.service, &below.service, ServiceProfile::over),
            resources: nested(self.resources, &below.resources, Resources::over),
            placement: nested(self.placement, &below.placement, Placement::over),
            images: nested(self.images, &below.images, ImageOverrides::over),
            force_hop: self.force_hop.or(below.force_hop),
            force_relay: self.force_relay.or(below.force_relay),
            strict_http: self.strict_http.or(below.strict_http),
            path_normalization: self.path_normalization.or(below.path_normalization),
            claimed_fields: self.claimed_fields.or(below.claimed_fields),
            client_address: self.client_address.or_else(|| below.client_address.clone()),
            connect_timeout_seconds: self.connect_timeout_seconds.or(below.connect_timeout_seconds),
            max_concurrent_streams: self.max_concurrent_streams.or(below.max_concurrent_streams),
            max_connection_age_seconds: self.max_connection_age_seconds.or(below.max_connection_age_seconds),
            filter_workers: self.filter_workers.or(below.filter_workers),
            access_log: nested(self.access_log, &below.access_log, AccessLogProfile::over),
            log: nested(self.log, &below.log, LogProfile::over),
            drain_seconds: self.drain_seconds.or(below.drain_seconds),
            capacity: nested(self.capacity, &below.capacity, EdgeCapacity::over),
            http_port: self.http_port.or(below.http_port),
            https_port: self.https_port.or(below.https_port),
            hosts: self.hosts.or_else(|| below.hosts.clone()),
        }
    }
}

fn nested<T: Clone>(own: Option<T>, below: &Option<T>, over: fn(T, &T) -> T) -> Option<T> {
    match (own, below) {
        (Some(own), Some(below)) => Some(over(own, below)),
        (own, below) => own.or_else(|| below.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Autoscaling, EdgeProfileSpec, ServiceProfile, ServiceType, TrafficPolicy};

    #[test]
    fn the_gateway_s_fields_win_over_those_of_the_class() {
        let class = EdgeProfileSpec {
            autoscaling: Some(Autoscaling { max_replicas: 5, ..Default::default() }),
            service: Some(ServiceProfile {
                kind: Some(ServiceType::NodePort),
                external_traffic_policy: Some(TrafficPolicy::Local),
                ..Default::default()
            }),
            ..Default::default()
        };
        let service = ServiceProfile { kind: Some(ServiceType::LoadBalancer), ..Default::default() };
        let gateway = EdgeProfileSpec { replicas: Some(3), service: Some(service), ..Default::default() };
        let merged = gateway.over(&class);
        assert_eq!((merged.replicas, merged.autoscaling), (Some(3), None));
        let service = merged.service.unwrap();
        assert_eq!((service.kind, service.external_traffic_policy), (Some(ServiceType::LoadBalancer), Some(TrafficPolicy::Local)));
        assert_eq!(EdgeProfileSpec::default().over(&class), class);
    }
}
