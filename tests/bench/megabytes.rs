//! Bad megabytes: manifests that a tenant may write, or a tenant of every namespace, of kinds whose parts multiply.

use serde_json::{Value, json};

/// Bytes of each.
pub const SIZE: usize = 1 << 20;

/// A kind of manifests.
#[derive(Clone, Copy, Debug)]
pub struct Bad {
    /// What multiplies.
    pub name: &'static str,
    make: fn() -> String,
}

impl Bad {
    /// A megabyte of it, as YAML.
    pub fn text(&self) -> String {
        (self.make)()
    }
}

/// All kinds.
pub const ALL: &[Bad] = &[
    Bad { name: "expressions: 2,048 a route", make: || fill(|route| vec![expressions("t", route, 128, 16)]) },
    Bad { name: "expressions: 256 a route, one namespace", make: || fill(|route| vec![expressions("t", route, 16, 16)]) },
    Bad {
        name: "expressions: 256 a route, each its namespace",
        make: || fill(|route| vec![expressions(&format!("t{route}"), route, 16, 16)]),
    },
    Bad { name: "expressions: near the size limit", make: || fill(|route| vec![large(route)]) },
    Bad { name: "expressions: beyond the size limit", make: || fill(|route| vec![too_large(route)]) },
    Bad { name: "routes: as many as fit", make: || fill(|route| vec![http_route(&format!("t{route}"), "r", json!([{}]))]) },
    Bad { name: "entries: matches x listeners x hosts", make: || fill(entries) },
    Bad { name: "hosts: 8 a route x 64 listeners", make: || fill(hosts) },
    Bad { name: "listeners: ListenerSets of 64", make: || fill(listener_sets) },
    Bad { name: "listeners: ListenerSets of 64, one name each", make: || fill(sets_in_conflict) },
    Bad { name: "Gateways: each with 64 listeners", make: || fill(gateways) },
    Bad { name: "names: parents that are nearly there", make: || fill(misspelt) },
    Bad { name: "endpoints: slices of one Service, 64 ports", make: slices },
    Bad { name: "grants x references", make: grants },
    Bad { name: "Services: each with a route", make: || fill(services) },
    Bad { name: "Ingresses: hosts", make: || fill(|index| vec![ingress(index, 200)]) },
    Bad { name: "Ingresses: one host, many paths", make: || fill(ingress_paths) },
    Bad { name: "certificates: Secrets with chains", make: || fill(certificates) },
    Bad { name: "annotations: 250 KB each", make: || fill(|index| vec![annotated(index)]) },
    Bad { name: "fields that nothing knows", make: || fill(|index| vec![with_unknown_fields(index)]) },
    Bad { name: "values that are refused, one by one", make: || fill(|index| vec![with_bad_values(index)]) },
    Bad { name: "edits: one route at 32 Gateways", make: || text(&edits_everywhere()) },
    Bad { name: "YAML: deep", make: || fill_text(|_| format!("a: {}{}\n", "[".repeat(10_000), "]".repeat(10_000))) },
    Bad { name: "YAML: aliases to the limit", make: || fill_text(aliases) },
    Bad { name: "YAML: aliases that double", make: || fill_text(|_| laughs()) },
    Bad {
        name: "YAML: maps of one key",
        make: || {
            format!(
                "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r}}\nspec: [{}]\n",
                "{a: 0},".repeat(SIZE / 7)
            )
        },
    },
    Bad { name: "YAML: empty documents", make: || "---\na\n".repeat(SIZE / 6) },
    Bad { name: "nothing but noise", make: || fill_text(|index| format!("{index}: [\"x\n")) },
];

/// What is there before: a Gateway with 64 listeners that every namespace may use, a class, and a neighbour.
pub fn world() -> String {
    let class = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "ours"},
        "spec": {"controllerName": "kakehi.dev/gateway-controller"}});
    let ingress_class = json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "web"},
        "spec": {"controller": "kakehi.dev/ingress-controller"}});
    let spec = json!({"gatewayClassName": "ours", "listeners": listeners(64, 8000), "allowedListeners": {"namespaces": {"from": "All"}}});
    let gateway = gateway_api("Gateway", "n", "g", spec);
    text(&[class, ingress_class, gateway, neighbour("/")])
}

/// The neighbour's route.
pub fn neighbour(path: &str) -> Value {
    http_route("neighbour", "r", json!([{"matches": [{"path": {"value": path}}]}]))
}

/// Objects as one YAML stream.
pub fn text(objects: &[Value]) -> String {
    objects.iter().map(|object| format!("---\n{object}\n")).collect()
}

/// Objects until they are a megabyte.
fn fill(objects: impl Fn(usize) -> Vec<Value>) -> String {
    fill_text(|index| text(&objects(index)))
}

fn fill_text(part: impl Fn(usize) -> String) -> String {
    let mut whole = String::new();
    for index in 0.. {
        let part = part(index);
        if whole.len() + part.len() + 4 > SIZE && index > 0 {
            return whole;
        }
        whole.push_str("---\n");
        whole.push_str(&part);
    }
    whole
}

fn gateway_api(kind: &str, namespace: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": kind, "metadata": {"namespace": namespace, "name": name}, "spec": spec})
}

fn core(kind: &str, namespace: &str, name: &str, body: Value) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"namespace": namespace, "name": name}});
    for (field, value) in body.as_object().unwrap() {
        object[field] = value.clone();
    }
    object
}

fn listeners(count: usize, port: usize) -> Vec<Value> {
    let all = json!({"namespaces": {"from": "All"}});
    (0..count).map(|index| json!({"name": format!("l{index}"), "port": port + index, "protocol": "HTTP", "allowedRoutes": all})).collect()
}

fn http_route(namespace: &str, name: &str, rules: Value) -> Value {
    gateway_api("HTTPRoute", namespace, name, json!({"parentRefs": [{"name": "g", "namespace": "n"}], "rules": rules}))
}

fn expression(name: usize, value: &str) -> Value {
    json!({"name": format!("h{name}"), "value": value, "type": "RegularExpression"})
}

/// As many rules as matches need: a rule has 64 at most.
fn rules_of(matches: &[Value]) -> Value {
    matches.chunks(64).map(|some| json!({ "matches": some })).collect()
}

fn at_one_listener(mut route: Value) -> Value {
    route["spec"]["parentRefs"][0]["sectionName"] = json!("l0");
    route
}

fn expressions(namespace: &str, route: usize, matches: usize, headers: usize) -> Value {
    let heads = |of: usize| (0..headers).map(|head| expression(head, &format!(r"h{route}x{of}x{head}\w{{20}}"))).collect::<Vec<_>>();
    let matches: Vec<_> = (0..matches).map(|of| json!({ "headers": heads(of) })).collect();
    at_one_listener(http_route(namespace, &format!("r{route}"), rules_of(&matches)))
}

/// Each of 8 expressions is just small enough, and costs most to find out.
fn large(route: usize) -> Value {
    let heads: Vec<_> = (0..8).map(|head| expression(head, &format!(r"{route}{head}.*[a-m].{{6}}"))).collect();
    at_one_listener(http_route(&format!("t{route}"), "r", json!([{ "matches": [{ "headers": heads }] }])))
}

fn too_large(route: usize) -> Value {
    let head = expression(0, &format!(r"{route}(.*a.{{300}})"));
    at_one_listener(http_route(&format!("t{route}"), "r", json!([{ "matches": [{ "headers": [head] }] }])))
}

/// Routes that each take all of what a route may have, in a namespace each.
fn entries(route: usize) -> Vec<Value> {
    let matches: Vec<_> = (0..128).map(|index| json!({"path": {"value": format!("/{index}")}})).collect();
    let mut route = http_route(&format!("t{route}"), "r", rules_of(&matches));
    route["spec"]["hostnames"] = json!(["a.io", "b.io"]);
    vec![route]
}

fn hosts(route: usize) -> Vec<Value> {
    let mut object = http_route(&format!("t{route}"), "r", json!([{}]));
    object["spec"]["hostnames"] = (0..8).map(|host| format!("h{host}.t{route}.io")).collect();
    vec![object]
}

fn listener_sets(index: usize) -> Vec<Value> {
    set_of_64(index, "HTTP", |at| format!("h{at}.s{index}.io"))
}

fn sets_in_conflict(index: usize) -> Vec<Value> {
    set_of_64(index, if index.is_multiple_of(2) { "HTTP" } else { "HTTPS" }, |at| format!("h{at}.io"))
}

fn set_of_64(index: usize, protocol: &str, host: impl Fn(usize) -> String) -> Vec<Value> {
    let listener = |at| json!({"name": format!("l{at}"), "port": 80, "protocol": protocol, "hostname": host(at)});
    let listeners: Vec<_> = (0..64).map(listener).collect();
    let spec = json!({"parentRef": {"name": "g", "namespace": "n"}, "listeners": listeners});
    vec![gateway_api("ListenerSet", &format!("t{index}"), "s", spec)]
}

fn gateways(index: usize) -> Vec<Value> {
    vec![gateway_api("Gateway", &format!("t{index}"), "g", json!({"gatewayClassName": "ours", "listeners": listeners(64, 8000)}))]
}

/// Gateways with long names, then routes whose parents have nearly the same.
fn misspelt(index: usize) -> Vec<Value> {
    let name =
        |number: usize, ends: [char; 2]| format!("{}{}{number:02}{}", "a".repeat(120), ends[0], "b".repeat(120)) + &String::from(ends[1]);
    if index < 64 {
        return vec![gateway_api(
            "Gateway",
            "t",
            &name(index, ['c', 'd']),
            json!({"gatewayClassName": "ours", "listeners": listeners(1, 8000)}),
        )];
    }
    let parents: Vec<_> = (0..32).map(|number| json!({"name": name(number, ['x', 'y'])})).collect();
    vec![gateway_api("HTTPRoute", "t", &format!("r{index}"), json!({"parentRefs": parents, "rules": [{}]}))]
}

fn slices() -> String {
    let ports: Vec<_> = (1..=64).map(|port| json!({"name": format!("p{port}"), "port": port})).collect();
    let backends: Vec<_> = (1..=64).map(|port| json!({"name": "s", "port": port})).collect();
    let rules: Vec<_> = backends.chunks(16).map(|some| json!({ "backendRefs": some })).collect();
    let first = text(&[core("Service", "t", "s", json!({"spec": {"ports": ports}})), http_route("t", "r", json!(rules))]);
    let labels = json!({"kubernetes.io/service-name": "s"});
    let slice = |index: usize| {
        let endpoints: Vec<_> = (0..250).map(|at| json!({"addresses": [format!("10.{}.{}.{at}", 1 + index / 256, index % 256)]})).collect();
        vec![
            json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"namespace": "t", "name": format!("s{index}"), "labels": labels},
            "addressType": "IPv4", "ports": ports, "endpoints": endpoints}),
        ]
    };
    first + &fill(slice)
}

fn grants() -> String {
    let from: Vec<_> =
        (0..16).map(|index| json!({"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": format!("t{index}")})).collect();
    let grant = |index: usize| {
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "ReferenceGrant", "metadata": {"namespace": "s", "name": format!("g{index}")},
        "spec": {"from": from, "to": [{"group": "", "kind": "Service", "name": format!("other{index}")}]}})
    };
    let route = |index: usize| {
        let backends: Vec<_> = (0..16).map(|at| json!({"name": format!("x{at}"), "namespace": "s", "port": 80})).collect();
        let rules: Vec<_> = (0..16).map(|_| json!({ "backendRefs": backends })).collect();
        at_one_listener(http_route(&format!("t{}", index % 16), &format!("r{index}"), json!(rules)))
    };
    fill(|index| if index % 8 == 0 { vec![route(index)] } else { vec![grant(index)] })
}

fn services(index: usize) -> Vec<Value> {
    let (name, namespace) = (format!("s{index}"), format!("t{}", index % 10));
    let rules = json!([{"backendRefs": [{"name": name, "port": 80}]}]);
    vec![
        core("Service", &namespace, &name, json!({"spec": {"ports": [{"port": 80}]}})),
        at_one_listener(http_route(&namespace, &name, rules)),
    ]
}

fn ingress(index: usize, hosts: usize) -> Value {
    let path = json!({"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 80}}}});
    let rules: Vec<_> = (0..hosts).map(|host| json!({"host": format!("{host}.i{index}.io"), "http": {"paths": [path]}})).collect();
    let tls: Vec<_> = (0..hosts).map(|host| format!("{host}.i{index}.io")).collect();
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"namespace": format!("t{index}"), "name": "i"},
        "spec": {"ingressClassName": "web", "rules": rules, "tls": [{"hosts": tls, "secretName": "c"}]}})
}

fn ingress_paths(index: usize) -> Vec<Value> {
    let path = |at: usize| json!({"path": format!("/{index}/{at}"), "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 80}}}});
    let paths: Vec<_> = (0..100).map(path).collect();
    vec![json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"namespace": "t", "name": format!("i{index}")},
        "spec": {"ingressClassName": "web", "rules": [{"host": "h.io", "http": {"paths": paths}}]}})]
}

fn certificates(index: usize) -> Vec<Value> {
    let block = "-----BEGIN CERTIFICATE-----\nMIIBCgKCAQEA\n-----END CERTIFICATE-----\n".repeat(2_000);
    let (namespace, name) = (format!("t{index}"), "c");
    let data = json!({"stringData": {"tls.crt": block, "tls.key": block}, "type": "kubernetes.io/tls"});
    let tls = json!({"certificateRefs": [{"name": name}]});
    let listeners: Vec<_> =
        (0..64).map(|at| json!({"name": format!("l{at}"), "port": 8000 + at, "protocol": "HTTPS", "tls": tls})).collect();
    vec![
        core("Secret", &namespace, name, data),
        gateway_api("Gateway", &namespace, "g", json!({"gatewayClassName": "ours", "listeners": listeners})),
    ]
}

fn annotated(index: usize) -> Value {
    let mut route = http_route("t", &format!("r{index}"), json!([{}]));
    route["metadata"]["annotations"] =
        (0..5_000).map(|at| (format!("example.com/a{at}"), json!("x".repeat(30)))).collect::<serde_json::Map<_, _>>().into();
    route
}

fn with_unknown_fields(index: usize) -> Value {
    let fields: serde_json::Map<_, _> = (0..20_000).map(|at| (format!("{at}"), json!(0))).collect();
    at_one_listener(http_route("t", &format!("r{index}"), json!([{"matches": [{"path": fields}]}])))
}

fn with_bad_values(index: usize) -> Value {
    let listeners: Vec<_> = (0..2_000).map(|_| json!({"name": "", "port": 0, "protocol": "!", "hostname": "!"})).collect();
    gateway_api("Gateway", "t", &format!("g{index}"), json!({"gatewayClassName": "ours", "listeners": listeners}))
}

/// Gateways, and a route at each that is as large as the rest allows.
fn edits_everywhere() -> Vec<Value> {
    let listeners = listeners(1, 8000);
    let gateway =
        |index: usize| gateway_api("Gateway", "t", &format!("g{index}"), json!({"gatewayClassName": "ours", "listeners": listeners}));
    let set: Vec<_> = (0..16).map(|header| json!({"name": format!("x-{header}"), "value": "x".repeat(3_500)})).collect();
    let rules: Vec<_> =
        (0..16).map(|_| json!({"filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": set}}]})).collect();
    let parents: Vec<_> = (0..32).map(|index| json!({"name": format!("g{index}")})).collect();
    let route = gateway_api("HTTPRoute", "t", "r", json!({"parentRefs": parents, "rules": rules}));
    (0..32).map(gateway).chain([route]).collect()
}

/// One list that many others repeat.
fn aliases(_index: usize) -> String {
    format!("a: &a [{}]\nb: [{}]\n", vec!["0"; 1_000].join(","), vec!["*a"; 98].join(","))
}

fn laughs() -> String {
    let levels = (1..16).map(|level| format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", ")));
    format!("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n{}", levels.collect::<String>())
}
