//! `kakehi controller`: the operator of a cluster.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;

use crate::controller::fleet::Fleet;
use crate::controller::operator::{Operator, Settings};
use crate::leader;
use crate::observe::admin;
use crate::observe::metrics::Metrics;
use crate::settings::ControllerSettings;
use crate::snapshot::serve::Publishers;
use crate::stop::told_to_end;
use crate::translate;

#[tokio::main(worker_threads = 2)]
pub(super) async fn run(settings: ControllerSettings) -> anyhow::Result<ExitCode> {
    let stop = told_to_end()?;
    let metrics = Metrics::new()?;
    let client = kube::Client::try_default().await.context("no API server is known")?;
    let listener = TcpListener::bind(settings.admin).await.with_context(|| format!("admin port {}", settings.admin))?;
    let operator = Operator::new(client, operator_settings(settings), metrics.clone());
    let serving = tokio::spawn(admin::serve(listener, Arc::new(operator.view()), metrics));
    let stopped = async {
        // Fields of events that nobody logs are not even computed.
        let reason = stop.await;
        tracing::info!(reason, "ending");
    };
    let done = operator.run(Fleet::new(Publishers::default()), stopped).await;
    serving.abort();
    done?;
    Ok(ExitCode::SUCCESS)
}

fn operator_settings(settings: ControllerSettings) -> Settings {
    let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    // A process that starts anew under the same name is another one.
    let identity = format!("{}_{:08x}", settings.replica.unwrap_or_else(host), rand::random::<u32>());
    let translation = translate::Settings {
        controller_name: settings.controller_name,
        default_address: settings.address,
        ingress: settings.ingress.translation(settings.watch_ingress_without_class),
        ..translate::Settings::default()
    };
    Settings { translation, leader: leader::Settings::new(settings.namespace, settings.lease, identity) }
}
