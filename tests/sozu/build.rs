//! Snapshots in few words.

use kakehi::model::{
    Action, Attachment, Backend, BackendId, BackendProtocol, BackendRef, BackendTarget, Endpoint, Filter, Hostname, Kind, Listener,
    ListenerName, Match, ObjectId, PathMatch, Protocol, Redirect, Route, Rule,
};
use kakehi::snapshot::Resource;

pub fn listener(name: &str, port: u16, hostname: &str) -> Resource {
    Resource::Listener(Listener {
        name: ListenerName(name.to_owned()),
        port,
        protocol: Protocol::Http,
        hostname: Hostname::parse(hostname).unwrap(),
        certificates: Vec::new(),
        certificates_by_name: false,
        tuning: Default::default(),
    })
}

pub fn backend_id(name: &str) -> BackendId {
    BackendId { namespace: "test".to_owned(), service: name.to_owned(), port: 80 }
}

pub fn backend(name: &str, ports: &[u16]) -> Resource {
    let endpoints = ports.iter().map(|port| Endpoint { ip: [127, 0, 0, 1].into(), port: *port }).collect();
    Resource::Backend(Backend::new(backend_id(name), BackendProtocol::Http, endpoints))
}

pub fn route_id(name: &str) -> ObjectId {
    ObjectId::new(Kind::HttpRoute, "test", name)
}

/// A route on one listener: (declared, effective) hosts are the same.
pub fn route(name: &str, listener: &str, hosts: &[&str], rules: Vec<Rule>) -> Resource {
    let pairs = hosts.iter().map(|host| (Hostname::parse(host).unwrap(), Hostname::parse(host).unwrap())).collect();
    Resource::Route(Route {
        id: route_id(name),
        created: 0,
        file: None,
        attachments: vec![Attachment { listener: ListenerName(listener.to_owned()), hostnames: pairs }],
        rules,
        written: Vec::new(),
    })
}

pub fn prefix(path: &str) -> Match {
    Match { path: PathMatch::Prefix(path.to_owned()), method: None, headers: Vec::new(), query: Vec::new() }
}

pub fn exact(path: &str) -> Match {
    Match { path: PathMatch::Exact(path.to_owned()), ..prefix("/") }
}

pub fn method(matched: Match, method: &str) -> Match {
    Match { method: Some(method.to_owned()), ..matched }
}

pub fn to(backend: &str) -> BackendRef {
    BackendRef { weight: 1, target: BackendTarget::Service(backend_id(backend)), filters: Vec::new() }
}

pub fn rule(matched: Match, backend: &str) -> Rule {
    Rule {
        name: None,
        host: None,
        fallback: false,
        matches: vec![matched],
        filters: Vec::new(),
        action: Action::Forward(vec![to(backend)]),
    }
}

pub fn filtered(matched: Match, backend: &str, filters: Vec<Filter>) -> Rule {
    Rule { filters, ..rule(matched, backend) }
}

pub fn redirect(matched: Match) -> Rule {
    let redirect = Redirect { scheme: None, hostname: None, port: None, path: None, status: 302 };
    Rule { name: None, host: None, fallback: false, matches: vec![matched], filters: Vec::new(), action: Action::Redirect(redirect) }
}
