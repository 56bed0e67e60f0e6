//! A small universe of objects: few names, so that references meet, miss and move.

use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use kakehi::model::{Kind, ObjectId};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

/// One write: an object that is now so, or gone.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) id: ObjectId,
    /// Body without metadata, and labels.
    pub(crate) body: Option<(Value, Value)>,
    /// Day of January 2026 on which it was created.
    pub(crate) created: u8,
}

/// Certificates with their keys: for `a.x.io`, which ends on the second of the days that the tests see, and for `*.x.io`.
static PAIRS: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    let pair = |name: &str, until| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        params.not_after = until;
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    };
    vec![pair("a.x.io", rcgen::date_time_ymd(2026, 12, 2)), pair("*.x.io", rcgen::date_time_ymd(2096, 1, 1))]
});

fn namespace() -> impl Strategy<Value = &'static str> {
    select(vec!["a", "b"])
}

fn maybe(value: Value) -> impl Strategy<Value = Value> {
    select(vec![Value::Null, value])
}

/// Drops nulls, which a manifest would not have.
fn clean(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            Value::Object(fields.into_iter().filter(|(_, field)| !field.is_null()).map(|(name, field)| (name, clean(field))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(clean).collect()),
        other => other,
    }
}

fn class() -> impl Strategy<Value = (ObjectId, Value)> {
    let controller = select(vec!["kakehi.dev/gateway-controller", "kakehi.dev/gateway-controller", "example.com/other"]);
    let profile = json!({"group": "kakehi.dev", "kind": "EdgeProfile", "name": "p1", "namespace": "a"});
    let parameters = prop_oneof![8 => Just(Value::Null), 2 => Just(profile), 1 => Just(json!({"group": "x", "kind": "Y", "name": "z"}))];
    (select(vec!["ours", "second"]), controller, parameters).prop_map(|(name, controller, parameters)| {
        (ObjectId::new(Kind::GatewayClass, "", name), json!({"spec": {"controllerName": controller, "parametersRef": parameters}}))
    })
}

fn hostname() -> impl Strategy<Value = Value> {
    select(vec![Value::Null, json!("a.x.io"), json!("b.x.io"), json!("*.x.io"), json!("*.a.x.io"), json!("y.io"), json!("bad_name")])
}

fn listener(name: &'static str) -> impl Strategy<Value = Value> {
    let secret = (maybe(json!("a")), select(vec!["c1", "c2"])).prop_map(|(namespace, name)| json!({"name": name, "namespace": namespace}));
    let tls = prop::collection::vec(secret, 0..3).prop_map(|refs| json!({"certificateRefs": refs}));
    let selector = json!({"from": "Selector", "selector": {"matchLabels": {"team": "red"}}});
    let namespaces = select(vec![Value::Null, json!({"from": "Same"}), json!({"from": "All"}), selector]);
    let kinds = prop_oneof![8 => Just(Value::Null), 1 => Just(json!([{"kind": "TLSRoute"}])), 1 => Just(json!([{"kind": "HTTPRoute"}, {"kind": "X"}]))];
    let protocol = select(vec!["HTTP", "HTTP", "HTTPS", "HTTPS", "TCP"]);
    (select(vec![80, 80, 443, 0]), protocol, hostname(), tls, namespaces, kinds).prop_map(
        move |(port, protocol, hostname, tls, namespaces, kinds)| {
            let tls = if protocol == "HTTPS" { tls } else { Value::Null };
            let allowed = json!({"namespaces": namespaces, "kinds": kinds});
            json!({"name": name, "port": port, "protocol": protocol, "hostname": hostname, "tls": tls, "allowedRoutes": allowed})
        },
    )
}

fn profile() -> impl Strategy<Value = (ObjectId, Value)> {
    let spec = select(vec![
        json!({"replicas": 3}),
        json!({"service": {"type": "NodePort"}, "forceRelay": true}),
        json!({"clientAddress": {"trustedCIDRs": ["10.0.0.0/8"]}, "httpPort": 81}),
        json!({"replicas": "many"}),
    ]);
    (namespace(), select(vec!["p1", "p2"]), spec)
        .prop_map(|(namespace, name, spec)| (ObjectId::new(Kind::EdgeProfile, namespace, name), json!({"spec": spec})))
}

fn gateway() -> impl Strategy<Value = (ObjectId, Value)> {
    let listeners = (listener("l1"), listener("l2"), listener("l3"));
    let listeners = (listeners, 1..4_usize).prop_map(|((a, b, c), count)| [a, b, c].into_iter().take(count).collect::<Vec<_>>());
    let selector = json!({"from": "Selector", "selector": {"matchLabels": {"team": "red"}}});
    let allowed = select(vec![Value::Null, json!({"from": "All"}), json!({"from": "Same"}), json!({"from": "None"}), selector]);
    let listeners = (listeners, allowed.prop_map(|namespaces| json!({"namespaces": namespaces})));
    let address = prop_oneof![8 => Just(Value::Null), 1 => Just(json!([{"type": "IPAddress", "value": "127.0.0.9"}])), 1 => Just(json!([{"type": "Hostname", "value": "x"}]))];
    let parameters = json!({"group": "kakehi.dev", "kind": "EdgeProfile", "name": "p2"});
    let infrastructure = prop_oneof![6 => Just(Value::Null), 1 => Just(json!({"parametersRef": parameters, "labels": {"team": "red"}}))];
    let class = select(vec!["ours", "ours", "second", "absent"]);
    (namespace(), select(vec!["g1", "g2"]), class, listeners, address, infrastructure).prop_map(
        |(namespace, name, class, (listeners, allowed), addresses, infrastructure)| {
            let spec = json!({
                "gatewayClassName": class, "listeners": listeners, "allowedListeners": allowed, "addresses": addresses,
                "infrastructure": infrastructure,
            });
            (ObjectId::new(Kind::Gateway, namespace, name), json!({"spec": spec}))
        },
    )
}

fn parent() -> impl Strategy<Value = Value> {
    (
        maybe(json!("a")),
        select(vec![("Gateway", "g1"), ("Gateway", "g2"), ("ListenerSet", "t1"), ("ListenerSet", "t2")]),
        select(vec![Value::Null, Value::Null, json!("l1"), json!("nope")]),
        select(vec![Value::Null, Value::Null, json!(80)]),
    )
        .prop_map(|(namespace, (kind, name), section, port)| {
            json!({"namespace": namespace, "kind": kind, "name": name, "sectionName": section, "port": port})
        })
}

fn rule() -> impl Strategy<Value = Value> {
    let backend = (
        maybe(json!("a")),
        select(vec!["s1", "s2", "missing"]),
        select(vec![json!(80), json!(81), Value::Null]),
        select(vec![json!(1), json!(0), Value::Null]),
    );
    let backend =
        backend.prop_map(|(namespace, name, port, weight)| json!({"namespace": namespace, "name": name, "port": port, "weight": weight}));
    let path = select(vec![
        Value::Null,
        json!({"type": "Exact", "value": "/x"}),
        json!({"type": "PathPrefix", "value": "/y/"}),
        json!({"type": "RegularExpression", "value": "("}),
    ]);
    let mirror = json!({"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "s1", "port": 80}}});
    let redirect = json!({"type": "RequestRedirect", "requestRedirect": {"hostname": "y.io"}});
    let filters = prop_oneof![8 => Just(Value::Null), 1 => Just(json!([mirror])), 1 => Just(json!([redirect]))];
    (prop::collection::vec(backend, 0..3), prop::collection::vec(path, 0..3), filters).prop_map(|(backends, paths, filters)| {
        let matches: Vec<_> = paths.into_iter().map(|path| json!({"path": path})).collect();
        json!({"backendRefs": backends, "matches": matches, "filters": filters})
    })
}

fn listener_set() -> impl Strategy<Value = (ObjectId, Value)> {
    let listeners =
        (listener("l1"), listener("l2"), 1..3_usize).prop_map(|(a, b, count)| [a, b].into_iter().take(count).collect::<Vec<_>>());
    let parent = (maybe(json!("a")), select(vec!["g1", "g2"])).prop_map(|(namespace, name)| json!({"namespace": namespace, "name": name}));
    (namespace(), select(vec!["t1", "t2"]), parent, listeners).prop_map(|(namespace, name, parent, listeners)| {
        (ObjectId::new(Kind::ListenerSet, namespace, name), json!({"spec": {"parentRef": parent, "listeners": listeners}}))
    })
}

fn grpc_route() -> impl Strategy<Value = (ObjectId, Value)> {
    let method = select(vec![
        Value::Null,
        json!({"service": "a.B", "method": "C"}),
        json!({"service": "a.B"}),
        json!({"method": "C"}),
        json!({"type": "RegularExpression", "service": "("}),
    ]);
    let backend = (maybe(json!("a")), select(vec!["s1", "s2", "missing"]))
        .prop_map(|(namespace, name)| json!({"namespace": namespace, "name": name, "port": 80}));
    let rule = (prop::collection::vec(method, 0..3), prop::collection::vec(backend, 0..3)).prop_map(|(methods, backends)| {
        let matches: Vec<_> = methods.into_iter().map(|method| json!({"method": method})).collect();
        json!({"matches": matches, "backendRefs": backends})
    });
    (namespace(), select(vec!["r1", "r2"]), prop::collection::vec(parent(), 0..3), prop::collection::vec(rule, 0..3)).prop_map(
        |(namespace, name, parents, rules)| {
            (ObjectId::new(Kind::GrpcRoute, namespace, name), json!({"spec": {"parentRefs": parents, "rules": rules}}))
        },
    )
}

/// Any route.
pub(crate) fn route() -> impl Strategy<Value = (ObjectId, Value)> {
    let hostnames = prop::collection::vec(hostname().prop_filter("a hostname", |hostname| !hostname.is_null()), 0..3);
    let parents = prop::collection::vec(parent(), 0..3);
    (namespace(), select(vec!["r1", "r2", "r3"]), parents, hostnames, prop::collection::vec(rule(), 1..3)).prop_map(
        |(namespace, name, parents, hostnames, rules)| {
            let spec = json!({"parentRefs": parents, "hostnames": hostnames, "rules": rules});
            (ObjectId::new(Kind::HttpRoute, namespace, name), json!({"spec": spec}))
        },
    )
}

fn ingress_class() -> impl Strategy<Value = (ObjectId, Value)> {
    let controller = select(vec!["kakehi.dev/ingress-controller", "kakehi.dev/ingress-controller", "example.com/other"]);
    let parameters = prop_oneof![9 => Just(Value::Null), 1 => Just(json!({"kind": "Y", "name": "z"}))];
    (select(vec!["c", "d"]), controller, parameters, any::<bool>()).prop_map(|(name, controller, parameters, default)| {
        let annotations = json!({"ingressclass.kubernetes.io/is-default-class": default.to_string()});
        let spec = json!({"controller": controller, "parameters": parameters});
        (ObjectId::new(Kind::IngressClass, "", name), json!({"spec": spec, "annotations": annotations}))
    })
}

fn ingress_rule() -> impl Strategy<Value = Value> {
    let service = (select(vec!["s1", "s2", "missing"]), select(vec![json!({"number": 80}), json!({"number": 81}), json!({"name": "p80"})]))
        .prop_map(|(name, port)| json!({"service": {"name": name, "port": port}}));
    let backend = prop_oneof![9 => service, 1 => Just(json!({"resource": {"kind": "Bucket", "name": "b"}}))];
    let path = (select(vec!["Exact", "Prefix", "ImplementationSpecific"]), select(vec!["/", "/x", "/y/", "/a//b"]), backend)
        .prop_map(|(kind, path, backend)| json!({"pathType": kind, "path": path, "backend": backend}));
    let http = prop_oneof![5 => prop::collection::vec(path, 1..3).prop_map(|paths| json!({"paths": paths})), 1 => Just(Value::Null)];
    (hostname(), http).prop_map(|(host, http)| json!({"host": host, "http": http}))
}

fn ingress() -> impl Strategy<Value = (ObjectId, Value)> {
    let hosts = prop::collection::vec(select(vec!["a.x.io", "b.x.io", "*.x.io", "y.io"]), 0..3);
    let tls = (hosts, select(vec![json!("c1"), json!("c2"), json!("missing"), Value::Null]))
        .prop_map(|(hosts, secret)| json!({"hosts": hosts, "secretName": secret}));
    let class = (select(vec![Value::Null, json!("c"), json!("c"), json!("d")]), select(vec![Value::Null, json!("c"), json!("e")]));
    let default = maybe(json!({"service": {"name": "s1", "port": {"number": 80}}}));
    let spec = (class, default, prop::collection::vec(ingress_rule(), 0..3), prop::collection::vec(tls, 0..3));
    (namespace(), select(vec!["i1", "i2", "i3"]), spec).prop_map(|(namespace, name, ((class, annotation), default, rules, tls))| {
        let annotations = json!({"kubernetes.io/ingress.class": annotation});
        let spec = json!({"ingressClassName": class, "defaultBackend": default, "rules": rules, "tls": tls});
        (ObjectId::new(Kind::Ingress, namespace, name), json!({"spec": spec, "annotations": annotations}))
    })
}

fn grant() -> impl Strategy<Value = (ObjectId, Value)> {
    let from = select(vec!["HTTPRoute", "GRPCRoute", "Gateway", "ListenerSet"])
        .prop_map(|kind| json!({"group": "gateway.networking.k8s.io", "kind": kind, "namespace": "b"}));
    let to = (select(vec!["Service", "Secret"]), select(vec![Value::Null, json!("s1"), json!("c1")]))
        .prop_map(|(kind, name)| json!({"group": "", "kind": kind, "name": name}));
    (namespace(), select(vec!["x", "y"]), from, to).prop_map(|(namespace, name, from, to)| {
        (ObjectId::new(Kind::ReferenceGrant, namespace, name), json!({"spec": {"from": [from], "to": [to]}}))
    })
}

fn service() -> impl Strategy<Value = (ObjectId, Value)> {
    let port = |number: i32| {
        let app = select(vec![Value::Null, Value::Null, json!("kubernetes.io/h2c"), json!("https")]);
        (app, select(vec!["TCP", "TCP", "UDP"])).prop_map(
            move |(app, protocol)| json!({"name": format!("p{number}"), "port": number, "appProtocol": app, "protocol": protocol}),
        )
    };
    let kind = prop_oneof![9 => Just(json!("ClusterIP")), 1 => Just(json!("ExternalName"))];
    (namespace(), select(vec!["s1", "s2"]), (port(80), port(81)), 0..3_usize, kind).prop_map(|(namespace, name, (a, b), count, kind)| {
        let ports: Vec<_> = [a, b].into_iter().take(count).collect();
        (
            ObjectId::new(Kind::Service, namespace, name),
            json!({"spec": {"type": kind, "externalName": "db.example.com", "clusterIP": "10.96.0.1", "ports": ports}}),
        )
    })
}

fn slice() -> impl Strategy<Value = (ObjectId, (Value, Value))> {
    let address = select(vec!["10.0.0.1", "10.0.0.2", "10.0.0.3", "127.0.0.1", "nonsense"]);
    let conditions = select(vec![
        Value::Null,
        json!({"ready": true}),
        json!({"ready": false}),
        json!({"ready": false, "serving": true, "terminating": true}),
    ]);
    let endpoint = (address, conditions).prop_map(|(address, conditions)| json!({"addresses": [address], "conditions": conditions}));
    let ports = subsequence(vec![json!({"name": "p80", "port": 8080}), json!({"name": "p81", "port": 8081})], 0..3);
    let family = prop_oneof![8 => Just("IPv4"), 1 => Just("FQDN")];
    (namespace(), select(vec!["e1", "e2", "e3"]), select(vec!["s1", "s2"]), family, ports, prop::collection::vec(endpoint, 0..4)).prop_map(
        |(namespace, name, service, family, ports, endpoints)| {
            let body = json!({"addressType": family, "ports": ports, "endpoints": endpoints});
            (ObjectId::new(Kind::EndpointSlice, namespace, name), (body, json!({"kubernetes.io/service-name": service})))
        },
    )
}

fn secret() -> impl Strategy<Value = (ObjectId, Value)> {
    let pair = select(vec![(0, 0), (0, 0), (1, 1), (0, 1), (2, 0), (0, 2)]);
    (namespace(), select(vec!["c1", "c2"]), pair).prop_map(|(namespace, name, (certificate, key))| {
        let text = |index: usize, of: fn(&(String, String)) -> &str| BASE64_STANDARD.encode(PAIRS.get(index).map_or("garbage", of));
        let data = json!({"tls.crt": text(certificate, |pair| &pair.0), "tls.key": text(key, |pair| &pair.1)});
        (ObjectId::new(Kind::Secret, namespace, name), json!({"data": data}))
    })
}

fn labelled_namespace() -> impl Strategy<Value = (ObjectId, (Value, Value))> {
    (namespace(), select(vec![json!({}), json!({"team": "red"}), json!({"team": "blue"})]))
        .prop_map(|(name, labels)| (ObjectId::new(Kind::Namespace, "", name), (json!({}), labels)))
}

/// The write without which no Gateway is ours.
pub(crate) fn first() -> Write {
    let spec = json!({"spec": {"controllerName": "kakehi.dev/gateway-controller"}});
    Write { id: ObjectId::new(Kind::GatewayClass, "", "ours"), body: Some((spec, json!({}))), created: 1 }
}

/// Any write: mostly an object that is added or edited, sometimes a deletion or a body that cannot be read.
pub(crate) fn write() -> impl Strategy<Value = Write> {
    let plain = |(id, body): (ObjectId, Value)| (id, (body, json!({})));
    let object = prop_oneof![
        1 => class().prop_map(plain),
        1 => profile().prop_map(plain),
        4 => gateway().prop_map(plain),
        3 => listener_set().prop_map(plain),
        6 => route().prop_map(plain),
        2 => grpc_route().prop_map(plain),
        2 => ingress_class().prop_map(plain),
        6 => ingress().prop_map(plain),
        2 => grant().prop_map(plain),
        3 => service().prop_map(plain),
        4 => slice(),
        2 => secret().prop_map(plain),
        1 => labelled_namespace(),
    ];
    (object, 0..20_u32, 1..4_u8).prop_map(|((id, (body, labels)), fate, created)| Write {
        created,
        body: match fate {
            0..3 => None,
            3 => Some((json!({"spec": 1, "data": 1, "addressType": 1}), labels)),
            _ => Some((clean(body), labels)),
        },
        id,
    })
}
