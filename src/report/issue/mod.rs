//! The one list of problems that users can cause, and what each means for conditions.

mod effect;
mod limit;
mod lost;
mod problem;

use std::net::IpAddr;

use serde::Serialize;

pub use limit::Limit;
pub use lost::Lost;
pub use problem::{CertificateProblem, ProfileProblem};

use crate::model::{BackendId, CertificateId, EdgeId, Hostname, ListenerName, PathMatch, PatternError};

/// One problem, as a value. [`Issue::effect`] says which condition shows it, `Display` says it to people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, thiserror::Error)]
pub enum Issue {
    /// The object's body does not fit its type; nothing of it is used.
    #[error("cannot be read: {path}: {message}")]
    Malformed {
        /// Path of the field.
        path: String,
        /// What is wrong with it.
        message: String,
    },
    /// A field that the kind does not have.
    #[error("unknown field {path}")]
    UnknownField {
        /// Path of the field.
        path: String,
    },
    /// A field that Kakehi does not honour yet; the rest of the object is.
    #[error("{field} is not supported and has no effect")]
    UnsupportedField {
        /// Path of the field.
        field: String,
    },
    /// A label or annotation of what is made for an edge that Kakehi sets itself.
    #[error("{field}[{key}] is set by Kakehi itself, so this value has no effect")]
    OwnLabel {
        /// Path of the field.
        field: &'static str,
        /// The key.
        key: String,
    },
    /// A value outside what the field allows.
    #[error("{field}: {value:?} is not allowed")]
    InvalidValue {
        /// Path of the field.
        field: String,
        /// The value.
        value: String,
    },
    /// `parametersRef` names something that is no parameter of ours.
    #[error("parametersRef {group}/{kind} {name} is not supported")]
    InvalidParameters {
        /// API group.
        group: String,
        /// Kind.
        kind: String,
        /// Name.
        name: String,
    },
    /// A field of a Gateway's own EdgeProfile that this installation takes from the profile of a class alone.
    #[error("{field} has no effect in the profile of a Gateway: here it counts from the profile of its GatewayClass alone")]
    ParameterOfClass {
        /// Path of the field.
        field: String,
    },
    /// `parametersRef` names an EdgeProfile that cannot be used.
    #[error("EdgeProfile {}{name} {problem}", within(namespace))]
    ProfileNotUsable {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// Why.
        problem: ProfileProblem,
    },
    /// The GatewayClass itself is not accepted.
    #[error("GatewayClass {class} is not accepted")]
    ClassNotAccepted {
        /// Name of the class.
        class: String,
    },
    /// An address type other than IPAddress.
    #[error("addresses of type {kind} are not supported")]
    UnsupportedAddress {
        /// The type.
        kind: String,
    },
    /// An address that is no IP address.
    #[error("{value:?} is no IP address")]
    InvalidAddress {
        /// The value.
        value: String,
    },
    /// An older Gateway or IngressClass already listens there.
    #[error("{address}:{port} belongs to edge {holder}")]
    AddressTaken {
        /// Address.
        address: IpAddr,
        /// Port.
        port: u16,
        /// The edge that has it.
        holder: EdgeId,
    },
    /// On the edge of a class the host belongs to another namespace: it was accepted first, or the class's EdgeProfile says so.
    #[error("host {hostname} belongs to namespace {owner}, so this is not served")]
    HostTaken {
        /// The host.
        hostname: Hostname,
        /// The namespace.
        owner: String,
    },
    /// A path that an older Ingress, or an earlier rule, has on the same host.
    #[error("{path} of host {hostname} is answered by Ingress {owner}, so this is never reached")]
    PathTaken {
        /// The host.
        hostname: Hostname,
        /// The path.
        path: PathMatch,
        /// Name of the Ingress that answers.
        owner: String,
    },
    /// An older Ingress has a default backend.
    #[error("Ingress {owner} has a default backend and is older, so this one is never reached")]
    DefaultBackendTaken {
        /// Name of the older Ingress.
        owner: String,
    },
    /// Another Secret is shown for the host: that of an older Ingress, or of an earlier entry.
    #[error("for host {hostname} another certificate is shown: Secret {shown} of Ingress {owner}")]
    CertificateTaken {
        /// The host.
        hostname: Hostname,
        /// Name of the Ingress whose Secret is shown.
        owner: String,
        /// Name of that Secret.
        shown: String,
    },
    /// A TLS host that no rule of the Ingress is for; no certificate is shown for it.
    #[error("host {hostname} is in no rule, so no certificate is shown for it")]
    HostWithoutRule {
        /// The host.
        hostname: Hostname,
    },
    /// Several IngressClasses say that they are the default.
    #[error("IngressClass {} is marked as default too; the newest counts", others.join(", "))]
    SeveralDefaultClasses {
        /// The other ones.
        others: Vec<String>,
    },
    /// The Gateway does not admit the ListenerSet (`Gateway.spec.allowedListeners`).
    #[error("Gateway {gateway} does not admit ListenerSets of this namespace")]
    SetNotAllowed {
        /// The Gateway.
        gateway: EdgeId,
    },
    /// Two listeners of one name; only the first counts.
    #[error("listener {name} is declared twice")]
    DuplicateListener {
        /// The name.
        name: ListenerName,
    },
    /// A listener protocol that is not served.
    #[error("protocol {protocol} is not supported")]
    UnsupportedProtocol {
        /// The protocol.
        protocol: String,
    },
    /// Listeners of one port speak different protocols.
    #[error("port {port} is also used with another protocol by {}", names(others))]
    ProtocolConflict {
        /// The port.
        port: i32,
        /// The other listeners.
        others: Vec<ListenerName>,
    },
    /// Listeners of one port have the same hostname.
    #[error("port {port} and the same hostname are also used by {}", names(others))]
    HostnameConflict {
        /// The port.
        port: i32,
        /// The other listeners.
        others: Vec<ListenerName>,
    },
    /// A port outside 1 to 65535.
    #[error("port {port} cannot be used")]
    PortUnavailable {
        /// The port.
        port: i32,
    },
    /// A port that the edge needs for itself.
    #[error("port {port} is the edge's own, for {purpose}")]
    PortReserved {
        /// The port.
        port: u16,
        /// For what.
        purpose: &'static str,
    },
    /// A hostname that is no DNS name.
    #[error("{hostname:?} is no hostname")]
    InvalidHostname {
        /// The text.
        hostname: String,
    },
    /// A label selector that cannot be evaluated; it selects nothing.
    #[error("{}", selector_problem(operator))]
    InvalidSelector {
        /// The operator; empty when there is no selector at all where one is required.
        operator: String,
    },
    /// A route kind that the listener's protocol cannot carry.
    #[error("route kind {group}/{kind} is not supported here")]
    InvalidRouteKind {
        /// API group.
        group: String,
        /// Kind.
        kind: String,
    },
    /// A TLS mode that the protocol does not have.
    #[error("TLS mode {mode} is not supported for HTTPS listeners")]
    UnsupportedTlsMode {
        /// The mode.
        mode: String,
    },
    /// Client certificates are demanded, which cannot be enforced yet: the listener does not serve.
    #[error("client certificate validation is not supported, so this listener does not serve")]
    UnsupportedClientValidation,
    /// An HTTPS listener names no certificate.
    #[error("no certificateRefs")]
    NoCertificateRef,
    /// None of the listener's certificates can be used.
    #[error("no usable certificate, so this listener does not serve")]
    NoCertificate,
    /// A certificate reference that does not lead to a usable certificate.
    #[error("certificate {certificate}: {problem}")]
    InvalidCertificateRef {
        /// The Secret.
        certificate: CertificateId,
        /// Why.
        problem: CertificateProblem,
    },
    /// An edge's proxy does not take a certificate that was found usable.
    #[error("certificate {certificate}: edge {edge} refused it: {reason}")]
    CertificateRefused {
        /// The Secret.
        certificate: CertificateId,
        /// The edge.
        edge: EdgeId,
        /// In the proxy's words.
        reason: String,
    },
    /// An edge does not serve the object or this part of it, as with a port that it cannot bind.
    #[error("{reason}")]
    Refused {
        /// The edge.
        edge: EdgeId,
        /// Why, and what to do, in the edge's words.
        reason: String,
    },
    /// A certificate in another namespace without a ReferenceGrant.
    #[error("certificate {certificate}: no ReferenceGrant in its namespace allows it")]
    CertificateNotPermitted {
        /// The Secret.
        certificate: CertificateId,
    },
    /// The certificate is past its end; it is served all the same.
    #[error("certificate {certificate} has expired")]
    CertificateExpired {
        /// The Secret.
        certificate: CertificateId,
    },
    /// The certificate is not valid yet; it is served all the same.
    #[error("certificate {certificate} is not valid yet")]
    CertificateNotYetValid {
        /// The Secret.
        certificate: CertificateId,
    },
    /// None of the certificate's names fits the listener's hostname; it is served all the same.
    #[error("certificate {certificate} does not name {hostname}")]
    CertificateNameMismatch {
        /// The Secret.
        certificate: CertificateId,
        /// The listener's hostname.
        hostname: Hostname,
    },
    /// No listener of the Gateway has the section name and port of the reference.
    #[error("no listener of this name and port")]
    NoMatchingParent,
    /// Listeners fit the reference, but admit neither the kind nor the namespace of the route.
    #[error("no listener admits routes of this kind and namespace")]
    NotAllowedByListeners,
    /// Listeners admit the route, but share no hostname with it.
    #[error("no listener has a hostname in common with this route")]
    NoMatchingListenerHostname,
    /// The route is attached to a listener that does not serve.
    #[error("listener {listener} does not serve")]
    ListenerNotServing {
        /// The listener.
        listener: ListenerName,
    },
    /// A filter that Kakehi does not have.
    #[error("filter {filter} is not supported")]
    UnsupportedFilter {
        /// Type of the filter.
        filter: String,
    },
    /// Filters, or a filter and matches or backends, that exclude each other.
    #[error("{first} cannot be combined with {second}")]
    IncompatibleFilters {
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// A filter without its settings.
    #[error("filter {filter} has no settings")]
    EmptyFilter {
        /// Type of the filter.
        filter: String,
    },
    /// A header name that is no token.
    #[error("{name:?} is no header name")]
    InvalidHeaderName {
        /// The name.
        name: String,
    },
    /// A header that routes may not touch: Host, connection handling, Kakehi's own.
    #[error("header {name} may not be used here")]
    ForbiddenHeader {
        /// The name.
        name: String,
    },
    /// A header value that is not valid on the wire.
    #[error("the value of header {name} is not valid on the wire")]
    InvalidHeaderValue {
        /// Name of the header.
        name: String,
    },
    /// A header or parameter named twice; the first entry counts (`HTTPHeaderMatch.name`).
    #[error("{name} is named twice, the first entry counts")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A regular expression that cannot be used.
    #[error("regular expression {pattern:?}: {problem}")]
    InvalidPattern {
        /// The expression, at most 80 characters of it.
        pattern: String,
        /// Why.
        problem: PatternError,
    },
    /// A path that Gateway API does not allow.
    #[error("{path:?} is no path that can be used here")]
    InvalidPath {
        /// The path, at most 80 characters of it.
        path: String,
    },
    /// A Service, or its port, that does not exist.
    #[error("Service {namespace}/{name}{} does not exist", port_suffix(*port))]
    BackendNotFound {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// Port that the Service does not have; none when the Service itself is missing.
        port: Option<u16>,
    },
    /// A Service port that does not exist by this name.
    #[error("Service {namespace}/{name} has no TCP port of name {port}")]
    BackendPortNotFound {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// Name of the port.
        port: String,
    },
    /// A backend reference without a port.
    #[error("Service {namespace}/{name}: a port is required")]
    BackendPortMissing {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// A backend in another namespace without a ReferenceGrant.
    #[error("Service {namespace}/{name}: no ReferenceGrant in its namespace allows it")]
    BackendNotPermitted {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// A backend of a kind that is not supported.
    #[error("backends of kind {group}/{kind} are not supported")]
    InvalidBackendKind {
        /// API group.
        group: String,
        /// Kind.
        kind: String,
    },
    /// A Service port that speaks what Kakehi cannot.
    #[error("{backend}: protocol {protocol} is not supported")]
    UnsupportedBackendProtocol {
        /// The Service port.
        backend: BackendId,
        /// Its protocol or appProtocol.
        protocol: String,
    },
    /// An `appProtocol` that is not known.
    #[error("port {port}: appProtocol {protocol} is not known, so HTTP/1.1 is spoken")]
    UnknownAppProtocol {
        /// Port of the Service.
        port: u16,
        /// The value.
        protocol: String,
    },
    /// A Service of type ExternalName, where the settings do not allow it.
    #[error("Service {namespace}/{name} is of type ExternalName, which is not allowed here")]
    ExternalName {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// An ExternalName that leads to a Service or pod of the cluster, past every ReferenceGrant.
    #[error("Service {namespace}/{name}: externalName {external:?} is a name within the cluster, which a backend reference is for")]
    ClusterName {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// `spec.externalName`.
        external: String,
    },
    /// The name of an ExternalName Service does not resolve.
    #[error("externalName {external} does not resolve: {problem}{}", if *kept { "; its last addresses are used" } else { "" })]
    NameNotResolved {
        /// `spec.externalName`.
        external: String,
        /// Why.
        problem: String,
        /// Whether addresses of before are used.
        kept: bool,
    },
    /// A Service port without an endpoint that may receive requests: 503.
    #[error("{backend} has no ready endpoint")]
    NoEndpoints {
        /// The Service port.
        backend: BackendId,
    },
    /// An endpoint address in a range that is never a backend.
    #[error("endpoint {address} is not used: {range} addresses are refused")]
    EndpointRefused {
        /// The address.
        address: IpAddr,
        /// Name of the range.
        range: &'static str,
    },
    /// A port of an EndpointSlice without a number.
    #[error("port {name:?} has no number, so it is not used")]
    EndpointPortMissing {
        /// Name of the port.
        name: String,
    },
    /// An EndpointSlice of address type FQDN.
    #[error("EndpointSlices of address type {address_type} are not supported")]
    UnsupportedAddressType {
        /// The address type.
        address_type: String,
    },
    /// An endpoint address that is no IP address.
    #[error("endpoint {address:?} is no IP address")]
    InvalidEndpoint {
        /// The text.
        address: String,
    },
    /// No edge serves the object, or part of it, because of what it names.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// More of something than a limit allows.
    #[error(transparent)]
    Limit(#[from] Limit),
}

fn names(listeners: &[ListenerName]) -> String {
    listeners.iter().map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
}

fn selector_problem(operator: &str) -> String {
    match operator {
        "" => "allowedRoutes.namespaces.from is Selector, but there is no selector, so no namespace is admitted".to_owned(),
        _ => format!("label selector operator {operator:?} is not known or lacks its values"),
    }
}

fn within(namespace: &str) -> String {
    if namespace.is_empty() { String::new() } else { format!("{namespace}/") }
}

fn port_suffix(port: Option<u16>) -> String {
    port.map(|port| format!(" port {port}")).unwrap_or_default()
}
