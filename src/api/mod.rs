//! Kubernetes types as Kakehi reads them: the gateway-api crate and k8s-openapi, wrapped for lenient decoding.
//!
//! The only place that names the gateway-api crate. Its experimental types hold both channels.

pub mod bundle;
pub mod edge_profile;
mod kinds;
pub mod listener_set;
mod object;

pub use bundle::GATEWAY_API;
pub use edge_profile::{ClaimedFields, EdgeProfile, EdgeProfileSpec, PathNormalization, ReservedHosts, Variable};
pub use gateway_api::apis::experimental::gatewayclasses;
pub use gateway_api::apis::experimental::gatewayclasses::GatewayClass;
pub use gateway_api::apis::experimental::gateways;
pub use gateway_api::apis::experimental::gateways::Gateway;
pub use gateway_api::apis::experimental::grpcroutes;
pub use gateway_api::apis::experimental::grpcroutes::GrpcRoute;
pub use gateway_api::apis::experimental::httproutes;
pub use gateway_api::apis::experimental::httproutes::HttpRoute;
pub use gateway_api::apis::experimental::referencegrants;
pub use gateway_api::apis::experimental::referencegrants::ReferenceGrant;
pub use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service};
pub use k8s_openapi::api::discovery::v1::EndpointSlice;
pub use k8s_openapi::api::networking::v1 as networking;
pub use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
pub use kinds::{ApiKind, Change, Object};
pub use listener_set::ListenerSet;
pub use object::{Malformed, Obj};
