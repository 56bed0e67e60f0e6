//! The pods of an edge: containers `edge` (supervisor and filter proxy) and `sozu` (Sōzu under a small launcher). They meet
//! the `restricted` Pod Security Standard.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource, HTTPGetAction,
    LocalObjectReference, ObjectFieldSelector, PodAffinityTerm, PodAntiAffinity, PodSecurityContext, PodSpec, PodTemplateSpec, Probe,
    ProjectedVolumeSource, ResourceRequirements, SeccompProfile, SecurityContext, ServiceAccountTokenProjection, Sysctl, Volume,
    VolumeMount, VolumeProjection, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::ObjectMeta;

use super::{EdgeSpec, Installation, Part, TOKEN_AUDIENCE, names};
use crate::api::edge_profile::PodNetwork;
use crate::model::{ALLOCATOR, HEALTH_PORT, LOG, SOZU_LOG, capacity};

/// Key of the CA bundle in its ConfigMap.
pub(super) const CA_KEY: &str = "ca.crt";
/// User and group of both containers: they share sockets that nobody else may open.
const USER: i64 = 65_532;
/// Memory-backed: sockets, Sōzu's state files, the last good snapshot. They hold private keys.
const RUN: &str = "/run/kakehi";
const RUN_VOLUME: &str = "run";
const TOKEN: &str = "/var/run/secrets/kakehi.dev/snapshot";
const TOKEN_VOLUME: &str = "token";
const CA: &str = "/etc/kakehi/ca";
const CA_VOLUME: &str = "ca";
/// Seconds that a token is valid. The kubelet renews it in time.
const TOKEN_SECONDS: i64 = 3600;
/// Seconds between the end of the drain and the kill: what processes need to end.
const GRACE: u32 = 15;
/// Seconds that requests, streams and tunnels in flight may take at the end.
const DRAIN: u32 = 25;
/// The label of nodes that images are for.
const OS: (&str, &str) = ("kubernetes.io/os", "linux");
/// Memory limit of either container, where the profile does not say. What an edge holds follows from it.
const MEMORY_LIMIT: &str = "1Gi";
/// Seconds that a pod which is to end still takes new connections: load balancers need them to take note.
const LINGER: u32 = 5;

/// The pod template. Ports of listeners are not in it: they open and close without new pods.
pub(super) fn template(edge: &EdgeSpec, installation: &Installation) -> PodTemplateSpec {
    let placement = edge.profile.placement.clone().unwrap_or_default();
    let images = edge.profile.images.clone().unwrap_or_default();
    let (network, drain) = (edge.network(), edge.profile.drain_seconds.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(DRAIN));
    let security = PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), ..Default::default() }),
        // A safe sysctl, of the pod's own network: real low ports without privileges, so that redirects and X-Forwarded-Port stay true.
        sysctls: (network != PodNetwork::Host)
            .then(|| vec![Sysctl { name: "net.ipv4.ip_unprivileged_port_start".to_owned(), value: "0".to_owned() }]),
        ..Default::default()
    };
    let spec = PodSpec {
        service_account_name: Some(installation.name_of(&edge.id)),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some((LINGER + drain + GRACE).into()),
        host_network: (network == PodNetwork::Host).then_some(true),
        // Otherwise it would be the node's, which knows no Services.
        dns_policy: (network == PodNetwork::Host).then(|| "ClusterFirstWithHostNet".to_owned()),
        security_context: Some(security),
        containers: vec![edge_container(edge, installation), sozu_container(edge, installation)],
        volumes: Some(volumes(edge, installation)),
        image_pull_secrets: images.pull_secrets.or_else(|| pull_secrets(installation)),
        node_selector: Some(
            [OS].map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into_iter()
                .chain(placement.node_selector.unwrap_or_default())
                .collect(),
        ),
        tolerations: placement.tolerations,
        affinity: placement.affinity.or_else(|| (edge.workload() == Part::Deployment).then(|| apart(edge, installation))),
        topology_spread_constraints: placement.topology_spread_constraints,
        priority_class_name: placement.priority_class_name,
        ..Default::default()
    };
    // In the operator's namespace a Gateway's labels could make its pods those of something else there.
    let none = BTreeMap::new();
    let (labels, annotations) = match installation.is_owned(&edge.id) {
        true => (&edge.labels, &edge.annotations),
        false => (&none, &none),
    };
    let metadata = ObjectMeta {
        labels: Some(names::labels((&edge.id, &installation.name_of(&edge.id)), labels)),
        annotations: Some(names::annotations(&edge.id, &installation.controller, annotations)),
        ..Default::default()
    };
    PodTemplateSpec { metadata: Some(metadata), spec: Some(spec) }
}

/// Those of the installation.
fn pull_secrets(installation: &Installation) -> Option<Vec<LocalObjectReference>> {
    let names = &installation.pull_secrets;
    (!names.is_empty()).then(|| names.iter().map(|name| LocalObjectReference { name: name.clone() }).collect())
}

/// Pods of one edge prefer different nodes.
fn apart(edge: &EdgeSpec, installation: &Installation) -> Affinity {
    let term = PodAffinityTerm {
        label_selector: Some(LabelSelector { match_labels: Some(installation.selector_of(&edge.id)), ..Default::default() }),
        topology_key: "kubernetes.io/hostname".to_owned(),
        ..Default::default()
    };
    let preferred = vec![WeightedPodAffinityTerm { weight: 100, pod_affinity_term: term }];
    let apart = PodAntiAffinity { preferred_during_scheduling_ignored_during_execution: Some(preferred), ..Default::default() };
    Affinity { pod_anti_affinity: Some(apart), ..Default::default() }
}

fn edge_container(edge: &EdgeSpec, installation: &Installation) -> Container {
    let images = edge.profile.images.clone().unwrap_or_default();
    let args: Vec<String> = [
        "edge",
        "--name",
        &edge.id.to_string(),
        "--runtime-dir",
        &format!("{RUN}/edge"),
        "--snapshot-url",
        &installation.snapshot_url,
        "--ca",
        &format!("{CA}/{CA_KEY}"),
        "--token",
        &format!("{TOKEN}/token"),
        "--state",
        &format!("{RUN}/state"),
        "--sozu-dir",
        &format!("{RUN}/sozu"),
        "--health",
        &format!("[::]:{HEALTH_PORT}"),
        "--linger",
        &LINGER.to_string(),
    ]
    .map(str::to_owned)
    .into();
    let resources = edge.profile.resources.clone().and_then(|resources| resources.edge);
    let base = container(edge, installation, resources);
    let variable = |name: &str, value: String| EnvVar { name: name.to_owned(), value: Some(value), ..Default::default() };
    let allocator = variable(ALLOCATOR.0, ALLOCATOR.1.to_owned());
    Container {
        name: "edge".to_owned(),
        env: Some(base.env.iter().flatten().cloned().chain([pod_ip(), allocator]).collect()),
        image: Some(images.edge.unwrap_or_else(|| installation.edge_image.clone())),
        args: Some(args),
        ports: Some(vec![ContainerPort {
            name: Some("health".to_owned()),
            container_port: i32::from(HEALTH_PORT),
            protocol: Some("TCP".to_owned()),
            ..Default::default()
        }]),
        readiness_probe: Some(probe("/readyz", 1)),
        liveness_probe: Some(probe("/healthz", 10)),
        volume_mounts: Some(vec![mount(RUN_VOLUME, RUN, false), mount(TOKEN_VOLUME, TOKEN, true), mount(CA_VOLUME, CA, true)]),
        ..base
    }
}

/// The pod's address: the edge listens on all of that family.
fn pod_ip() -> EnvVar {
    let field = ObjectFieldSelector { field_path: "status.podIP".to_owned(), ..Default::default() };
    let source = EnvVarSource { field_ref: Some(field), ..Default::default() };
    EnvVar { name: "KAKEHI_POD_IP".to_owned(), value_from: Some(source), ..Default::default() }
}

fn sozu_container(edge: &EdgeSpec, installation: &Installation) -> Container {
    let images = edge.profile.images.clone().unwrap_or_default();
    let args = ["launch", "--dir", &format!("{RUN}/sozu"), "--linger", &LINGER.to_string()].map(str::to_owned);
    let resources = edge.profile.resources.clone().and_then(|resources| resources.sozu);
    Container {
        name: "sozu".to_owned(),
        image: Some(images.sozu.unwrap_or_else(|| installation.sozu_image.clone())),
        args: Some(args.into()),
        volume_mounts: Some(vec![mount(RUN_VOLUME, RUN, false)]),
        ports: (edge.network() == PodNetwork::HostPorts).then(|| edge.ports.iter().map(|port| port_of_node(*port)).collect()),
        ..container(edge, installation, resources)
    }
}

/// A port of a listener that is the node's too.
fn port_of_node(port: u16) -> ContainerPort {
    let number = i32::from(port);
    ContainerPort {
        name: Some(format!("port-{port}")),
        container_port: number,
        host_port: Some(number),
        protocol: Some("TCP".to_owned()),
        ..Default::default()
    }
}

/// What both containers have in common.
fn container(edge: &EdgeSpec, installation: &Installation, resources: Option<ResourceRequirements>) -> Container {
    let policy = edge.profile.images.as_ref().and_then(|images| images.pull_policy).map(|policy| format!("{policy:?}"));
    let variable = |name: &str, value: &str| EnvVar { name: name.to_owned(), value: Some(value.to_owned()), ..Default::default() };
    let given = edge.profile.variables();
    let sozu_log = installation.sozu_log.clone().map(|level| (SOZU_LOG, level));
    let usual_values = [(LOG, installation.log.clone()), (capacity::DRAIN, DRAIN.to_string())].into_iter().chain(sozu_log);
    // A name may be there only once.
    let usual_values: Vec<_> = usual_values.filter(|(name, _)| given.iter().all(|(known, _)| known != name)).collect();
    let env = usual_values.iter().chain(&given).map(|(name, value)| variable(name, value));
    let usual = || {
        let amounts = |amounts: &[(&str, &str)]| {
            Some(amounts.iter().map(|(name, amount)| ((*name).to_owned(), Quantity((*amount).to_owned()))).collect())
        };
        let requests = amounts(&[("cpu", "50m"), ("memory", "64Mi")]);
        ResourceRequirements { requests, limits: amounts(&[("memory", MEMORY_LIMIT)]), ..Default::default() }
    };
    Container {
        env: Some(env.collect()),
        image_pull_policy: policy.or_else(|| installation.pull_policy.clone()),
        resources: Some(resources.unwrap_or_else(usual)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn probe(path: &str, period: i32) -> Probe {
    let get = HTTPGetAction { path: Some(path.to_owned()), port: IntOrString::String("health".to_owned()), ..Default::default() };
    Probe { http_get: Some(get), period_seconds: Some(period), timeout_seconds: Some(2), failure_threshold: Some(3), ..Default::default() }
}

fn mount(volume: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount { name: volume.to_owned(), mount_path: path.to_owned(), read_only: read_only.then_some(true), ..Default::default() }
}

fn volumes(edge: &EdgeSpec, installation: &Installation) -> Vec<Volume> {
    let token = ServiceAccountTokenProjection {
        audience: Some(TOKEN_AUDIENCE.to_owned()),
        expiration_seconds: Some(TOKEN_SECONDS),
        path: "token".to_owned(),
    };
    let projection = VolumeProjection { service_account_token: Some(token), ..Default::default() };
    vec![
        Volume {
            name: RUN_VOLUME.to_owned(),
            empty_dir: Some(EmptyDirVolumeSource { medium: Some("Memory".to_owned()), size_limit: None }),
            ..Default::default()
        },
        Volume {
            name: TOKEN_VOLUME.to_owned(),
            projected: Some(ProjectedVolumeSource { sources: Some(vec![projection]), default_mode: Some(0o440) }),
            ..Default::default()
        },
        Volume {
            name: CA_VOLUME.to_owned(),
            config_map: Some(ConfigMapVolumeSource { name: installation.name_of(&edge.id), ..Default::default() }),
            ..Default::default()
        },
    ]
}
