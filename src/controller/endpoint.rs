//! Where edges find the leader: the EndpointSlice of a Service without a selector.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use kube::api::{Api, ObjectMeta, Patch, PatchParams};
use kube::{Client, Error as KubeError};

use crate::leader::{Leadership, NotLeading};

/// Field manager of the slice, the same on every replica: the newest leader replaces what the one before wrote.
const MANAGER: &str = "kakehi-leader";

/// The slice cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum AnnounceError {
    /// Edges are led elsewhere.
    #[error(transparent)]
    NotLeading(#[from] NotLeading),
    /// The API server's.
    #[error(transparent)]
    Api(#[from] KubeError),
}

/// A replica, as edges reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Namespace of the controller.
    pub namespace: String,
    /// The Service without a selector.
    pub service: String,
    /// Name of this pod.
    pub pod: String,
    /// Address of this pod.
    pub address: IpAddr,
    /// Name and number of the snapshot port.
    pub port: (String, u16),
}

/// Names of all slices that a leader may have made for a Service.
pub fn slice_names(service: &str) -> [String; 2] {
    ["IPv4", "IPv6"].map(|family| slice_name(service, family))
}

fn slice_name(service: &str, family: &str) -> String {
    format!("{service}-leader-{}", family.to_lowercase())
}

/// The slice that leads to a replica alone.
pub fn slice(replica: &Replica) -> EndpointSlice {
    // The family of a slice cannot be changed.
    let family = if replica.address.is_ipv4() { "IPv4" } else { "IPv6" };
    let labels = [
        ("kubernetes.io/service-name", replica.service.as_str()),
        ("endpointslice.kubernetes.io/managed-by", "kakehi.dev"),
        ("app.kubernetes.io/managed-by", "kakehi"),
    ];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let pod = ObjectReference {
        kind: Some("Pod".to_owned()),
        name: Some(replica.pod.clone()),
        namespace: Some(replica.namespace.clone()),
        ..Default::default()
    };
    let endpoint = Endpoint {
        addresses: vec![replica.address.to_string()],
        conditions: Some(EndpointConditions { ready: Some(true), serving: Some(true), terminating: Some(false) }),
        target_ref: Some(pod),
        ..Default::default()
    };
    let (name, number) = &replica.port;
    let port =
        EndpointPort { name: Some(name.clone()), port: Some((*number).into()), protocol: Some("TCP".to_owned()), ..Default::default() };
    EndpointSlice {
        metadata: ObjectMeta {
            name: Some(slice_name(&replica.service, family)),
            namespace: Some(replica.namespace.clone()),
            labels: Some(BTreeMap::from(labels)),
            ..Default::default()
        },
        address_type: family.to_owned(),
        endpoints: vec![endpoint],
        ports: Some(vec![port]),
    }
}

/// Leads edges to this replica.
///
/// # Errors
/// When another one leads by now, and the API server's.
pub async fn announce(client: Client, leadership: &Leadership, replica: &Replica) -> Result<(), AnnounceError> {
    let (slice, slices) = (slice(replica), Api::<EndpointSlice>::namespaced(client, &replica.namespace));
    let name = slice.metadata.name.clone().unwrap_or_default();
    leadership.check()?;
    slices.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&slice)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Replica, slice};

    #[test]
    fn one_slice_per_family() {
        let replica = |address: &str| Replica {
            namespace: "kakehi".into(),
            service: "kakehi-snapshot".into(),
            pod: "kakehi-0".into(),
            address: address.parse().unwrap(),
            port: ("snapshot".into(), 9443),
        };
        let four = slice(&replica("10.1.2.3"));
        assert_eq!((four.metadata.name.as_deref(), four.address_type.as_str()), (Some("kakehi-snapshot-leader-ipv4"), "IPv4"));
        assert_eq!(four.endpoints[0].addresses, ["10.1.2.3"]);
        assert_eq!(four.ports.unwrap()[0].port, Some(9443));
        assert_eq!(four.metadata.labels.unwrap()["kubernetes.io/service-name"], "kakehi-snapshot");
        assert_eq!(slice(&replica("fd00::1")).metadata.name.as_deref(), Some("kakehi-snapshot-leader-ipv6"));
    }
}
