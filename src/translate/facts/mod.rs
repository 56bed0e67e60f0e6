//! Facts: what one object says, parsed once and free of Kubernetes types.

mod cluster;
mod gateway;
mod grant;
mod ingress;
mod refused;
mod service;

use std::sync::Arc;

use kube::api::ObjectMeta;

pub(super) use cluster::{NamespaceFacts, SecretFacts};
pub(super) use gateway::{ClassFacts, GatewayFacts, ListenerFacts, Namespaces, SetFacts, TlsFacts};
pub(super) use grant::GrantFacts;
pub(super) use ingress::{BackendPort, HostFacts, IngressClassFacts, IngressFacts, TlsEntry};
pub(super) use refused::{reached, refused_range};
pub(super) use service::{Family, Readiness, ServiceFacts, ServicePort, SliceFacts};

use super::Settings;
use super::ownership::Claims;
use super::reader::Read;
use super::routes::{RouteFacts, grpc, http};
use crate::api::{ConfigMap, EdgeProfileSpec, Obj, Object};
use crate::model::{Age, Kind, ObjectId};
use crate::report::{Finding, Issue, Scope};

/// API group of Gateway API.
pub(super) const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";

/// One object, parsed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fact {
    /// Generation and age.
    pub(super) meta: Meta,
    /// Uid, empty where objects have none.
    pub(super) uid: String,
    /// What it says.
    pub(super) body: Body,
    /// What is wrong with it as text: malformed, unknown fields.
    pub(super) findings: Vec<Finding>,
}

/// The metadata that decisions depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) generation: i64,
    pub(super) age: Age,
}

impl Meta {
    /// Where an object's manifest is, which its source writes into `selfLink`, counts only without a time of creation. API
    /// servers have written none since Kubernetes 1.20, and take none from users.
    fn of(metadata: &ObjectMeta) -> Self {
        let created = metadata.creation_timestamp.as_ref().map(|time| Age::Created(time.0.as_second()));
        let by_file = || metadata.self_link.as_deref().map(|file| Age::File(file.into()));
        let age = created.or_else(by_file).unwrap_or(Age::Created(0));
        Self { generation: metadata.generation.unwrap_or_default(), age }
    }
}

/// What an object says, by kind.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    Class(Arc<ClassFacts>),
    Gateway(Arc<GatewayFacts>),
    Set(Arc<SetFacts>),
    Route(Arc<RouteFacts>),
    Grant(Arc<GrantFacts>),
    Profile(Arc<EdgeProfileSpec>),
    Namespace(Arc<NamespaceFacts>),
    Service(Arc<ServiceFacts>),
    Slice(Arc<SliceFacts>),
    Secret(Arc<SecretFacts>),
    IngressClass(Arc<IngressClassFacts>),
    Ingress(Arc<IngressFacts>),
    /// Claims of hosts, with the namespace that has them.
    Claims(Arc<(String, Claims)>),
    /// An object that nothing refers to.
    Unused,
    /// The object could not be read.
    Malformed,
}

/// A reference to an object as a field declares it, defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ObjectRef {
    pub(super) group: String,
    pub(super) kind: String,
    /// The referrer's own when absent.
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

impl ObjectRef {
    /// Whether this is a reference to `kind` of the core group.
    pub(super) fn is_core(&self, kind: &str) -> bool {
        self.group.is_empty() && self.kind == kind
    }
}

/// Parses one object.
pub(super) fn read(object: &Object, settings: &Settings) -> Fact {
    let body = match object {
        Object::GatewayClass(class) => body(class, |class| Body::Class(Arc::new(ClassFacts::read(class)))),
        Object::Gateway(gateway) => body(gateway, |gateway| Body::Gateway(Arc::new(GatewayFacts::read(gateway)))),
        Object::ListenerSet(set) => {
            let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
            body(set, |body| Body::Set(Arc::new(SetFacts::read(namespace, body))))
        }
        Object::HttpRoute(route) => body(route, |body| Body::Route(Arc::new(http::read(&object.id(), body)))),
        Object::GrpcRoute(route) => body(route, |body| Body::Route(Arc::new(grpc::read(&object.id(), body)))),
        Object::ReferenceGrant(grant) => body(grant, |grant| Body::Grant(Arc::new(GrantFacts::read(grant)))),
        Object::EdgeProfile(profile) => body(profile, |profile| Body::Profile(Arc::new(profile.spec.clone()))),
        Object::Namespace(namespace) => body(namespace, |_| Body::Namespace(Arc::new(NamespaceFacts::read(&namespace.metadata)))),
        Object::Service(service) => body(service, |service| Body::Service(Arc::new(ServiceFacts::read(service)))),
        Object::EndpointSlice(slice) => {
            body(slice, |body| Body::Slice(Arc::new(SliceFacts::read(&slice.metadata, body, settings.loopback_endpoints))))
        }
        Object::Secret(secret) => body(secret, |secret| Body::Secret(Arc::new(SecretFacts::read(secret)))),
        Object::ConfigMap(map) => body(map, |body| claims(&object.id(), body, settings)),
        Object::IngressClass(class) => body(class, |body| Body::IngressClass(Arc::new(IngressClassFacts::read(&class.metadata, body)))),
        Object::Ingress(ingress) => body(ingress, |body| Body::Ingress(Arc::new(IngressFacts::read(&ingress.metadata, body)))),
    };
    Fact {
        meta: Meta::of(object.metadata()),
        uid: object.metadata().uid.clone().unwrap_or_default(),
        body,
        findings: text_findings(object),
    }
}

/// A ConfigMap of the place for claims as such; what others write elsewhere is none.
fn claims(id: &ObjectId, map: &ConfigMap, settings: &Settings) -> Body {
    let place = settings.ingress.claims.as_ref();
    let claimant = place.and_then(|place| place.claimant(&id.namespace, &id.name));
    claimant.map_or(Body::Unused, |claimant| Body::Claims(Arc::new((claimant.to_owned(), Claims::read(map)))))
}

fn body<T>(object: &Obj<T>, read: impl FnOnce(&T) -> Body) -> Body {
    object.ok().map_or(Body::Malformed, read)
}

/// Malformed bodies of every kind; unknown fields of the kinds whose every field we know.
fn text_findings(object: &Object) -> Vec<Finding> {
    let finding = |issue| Finding { object: object.id(), scope: Scope::Object, issue };
    if let Some(malformed) = object.malformed() {
        return vec![finding(Issue::Malformed { path: malformed.path.clone(), message: malformed.message.clone() })];
    }
    match object.kind() {
        Kind::GatewayClass
        | Kind::Gateway
        | Kind::ListenerSet
        | Kind::HttpRoute
        | Kind::GrpcRoute
        | Kind::ReferenceGrant
        | Kind::EdgeProfile
        | Kind::IngressClass
        | Kind::Ingress => object.unknown().iter().map(|path| finding(Issue::UnknownField { path: path.clone() })).collect(),
        Kind::Namespace | Kind::Service | Kind::EndpointSlice | Kind::Secret | Kind::ConfigMap => Vec::new(),
    }
}

/// The range that an object belongs to: the EndpointSlices of its Service, the ListenerSets of its Gateway.
pub(super) fn range_of(id: &ObjectId, fact: &Fact) -> Option<Read> {
    match &fact.body {
        Body::Slice(slice) => slice.service.clone().map(|service| Read::Slices(id.namespace.clone(), service)),
        Body::Set(set) => set.parent.clone().map(Read::Sets),
        _ => None,
    }
}
