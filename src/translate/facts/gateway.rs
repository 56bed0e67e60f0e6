//! GatewayClasses and Gateways.

use std::collections::BTreeMap;

use super::{GATEWAY_GROUP, ObjectRef};
use crate::api::gateways::{
    GatewayAllowedListenersNamespaces, GatewayAllowedListenersNamespacesFrom as SetsFrom, GatewayListeners,
    GatewayListenersAllowedRoutesNamespaces, GatewayListenersAllowedRoutesNamespacesFrom as From, GatewayListenersTls,
    GatewayListenersTlsMode, GatewayTlsFrontend,
};
use crate::api::{Gateway, GatewayClass, ListenerSet};
use crate::model::{EdgeId, ListenerName};
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
    /// Namespaces whose ListenerSets it admits; none by default (`spec.allowedListeners`).
    pub(crate) sets: Option<Namespaces>,
    /// Fields in use that are not honoured.
    pub(crate) unsupported: Vec<&'static str>,
}

/// A ListenerSet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SetFacts {
    /// The Gateway that it is for; none when it names another kind.
    pub(crate) parent: Option<EdgeId>,
    pub(crate) listeners: Vec<ListenerFacts>,
}

/// A listener of a Gateway or ListenerSet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenerFacts {
    /// As declared.
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

/// Namespaces whose routes a listener admits, or whose ListenerSets a Gateway admits.
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
        let unsupported =
            [("spec.defaultScope", spec.default_scope.is_some()), ("spec.tls.backend", tls.is_some_and(|tls| tls.backend.is_some()))];
        Self {
            class: spec.gateway_class_name.clone(),
            listeners: spec.listeners.iter().map(ListenerFacts::read).collect(),
            parameters,
            labels: infrastructure.and_then(|infrastructure| infrastructure.labels.clone()).unwrap_or_default(),
            annotations: infrastructure.and_then(|infrastructure| infrastructure.annotations.clone()).unwrap_or_default(),
            addresses: addresses.collect(),
            client_validation: tls.and_then(|tls| tls.frontend.as_ref()).map(client_validation).unwrap_or_default(),
            sets: spec.allowed_listeners.as_ref().and_then(|allowed| allowed.namespaces.as_ref()).and_then(Namespaces::of_sets),
            unsupported: unsupported.into_iter().filter(|(_, used)| *used).map(|(field, _)| field).collect(),
        }
    }

    /// Whether clients of a port must show certificates.
    pub(crate) fn validates_clients(&self, port: i32) -> bool {
        let (default, ports) = &self.client_validation;
        ports.iter().find(|(of, _)| *of == port).map_or(*default, |(_, validates)| *validates)
    }
}

impl SetFacts {
    pub(super) fn read(namespace: &str, set: &ListenerSet) -> Self {
        let parent = &set.spec.parent_ref;
        let is_gateway = parent.group.as_deref().is_none_or(|group| group == GATEWAY_GROUP)
            && parent.kind.as_deref().is_none_or(|kind| kind == "Gateway");
        let edge = || EdgeId::of_gateway(parent.namespace.as_deref().unwrap_or(namespace), &parent.name);
        Self { parent: is_gateway.then(edge), listeners: set.spec.listeners.iter().map(ListenerFacts::read).collect() }
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

/// A label selector. Each place has its own generated types of one shape.
macro_rules! selector {
    ($selector:expr) => {
        $selector.as_ref().map_or_else(Selector::nothing, |selector| {
            let labels = selector.match_labels.iter().flatten().map(|(key, value)| Requirement::equals(key, value));
            let expressions = selector.match_expressions.iter().flatten().map(|expression| {
                Requirement::new(&expression.key, &expression.operator, expression.values.as_deref().unwrap_or_default())
            });
            Selector::new(labels.chain(expressions))
        })
    };
}

impl Namespaces {
    fn of_sets(namespaces: &GatewayAllowedListenersNamespaces) -> Option<Self> {
        match namespaces.from {
            None | Some(SetsFrom::None) => None,
            Some(SetsFrom::Same) => Some(Self::Same),
            Some(SetsFrom::All) => Some(Self::All),
            Some(SetsFrom::Selector) => Some(Self::Selector(selector!(namespaces.selector))),
        }
    }

    fn read(namespaces: &GatewayListenersAllowedRoutesNamespaces) -> Self {
        match namespaces.from {
            None | Some(From::Same) => Self::Same,
            Some(From::All) => Self::All,
            Some(From::Selector) => Self::Selector(selector!(namespaces.selector)),
        }
    }
}
