//! `kakehi controller`: the operator of a cluster.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use tokio::sync::watch;

use crate::controller::auth::Workload;
use crate::controller::endpoint::Replica;
use crate::controller::fleet::Fleet;
use crate::controller::operator::{Operator, Settings};
use crate::controller::port::{self, Port};
use crate::controller::provisioning::{self, Provisioning};
use crate::leader::{self, Candidate};
use crate::listen::listen;
use crate::model::EdgeId;
use crate::observe::admin;
use crate::observe::metrics::Metrics;
use crate::provision::{Installation, names};
use crate::settings::{ControllerSettings, ProvisionSettings, SamePort};
use crate::snapshot::serve::{Counters, Publishers};
use crate::stop::told_to_end;
use crate::store::cluster::connect;
use crate::translate;

#[tokio::main(worker_threads = 2)]
pub(super) async fn run(settings: ControllerSettings) -> anyhow::Result<ExitCode> {
    let stop = told_to_end()?;
    let translation = translation(&settings)?;
    let metrics = Metrics::new()?;
    let client = connect().await.context("no API server is known")?;
    let listener = listen(settings.admin).with_context(|| format!("admin port {}", settings.admin))?;
    let (publishers, streams) = (Publishers::default(), Arc::<Counters>::default());
    let bundle = watch::Sender::new(String::new());
    // Connections of its own: the Lease must not wait for one that others left and that has fallen silent since.
    let (candidate, leadership) = Candidate::new(connect().await?, election(&settings));
    let (mut fleet, mut opens) = (Fleet::new(publishers.clone()), None);
    let mut provisioning = None;
    if let Some(installation) = installation(&settings) {
        let making = provisioning::Settings {
            installation: installation.clone(),
            ca: bundle.subscribe(),
            rollouts: settings.provision.concurrent_rollouts.into(),
            metrics: metrics.clone(),
        };
        let making = Provisioning::new((client.clone(), leadership.clone()), making);
        fleet = fleet.made_by(making.orders());
        provisioning = Some(making);
        let workloads = move |edge: &str| {
            let id: EdgeId = edge.parse().ok()?;
            let workload = Workload { namespace: installation.namespace_of(&id).to_owned(), name: names::object(&id) };
            Some((id, workload))
        };
        opens = Some((
            Port { client: client.clone(), leadership: leadership.clone(), publishers, workloads, bundle, counters: streams.clone() },
            port_settings(&settings),
        ));
    }
    let names = settings.names.source();
    let (hold_routes, election) = (settings.hold_routes, (candidate, leadership));
    let settings = Settings { hold_routes, translation, names, election, provisioning };
    let operator = Operator::new(client, settings, metrics.clone());
    let ports = opens.map(|(port, settings)| tokio::spawn(port.run(operator.epoch(), settings)));
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

fn election(settings: &ControllerSettings) -> leader::Settings {
    // A process that starts anew under the same name is another one.
    let identity = format!("{}_{:08x}", replica(settings), rand::random::<u32>());
    leader::Settings::new(&settings.namespace, &settings.lease, identity)
}

fn translation(settings: &ControllerSettings) -> Result<translate::Settings, SamePort> {
    let ingress = settings.ingress.translation(settings.watch_ingress_without_class)?;
    Ok(translate::Settings {
        controller_name: settings.controller_name.clone(),
        default_address: settings.address,
        external_names: settings.names.allow_external_names,
        ingress: translate::IngressSettings { cluster_profiles: Some(settings.namespace.clone()), ..ingress },
        ..translate::Settings::default()
    })
}

fn replica(settings: &ControllerSettings) -> String {
    settings.replica.clone().unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned())
}

/// What edges have in common, when any are made.
fn installation(settings: &ControllerSettings) -> Option<Installation> {
    let ProvisionSettings { edge_image, sozu_image, pull_policy, edge_log, snapshot_listen, service, .. } = settings.provision.clone();
    Some(Installation {
        controller: settings.controller_name.clone(),
        edge_image: edge_image?,
        sozu_image: sozu_image?,
        pull_policy,
        snapshot_url: format!("https://{service}.{}.svc:{}", settings.namespace, snapshot_listen.port()),
        log: edge_log,
        namespace: settings.namespace.clone(),
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
