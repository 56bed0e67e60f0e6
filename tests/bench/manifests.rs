//! Manifests that the measurements write.

/// Namespace of everything.
pub const NAMESPACE: &str = "bench";

/// Class and Gateway with an HTTP and an HTTPS listener.
pub fn gateway(http: u16, https: u16) -> String {
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
    - name: https
      port: {https}
      protocol: HTTPS
      tls: {{ mode: Terminate, certificateRefs: [{{ name: cert }}] }}
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

/// A route of one rule; `rule` holds more fields of the rule, indented by six.
pub fn route(name: &str, host: &str, service: &str, rule: &str) -> String {
    format!(
        r"---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{ name: {name}, namespace: {NAMESPACE}, creationTimestamp: 2026-01-01T00:00:00Z }}
spec:
  parentRefs: [{{ name: edge }}]
  hostnames: [{host}]
  rules:
    - backendRefs: [{{ name: {service}, port: 80 }}]
{rule}"
    )
}

/// A response header that tells versions of a rule apart.
pub fn version(value: usize) -> String {
    format!(
        "      filters: [{{ type: ResponseHeaderModifier, responseHeaderModifier: {{ set: [{{ name: X-Version, value: v{value} }}] }} }}]\n"
    )
}

/// A TLS Secret.
pub fn secret(name: &str, certificate: &str, key: &str) -> String {
    let block = |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
    format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{ name: {name}, namespace: {NAMESPACE} }}\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: |\n{}  tls.key: |\n{}",
        block(certificate),
        block(key)
    )
}
