//! Defaults and checks per kind, as an API server applies them: ours, written from the specification, one file per kind.
//!
//! They hold for manifests when no CustomResourceDefinition is offered for the kind.

mod configmap;
mod edgeprofile;
mod endpointslice;
mod forms;
mod gateway;
mod gatewayclass;
mod grpcroute;
mod httproute;
mod ingress;
mod ingressclass;
mod listenerset;
mod metadata;
mod namespace;
mod referencegrant;
mod routes;
mod secret;
mod service;
mod shape;
mod shared;

use serde_json::Value;

pub use self::configmap::CONFIG_MAP;
pub use self::edgeprofile::EDGE_PROFILE;
pub use self::endpointslice::ENDPOINT_SLICE;
use self::forms::Form;
pub use self::gateway::GATEWAY;
pub use self::gatewayclass::GATEWAY_CLASS;
pub use self::grpcroute::GRPC_ROUTE;
pub use self::httproute::HTTP_ROUTE;
pub use self::ingress::INGRESS;
pub use self::ingressclass::INGRESS_CLASS;
pub use self::listenerset::LISTENER_SET;
pub use self::namespace::NAMESPACE;
pub use self::referencegrant::REFERENCE_GRANT;
pub use self::secret::SECRET;
pub use self::service::SERVICE;
use self::shape::{Null, Shape};

/// Defaults and checks of one kind.
pub struct Checks {
    /// What objects are named like.
    name: &'static Form,
    /// Rewrites that no shape expresses, before anything else: fields that stand for others, defaults that depend on others.
    prepare: fn(&mut Value),
    /// The object, `metadata` left out.
    shape: &'static Shape,
    null: Null,
    /// What may not change: from the old object and the new one to what is wrong.
    transition: fn(&Value, &Value) -> Option<String>,
}

impl Checks {
    /// A custom resource without rules of its own beside the shape.
    const fn of(shape: &'static Shape) -> Self {
        Self { name: &forms::SUBDOMAIN, prepare: |_| {}, shape, null: Null::Pruned, transition: |_, _| None }
    }

    /// A built-in kind without rules of its own beside the shape.
    const fn built_in(shape: &'static Shape) -> Self {
        Self { null: Null::Empty, ..Self::of(shape) }
    }

    /// Checks metadata. The messages are those of an API server: `path: reason`.
    pub fn metadata(&self, value: &mut Value) -> Vec<String> {
        metadata::check(self.name, value)
    }

    /// Fills in the defaults and checks everything but metadata.
    pub fn body(&self, value: &mut Value) -> Vec<String> {
        (self.prepare)(value);
        shape::conform(self.shape, self.null, value)
    }

    /// Checks a change from `old`, which was stored, to `new`.
    pub fn transition(&self, old: &Value, new: &Value) -> Option<String> {
        (self.transition)(old, new)
    }
}

#[cfg(test)]
mod tests;
