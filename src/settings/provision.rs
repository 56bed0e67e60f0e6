//! How edges of a cluster are made and fed.

use std::net::{IpAddr, SocketAddr};

use clap::Args;

use crate::observe::log::{SOZU_LEVELS, levels};
use crate::provision::Place;
use crate::translate::OwnPods;

/// The part of `kakehi controller` that concerns edges.
#[derive(Args, Clone, Debug)]
pub struct ProvisionSettings {
    /// Image of container edge in edge pods; without it no edges are made
    #[arg(long, env = "KAKEHI_EDGE_IMAGE", value_name = "IMAGE", requires = "sozu_image")]
    pub edge_image: Option<String>,
    /// Image of container sozu in edge pods
    #[arg(long, env = "KAKEHI_SOZU_IMAGE", value_name = "IMAGE")]
    pub sozu_image: Option<String>,
    /// Pull policy of both images: Always, IfNotPresent, Never; default: that of Kubernetes
    #[arg(long, env = "KAKEHI_PULL_POLICY", value_name = "POLICY")]
    pub pull_policy: Option<String>,
    /// What edges log: a level, or per module
    #[arg(long, env = "KAKEHI_EDGE_LOG", default_value = "info", value_name = "LEVELS", value_parser = levels)]
    pub edge_log: String,
    /// What their Sōzus log: error, warn, info, debug, trace; default: error
    #[arg(long, env = "KAKEHI_EDGE_SOZU_LOG", value_name = "LEVEL", value_parser = SOZU_LEVELS)]
    pub edge_sozu_log: Option<String>,
    /// Secret with credentials of registries, in the namespaces in which edges run; may be given several times
    #[arg(long, env = "KAKEHI_EDGE_PULL_SECRETS", value_name = "NAME", value_delimiter = ',')]
    pub edge_pull_secret: Vec<String>,
    /// Address of the port on which the leader serves snapshots; `[::]` is both families, and 0.0.0.0 where there is no IPv6
    #[arg(long, env = "KAKEHI_SNAPSHOT_LISTEN", default_value = "[::]:9443", value_name = "IP:PORT")]
    pub snapshot_listen: SocketAddr,
    /// How many edges may have their pods replaced at a time, when an image or anything else in their pods changes
    #[arg(long, env = "KAKEHI_CONCURRENT_ROLLOUTS", default_value_t = 5, value_name = "EDGES", value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrent_rollouts: u16,
    /// Where the edges of Gateways run: in the Gateway's namespace, or in the operator's, which then needs rights to make
    /// Deployments and DaemonSets there alone
    #[arg(long, env = "KAKEHI_EDGE_PLACE", value_enum, default_value_t = Place::Gateway, value_name = "PLACE")]
    pub edge_place: Place,
    /// Make a NetworkPolicy for every edge: in by the ports of its listeners and that of probes and metrics, out to everything but
    /// the metadata addresses of clouds
    #[arg(long, env = "KAKEHI_EDGE_NETWORK_POLICIES")]
    pub edge_network_policies: bool,
    /// Let the EdgeProfile of a Gateway choose images and placement of its pods, as that of its class may. Whoever may write
    /// Gateways then runs any image, by the operator's rights
    #[arg(long, env = "KAKEHI_ALLOW_GATEWAY_PODS")]
    pub allow_gateway_pods: bool,
    /// Service without a selector that leads edges to the leader
    #[arg(long, env = "KAKEHI_SERVICE", default_value = "kakehi", value_name = "NAME")]
    pub service: String,
    /// Secret with the authority of the snapshot port
    #[arg(long, env = "KAKEHI_CA_SECRET", default_value = "kakehi-ca", value_name = "NAME")]
    pub ca_secret: String,
    /// Address of this pod, to which the Service leads while it is the leader
    #[arg(long, env = "KAKEHI_POD_IP", value_name = "IP")]
    pub pod_ip: Option<IpAddr>,
}

impl ProvisionSettings {
    /// What Gateways may choose of the pods of their edges.
    ///
    /// # Errors
    /// When tenants would choose what runs in the operator's namespace.
    pub fn own_pods(&self) -> Result<OwnPods, PodsOfTenants> {
        match (self.edge_place, self.allow_gateway_pods) {
            (Place::Operator, true) => Err(PodsOfTenants),
            (Place::Operator, false) => Ok(OwnPods::Nothing),
            (Place::Gateway, true) => Ok(OwnPods::All),
            (Place::Gateway, false) => Ok(OwnPods::Size),
        }
    }
}

/// Tenants would choose what runs in the operator's namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--allow-gateway-pods and --edge-place operator exclude each other")]
pub struct PodsOfTenants;
