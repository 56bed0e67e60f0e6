//! Manifests that the measurements write.

use super::certificates::Leaf;
use super::rig::Ports;

/// Namespace of everything.
pub const NAMESPACE: &str = "bench";
/// Host whose certificate the HTTPS listener shows that Sōzu serves.
pub const NATIVE: &str = "native.bench.test";
/// Host whose certificate the HTTPS listener shows that is relayed.
pub const RELAYED: &str = "relay.bench.test";

/// Class and Gateway with four listeners: `http` and `https` as Sōzu serves them, `relay` (while a GRPCRoute is attached to it,
/// see [`relaying`]) and `relay-tls` (it has no hostname) as it relays them.
pub fn gateway(ports: Ports) -> String {
    let Ports { http, https, relay, relay_tls } = ports;
    let (http, https, relay, relay_tls) = (http.port(), https.port(), relay.port(), relay_tls.port());
    format!(
        r"apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{ name: kakehi }}
spec: {{ controllerName: kakehi.dev/gateway-controller }}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{ name: edge, namespace: {NAMESPACE} }}
spec:
  gatewayClassName: kakehi
  listeners:
    - {{ name: http, port: {http}, protocol: HTTP }}
    - {{ name: https, port: {https}, protocol: HTTPS, hostname: {NATIVE}, tls: {{ certificateRefs: [{{ name: native }}] }} }}
    - {{ name: relay, port: {relay}, protocol: HTTP }}
    - {{ name: relay-tls, port: {relay_tls}, protocol: HTTPS, tls: {{ certificateRefs: [{{ name: relayed }}] }} }}
"
    )
}

/// A Service and its endpoints, all on one port.
pub fn service(name: &str, ips: &[&str], port: u16) -> String {
    let endpoints: String = ips.iter().map(|ip| format!("  - {{ addresses: [{ip}], conditions: {{ ready: true }} }}\n")).collect();
    format!(
        r"---
apiVersion: v1
kind: Service
metadata: {{ name: {name}, namespace: {NAMESPACE} }}
spec: {{ ports: [{{ name: http, port: 80, targetPort: {port} }}] }}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{ name: {name}-1, namespace: {NAMESPACE}, labels: {{ kubernetes.io/service-name: {name} }} }}
addressType: IPv4
ports: [{{ name: http, port: {port} }}]
endpoints:
{endpoints}"
    )
}

/// An HTTPRoute of one rule, for a host of one listener; `rule` holds more fields of the rule, indented by six.
pub fn route(name: &str, (listener, host): (&str, &str), service: &str, rule: &str) -> String {
    format!(
        r"---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{ name: {name}, namespace: {NAMESPACE}, creationTimestamp: 2026-01-01T00:00:00Z }}
spec:
  parentRefs: [{{ name: edge, sectionName: {listener} }}]
  hostnames: [{host}]
  rules:
    - backendRefs: [{{ name: {service}, port: 80 }}]
{rule}"
    )
}

/// A GRPCRoute for every call on listener `relay`, which makes its port a relayed one.
pub fn relaying(service: &str) -> String {
    format!(
        r"---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {{ name: relaying, namespace: {NAMESPACE}, creationTimestamp: 2026-01-01T00:00:00Z }}
spec:
  parentRefs: [{{ name: edge, sectionName: relay }}]
  hostnames: [grpc.bench.test]
  rules:
    - backendRefs: [{{ name: {service}, port: 80 }}]
"
    )
}

/// A response header that tells versions of a rule apart.
pub fn version(value: usize) -> String {
    format!(
        "      filters: [{{ type: ResponseHeaderModifier, responseHeaderModifier: {{ set: [{{ name: X-Version, value: v{value} }}] }} }}]\n"
    )
}

/// A TLS Secret.
pub fn secret(name: &str, leaf: &Leaf) -> String {
    let block = |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
    format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{ name: {name}, namespace: {NAMESPACE} }}\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: |\n{}  tls.key: |\n{}",
        block(&leaf.certificate),
        block(&leaf.key)
    )
}
