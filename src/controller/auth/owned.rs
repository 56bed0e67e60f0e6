//! Whose a pod is: by uid all the way, not by names or labels that anybody may give.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::Api;
use kube::{Client, Error, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::Workload;

/// Whether a pod of the workload's namespace is of this workload: of its DaemonSet, or through a ReplicaSet of its Deployment.
///
/// # Errors
/// When the API server does not answer.
pub async fn is_of(client: &Client, pod: &Pod, workload: &Workload) -> Result<bool, Error> {
    if let Some(of_daemons) = owner(pod, "DaemonSet") {
        return is_workload::<DaemonSet>(client, of_daemons, workload).await;
    }
    let Some(of_set) = owner(pod, "ReplicaSet") else { return Ok(false) };
    let set = get::<ReplicaSet>(client, &workload.namespace, &of_set.name).await?;
    let set = set.filter(|set| set.uid().as_ref() == Some(&of_set.uid));
    match set.as_ref().and_then(|set| owner(set, "Deployment")) {
        Some(of_deployment) => is_workload::<Deployment>(client, of_deployment, workload).await,
        None => Ok(false),
    }
}

/// Whether an owner is the workload: by name, by uid, and by whom it was made for.
async fn is_workload<K>(client: &Client, owner: &OwnerReference, workload: &Workload) -> Result<bool, Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    if owner.name != workload.name {
        return Ok(false);
    }
    let live = get::<K>(client, &workload.namespace, &workload.name).await?;
    Ok(live.is_some_and(|live| live.uid().as_ref() == Some(&owner.uid) && (workload.is_made)(live.meta())))
}

fn owner<'a, K: Resource>(object: &'a K, kind: &str) -> Option<&'a OwnerReference> {
    object.owner_references().iter().find(|owner| owner.controller == Some(true) && owner.kind == kind && owner.api_version == "apps/v1")
}

pub(super) async fn get<K>(client: &Client, namespace: &str, name: &str) -> Result<Option<K>, Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    Api::<K>::namespaced(client.clone(), namespace).get_opt(name).await
}
