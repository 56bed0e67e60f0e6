//! Features of Gateway API that Kakehi claims: those whose tests of the conformance suite pass (`tests/conformance`).

/// `GatewayClass.status.supportedFeatures`, sorted.
pub(super) const SUPPORTED: &[&str] = &[
    "GRPCRoute",
    "Gateway",
    "GatewayAddressEmpty",
    "GatewayHTTPListenerIsolation",
    "GatewayHTTPSListenerDetectMisdirectedRequests",
    "GatewayInfrastructurePropagation",
    "GatewayPort8080",
    "GatewayStaticAddresses",
    "HTTPRoute",
    "HTTPRoute303RedirectStatusCode",
    "HTTPRoute307RedirectStatusCode",
    "HTTPRoute308RedirectStatusCode",
    "HTTPRouteBackendProtocolH2C",
    "HTTPRouteBackendProtocolWebSocket",
    "HTTPRouteBackendRequestHeaderModification",
    "HTTPRouteBackendTimeout",
    "HTTPRouteCORS",
    "HTTPRouteDestinationPortMatching",
    "HTTPRouteHostRewrite",
    "HTTPRouteMethodMatching",
    "HTTPRouteNamedRouteRule",
    "HTTPRouteParentRefPort",
    "HTTPRoutePathRedirect",
    "HTTPRoutePathRewrite",
    "HTTPRoutePortRedirect",
    "HTTPRouteQueryParamMatching",
    "HTTPRouteRequestMirror",
    "HTTPRouteRequestMultipleMirrors",
    "HTTPRouteRequestPercentageMirror",
    "HTTPRouteRequestTimeout",
    "HTTPRouteResponseHeaderModification",
    "HTTPRouteSchemeRedirect",
    "ListenerSet",
    "ReferenceGrant",
];

/// The same of fields that only the definitions of the experimental channel have. The suite has a test of the first; what is
/// tried again besides answers is told by tests of ours (`tests/filter/retries.rs`).
pub(super) const EXPERIMENTAL: &[&str] = &["HTTPRouteRetry", "HTTPRouteRetryBackendTimeout", "HTTPRouteRetryConnectionError"];

#[cfg(test)]
mod tests {
    use super::{EXPERIMENTAL, SUPPORTED};

    #[test]
    fn features_are_sorted_and_unique() {
        assert!(SUPPORTED.is_sorted_by(|a, b| a < b));
        assert!(EXPERIMENTAL.iter().all(|feature| !SUPPORTED.contains(feature)));
    }
}
