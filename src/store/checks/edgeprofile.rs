//! EdgeProfile. The rules are those of its schema (`api::edge_profile`).

use serde_json::Value;

use super::Checks;
use super::forms::ANY;
use super::shape::{Absent, Shape, Violation};

static REPLICAS: Shape = Shape::Integer { min: 1, max: 1000 };
static AUTOSCALING: Shape = Shape::Object {
    fields: &[
        ("minReplicas", &REPLICAS, Absent::Fine),
        ("maxReplicas", &REPLICAS, Absent::Refused),
        ("targetCpuPercent", &REPLICAS, Absent::Fine),
    ],
    rules: &[|autoscaling| {
        let number = |name: &str| autoscaling.get(name).and_then(Value::as_i64);
        if number("minReplicas")? > number("maxReplicas")? { Violation::here("minReplicas exceeds maxReplicas") } else { None }
    }],
};
static SERVICE: Shape = Shape::Object {
    fields: &[
        ("type", &Shape::Choice(&["LoadBalancer", "NodePort", "ClusterIP"]), Absent::Fine),
        ("externalTrafficPolicy", &Shape::Choice(&["Cluster", "Local"]), Absent::Fine),
        ("loadBalancerClass", &Shape::Text { min: 1, max: 253, form: &ANY }, Absent::Fine),
    ],
    rules: &[|service| {
        let has = |name: &str| service.get(name).is_some();
        match service.get("type").and_then(Value::as_str) {
            Some("ClusterIP") if has("externalTrafficPolicy") => {
                Violation::here("externalTrafficPolicy is for types LoadBalancer and NodePort")
            }
            Some("ClusterIP" | "NodePort") if has("loadBalancerClass") || has("loadBalancerSourceRanges") => {
                Violation::here("loadBalancerClass and loadBalancerSourceRanges are for type LoadBalancer")
            }
            _ => None,
        }
    }],
};
static SPEC: Shape = Shape::Object {
    fields: &[
        ("replicas", &REPLICAS, Absent::Fine),
        ("autoscaling", &AUTOSCALING, Absent::Fine),
        ("service", &SERVICE, Absent::Fine),
        ("forceHop", &Shape::Boolean, Absent::Fine),
        ("forceRelay", &Shape::Boolean, Absent::Fine),
    ],
    rules: &[|spec| {
        let both = spec.get("replicas").is_some() && spec.get("autoscaling").is_some();
        if both { Violation::here("replicas and autoscaling exclude each other") } else { None }
    }],
};

/// EdgeProfile.
pub static EDGE_PROFILE: Checks = Checks::of(&Shape::Object { fields: &[("spec", &SPEC, Absent::Refused)], rules: &[] });
