//! Identities: structs with one `Display`, never strings joined by hand.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Every kind of object that Kakehi reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// `gateway.networking.k8s.io` GatewayClass.
    GatewayClass,
    /// `gateway.networking.k8s.io` Gateway.
    Gateway,
    /// `gateway.networking.k8s.io` ListenerSet.
    ListenerSet,
    /// `gateway.networking.k8s.io` HTTPRoute.
    #[serde(rename = "HTTPRoute")]
    HttpRoute,
    /// `gateway.networking.k8s.io` GRPCRoute.
    #[serde(rename = "GRPCRoute")]
    GrpcRoute,
    /// `gateway.networking.k8s.io` ReferenceGrant.
    ReferenceGrant,
    /// `kakehi.dev` EdgeProfile.
    EdgeProfile,
    /// Core Namespace.
    Namespace,
    /// Core Service.
    Service,
    /// `discovery.k8s.io` EndpointSlice.
    EndpointSlice,
    /// Core Secret.
    Secret,
    /// Core ConfigMap.
    ConfigMap,
    /// `networking.k8s.io` IngressClass.
    IngressClass,
    /// `networking.k8s.io` Ingress.
    Ingress,
}

impl Kind {
    /// The kind's name as manifests write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::GatewayClass => "GatewayClass",
            Self::Gateway => "Gateway",
            Self::ListenerSet => "ListenerSet",
            Self::HttpRoute => "HTTPRoute",
            Self::GrpcRoute => "GRPCRoute",
            Self::ReferenceGrant => "ReferenceGrant",
            Self::EdgeProfile => "EdgeProfile",
            Self::Namespace => "Namespace",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
            Self::IngressClass => "IngressClass",
            Self::Ingress => "Ingress",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One object: kind, namespace (empty for cluster-scoped kinds) and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectId {
    /// The kind.
    pub kind: Kind,
    /// The namespace, empty for cluster-scoped kinds.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ObjectId {
    /// An identity from its parts.
    pub fn new(kind: Kind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{}/{}", self.kind, self.name)
        } else {
            write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
        }
    }
}

/// An edge: the data plane of one Gateway, or of one IngressClass.
///
/// Written `namespace/name` for a Gateway and `IngressClass/name` for a class: no namespace has upper-case letters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EdgeId {
    /// Namespace of the Gateway; empty for an IngressClass, which has none.
    pub namespace: String,
    /// Name of the Gateway or IngressClass.
    pub name: String,
}

/// The text names no edge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither NAMESPACE/NAME of a Gateway nor IngressClass/NAME")]
pub struct EdgeIdError(pub String);

impl EdgeId {
    /// The edge of a Gateway.
    pub fn of_gateway(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The edge of an IngressClass.
    pub fn of_class(name: impl Into<String>) -> Self {
        Self { namespace: String::new(), name: name.into() }
    }

    /// The kind of the object that it belongs to: Gateway or IngressClass.
    pub fn kind(&self) -> Kind {
        if self.namespace.is_empty() { Kind::IngressClass } else { Kind::Gateway }
    }

    /// The object that it belongs to.
    pub fn owner(&self) -> ObjectId {
        ObjectId::new(self.kind(), &self.namespace, &self.name)
    }
}

impl fmt::Display for EdgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            Kind::IngressClass => write!(f, "{}/{}", Kind::IngressClass, self.name),
            _ => write!(f, "{}/{}", self.namespace, self.name),
        }
    }
}

impl FromStr for EdgeId {
    type Err = EdgeIdError;

    fn from_str(text: &str) -> Result<Self, EdgeIdError> {
        match text.split_once('/') {
            Some((owner, name)) if owner == Kind::IngressClass.name() && !name.is_empty() => Ok(Self::of_class(name)),
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => Ok(Self::of_gateway(namespace, name)),
            _ => Err(EdgeIdError(text.to_owned())),
        }
    }
}

/// A listener's name, unique within its edge: as the Gateway declares it, or `namespace/name/listener` when it is of a
/// ListenerSet. No declared name has a slash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ListenerName(pub String);

impl ListenerName {
    /// The name of a listener of a ListenerSet.
    pub fn of_set(set: &ObjectId, declared: &str) -> Self {
        Self(format!("{}/{}/{declared}", set.namespace, set.name))
    }

    /// The ListenerSet that declares it; none when the Gateway itself does.
    pub fn set(&self) -> Option<ObjectId> {
        let (set, _) = self.0.rsplit_once('/')?;
        let (namespace, name) = set.split_once('/')?;
        Some(ObjectId::new(Kind::ListenerSet, namespace, name))
    }

    /// The name as the Gateway or ListenerSet declares it.
    pub fn declared(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, declared)| declared)
    }
}

impl fmt::Display for ListenerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A backend: one port of one Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BackendId {
    /// Namespace of the Service.
    pub namespace: String,
    /// Name of the Service.
    pub service: String,
    /// The Service's port number (not the target port).
    pub port: u16,
}

impl fmt::Display for BackendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.namespace, self.service, self.port)
    }
}

/// The text names no Service port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not NAMESPACE/NAME:PORT of a Service")]
pub struct BackendIdError(pub String);

impl FromStr for BackendId {
    type Err = BackendIdError;

    fn from_str(text: &str) -> Result<Self, BackendIdError> {
        let parts = || {
            let (service, port) = text.rsplit_once(':')?;
            let (namespace, name) = service.split_once('/')?;
            let port = port.parse().ok().filter(|port| *port > 0)?;
            let named = !namespace.is_empty() && !name.is_empty() && !name.contains(['/', ':']);
            named.then(|| Self { namespace: namespace.to_owned(), service: name.to_owned(), port })
        };
        parts().ok_or_else(|| BackendIdError(text.to_owned()))
    }
}

/// A certificate: the Secret it comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CertificateId {
    /// Namespace of the Secret.
    pub namespace: String,
    /// Name of the Secret.
    pub name: String,
}

impl fmt::Display for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::{BackendId, EdgeId, Kind};

    #[test]
    fn a_backend_is_read_as_it_is_written() {
        let backend = BackendId { namespace: "shop".into(), service: "web".into(), port: 80 };
        assert_eq!(backend.to_string().parse(), Ok(backend));
        for bad in
            ["", "web:80", "/web:80", "shop/:80", "shop/web", "shop/web:", "shop/web:0", "shop/web:70000", "shop/web:http", "a/b/c:1"]
        {
            assert!(bad.parse::<BackendId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_edge_says_whose_it_is() {
        let (gateway, class) = (EdgeId::of_gateway("a", "web"), EdgeId::of_class("web"));
        assert_eq!((gateway.kind(), class.kind()), (Kind::Gateway, Kind::IngressClass));
        for (edge, text) in [(gateway, "a/web"), (class, "IngressClass/web")] {
            assert_eq!(edge.to_string(), text);
            assert_eq!(text.parse(), Ok(edge));
        }
        for bad in ["", "/", "a/", "/a", "a"] {
            assert!(bad.parse::<EdgeId>().is_err(), "{bad}");
        }
    }
}
