//! Header fields that both stages must treat alike.

/// The field in which Sōzu tells the filter proxy by which port a request came. No backend and no client sees it.
pub const HOP_FIELD: &str = "x-kakehi-hop";

/// What the edge does not say, and many backends believe of the proxy before them: another path than the one that was
/// routed, and a client certificate.
pub const CLAIMED_FIELDS: [&str; 5] =
    ["x-forwarded-prefix", "x-forwarded-client-cert", "x-original-url", "x-original-uri", "x-rewrite-url"];
