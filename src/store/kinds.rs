//! The table of kinds: one row per [`Kind`]. A new kind is a row.

use kube::api::ApiResource;

use super::checks::{self, Checks};
use super::pump::{AnyPump, Pump, Pumped};
use crate::api::{
    ConfigMap, EdgeProfile, EndpointSlice, Gateway, GatewayClass, GrpcRoute, HttpRoute, ListenerSet, Namespace, ReferenceGrant, Secret,
    Service,
};
use crate::api::{Ingress, IngressClass};
use crate::model::Kind;

/// Whether objects live in namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One per name.
    Cluster,
    /// One per namespace and name.
    Namespaced,
}

/// Who serves the kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Every API server.
    BuiltIn,
    /// A CustomResourceDefinition, which may be absent.
    Crd,
}

/// When an object of the kind carries our finalizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finalizer {
    /// While it exists and is ours: something outside must be undone when it goes.
    Owned,
    /// While it is attached to an edge of ours, if the operator is to hold such objects.
    Attached,
    /// While a Gateway uses it, under the name that Gateway API has for that. It stays in effect until it is gone.
    InUse,
    /// Never: it is only read.
    Never,
}

/// How people are told what is wrong with an object of the kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// By conditions of its status, and by an Event when they change.
    Conditions,
    /// By Events alone: it has no conditions of ours.
    Events,
    /// By the objects that refer to it: nothing is found in itself.
    Elsewhere,
}

/// What holds for all objects of one kind.
pub struct Row {
    /// The kind.
    pub kind: Kind,
    /// API group; empty for core.
    pub group: &'static str,
    /// Versions accepted in manifests; their schemas are the same as far as we read them. The first is the preferred one.
    pub versions: &'static [&'static str],
    /// Name in URLs.
    pub plural: &'static str,
    /// Scope.
    pub scope: Scope,
    /// Who serves it.
    pub origin: Origin,
    /// Finalizer class.
    pub finalizer: Finalizer,
    /// Whether we write its status.
    pub status: bool,
    /// How it is told what is wrong with it.
    pub told: Told,
    /// Whether age decides between two objects of the kind.
    pub aged: bool,
    /// Defaults and checks for manifests.
    pub checks: &'static Checks,
    /// A pump of the kind.
    pub pump: fn() -> Box<dyn AnyPump>,
}

/// Somebody who does something for every kind, by its type.
pub trait Visitor {
    /// One kind.
    fn visit<K: Pumped>(&mut self, row: &'static Row);
}

macro_rules! table {
    ($($kind:ident ($type:ty) { $($field:ident: $value:expr),* $(,)? })*) => {
        const KINDS: &[Kind] = &[$(Kind::$kind),*];

        /// Shows every kind's type to a visitor.
        pub fn visit(visitor: &mut impl Visitor) {
            $(visitor.visit::<$type>(row(Kind::$kind));)*
        }

        /// The row of `kind`.
        pub fn row(kind: Kind) -> &'static Row {
            match kind {
                $(Kind::$kind => {
                    static ROW: Row = Row { kind: Kind::$kind, pump: || Box::<Pump<$type>>::default(), $($field: $value),* };
                    &ROW
                })*
            }
        }
    };
}

/// API group of Gateway API.
pub const GATEWAY_API: &str = "gateway.networking.k8s.io";
const NETWORKING: &str = "networking.k8s.io";

table! {
    GatewayClass(GatewayClass) {
        group: GATEWAY_API, versions: &["v1", "v1beta1"], plural: "gatewayclasses", scope: Scope::Cluster,
        origin: Origin::Crd, finalizer: Finalizer::InUse, status: true, told: Told::Conditions, aged: false, checks: &checks::GATEWAY_CLASS,
    }
    Gateway(Gateway) {
        group: GATEWAY_API, versions: &["v1", "v1beta1"], plural: "gateways", scope: Scope::Namespaced,
        origin: Origin::Crd, finalizer: Finalizer::Owned, status: true, told: Told::Conditions, aged: true, checks: &checks::GATEWAY,
    }
    ListenerSet(ListenerSet) {
        group: GATEWAY_API, versions: &["v1"], plural: "listenersets", scope: Scope::Namespaced,
        origin: Origin::Crd, finalizer: Finalizer::Attached, status: true, told: Told::Conditions, aged: true, checks: &checks::LISTENER_SET,
    }
    HttpRoute(HttpRoute) {
        group: GATEWAY_API, versions: &["v1", "v1beta1"], plural: "httproutes", scope: Scope::Namespaced,
        origin: Origin::Crd, finalizer: Finalizer::Attached, status: true, told: Told::Conditions, aged: true, checks: &checks::HTTP_ROUTE,
    }
    GrpcRoute(GrpcRoute) {
        group: GATEWAY_API, versions: &["v1"], plural: "grpcroutes", scope: Scope::Namespaced,
        origin: Origin::Crd, finalizer: Finalizer::Attached, status: true, told: Told::Conditions, aged: true, checks: &checks::GRPC_ROUTE,
    }
    ReferenceGrant(ReferenceGrant) {
        group: GATEWAY_API, versions: &["v1", "v1beta1"], plural: "referencegrants", scope: Scope::Namespaced,
        origin: Origin::Crd, finalizer: Finalizer::Never, status: false, told: Told::Events, aged: false, checks: &checks::REFERENCE_GRANT,
    }
    EdgeProfile(EdgeProfile) {
        group: "kakehi.dev", versions: &["v1alpha1"], plural: "edgeprofiles", scope: Scope::Namespaced,
        origin: Origin::Crd, finalizer: Finalizer::Never, status: false, told: Told::Events, aged: false, checks: &checks::EDGE_PROFILE,
    }
    Namespace(Namespace) {
        group: "", versions: &["v1"], plural: "namespaces", scope: Scope::Cluster,
        origin: Origin::BuiltIn, finalizer: Finalizer::Never, status: false, told: Told::Elsewhere, aged: false, checks: &checks::NAMESPACE,
    }
    Service(Service) {
        group: "", versions: &["v1"], plural: "services", scope: Scope::Namespaced,
        origin: Origin::BuiltIn, finalizer: Finalizer::Never, status: false, told: Told::Events, aged: false, checks: &checks::SERVICE,
    }
    EndpointSlice(EndpointSlice) {
        group: "discovery.k8s.io", versions: &["v1"], plural: "endpointslices", scope: Scope::Namespaced,
        origin: Origin::BuiltIn, finalizer: Finalizer::Never, status: false, told: Told::Events, aged: false, checks: &checks::ENDPOINT_SLICE,
    }
    Secret(Secret) {
        group: "", versions: &["v1"], plural: "secrets", scope: Scope::Namespaced,
        origin: Origin::BuiltIn, finalizer: Finalizer::Never, status: false, told: Told::Elsewhere, aged: false, checks: &checks::SECRET,
    }
    ConfigMap(ConfigMap) {
        group: "", versions: &["v1"], plural: "configmaps", scope: Scope::Namespaced,
        origin: Origin::BuiltIn, finalizer: Finalizer::Never, status: false, told: Told::Events, aged: false, checks: &checks::CONFIG_MAP,
    }
    IngressClass(IngressClass) {
        group: NETWORKING, versions: &["v1"], plural: "ingressclasses", scope: Scope::Cluster,
        origin: Origin::BuiltIn, finalizer: Finalizer::Never, status: false, told: Told::Events, aged: true, checks: &checks::INGRESS_CLASS,
    }
    Ingress(Ingress) {
        group: NETWORKING, versions: &["v1"], plural: "ingresses", scope: Scope::Namespaced,
        origin: Origin::BuiltIn, finalizer: Finalizer::Attached, status: true, told: Told::Events, aged: true, checks: &checks::INGRESS,
    }
}

/// What a manifest's type metadata leads to.
pub enum Lookup {
    /// A kind that Kakehi reads.
    Row(&'static Row),
    /// A kind that Kakehi reads, in a version that it does not.
    Version(&'static Row),
    /// Another kind.
    Unknown,
}

/// All rows, in the order of [`Kind`].
pub fn table() -> impl Iterator<Item = &'static Row> {
    KINDS.iter().map(|kind| row(*kind))
}

/// From `apiVersion` and `kind` to the row.
pub fn lookup(api_version: &str, kind: &str) -> Lookup {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    match table().find(|row| row.group == group && row.kind.name() == kind) {
        Some(row) if row.versions.contains(&version) => Lookup::Row(row),
        Some(row) => Lookup::Version(row),
        None => Lookup::Unknown,
    }
}

impl Row {
    /// `apiVersion` of the preferred version.
    pub fn api_version(&self) -> String {
        self.resource(self.versions.first().copied().unwrap_or_default()).api_version
    }

    /// How the API server calls the kind in a version.
    pub fn resource(&self, version: &str) -> ApiResource {
        ApiResource {
            group: self.group.into(),
            version: version.into(),
            api_version: if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) },
            kind: self.kind.name().into(),
            plural: self.plural.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Lookup, lookup, table};

    #[test]
    fn every_row_is_found_by_kind_and_by_each_of_its_api_versions() {
        for entry in table() {
            for version in entry.versions {
                let api_version = if entry.group.is_empty() { (*version).to_owned() } else { format!("{}/{version}", entry.group) };
                assert!(matches!(lookup(&api_version, entry.kind.name()), Lookup::Row(found) if found.kind == entry.kind));
            }
        }
    }

    #[test]
    fn other_groups_and_versions_are_told_apart() {
        assert!(matches!(lookup("gateway.networking.k8s.io/v1alpha2", "HTTPRoute"), Lookup::Version(_)));
        assert!(matches!(lookup("serving.knative.dev/v1", "Service"), Lookup::Unknown));
        assert!(matches!(lookup("v1", "Pod"), Lookup::Unknown));
    }
}
