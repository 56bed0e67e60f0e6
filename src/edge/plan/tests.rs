//! The plan against the meaning of the snapshot, on Sōzu's router as measured; and why ports are relayed.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::native::{NativeRule, judge};
use super::{Options, Planner, PortId, PortKind, Reason, RelayReason, Stage, Target};
use crate::edge::testing::generate;
use crate::edge::testing::naive::{self, Request};
use crate::edge::testing::router::Router;
use crate::model::{
    Action, Allowed, Attachment, Backend, BackendId, BackendProtocol, BackendRef, BackendTarget, Certificate, CertificateId, ClientAddress,
    Cors, Filter, Hostname, Kind, Listener, ListenerName, ObjectId, PathForm, PathMatch, PrivateKey, Protocol, Route, Rule, Trusted,
    Tuning,
};
use crate::snapshot::{Key, Resource, Snapshot};

fn plan(snapshot: &Snapshot) -> Target {
    let mut planner = Planner::new(Options::default());
    planner.apply(&snapshot.as_delta());
    planner.target().clone()
}

/// The filter decides right by definition; what Sōzu decides alone must be the same.
fn agree(snapshot: &Snapshot, router: &Router, request: &Request) -> Result<(), TestCaseError> {
    let wanted = naive::decide(snapshot, request);
    match router.route(request) {
        Some(Stage::Hop(_)) => {}
        None => prop_assert!(wanted.is_none(), "Sōzu answers 404 to {request:?}, but {wanted:?} takes it"),
        Some(Stage::Native { backend, .. }) => {
            let protocol = |id: &_| match snapshot.get(&Key::Backend(Clone::clone(id))).map(|resource| &**resource) {
                Some(Resource::Backend(backend)) => backend.protocol,
                _ => BackendProtocol::Http,
            };
            let native: Option<NativeRule> = wanted.as_ref().and_then(|(_, rule)| judge(rule, protocol).ok());
            prop_assert_eq!(Some(backend), native.as_ref().map(|rule| &rule.backend), "{:?} belongs to {:?}", request, wanted);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_sozu_decides_alone_is_what_the_snapshot_means(
        snapshot in generate::snapshot(),
        requests in prop::collection::vec(generate::request(), 60),
    ) {
        let router = Router::of(&plan(&snapshot));
        for request in &requests {
            agree(&snapshot, &router, request)?;
        }
    }

    #[test]
    fn following_changes_equals_planning_from_scratch(snapshots in prop::collection::vec(generate::snapshot(), 1..5)) {
        let mut planner = Planner::new(Options::default());
        for snapshot in &snapshots {
            let delta = planner.snapshot().diff(snapshot);
            planner.apply(&delta);
            prop_assert_eq!(planner.target(), &plan(snapshot));
        }
    }

    #[test]
    fn forced_everything_goes_to_the_filter(snapshot in generate::snapshot(), requests in prop::collection::vec(generate::request(), 30)) {
        let mut planner = Planner::new(Options { force_hop: true, ..Options::default() });
        planner.apply(&snapshot.as_delta());
        let router = Router::of(planner.target());
        for request in &requests {
            match router.route(request) {
                None => prop_assert!(naive::decide(&snapshot, request).is_none()),
                Some(stage) => prop_assert!(matches!(stage, Stage::Hop(_))),
            }
        }
    }
}

const NUMBER: u16 = 443;

/// An HTTPS listener and its certificates, each with its names.
fn listener(name: &str, hostname: &str, certificates: &[(&str, &[&str])]) -> Vec<Resource> {
    let id = |secret: &str| CertificateId { namespace: "n".to_owned(), name: secret.to_owned() };
    let held = certificates.iter().map(|(secret, names)| {
        Resource::Certificate(Certificate {
            id: id(secret),
            chain: Vec::new(),
            key: PrivateKey::new(""),
            names: names.iter().map(ToString::to_string).collect(),
            fingerprint: (*secret).to_owned(),
            not_after: i64::MAX,
        })
    });
    let listener = Listener {
        name: ListenerName(name.to_owned()),
        port: NUMBER,
        protocol: Protocol::Https,
        hostname: Hostname::parse(hostname).unwrap(),
        certificates: certificates.iter().map(|(secret, _)| id(secret)).collect(),
        certificates_by_name: false,
        tuning: Tuning::default(),
    };
    std::iter::once(Resource::Listener(listener)).chain(held).collect()
}

/// A listener for one host, with something else about it.
fn one_host(change: impl FnOnce(&mut Listener)) -> Vec<Resource> {
    let mut resources = listener("one", "one.example", &[("one", &["one.example"])]);
    let Resource::Listener(listener) = &mut resources[0] else { unreachable!() };
    change(listener);
    resources
}

/// A route to a backend on a listener, for a host of it.
fn routed(mut resources: Vec<Resource>, kind: Kind, host: &str, protocol: BackendProtocol) -> Vec<Resource> {
    let Resource::Listener(listener) = &resources[0] else { unreachable!() };
    let hostname = Hostname::parse(host).unwrap();
    let id = BackendId { namespace: "n".to_owned(), service: "s".to_owned(), port: 80 };
    let reference = BackendRef { weight: 1, target: BackendTarget::Service(id.clone()), filters: Vec::new() };
    let mut rule = Rule::for_path(hostname.clone(), PathMatch::Prefix("/".to_owned()), Action::Forward(vec![reference]));
    rule.host = None;
    let attachments = vec![Attachment { listener: listener.name.clone(), hostnames: vec![(hostname.clone(), hostname)] }];
    resources.push(Resource::Route(Route {
        id: ObjectId::new(kind, "n", "r"),
        created: 0,
        file: None,
        attachments,
        rules: vec![rule],
        written: Vec::new(),
    }));
    resources.push(Resource::Backend(Backend::new(id, protocol, Vec::new())));
    resources
}

/// Where the requests of a rule for one method go natively, its CORS preflight goes to the filter, also where another rule has
/// the path.
#[test]
fn the_preflight_for_a_rule_with_a_method_goes_to_the_filter() {
    let plain = one_host(|listener| (listener.protocol, listener.certificates) = (Protocol::Http, Vec::new()));
    let mut resources = routed(plain, Kind::HttpRoute, "one.example", BackendProtocol::Http);
    let preflights = |resources: &[Resource]| {
        let router = Router::of(&plan(&Snapshot::from_resources(resources.to_vec())));
        let (host, target, method) = ["one.example", "/", "OPTIONS"].map(str::to_owned).into();
        let request = Request { port: NUMBER, host, target, method, conditions: true, call: false };
        matches!(router.route(&request), Some(Stage::Hop(_)))
    };
    assert!(!preflights(&resources));
    let Some(Resource::Route(route)) = resources.iter_mut().find(|resource| matches!(resource, Resource::Route(_))) else { unreachable!() };
    let mut across = route.rules[0].clone();
    across.matches[0].method = Some("PUT".to_owned());
    let all = || Allowed::All;
    let (methods, headers, exposed) = (all(), all(), all());
    across.filters.push(Filter::Cors(Cors { origins: Allowed::All, credentials: false, methods, headers, exposed, max_age: 5 }));
    route.rules.insert(0, across);
    assert!(preflights(&resources));
}

fn trusting(trusted: Trusted, proxy_protocol: bool) -> Vec<Resource> {
    one_host(|listener| listener.tuning.client_address = Some(ClientAddress { trusted, proxy_protocol }))
}

/// What is on the port, and why it is relayed; none: Sōzu reads it.
fn relays() -> Vec<(&'static str, Vec<Resource>, Option<RelayReason>)> {
    let wild = |names: &[&str]| listener("wild", "*.wild.example", &[("wild", names)]);
    let two = |first: Vec<Resource>, second: Vec<Resource>| first.into_iter().chain(second).collect::<Vec<_>>();
    let by_name = || {
        let mut resources = listener("any", "*", &[("one", &["one.example"]), ("two", &["two.example"])]);
        let Resource::Listener(listener) = &mut resources[0] else { unreachable!() };
        listener.certificates_by_name = true;
        resources
    };
    let plain = |kind, protocol| {
        let listener = one_host(|listener| (listener.protocol, listener.certificates) = (Protocol::Http, Vec::new()));
        routed(listener, kind, "one.example", protocol)
    };
    vec![
        ("one host", one_host(|_| ()), None),
        ("forced", one_host(|listener| listener.tuning.force_relay = true), Some(RelayReason::Forced)),
        ("PROXY protocol", trusting(Trusted::default(), true), Some(RelayReason::ProxyProtocol)),
        ("PROXY protocol and trusted proxies", trusting(Trusted::Hops(1), true), Some(RelayReason::ProxyProtocol)),
        ("nobody is trusted", trusting(Trusted::default(), false), Some(RelayReason::ClientAddress)),
        ("trusted proxies", trusting(Trusted::Hops(1), false), Some(RelayReason::ClientAddress)),
        ("strict", one_host(|listener| listener.tuning.strict = true), Some(RelayReason::Strict)),
        ("paths", one_host(|listener| listener.tuning.paths = PathForm::Reject), Some(RelayReason::Paths)),
        ("a greatest age", one_host(|listener| listener.tuning.max_age_seconds = Some(600)), Some(RelayReason::MaxAge)),
        ("h2c", routed(one_host(|_| ()), Kind::HttpRoute, "one.example", BackendProtocol::H2c), Some(RelayReason::Http2)),
        ("h2c without TLS", plain(Kind::HttpRoute, BackendProtocol::H2c), Some(RelayReason::Http2)),
        ("HTTP/1.1 without TLS", plain(Kind::HttpRoute, BackendProtocol::Http), None),
        ("GRPCRoute", routed(one_host(|_| ()), Kind::GrpcRoute, "one.example", BackendProtocol::Http), Some(RelayReason::Grpc)),
        ("GRPCRoute without TLS", plain(Kind::GrpcRoute, BackendProtocol::Http), Some(RelayReason::Grpc)),
        ("no hostname", listener("any", "*", &[("any", &["any.example"])]), Some(RelayReason::NoHostname)),
        ("no hostname and no certificate", listener("any", "*", &[]), None),
        ("no hostname, certificates by name", by_name(), None),
        (
            "two certificates",
            listener("one", "one.example", &[("ecdsa", &["one.example"]), ("rsa", &["one.example"])]),
            Some(RelayReason::SeveralCertificates),
        ),
        ("a wildcard", wild(&["*.wild.example"]), None),
        ("a certificate below a wildcard", wild(&["*.wild.example", "a.b.wild.example"]), Some(RelayReason::WildcardDepth)),
        (
            "a host below a wildcard",
            routed(wild(&["*.wild.example"]), Kind::HttpRoute, "a.b.wild.example", BackendProtocol::Http),
            Some(RelayReason::WildcardDepth),
        ),
        ("a host of one label", routed(wild(&["*.wild.example"]), Kind::HttpRoute, "a.wild.example", BackendProtocol::Http), None),
        (
            "nested hostnames",
            two(wild(&["*.wild.example"]), listener("in", "in.wild.example", &[("in", &["in.wild.example"])])),
            Some(RelayReason::NestedHostnames),
        ),
        ("hostnames apart", two(wild(&["*.wild.example"]), one_host(|_| ())), None),
        (
            "a certificate for two listeners",
            two(listener("two", "two.example", &[("two", &["two.example", "one.example"])]), one_host(|_| ())),
            Some(RelayReason::SharedCertificate),
        ),
        (
            "one certificate twice",
            two(listener("two", "two.example", &[("one", &["one.example"])]), one_host(|_| ())),
            Some(RelayReason::SharedCertificate),
        ),
    ]
}

#[test]
fn every_reason_to_relay_has_a_port() {
    let relayed = |resources: Vec<Resource>, options: Options| {
        let mut planner = Planner::new(options);
        planner.apply(&Snapshot::from_resources(resources).as_delta());
        planner.target().relays.get(&PortId { number: NUMBER, kind: PortKind::Relay }).cloned()
    };
    let mut met = BTreeSet::new();
    for (what, resources, reason) in relays() {
        assert_eq!(relayed(resources, Options::default()), reason, "{what}");
        met.extend(reason);
    }
    // A reason that is added here is to be added above.
    let known = |reason: &RelayReason| match reason {
        RelayReason::Forced | RelayReason::ProxyProtocol | RelayReason::ClientAddress | RelayReason::Http2 | RelayReason::Grpc => true,
        RelayReason::NoHostname | RelayReason::NestedHostnames | RelayReason::SharedCertificate => true,
        RelayReason::SeveralCertificates | RelayReason::WildcardDepth | RelayReason::MaxAge | RelayReason::Strict | RelayReason::Paths => {
            true
        }
    };
    assert_eq!(met.iter().filter(|reason| known(reason)).count(), 13, "{met:?}");
    assert_eq!(relayed(one_host(|_| ()), Options { force_relay: true, ..Options::default() }), Some(RelayReason::Forced));
}

/// Where certificates are shown by name, hosts without one go to the filter, which refuses them; so does what is for every host.
#[test]
fn hosts_without_a_certificate_are_not_sozu_s_to_answer() {
    let snapshot = |names: &[&str], namespace: &str| {
        let mut resources = listener("web", "*", &[("one", names)]);
        let Resource::Listener(listener) = &mut resources[0] else { unreachable!() };
        listener.certificates_by_name = true;
        let hosts =
            ["one.example", "a.wild.example", "*.wild.example", "*"].map(|host| Hostname::parse_ingress(host).unwrap_or(Hostname::Any));
        for (number, hostname) in hosts.into_iter().enumerate() {
            let mut made = routed(resources.split_off(0), Kind::Ingress, "one.example", BackendProtocol::Http);
            let Some(Resource::Route(route)) =
                made.iter_mut().find(|resource| matches!(resource, Resource::Route(of) if of.id.name == "r"))
            else {
                unreachable!()
            };
            route.id = ObjectId::new(Kind::Ingress, namespace, format!("r{number}"));
            route.attachments[0].hostnames = vec![(hostname.clone(), hostname)];
            resources = made;
        }
        Snapshot::from_resources(resources)
    };
    let stages = |target: &Target| {
        let router = Router::of(target);
        ["one.example", "a.wild.example", "b.wild.example", "other.example"].map(|host| {
            let (host, target, method) = [host, "/", "GET"].map(str::to_owned).into();
            match router.route(&Request { port: NUMBER, host, target, method, conditions: true, call: false }) {
                Some(Stage::Native { .. }) => "native",
                Some(Stage::Hop(Reason::NoCertificate)) => "refused",
                _ => "other",
            }
        })
    };
    let mut planner = Planner::new(Options::default());
    for (names, namespace, expected) in [
        (&["one.example"][..], "n", ["native", "refused", "refused", "refused"]),
        (&["one.example", "a.wild.example"], "n", ["native", "native", "refused", "refused"]),
        (&["*.wild.example"], "n", ["refused", "native", "native", "refused"]),
        // A certificate of another namespace is not its.
        (&["*.wild.example", "one.example"], "m", ["refused", "refused", "refused", "refused"]),
        (&["*.wild.example", "one.example"], "n", ["native", "native", "native", "refused"]),
        (&[], "n", ["refused", "refused", "refused", "refused"]),
    ] {
        let next = snapshot(names, namespace);
        let delta = planner.snapshot().diff(&next);
        planner.apply(&delta);
        assert_eq!(stages(planner.target()), expected, "{names:?} {namespace}");
        assert_eq!(planner.target(), &plan(&next), "{names:?} {namespace}");
        assert_eq!((planner.target().named.len(), planner.target().relayed.len()), (1, 0));
    }
}
