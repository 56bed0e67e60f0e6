//! Keys of labels and annotations that Kakehi sets itself on what it makes for an edge: a user's values for them have no effect.

/// Labels.
pub const OWN_LABELS: &[&str] = &[
    "app.kubernetes.io/component",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/name",
    "gateway.networking.k8s.io/gateway-name",
    "kakehi.dev/edge",
];

/// Annotations.
pub const OWN_ANNOTATIONS: &[&str] = &["kakehi.dev/controller", "kakehi.dev/edge-of", "kakehi.dev/edge-uid", "kakehi.dev/pod-template"];
