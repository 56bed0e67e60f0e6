//! Parameters of GatewayClasses, Gateways and IngressClasses: EdgeProfiles.

use std::sync::Arc;

use crate::api::edge_profile::WorkloadKind;
use crate::api::{ClaimedFields, EdgeProfileSpec, PathNormalization};
use crate::model::{ClientAddress, EdgeId, Kind, ObjectId, PathForm, Trusted, Tuning};
use crate::report::{Issue, ProfileProblem};
use crate::translate::facts::{Body, GatewayFacts, ObjectRef};
use crate::translate::reader::Reader;
use crate::translate::{OwnPods, Settings};

const GROUP: &str = "kakehi.dev";

/// A GatewayClass of ours with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct JudgedClass {
    /// What its Gateways begin with.
    profile: Arc<EdgeProfileSpec>,
    pub(crate) issues: Vec<Issue>,
}

/// Judges a GatewayClass; none when it does not exist, cannot be read, or is not ours.
pub(crate) fn class(reader: &mut Reader<'_>, name: &str) -> Option<JudgedClass> {
    let Body::Class(class) = reader.fact(&ObjectId::new(Kind::GatewayClass, "", name))?.body.clone() else { return None };
    if class.controller_name != reader.settings().controller_name {
        return None;
    }
    let resolved = class.parameters.as_ref().map(|of| resolve(reader, of, of.namespace.as_deref()));
    let (profile, issues) = match resolved {
        None => (Arc::default(), Vec::new()),
        Some(Ok(profile)) => (profile, Vec::new()),
        Some(Err(issue)) => (Arc::default(), vec![issue]),
    };
    Some(JudgedClass { profile, issues })
}

/// The parameters of a Gateway, over those of its class.
pub(super) fn of_gateway(
    reader: &mut Reader<'_>,
    edge: &EdgeId,
    gateway: &GatewayFacts,
    class: &JudgedClass,
) -> (Arc<EdgeProfileSpec>, Vec<Issue>) {
    let mut issues = Vec::new();
    if !class.issues.is_empty() {
        issues.push(Issue::ClassNotAccepted { class: gateway.class.clone() });
    }
    let profile = match gateway.parameters.as_ref().map(|of| resolve(reader, of, Some(&edge.namespace))) {
        None => class.profile.clone(),
        Some(Ok(own)) => {
            let mut own = EdgeProfileSpec::clone(&own);
            issues.extend(withhold(&mut own, &reader.settings()));
            Arc::new(own.over(&class.profile))
        }
        Some(Err(issue)) => {
            issues.push(issue);
            class.profile.clone()
        }
    };
    issues.extend(without_effect(reader, &profile, Kind::Gateway));
    (profile, issues)
}

/// Takes out of a Gateway's own profile what counts from that of its class alone.
fn withhold(own: &mut EdgeProfileSpec, settings: &Settings) -> Vec<Issue> {
    let mut issues = Vec::new();
    // Nothing is made for an edge that is a process of this machine, which is said of every field.
    if settings.shared_host {
        return issues;
    }
    let of_place = settings.own_pods != OwnPods::All;
    let of_size = settings.own_pods == OwnPods::Nothing;
    let mut withheld = |field: &str, is: bool| {
        if is {
            issues.push(Issue::ParameterOfClass { field: format!("EdgeProfile spec.{field}") });
        }
    };
    withheld("images", of_place && own.images.take().is_some());
    withheld("placement", of_place && own.placement.take().is_some());
    if let Some(service) = own.service.as_mut() {
        withheld("service.externalIPs", of_place && service.external_ips.take().is_some());
        withheld("service.nodePorts", of_place && service.node_ports.take().is_some());
    }
    withheld("replicas", of_size && own.replicas.take().is_some());
    withheld("autoscaling", of_size && own.autoscaling.take().is_some());
    withheld("resources", of_size && own.resources.take().is_some());
    withheld("filterWorkers", of_size && own.filter_workers.take().is_some());
    withheld("capacity", of_size && own.capacity.take().is_some());
    withheld("accessLog", of_size && own.access_log.take().is_some());
    withheld("log", of_size && own.log.take().is_some());
    withheld("drainSeconds", of_size && own.drain_seconds.take().is_some());
    issues
}

/// What a profile says that has no effect on the edge of an object of this kind.
pub(crate) fn without_effect(reader: &Reader<'_>, profile: &EdgeProfileSpec, of: Kind) -> Vec<Issue> {
    // Nothing is made for an edge that is a process of this machine.
    let made = !reader.settings().shared_host;
    let own_ports = of == Kind::Gateway;
    let daemons = profile.placement.as_ref().and_then(|placement| placement.workload) == Some(WorkloadKind::DaemonSet);
    let fields = [
        ("replicas", (!made || daemons) && profile.replicas.is_some()),
        ("autoscaling", (!made || daemons) && profile.autoscaling.is_some()),
        ("service", !made && profile.service.is_some()),
        ("resources", !made && profile.resources.is_some()),
        ("placement", !made && profile.placement.is_some()),
        ("images", !made && profile.images.is_some()),
        ("httpPort", own_ports && profile.http_port.is_some()),
        ("httpsPort", own_ports && profile.https_port.is_some()),
        ("hosts", own_ports && profile.hosts.is_some()),
    ];
    let ignored = fields.into_iter().filter(|(_, ignored)| *ignored);
    ignored.map(|(field, _)| Issue::UnsupportedField { field: format!("EdgeProfile spec.{field}") }).collect()
}

/// How the ports of an edge with this profile treat their clients.
pub(super) fn tuning(profile: &EdgeProfileSpec) -> Tuning {
    let client_address = profile.client_address.as_ref().map(|client| ClientAddress {
        trusted: match client.trusted_hops.and_then(|hops| u8::try_from(hops).ok()) {
            Some(hops) if hops > 0 => Trusted::Hops(hops),
            _ => Trusted::Networks(client.trusted_cidrs.clone().unwrap_or_default()),
        },
        proxy_protocol: client.proxy_protocol.unwrap_or_default(),
    });
    let number = |field: Option<i32>| field.and_then(|number| u32::try_from(number).ok());
    Tuning {
        force_hop: profile.force_hop.unwrap_or_default(),
        force_relay: profile.force_relay.unwrap_or_default(),
        strict: profile.strict_http.unwrap_or_default(),
        paths: match profile.path_normalization.unwrap_or_default() {
            PathNormalization::Keep => PathForm::Keep,
            PathNormalization::Normalize => PathForm::Normalize,
            PathNormalization::Reject => PathForm::Reject,
        },
        keeps_claims: profile.claimed_fields == Some(ClaimedFields::Keep),
        client_address,
        connect_seconds: number(profile.connect_timeout_seconds),
        max_streams: number(profile.max_concurrent_streams),
        max_age_seconds: number(profile.max_connection_age_seconds),
    }
}

/// The EdgeProfile that a reference leads to, in this namespace.
pub(crate) fn resolve(reader: &mut Reader<'_>, of: &ObjectRef, namespace: Option<&str>) -> Result<Arc<EdgeProfileSpec>, Issue> {
    if of.group != GROUP || of.kind != Kind::EdgeProfile.name() {
        return Err(Issue::InvalidParameters { group: of.group.clone(), kind: of.kind.clone(), name: of.name.clone() });
    }
    let problem = match namespace {
        None => ProfileProblem::NoNamespace,
        Some(namespace) => match reader.profile(namespace, &of.name) {
            Some(Ok(profile)) => return Ok(profile),
            Some(Err(())) => ProfileProblem::Unreadable,
            None => ProfileProblem::NotFound,
        },
    };
    Err(Issue::ProfileNotUsable { namespace: namespace.unwrap_or_default().to_owned(), name: of.name.clone(), problem })
}
