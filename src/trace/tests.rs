//! One winner: of a trace, of the filter's table, and of the naive meaning.

use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::{Answer, Progress, Request, RequestError, Stage, Standing, Why, trace};
use crate::edge::plan::Options;
use crate::edge::testing::{generate, naive};
use crate::filter::router::{Decision, Head, Table};
use crate::model::{
    Action, Affinity, Attachment, Backend, BackendId, BackendProtocol, BackendRef, BackendTarget, Certificate, CertificateId, Endpoint,
    Hostname, Kind, Listener, ListenerName, Match, ObjectId, PathForm, PathMatch, PrivateKey, Protocol, Route, Rule, Tuning,
};
use crate::snapshot::wire::{Ack, Refusal, Stamp};
use crate::snapshot::{Key, Resource, Snapshot};

fn request(of: &naive::Request) -> Request {
    let mut headers = HeaderMap::new();
    if of.conditions {
        headers.insert("x", HeaderValue::from_static("1"));
    }
    if of.call {
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    }
    Request {
        protocol: Protocol::Http,
        port: of.port,
        host: of.host.clone(),
        server_name: Some(of.host.clone()),
        method: of.method.clone(),
        target: of.target.clone(),
        headers,
    }
}

/// (route, rule) that the table chooses.
fn of_table(snapshot: &Snapshot, request: &Request) -> Option<(ObjectId, usize)> {
    let table = Table::from_snapshot(snapshot);
    let Request { port, host, method, target, headers, .. } = request;
    match table.decide(&Head { port: *port, host, method, target, headers }) {
        Decision::NotFound | Decision::Misdirected => None,
        Decision::Answer(found, _) | Decision::Redirect(found, _) | Decision::Forward(found, _) => {
            Some((found.rule.route.clone(), found.rule.index))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_trace_s_winner_is_the_filter_s_and_the_naive_one(
        snapshot in generate::snapshot(),
        requests in prop::collection::vec(generate::request(), 12),
    ) {
        for of in &requests {
            let request = request(of);
            let trace = trace(&snapshot, Options::default(), &request);
            let winners: Vec<_> = trace.candidates.iter().filter(|candidate| candidate.losses.is_empty()).collect();
            prop_assert!(winners.len() <= 1, "{trace}");
            prop_assert_eq!(trace.winner.as_ref().map(|winner| &winner.field), winners.first().map(|winner| &winner.field));
            let winner = winners.first().map(|winner| (winner.route.clone(), winner.rule));
            prop_assert_eq!(&winner, &of_table(&snapshot, &request), "{}", trace);
            let naive = naive::decide(&snapshot, of);
            let rule = winners.first().and_then(|winner| winner.rule_in(&snapshot));
            prop_assert_eq!(winner.map(|(route, _)| Key::Route(route)), naive.as_ref().map(|(key, _)| key.clone()));
            prop_assert_eq!(rule, naive.as_ref().map(|(_, rule)| rule));
            prop_assert!(winners.is_empty() == matches!(trace.answer, Answer::Status { status: 404, .. } | Answer::Unreachable { .. }), "{trace}");
            if let (Stage::Native { entry: Some(entry) }, Answer::Forward { shares }) = (&trace.stage, &trace.answer) {
                prop_assert_eq!(shares.len(), 1);
                let backend = shares[0].backend.as_ref().map(ToString::to_string);
                prop_assert_eq!(Some(&entry.to), backend.as_ref());
            }
            if matches!(trace.stage, Stage::Native { entry: Some(_) }) {
                prop_assert!(matches!(trace.answer, Answer::Forward { .. }), "{}", trace);
            }
        }
    }
}

#[test]
fn requests_are_read_as_curl_would_send_them() {
    let parse = |url: &str, lines: &[&str]| Request::parse(url, "GET", &lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>());
    let plain = parse("http://A.example:8080/x?y#z", &[]).unwrap();
    assert_eq!((plain.protocol, plain.port, plain.host.as_str(), plain.target.as_str()), (Protocol::Http, 8080, "a.example", "/x?y"));
    let other = parse("https://a.example", &["Host: B.example:8443", "X-A: 1", "x-a: 2"]).unwrap();
    assert_eq!(
        (other.port, other.host.as_str(), other.server_name.as_deref(), other.target.as_str()),
        (443, "b.example", Some("a.example"), "/")
    );
    assert_eq!(other.headers.get_all("x-a").iter().count(), 2);
    for bad in ["a.example/", "ftp://a/", "http://u@a/", "/x", "http://", ""] {
        assert_eq!(parse(bad, &[]), Err(RequestError::Url(bad.to_owned())));
    }
    assert_eq!(parse("http://a/", &["x"]), Err(RequestError::Header("x".to_owned())));
    assert_eq!(Request::parse("http://a/", "G T", &[]), Err(RequestError::Method("G T".to_owned())));
}

fn listener(name: &str, hostname: &str) -> Resource {
    Resource::Listener(Listener {
        name: ListenerName(name.to_owned()),
        port: 443,
        protocol: Protocol::Https,
        hostname: if hostname.is_empty() { Hostname::Any } else { Hostname::parse(hostname).unwrap() },
        certificates: vec![CertificateId { namespace: "n".to_owned(), name: name.to_owned() }],
        certificates_by_name: false,
        tuning: Default::default(),
    })
}

/// As `filter::relay` serves them: `tests/oracle` holds both to one meaning.
#[test]
fn clients_without_a_server_name_belong_to_the_listener_without_hostname() {
    let (named, any) = (listener("named", "a.example"), listener("any", ""));
    let nameless = |listeners: &[&Resource], host: &str| {
        let mut request = Request::parse(&format!("https://{host}/"), "GET", &[]).unwrap();
        request.server_name = None;
        let options = Options { force_relay: true, ..Options::default() };
        let found = trace(&Snapshot::from_resources(listeners.iter().copied().cloned()), options, &request);
        (found.certificates.unwrap().iter().map(|id| id.name.clone()).collect::<Vec<_>>().join(" "), found.answer)
    };
    let status = |status, why| Answer::Status { status, why };
    assert_eq!(nameless(&[&named, &any], "b.example"), ("any".to_owned(), status(404, Why::NoRule)));
    assert_eq!(nameless(&[&named, &any], "a.example"), ("any".to_owned(), status(421, Why::Misdirected)));
    assert_eq!(nameless(&[&named], "a.example"), ("named".to_owned(), status(404, Why::NoRule)), "the only one there is");
    let other = listener("other", "b.example");
    assert_eq!(nameless(&[&named, &other], "a.example"), (String::new(), Answer::Closed { why: Why::NoServerName }));
}

#[test]
fn a_path_is_read_in_the_form_that_the_port_wants() {
    let Resource::Listener(https) = listener("any", "") else { unreachable!() };
    let asked = |paths| {
        let tuning = Tuning { paths, ..Tuning::default() };
        let plain = Listener { port: 80, protocol: Protocol::Http, certificates: Vec::new(), tuning, ..https.clone() };
        let request = Request::parse("http://a.example/x/../y", "GET", &[]).unwrap();
        trace(&Snapshot::from_resources([Resource::Listener(plain)]), Options::default(), &request)
    };
    assert_eq!(asked(PathForm::Reject).answer, Answer::Status { status: 400, why: Why::AmbiguousPath });
    for form in [PathForm::Keep, PathForm::Normalize] {
        assert_eq!(asked(form).answer, Answer::Status { status: 404, why: Why::NoRule });
        assert_eq!(matches!(asked(form).stage, Stage::Relay { .. }), form == PathForm::Normalize);
    }
}

/// An Ingress's certificate is for the hosts that it is offered for, whichever stage ends TLS.
#[test]
fn certificates_by_name_carry_their_own_hosts() {
    let certificate = |name: &str, names: &[&str]| {
        Resource::Certificate(Certificate {
            id: CertificateId { namespace: "n".to_owned(), name: name.to_owned() },
            chain: Vec::new(),
            key: PrivateKey::new(""),
            names: names.iter().map(ToString::to_string).collect(),
            fingerprint: name.to_owned(),
            not_after: i64::MAX,
        })
    };
    let Resource::Listener(listener) = listener("shop", "") else { unreachable!() };
    let certificates =
        listener.certificates.iter().cloned().chain([CertificateId { namespace: "n".into(), name: "bank".into() }]).collect();
    let listener = Listener { certificates, certificates_by_name: true, ..listener };
    let resources = [
        Resource::Listener(listener),
        certificate("shop", &["shop.example", "*.wild.example"]),
        certificate("bank", &["bank.example", "own.wild.example"]),
    ];
    let snapshot = Snapshot::from_resources(resources);
    let met = |server_name: Option<&str>, host: &str, force_relay: bool| {
        let mut request = Request::parse(&format!("https://{host}/"), "GET", &[]).unwrap();
        request.server_name = server_name.map(str::to_owned);
        let found = trace(&snapshot, Options { force_relay, ..Options::default() }, &request);
        let shown = found.certificates.unwrap().iter().map(|id| id.name.clone()).collect::<Vec<_>>().join(" ");
        match found.answer {
            Answer::Status { status, .. } => format!("{shown} {status}"),
            Answer::Closed { why } => format!("{shown} closed: {why:?}"),
            other => format!("{shown} {other:?}"),
        }
    };
    for (server_name, host, expected) in [
        (Some("shop.example"), "shop.example", "shop 404"),
        (Some("shop.example"), "a.wild.example", "shop 404"),
        (Some("own.wild.example"), "bank.example", "bank 404"),
        (Some("shop.example"), "bank.example", "shop 421"),
        (Some("bank.example"), "b.wild.example", "bank 421"),
        (None, "shop.example", " closed: NoServerName"),
    ] {
        for force_relay in [false, true] {
            assert_eq!(met(server_name, host, force_relay), expected, "{host} by way of {server_name:?}, relayed: {force_relay}");
        }
    }
    // Sōzu has a certificate of its own to show, and 404 for what no rule is for.
    assert_eq!(met(Some("strange.example"), "strange.example", false), " 404");
    assert_eq!(met(Some("strange.example"), "strange.example", true), " closed: NoCertificate");
}

#[test]
fn what_the_edge_said_stands_beside_what_a_trace_rests_on() {
    let resources = [listener("a", "a.example"), listener("b", "b.example")];
    let snapshot = Snapshot::from_resources(resources.iter().cloned());
    let said = |host: &str, progress: &Progress| {
        let request = Request::parse(&format!("https://{host}/"), "GET", &[]).unwrap();
        trace(&snapshot, Options::default(), &request).with(progress).acknowledged.remove(0).state
    };
    let refusal = Refusal { key: resources[0].key(), reason: "no".to_owned() };
    let progress = Progress { acknowledged: Some(Ack { stamp: Stamp::default(), refused: vec![refusal] }), pending: Vec::new() };
    assert_eq!(said("a.example", &progress), Standing::Refused { reason: "no".to_owned() });
    assert_eq!(said("b.example", &progress), Standing::Acknowledged);
    let changed = Progress { pending: vec![resources[0].key()], ..progress };
    assert_eq!(said("a.example", &changed), Standing::Pending, "it refused the form before");
}

/// A listener `a`, whose one rule leads to a backend of such an affinity.
fn forwarded(affinity: Affinity) -> Snapshot {
    let id = BackendId { namespace: "n".to_owned(), service: "s".to_owned(), port: 80 };
    let target = BackendTarget::Service(id.clone());
    let action = Action::Forward(vec![BackendRef { weight: 1, target, filters: Vec::new() }]);
    let matches = vec![Match { path: PathMatch::Prefix("/".to_owned()), method: None, headers: Vec::new(), query: Vec::new() }];
    let rule = Rule { name: None, host: None, fallback: false, matches, filters: Vec::new(), action };
    let attachment = Attachment { listener: ListenerName("a".to_owned()), hostnames: vec![(Hostname::Any, Hostname::Any)] };
    let route = Route {
        id: ObjectId::new(Kind::HttpRoute, "n", "r"),
        created: 0,
        file: None,
        attachments: vec![attachment],
        rules: vec![rule],
        written: Vec::new(),
    };
    let endpoints = vec![Endpoint { ip: [10, 0, 0, 1].into(), port: 1 }, Endpoint { ip: [10, 0, 0, 2].into(), port: 1 }];
    let backend = Backend { affinity, ..Backend::new(id, BackendProtocol::Http, endpoints) };
    Snapshot::from_resources([listener("a", ""), Resource::Route(route), Resource::Backend(backend)])
}

#[test]
fn session_affinity_is_told_in_text_and_in_json() {
    let request = Request::parse("https://a.example/", "GET", &[]).unwrap();
    let told = |affinity| {
        let trace = trace(&forwarded(affinity), Options::default(), &request);
        let json = serde_json::to_value(&trace).unwrap()["answer"]["forward"]["shares"][0]["affinity"].clone();
        let line = trace.to_string().lines().find(|line| line.contains("Service n/s:80")).unwrap().trim().to_owned();
        (json, line)
    };
    let line = "weight 1 of 1: Service n/s:80 over HTTP/1.1 at 10.0.0.1:1, 10.0.0.2:1";
    assert_eq!(told(Affinity::None), (serde_json::Value::Null, line.to_owned()));
    let line = format!("{line}; each client address has one of them (sessionAffinity: ClientIP)");
    assert_eq!(told(Affinity::ClientIp), ("clientIp".into(), line));
}
