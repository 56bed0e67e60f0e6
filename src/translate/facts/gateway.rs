//! GatewayClasses and Gateways.

use std::collections::BTreeMap;

use super::{GATEWAY_GROUP, ObjectRef};
use crate::api::gateways::{
    GatewayListeners, GatewayListenersAllowedRoutesNamespaces, GatewayListenersAllowedRoutesNamespacesFrom as From, GatewayListenersTls,
    GatewayListenersTlsMode, GatewayTlsFrontend,
};
use crate::api::{Gateway, GatewayClass};
use crate::model::ListenerName;
use crate::report::RouteKind;
use crate::translate::selector::{Requirement, Selector};

/// A GatewayClass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClassFacts {
    pub(crate) controller_name: String,
    pub(crate) parameters: Option<ObjectRef>,
}

impl ClassFacts {
    pub(super) fn read(class: &GatewayClass) -> Self {
        let parameters = class.spec.parameters_ref.as_ref().map(|parameters| ObjectRef {
            group: parameters.group.clone(),
            kind: parameters.kind.clone(),
            namespace: parameters.namespace.clone(),
            name: parameters.name.clone(),
        });
        Self { controller_name: class.spec.controller_name.clone(), parameters }
    }
}

/// A Gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GatewayFacts {
    pub(crate) class: String,
    pub(crate) listeners: Vec<ListenerFacts>,
    pub(crate) parameters: Option<ObjectRef>,
    /// `infrastructure.labels`.
    pub(crate) labels: BTreeMap<String, String>,
    /// `infrastructure.annotations`.
    pub(crate) annotations: BTreeMap<String, String>,
    /// (type, value) of requested addresses.
    pub(crate) addresses: Vec<(String, Option<String>)>,
    /// Whether clients must show certificates: by default, and where a port says otherwise.
    pub(crate) client_validation: (bool, Vec<(i32, bool)>),
    /// Fields in use that are not honoured.
    pub(crate) unsupported: Vec<&'static str>,
}

/// A listener of a Gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenerFacts {
    pub(crate) name: ListenerName,
    pub(crate) port: i32,
    pub(crate) protocol: String,
    pub(crate) hostname: Option<String>,
    pub(crate) tls: Option<TlsFacts>,
    /// `allowedRoutes.kinds`.
    pub(crate) kinds: Vec<RouteKind>,
    pub(crate) namespaces: Namespaces,
}

/// TLS settings of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFacts {
    pub(crate) passthrough: bool,
    pub(crate) certificates: Vec<ObjectRef>,
    pub(crate) options: bool,
}

/// Namespaces whose routes a listener admits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Namespaces {
    Same,
    All,
    Selector(Selector),
}

impl GatewayFacts {
    pub(super) fn read(gateway: &Gateway) -> Self {
        let spec = &gateway.spec;
        let infrastructure = spec.infrastructure.as_ref();
        let parameters = infrastructure.and_then(|infrastructure| infrastructure.parameters_ref.as_ref()).map(|parameters| ObjectRef {
            group: parameters.group.clone(),
            kind: parameters.kind.clone(),
            namespace: None,
            name: parameters.name.clone(),
        });
        let address_type = |kind: &Option<String>| kind.clone().unwrap_or_else(|| "IPAddress".to_owned());
        let addresses = spec.addresses.iter().flatten().map(|address| (address_type(&address.r#type), address.value.clone()));
        let tls = spec.tls.as_ref();
        let unsupported = [
            ("spec.allowedListeners", spec.allowed_listeners.is_some()),
            ("spec.defaultScope", spec.default_scope.is_some()),
            ("spec.tls.backend", tls.is_some_and(|tls| tls.backend.is_some())),
        ];
        Self {
            class: spec.gateway_class_name.clone(),
            listeners: spec.listeners.iter().map(ListenerFacts::read).collect(),
            parameters,
            labels: infrastructure.and_then(|infrastructure| infrastructure.labels.clone()).unwrap_or_default(),
            annotations: infrastructure.and_then(|infrastructure| infrastructure.annotations.clone()).unwrap_or_default(),
            addresses: addresses.collect(),
            client_validation: tls.and_then(|tls| tls.frontend.as_ref()).map(client_validation).unwrap_or_default(),
            unsupported: unsupported.into_iter().filter(|(_, used)| *used).map(|(field, _)| field).collect(),
        }
    }

    /// Whether clients of a port must show certificates.
    pub(crate) fn validates_clients(&self, port: i32) -> bool {
        let (default, ports) = &self.client_validation;
        ports.iter().find(|(of, _)| *of == port).map_or(*default, |(_, validates)| *validates)
    }
}

fn client_validation(frontend: &GatewayTlsFrontend) -> (bool, Vec<(i32, bool)>) {
    let ports = frontend.per_port.iter().flatten().map(|port| (port.port, port.tls.validation.is_some()));
    (frontend.default.validation.is_some(), ports.collect())
}

impl ListenerFacts {
    fn read(listener: &GatewayListeners) -> Self {
        let allowed = listener.allowed_routes.as_ref();
        let kinds = allowed
            .and_then(|allowed| allowed.kinds.as_ref())
            .into_iter()
            .flatten()
            .map(|kind| RouteKind { group: kind.group.clone().unwrap_or_else(|| GATEWAY_GROUP.to_owned()), kind: kind.kind.clone() });
        Self {
            name: ListenerName(listener.name.clone()),
            port: listener.port,
            protocol: listener.protocol.clone(),
            hostname: listener.hostname.clone(),
            tls: listener.tls.as_ref().map(TlsFacts::read),
            kinds: kinds.collect(),
            namespaces: allowed.and_then(|allowed| allowed.namespaces.as_ref()).map_or(Namespaces::Same, Namespaces::read),
        }
    }
}

impl TlsFacts {
    fn read(tls: &GatewayListenersTls) -> Self {
        let certificates = tls.certificate_refs.iter().flatten().map(|reference| ObjectRef {
            group: reference.group.clone().unwrap_or_default(),
            kind: reference.kind.clone().unwrap_or_else(|| "Secret".to_owned()),
            namespace: reference.namespace.clone(),
            name: reference.name.clone(),
        });
        Self {
            passthrough: matches!(tls.mode, Some(GatewayListenersTlsMode::Passthrough)),
            certificates: certificates.collect(),
            options: tls.options.as_ref().is_some_and(|options| !options.is_empty()),
        }
    }
}

impl Namespaces {
    fn read(namespaces: &GatewayListenersAllowedRoutesNamespaces) -> Self {
        match namespaces.from {
            None | Some(From::Same) => Self::Same,
            Some(From::All) => Self::All,
            Some(From::Selector) => {
                let Some(selector) = &namespaces.selector else { return Self::Selector(Selector::nothing()) };
                let labels = selector.match_labels.iter().flatten().map(|(key, value)| Requirement::equals(key, value));
                let expressions = selector.match_expressions.iter().flatten();
                let expressions = expressions.map(|expression| {
                    Requirement::new(&expression.key, &expression.operator, expression.values.as_deref().unwrap_or_default())
                });
                Self::Selector(Selector::new(labels.chain(expressions)))
            }
        }
    }
}
