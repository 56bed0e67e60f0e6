//! The DaemonSet of an edge that has a pod on each node.

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec, DaemonSetUpdateStrategy, RollingUpdateDaemonSet};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::objects::metadata;
use super::{EdgeSpec, Installation, deployment, names, pod};
use crate::api::edge_profile::PodNetwork;

/// The DaemonSet. A pod leaves only when another is ready on its node, unless both need the ports of the node.
pub(super) fn daemon_set(edge: &EdgeSpec, installation: &Installation) -> Result<DaemonSet, serde_json::Error> {
    let (unavailable, surge) = match edge.network() {
        PodNetwork::Pod => (IntOrString::Int(0), IntOrString::String("25%".to_owned())),
        PodNetwork::HostPorts | PodNetwork::Host => (IntOrString::Int(1), IntOrString::Int(0)),
    };
    let rolling = RollingUpdateDaemonSet { max_unavailable: Some(unavailable), max_surge: Some(surge) };
    let template = pod::template(edge, installation);
    let mut metadata = metadata(edge, installation);
    metadata.annotations.get_or_insert_default().extend([names::template(&template)?]);
    let spec = DaemonSetSpec {
        selector: deployment::selector(edge, installation),
        update_strategy: Some(DaemonSetUpdateStrategy { type_: Some("RollingUpdate".to_owned()), rolling_update: Some(rolling) }),
        template,
        ..Default::default()
    };
    Ok(DaemonSet { metadata, spec: Some(spec), status: None })
}
