//! All objects of an edge.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ApiResource, DynamicObject, ObjectMeta};
use kube::{Resource, ResourceExt};
use serde::Serialize;

use super::identity::owner_kind;
use super::{EdgeSpec, Installation, daemon_set, deployment, names, network, pod, service};

/// A kind of object that is made for edges, one row each. All objects of an edge have the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Who its pods are.
    ServiceAccount,
    /// The CA by which its pods know the control plane.
    ConfigMap,
    /// Who may reach its pods, and whom they may reach.
    NetworkPolicy,
    /// Its pods, so many of them.
    Deployment,
    /// Its pods, one on each node.
    DaemonSet,
    /// Its address.
    Service,
    /// How many pods may be away.
    PodDisruptionBudget,
    /// How many pods there are.
    HorizontalPodAutoscaler,
}

impl Part {
    /// All of them, in the order in which they are made.
    pub const ALL: [Self; 8] = [
        Self::ServiceAccount,
        Self::ConfigMap,
        Self::NetworkPolicy,
        Self::Deployment,
        Self::DaemonSet,
        Self::Service,
        Self::PodDisruptionBudget,
        Self::HorizontalPodAutoscaler,
    ];

    /// Whether all of them are watched.
    pub fn is_watched(self) -> bool {
        self.is_workload() || self == Self::Service
    }

    /// Whether it makes pods. An edge has one of these, and both while one takes the other's place.
    pub fn is_workload(self) -> bool {
        matches!(self, Self::Deployment | Self::DaemonSet)
    }

    /// The other kind of workload.
    pub fn other_workload(self) -> Self {
        if self == Self::Deployment { Self::DaemonSet } else { Self::Deployment }
    }

    /// Whether it says how many pods there are, or may be away.
    pub fn is_of_pods(self) -> bool {
        matches!(self, Self::PodDisruptionBudget | Self::HorizontalPodAutoscaler)
    }

    /// How the API server calls it.
    pub fn resource(self) -> ApiResource {
        match self {
            Self::ServiceAccount => ApiResource::erase::<ServiceAccount>(&()),
            Self::ConfigMap => ApiResource::erase::<ConfigMap>(&()),
            Self::NetworkPolicy => ApiResource::erase::<NetworkPolicy>(&()),
            Self::Deployment => ApiResource::erase::<Deployment>(&()),
            Self::DaemonSet => ApiResource::erase::<DaemonSet>(&()),
            Self::Service => ApiResource::erase::<Service>(&()),
            Self::PodDisruptionBudget => ApiResource::erase::<PodDisruptionBudget>(&()),
            Self::HorizontalPodAutoscaler => ApiResource::erase::<HorizontalPodAutoscaler>(&()),
        }
    }
}

/// The metadata of all objects of an edge.
pub(super) fn metadata(edge: &EdgeSpec, installation: &Installation) -> ObjectMeta {
    let (api_version, kind) = owner_kind(&edge.id);
    let owner = OwnerReference {
        api_version: api_version.to_owned(),
        kind: kind.to_string(),
        name: edge.id.name.clone(),
        uid: edge.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(false),
    };
    let name = installation.name_of(&edge.id);
    let mut annotations = names::annotations(&edge.id, &installation.controller, &edge.annotations);
    let is_owned = installation.is_owned(&edge.id);
    if !is_owned {
        annotations.extend([names::uid(&edge.uid)]);
    }
    ObjectMeta {
        namespace: Some(installation.namespace_of(&edge.id).to_owned()),
        labels: Some(names::labels((&edge.id, &name), &edge.labels)),
        name: Some(name),
        annotations: Some(annotations),
        owner_references: is_owned.then(|| vec![owner]),
        ..Default::default()
    }
}

/// What runs an edge: every part that it is to have. `ca` is the CA bundle (PEM) by which its pods know the control plane.
///
/// # Errors
/// Never for these plain values; serialisation is fallible by type.
pub fn objects(edge: &EdgeSpec, installation: &Installation, ca: &str) -> Result<BTreeMap<Part, DynamicObject>, serde_json::Error> {
    let account =
        ServiceAccount { metadata: metadata(edge, installation), automount_service_account_token: Some(false), ..Default::default() };
    let data = BTreeMap::from([(pod::CA_KEY.to_owned(), ca.to_owned())]);
    let bundle = ConfigMap { metadata: metadata(edge, installation), data: Some(data), ..Default::default() };
    let mut all = BTreeMap::from([
        (Part::ServiceAccount, dynamic(&account)?),
        (Part::ConfigMap, dynamic(&bundle)?),
        match edge.workload() {
            Part::DaemonSet => (Part::DaemonSet, dynamic(&daemon_set::daemon_set(edge, installation)?)?),
            _ => (Part::Deployment, dynamic(&deployment::deployment(edge, installation)?)?),
        },
        (Part::Service, dynamic(&service::service(edge, installation))?),
    ]);
    if installation.network_policies {
        all.insert(Part::NetworkPolicy, dynamic(&network::policy(edge, installation))?);
    }
    if let Some(budget) = deployment::budget(edge, installation) {
        all.insert(Part::PodDisruptionBudget, dynamic(&budget)?);
    }
    if let Some(autoscaler) = deployment::autoscaler(edge, installation) {
        all.insert(Part::HorizontalPodAutoscaler, dynamic(&autoscaler)?);
    }
    Ok(all)
}

fn dynamic<K: Resource<DynamicType = ()> + Serialize>(object: &K) -> Result<DynamicObject, serde_json::Error> {
    let object: DynamicObject = serde_json::from_value(serde_json::to_value(object)?)?;
    debug_assert!(object.types.is_some() && !object.name_any().is_empty());
    Ok(object)
}
