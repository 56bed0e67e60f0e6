//! `ListenerSet`: listeners beside a Gateway. The generated type repeats those of Gateway under other names; here an entry is a
//! listener.

use gateway_api::apis::experimental::gateways::GatewayListeners;
use gateway_api::apis::experimental::listenersets::ListenerSetParentRef;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `ListenerSetSpec`.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "ListenerSet",
    plural = "listenersets",
    namespaced,
    derive = "PartialEq",
    doc = "Listeners of a Gateway, in an object of their own."
)]
#[serde(rename_all = "camelCase")]
pub struct ListenerSetSpec {
    /// The Gateway.
    pub parent_ref: ListenerSetParentRef,
    /// Its listeners: `ListenerEntry` has the fields of a Gateway's `Listener`.
    pub listeners: Vec<GatewayListeners>,
}
