//! `kakehi controller`: the operator of a cluster.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use kube::api::ObjectMeta;
use tokio::sync::watch;

use crate::api::GATEWAY_API;
use crate::controller::auth::{Workload, Workloads};
use crate::controller::endpoint::Replica;
use crate::controller::fleet::Fleet;
use crate::controller::operator::{Operator, Settings};
use crate::controller::port::{self, Port};
use crate::controller::provisioning::{self, Provisioning};
use crate::controller::world::World;
use crate::edge::sozu::VERSION;
use crate::leader::{self, Candidate};
use crate::listen::listen;
use crate::model::EdgeId;
use crate::observe::admin;
use crate::observe::metrics::Metrics;
use crate::provision::Installation;
use crate::settings::{ControllerSettings, ProvisionSettings};
use crate::snapshot::serve::{Counters, Publishers};
use crate::stop::told_to_end;
use crate::store::cluster::{api_server, connect};
use crate::translate;
use crate::translate::ownership::ClaimsPlace;

#[tokio::main(worker_threads = 2)]
pub(super) async fn run(settings: ControllerSettings) -> anyhow::Result<ExitCode> {
    let stop = told_to_end()?;
    let translation = translation(&settings)?;
    let metrics = Metrics::new()?;
    let client = connect().await.context("no API server is known")?;
    let listener = listen(settings.admin).with_context(|| format!("admin port {}", settings.admin))?;
    announce(&settings, listener.local_addr().unwrap_or(settings.admin)).await;
    let (publishers, streams) = (Publishers::default(), Arc::<Counters>::default());
    let bundle = watch::Sender::new(String::new());
    // Connections of its own: the Lease must not wait for one that others left and that has fallen silent since.
    let (candidate, leadership) = Candidate::new(connect().await?, election(&settings));
    let (mut fleet, mut provisioning) = (Fleet::new(publishers.clone()), None);
    let installation = installation(&settings);
    if let Some(installation) = &installation {
        let making = provisioning::Settings {
            installation: installation.clone(),
            namespaces: settings.namespaces(),
            ca: bundle.subscribe(),
            rollouts: settings.provision.concurrent_rollouts.into(),
            metrics: metrics.clone(),
        };
        let making = Provisioning::new((client.clone(), leadership.clone()), making);
        fleet = fleet.made_by(making.orders());
        provisioning = Some(making);
    }
    let (names, port_settings) = (settings.names.source(), port_settings(&settings));
    let (hold_routes, election) = (settings.hold_routes, (candidate, leadership.clone()));
    let settings = Settings { hold_routes, translation, namespaces: settings.namespaces(), names, election, provisioning };
    let operator = Operator::new(client.clone(), settings, metrics.clone());
    let ports = installation.map(|installation| {
        let workloads = workloads(installation, operator.world());
        let port = Port { client, leadership, publishers, workloads, bundle, counters: streams.clone() };
        tokio::spawn(port.run(operator.epoch(), port_settings))
    });
    let serving = tokio::spawn(admin::serve(listener, Arc::new(operator.view(streams)), metrics));
    let stopped = async {
        // Fields of events that nobody logs are not even computed.
        let reason = stop.await;
        tracing::info!(reason, "ending");
    };
    let done = operator.run(fleet, stopped).await;
    serving.abort();
    if let Some(port) = ports {
        port.abort();
    }
    done?;
    Ok(ExitCode::SUCCESS)
}

/// The first line of the log.
async fn announce(settings: &ControllerSettings, admin: SocketAddr) {
    let (version, cluster) = (env!("CARGO_PKG_VERSION"), api_server().await.unwrap_or_default());
    let (namespace, replica) = (&settings.namespace, replica(settings));
    tracing::info!(version, sozu = VERSION, gateway_api = GATEWAY_API, cluster, namespace, replica, %admin, "Kakehi serves a cluster");
}

/// Where each edge runs: in a Deployment or DaemonSet that was made for the Gateway or IngressClass of now.
fn workloads(installation: Installation, world: watch::Receiver<World>) -> impl Workloads + Clone {
    let installation = Arc::new(installation);
    move |edge: &str| {
        let id: EdgeId = edge.parse().ok()?;
        let uid = world.borrow().objects.get(&id.owner())?.metadata().uid.clone()?;
        let (installation, of) = (installation.clone(), id.clone());
        let (namespace, name) = (installation.namespace_of(&id).to_owned(), installation.name_of(&id));
        let is_made = move |made: &ObjectMeta| installation.claimed(made).is_some_and(|claimed| claimed.edge == of && claimed.is_of(&uid));
        Some((id, Workload { namespace, name, is_made: Arc::new(is_made) }))
    }
}

fn election(settings: &ControllerSettings) -> leader::Settings {
    // A process that starts anew under the same name is another one.
    let identity = format!("{}_{:08x}", replica(settings), rand::random::<u32>());
    leader::Settings::new(&settings.namespace, &settings.lease, identity)
}

fn translation(settings: &ControllerSettings) -> anyhow::Result<translate::Settings> {
    let ingress = settings.ingress.translation(settings.watch_ingress_without_class)?;
    let claims = ClaimsPlace::of(&settings.namespace, &settings.lease);
    Ok(translate::Settings {
        controller_name: settings.controller_name.clone(),
        default_address: settings.address,
        external_names: settings.names.allow_external_names,
        own_pods: settings.provision.own_pods()?,
        ingress: translate::IngressSettings { cluster_profiles: Some(settings.namespace.clone()), claims: Some(claims), ..ingress },
        ..translate::Settings::default()
    })
}

fn replica(settings: &ControllerSettings) -> String {
    settings.replica.clone().unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned())
}

/// What edges have in common, when any are made.
fn installation(settings: &ControllerSettings) -> Option<Installation> {
    let ProvisionSettings { edge_image, sozu_image, pull_policy, edge_log, snapshot_listen, service, .. } = settings.provision.clone();
    let ProvisionSettings { edge_place: place, edge_network_policies: network_policies, .. } = settings.provision;
    Some(Installation {
        controller: settings.controller_name.clone(),
        edge_image: edge_image?,
        sozu_image: sozu_image?,
        pull_policy,
        snapshot_url: format!("https://{service}.{}.svc:{}", settings.namespace, snapshot_listen.port()),
        log: edge_log,
        sozu_log: settings.provision.edge_sozu_log.clone(),
        pull_secrets: settings.provision.edge_pull_secret.iter().filter(|name| !name.is_empty()).cloned().collect(),
        namespace: settings.namespace.clone(),
        place,
        network_policies,
    })
}

fn port_settings(settings: &ControllerSettings) -> port::Settings {
    let ProvisionSettings { snapshot_listen, service, ca_secret, pod_ip, .. } = settings.provision.clone();
    let replica = pod_ip.map(|address| Replica {
        namespace: settings.namespace.clone(),
        service: service.clone(),
        pod: replica(settings),
        address,
        port: ("snapshot".to_owned(), snapshot_listen.port()),
    });
    port::Settings {
        listen: snapshot_listen,
        secret: ca_secret,
        names: vec![format!("{service}.{}.svc", settings.namespace)],
        replica,
        namespace: settings.namespace.clone(),
    }
}
