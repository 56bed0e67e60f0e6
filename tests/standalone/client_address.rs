//! Who the client is, as backends are told: alike in every stage, and not to be spoofed.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use serde_json::{Value, json};

use super::client;
use super::rig::{Rig, free_port};

/// What a client claims, each time.
const CLAIMS: [(&str, &str); 9] = [
    ("X-Forwarded-For", "6.6.6.6"),
    ("x-forwarded-for", "192.0.2.9"),
    ("X-Real-IP", "6.6.6.6"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Port", "443"),
    ("X-Forwarded-Host", "bank.example"),
    ("Forwarded", "for=6.6.6.6;proto=https"),
    ("Forwarded", "for=\"unclosed"),
    ("X-Kakehi-Hop", "1"),
];

/// The fields that say who a client is.
const TOLD: [&str; 6] = ["x-forwarded-for", "x-real-ip", "x-forwarded-proto", "x-forwarded-port", "x-forwarded-host", "forwarded"];

/// A Gateway with an EdgeProfile of its own and a listener for `who.localhost`.
fn gateway(name: &str, port: u16, profile: &Value) -> Vec<Value> {
    let reference = json!({"group": "kakehi.dev", "kind": "EdgeProfile", "name": name});
    let meta = json!({"name": name, "namespace": "demo"});
    let listeners = json!([{"name": "http", "port": port, "protocol": "HTTP"}]);
    let spec = json!({"gatewayClassName": "kakehi", "infrastructure": {"parametersRef": reference}, "listeners": listeners});
    vec![
        json!({"apiVersion": "kakehi.dev/v1alpha1", "kind": "EdgeProfile", "metadata": meta, "spec": profile}),
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": meta, "spec": spec}),
    ]
}

fn route(gateways: &[&str]) -> Value {
    let parents: Vec<Value> = gateways.iter().map(|name| json!({"name": name})).collect();
    let rules = json!([{"backendRefs": [{"name": "blue", "port": 80}]}]);
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "who", "namespace": "demo"},
        "spec": {"parentRefs": parents, "hostnames": ["who.localhost"], "rules": rules},
    })
}

fn text(manifests: impl IntoIterator<Item = Value>) -> String {
    manifests.into_iter().map(|manifest| manifest.to_string()).collect::<Vec<_>>().join("\n---\n")
}

/// What the backend was told, by field; lines of one field are one list.
fn told(answer: &client::Answer) -> Value {
    let seen = answer.json();
    let of = |name: &str| -> Vec<String> {
        let pairs = seen["headers"].as_array().unwrap().iter();
        pairs.filter(|pair| pair[0] == name).map(|pair| pair[1].as_str().unwrap().to_owned()).collect()
    };
    assert!(of("x-kakehi-hop").is_empty(), "{seen}");
    TOLD.iter()
        .filter(|name| !of(name).is_empty())
        .map(|name| ((*name).to_owned(), json!(of(name).join(", "))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// The plan of a Gateway's edge.
fn plan(rig: &Rig, gateway: &str) -> String {
    rig.admin("/debug/plan").json()[format!("demo/{gateway}")].to_string()
}

fn ask(port: u16, claims: &[(&str, &str)], before: &[u8]) -> std::io::Result<client::Answer> {
    let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10)))?;
    stream.write_all(before)?;
    client::exchange(stream, "who.localhost", "/", claims)
}

/// Without configuration, Sōzu alone, the hop and the relay say the same: the connection's address is the last member of
/// X-Forwarded-For and all of X-Real-IP, scheme and port are the listener's, and nothing else is passed on.
#[test]
fn every_stage_says_the_same_and_is_not_spoofed() {
    let (hop, relay) = (free_port(), free_port());
    let rig = Rig::start(&[], |_, _| {});
    let gateways = [gateway("hop", hop, &json!({"forceHop": true})), gateway("relay", relay, &json!({"forceRelay": true}))];
    rig.write("who.yaml", &text(gateways.into_iter().flatten().chain([route(&["web", "hop", "relay"])])));
    for (stage, port) in [("native", rig.ports.http), ("hop", hop), ("relay", relay)] {
        rig.eventually(stage, || ask(port, &[], b"").is_ok_and(|answer| answer.status == 200));
        let plan = plan(&rig, if stage == "native" { "web" } else { stage });
        assert_eq!(plan.contains("everything is sent to the filter"), stage == "hop", "{stage}: {plan}");
        assert_eq!(plan.contains("every port is relayed"), stage == "relay", "{stage}: {plan}");
        for (claims, list) in [(&[][..], "127.0.0.1"), (&CLAIMS, "6.6.6.6, 192.0.2.9, 127.0.0.1")] {
            let expected = json!({
                "x-forwarded-for": list, "x-real-ip": "127.0.0.1", "x-forwarded-proto": "http", "x-forwarded-port": port.to_string(),
            });
            assert_eq!(told(&ask(port, claims, b"").unwrap()), expected, "{stage}");
        }
    }
    let tls = client::get_tls(
        (Ipv4Addr::LOCALHOST, rig.ports.https).into(),
        "one.localhost",
        &std::fs::read(rig.config().join("demo-ca.crt")).unwrap(),
    );
    let told = told(&tls.unwrap());
    assert_eq!((&told["x-forwarded-proto"], &told["x-forwarded-port"]), (&json!("https"), &json!(rig.ports.https.to_string())));
}

/// `clientAddress`: trusted networks, a number of proxies, the PROXY protocol of either version; changed in place.
#[test]
fn proxies_in_front_are_believed_as_the_profile_says() {
    let (nets, hops, proxied) = (free_port(), free_port(), free_port());
    let rig = Rig::start(&[], |_, _| {});
    let trusting = |networks: Value| gateway("nets", nets, &json!({"clientAddress": networks}));
    let gateways = || {
        let by_number = gateway("hops", hops, &json!({"clientAddress": {"trustedHops": 1}}));
        by_number.into_iter().chain(gateway(
            "proxied",
            proxied,
            &json!({"clientAddress": {"proxyProtocol": true, "trustedCIDRs": ["203.0.113.0/24"]}}),
        ))
    };
    let manifests = |networks: Value| text(trusting(networks).into_iter().chain(gateways()).chain([route(&["nets", "hops", "proxied"])]));
    rig.write("who.yaml", &manifests(json!({"trustedCIDRs": ["127.0.0.0/8", "192.0.2.0/24"]})));
    let v1 = |client: &str| format!("PROXY TCP4 {client} 127.0.0.1 40000 80\r\n").into_bytes();
    for (port, before) in [(nets, Vec::new()), (hops, Vec::new()), (proxied, v1("198.51.100.7"))] {
        rig.eventually("served", || ask(port, &[], &before).is_ok_and(|answer| answer.status == 200));
    }
    let seen = |port: u16, before: &[u8]| told(&ask(port, &CLAIMS, before).unwrap());
    let by_proxy = |list: &str, client: &str| {
        json!({
            "x-forwarded-for": list, "x-real-ip": client, "x-forwarded-proto": "https", "x-forwarded-port": "443",
            "x-forwarded-host": "bank.example",
        })
    };
    let by_nobody = |client: &str, port: u16| json!({"x-forwarded-for": client, "x-real-ip": client, "x-forwarded-proto": "http", "x-forwarded-port": port.to_string()});
    assert_eq!(seen(nets, b""), by_proxy("6.6.6.6, 192.0.2.9, 127.0.0.1", "6.6.6.6"));
    assert_eq!(seen(hops, b""), by_proxy("192.0.2.9, 127.0.0.1", "192.0.2.9"));

    // A load balancer of layer 4, as it is seen through a real Sōzu, in both versions of its protocol.
    let v2 = |client: [u8; 4]| [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &client, &[127, 0, 0, 1, 0x9c, 0x40, 0, 80]].concat();
    for before in [v1("198.51.100.7"), v2([198, 51, 100, 7])] {
        assert_eq!(seen(proxied, &before), by_nobody("198.51.100.7", proxied));
    }
    assert_eq!(seen(proxied, &v1("203.0.113.1")), by_proxy("192.0.2.9, 203.0.113.1", "192.0.2.9"));
    assert_eq!(seen(proxied, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"), by_nobody("127.0.0.1", proxied), "a health check of its own");
    assert!(ask(proxied, &CLAIMS, b"").is_err(), "a connection without the header gets no answer");
    assert!(ask(proxied, &CLAIMS, b"PROXY TCP4 nobody 127.0.0.1 1 2\r\n").is_err());

    rig.write("who.yaml", &manifests(json!({})));
    rig.eventually("nobody is trusted any more", || seen(nets, b"") == by_nobody("127.0.0.1", nets));
    let plan = plan(&rig, "nets");
    assert!(plan.contains("client address by trusted proxies"), "{plan}");
}

/// Fields of clients that backends take for a proxy's.
const CLAIMED: [(&str, &str); 5] = [
    ("X_Real_IP", "6.6.6.6"),
    ("x-forwarded_proto", "ftp"),
    ("X-Forwarded-Prefix", "/x"),
    ("X-Original-URL", "/admin"),
    ("X_Kakehi_Hop", "1"),
];

/// `claimedFields` is for backends that rely on such fields. The edge's own words stay true, and the setting works on a port that
/// is open, also where Sōzu reads it and no request leaves it.
#[test]
fn claimed_fields_pass_where_the_profile_says_so() {
    let (native, hop, relay) = (free_port(), free_port(), free_port());
    let rig = Rig::start(&[], |_, _| {});
    let give = |claimed: &str| {
        let profiles = [("native", native, "forceHop", false), ("hop", hop, "forceHop", true), ("relay", relay, "forceRelay", true)];
        let gateways = profiles.map(|(name, port, field, value)| gateway(name, port, &json!({field: value, "claimedFields": claimed})));
        rig.write("who.yaml", &text(gateways.into_iter().flatten().chain([route(&["native", "hop", "relay"])])));
    };
    let passed = |port: u16| {
        let seen = ask(port, &CLAIMED, b"").ok().filter(|answer| answer.status == 200)?.json();
        let pairs = seen["headers"].as_array()?.clone();
        assert!(pairs.iter().all(|pair| pair[0] != "x-real-ip" || pair[1] == "127.0.0.1"), "{seen}");
        let passed = CLAIMED.map(|(name, _)| name.to_lowercase()).into_iter().filter(|name| pairs.iter().any(|pair| pair[0] == *name));
        Some(passed.collect::<Vec<_>>())
    };
    let all = ["x_real_ip", "x-forwarded_proto", "x-forwarded-prefix", "x-original-url"].map(str::to_owned).to_vec();
    for (claimed, expected) in [("Drop", Vec::new()), ("Keep", all.clone()), ("Drop", Vec::new())] {
        give(claimed);
        for (stage, port) in [("native", native), ("hop", hop), ("relay", relay)] {
            let expected =
                if stage == "native" && claimed == "Keep" { [&all[..], &["x_kakehi_hop".to_owned()]].concat() } else { expected.clone() };
            rig.eventually(&format!("{stage}, {claimed}"), || passed(port).as_ref() == Some(&expected));
        }
    }
}
