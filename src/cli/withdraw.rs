//! `kakehi withdraw`: before an operator is uninstalled.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use crate::controller::withdraw::{Settings, withdraw};
use crate::leader;
use crate::settings::WithdrawSettings;
use crate::store::cluster::connect;

#[tokio::main(flavor = "current_thread")]
pub(super) async fn run(settings: WithdrawSettings) -> anyhow::Result<ExitCode> {
    let client = connect().await.context("no API server is known")?;
    let identity = format!("withdraw_{:08x}", rand::random::<u32>());
    let settings = Settings {
        controller_name: settings.controller_name,
        leader: leader::Settings::new(settings.namespace, settings.lease, identity),
        deployment: settings.deployment,
        service: settings.service,
        ca_secret: settings.ca_secret,
        limit: Duration::from_secs(settings.limit),
    };
    let done = withdraw(client, settings).await?;
    tracing::info!(
        released = done.released,
        deleted = done.deleted,
        cleared = done.cleared,
        "withdrawn; nothing waits for the operator any more"
    );
    Ok(ExitCode::SUCCESS)
}
