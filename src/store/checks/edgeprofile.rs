//! EdgeProfile. The rules are those of its schema (`api::edge_profile`).

use serde_json::Value;

use super::Checks;
use super::forms::{ANY, IP, LEVELS, NETWORK};
use super::shape::{Absent, Shape, Unique, Violation};

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
        ("allocateLoadBalancerNodePorts", &Shape::Boolean, Absent::Fine),
        (
            "ipFamilies",
            &Shape::List { of: &Shape::Choice(&["IPv4", "IPv6"]), min: 1, max: 2, unique: Unique::Items, rules: &[] },
            Absent::Fine,
        ),
        ("ipFamilyPolicy", &Shape::Choice(&["SingleStack", "PreferDualStack", "RequireDualStack"]), Absent::Fine),
        (
            "externalIPs",
            &Shape::List { of: &Shape::Text { min: 1, max: 64, form: &IP }, min: 0, max: 16, unique: Unique::Items, rules: &[] },
            Absent::Fine,
        ),
        ("nodePorts", &Shape::List { of: &NODE_PORT, min: 0, max: 64, unique: Unique::By(&["port"]), rules: &[] }, Absent::Fine),
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
            Some("ClusterIP" | "NodePort") if has("allocateLoadBalancerNodePorts") => {
                Violation::here("allocateLoadBalancerNodePorts is for type LoadBalancer")
            }
            Some("ClusterIP") if has("nodePorts") => Violation::here("nodePorts are for types LoadBalancer and NodePort"),
            _ => None,
        }
    }],
};
static NODE_PORT: Shape = Shape::Object { fields: &[("port", &PORT, Absent::Refused), ("nodePort", &PORT, Absent::Refused)], rules: &[] };
static ACCESS_LOG: Shape = Shape::Object {
    fields: &[
        ("format", &Shape::Choice(&["Off", "JSON", "Text"]), Absent::Fine),
        ("fields", &Shape::List { of: &Shape::Choice(FIELDS), min: 1, max: 32, unique: Unique::No, rules: &[] }, Absent::Fine),
    ],
    rules: &[],
};
static FIELDS: &[&str] = &[
    "time",
    "edge",
    "stage",
    "client",
    "method",
    "scheme",
    "host",
    "path",
    "query",
    "status",
    "milliseconds",
    "bytesIn",
    "bytesOut",
    "route",
    "backend",
    "userAgent",
    "requestId",
];
static LOG: Shape = Shape::Object {
    fields: &[
        ("edge", &Shape::Text { min: 1, max: 512, form: &LEVELS }, Absent::Fine),
        ("sozu", &Shape::Choice(&["Error", "Warn", "Info", "Debug", "Trace"]), Absent::Fine),
    ],
    rules: &[],
};
static CLIENT_ADDRESS: Shape = Shape::Object {
    fields: &[
        (
            "trustedCIDRs",
            &Shape::List { of: &Shape::Text { min: 0, max: 64, form: &NETWORK }, min: 0, max: 64, unique: Unique::No, rules: &[] },
            Absent::Fine,
        ),
        ("trustedHops", &Shape::Integer { min: 1, max: 16 }, Absent::Fine),
        ("proxyProtocol", &Shape::Boolean, Absent::Fine),
    ],
    rules: &[|client| {
        let both = client.get("trustedCIDRs").is_some() && client.get("trustedHops").is_some();
        if both { Violation::here("trustedCIDRs and trustedHops exclude each other") } else { None }
    }],
};
static PORT: Shape = Shape::Integer { min: 1, max: 65535 };
static STREAMS: Shape = Shape::Integer { min: 1, max: 65535 };
static CAPACITY: Shape = Shape::Object {
    fields: &[
        ("connections", &Shape::Integer { min: 100, max: 1_000_000 }, Absent::Fine),
        ("connectionsPerAddress", &Shape::Integer { min: 0, max: 1_000_000 }, Absent::Fine),
        ("bufferBytes", &Shape::Integer { min: 16_393, max: 1_048_576 }, Absent::Fine),
        ("sozuWorkers", &Shape::Integer { min: 1, max: 16 }, Absent::Fine),
        ("sozus", &Shape::Integer { min: 1, max: 2 }, Absent::Fine),
    ],
    rules: &[],
};
static RESERVED: Shape = Shape::Object {
    fields: &[
        ("namespace", &Shape::Text { min: 1, max: 63, form: &ANY }, Absent::Refused),
        (
            "hosts",
            &Shape::List { of: &Shape::Text { min: 1, max: 253, form: &ANY }, min: 1, max: 1024, unique: Unique::No, rules: &[] },
            Absent::Refused,
        ),
    ],
    rules: &[],
};
static SPEC: Shape = Shape::Object {
    fields: &[
        ("replicas", &REPLICAS, Absent::Fine),
        ("autoscaling", &AUTOSCALING, Absent::Fine),
        ("service", &SERVICE, Absent::Fine),
        ("forceHop", &Shape::Boolean, Absent::Fine),
        ("forceRelay", &Shape::Boolean, Absent::Fine),
        ("strictHTTP", &Shape::Boolean, Absent::Fine),
        ("pathNormalization", &Shape::Choice(&["Keep", "Normalize", "Reject"]), Absent::Fine),
        ("claimedFields", &Shape::Choice(&["Drop", "Keep"]), Absent::Fine),
        ("clientAddress", &CLIENT_ADDRESS, Absent::Fine),
        ("connectTimeoutSeconds", &Shape::Integer { min: 1, max: 60 }, Absent::Fine),
        ("maxConcurrentStreams", &STREAMS, Absent::Fine),
        ("maxConnectionAgeSeconds", &Shape::Integer { min: 10, max: 86_400 }, Absent::Fine),
        ("filterWorkers", &Shape::Integer { min: 1, max: 64 }, Absent::Fine),
        ("accessLog", &ACCESS_LOG, Absent::Fine),
        ("log", &LOG, Absent::Fine),
        ("drainSeconds", &Shape::Integer { min: 1, max: 3600 }, Absent::Fine),
        (
            "placement",
            &Shape::Object {
                fields: &[
                    ("workload", &Shape::Choice(&["Deployment", "DaemonSet"]), Absent::Fine),
                    ("network", &Shape::Choice(&["Pod", "HostPorts", "Host"]), Absent::Fine),
                ],
                rules: &[],
            },
            Absent::Fine,
        ),
        ("capacity", &CAPACITY, Absent::Fine),
        ("httpPort", &PORT, Absent::Fine),
        ("httpsPort", &PORT, Absent::Fine),
        ("hosts", &Shape::List { of: &RESERVED, min: 0, max: 1024, unique: Unique::No, rules: &[] }, Absent::Fine),
    ],
    rules: &[
        |spec| {
            let both = spec.get("replicas").is_some() && spec.get("autoscaling").is_some();
            if both { Violation::here("replicas and autoscaling exclude each other") } else { None }
        },
        |spec| {
            let daemons = spec.get("placement").and_then(|placement| placement.get("workload")).is_some_and(|kind| kind == "DaemonSet");
            let sized = spec.get("replicas").is_some() || spec.get("autoscaling").is_some();
            let refused = "a DaemonSet has a pod on each node: replicas and autoscaling are of a Deployment";
            if daemons && sized { Violation::here(refused) } else { None }
        },
        |spec| {
            let same = spec.get("httpPort").is_some() && spec.get("httpPort") == spec.get("httpsPort");
            if same { Violation::here("httpPort and httpsPort must differ") } else { None }
        },
    ],
};

/// EdgeProfile.
pub static EDGE_PROFILE: Checks = Checks::of(&Shape::Object { fields: &[("spec", &SPEC, Absent::Refused)], rules: &[] });
