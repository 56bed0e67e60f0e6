//! The Deployment of an edge, its disruption budget and its autoscaler.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricSpec, MetricTarget, ResourceMetricSource,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::objects::metadata;
use super::{EdgeSpec, Installation, Part, names, pod};
use crate::api::edge_profile::PodNetwork;

/// Average use of the requested CPU that an autoscaler aims at, in percent.
const CPU: i32 = 80;

/// The pods of the edge. A Deployment and a DaemonSet that follow one another select the same, and each counts those that it made.
pub(super) fn selector(edge: &EdgeSpec, installation: &Installation) -> LabelSelector {
    LabelSelector { match_labels: Some(installation.selector_of(&edge.id)), ..Default::default() }
}

/// The Deployment. A pod leaves only when another is ready, unless both need the same ports.
pub(super) fn deployment(edge: &EdgeSpec, installation: &Installation) -> Result<Deployment, serde_json::Error> {
    let (unavailable, surge) = match edge.network() {
        PodNetwork::Pod => (IntOrString::Int(0), IntOrString::String("25%".to_owned())),
        // The next pod has the ports of its node when the one before is gone.
        PodNetwork::HostPorts | PodNetwork::Host => (IntOrString::Int(1), IntOrString::Int(0)),
    };
    let rolling = RollingUpdateDeployment { max_unavailable: Some(unavailable), max_surge: Some(surge) };
    let template = pod::template(edge, installation);
    let mut metadata = metadata(edge, installation);
    metadata.annotations.get_or_insert_default().extend([names::template(&template)?]);
    let spec = DeploymentSpec {
        replicas: edge.profile.autoscaling.is_none().then(|| edge.pods()),
        selector: selector(edge, installation),
        strategy: Some(DeploymentStrategy { type_: Some("RollingUpdate".to_owned()), rolling_update: Some(rolling) }),
        template,
        ..Default::default()
    };
    Ok(Deployment { metadata, spec: Some(spec), status: None })
}

/// The disruption budget: one pod at a time. Useless for a single one, which it would pin to its node, and for a DaemonSet: a node
/// that is drained keeps its pod.
pub(super) fn budget(edge: &EdgeSpec, installation: &Installation) -> Option<PodDisruptionBudget> {
    let selector = Some(selector(edge, installation));
    let spec = PodDisruptionBudgetSpec { max_unavailable: Some(IntOrString::Int(1)), selector, ..Default::default() };
    (edge.workload() == Part::Deployment && edge.pods() > 1).then(|| PodDisruptionBudget {
        metadata: metadata(edge, installation),
        spec: Some(spec),
        status: None,
    })
}

/// The autoscaler, when one is asked for.
pub(super) fn autoscaler(edge: &EdgeSpec, installation: &Installation) -> Option<HorizontalPodAutoscaler> {
    let scaling = edge.profile.autoscaling.as_ref().filter(|_| edge.workload() == Part::Deployment)?;
    let target = MetricTarget {
        type_: "Utilization".to_owned(),
        average_utilization: Some(scaling.target_cpu_percent.unwrap_or(CPU)),
        ..Default::default()
    };
    let metric = MetricSpec {
        type_: "Resource".to_owned(),
        resource: Some(ResourceMetricSource { name: "cpu".to_owned(), target }),
        ..Default::default()
    };
    let scaled = CrossVersionObjectReference {
        api_version: Some("apps/v1".to_owned()),
        kind: "Deployment".to_owned(),
        name: installation.name_of(&edge.id),
    };
    let spec = HorizontalPodAutoscalerSpec {
        min_replicas: Some(edge.pods()),
        max_replicas: scaling.max_replicas,
        metrics: Some(vec![metric]),
        scale_target_ref: scaled,
        ..Default::default()
    };
    Some(HorizontalPodAutoscaler { metadata: metadata(edge, installation), spec: Some(spec), status: None })
}
