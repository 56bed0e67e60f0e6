//! `kakehi edge`: the supervisor of one edge's Sōzu and filter proxy.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::edge::{self, EdgeSettings, FilterCommand, SozuOrigin};
use crate::settings::LogSettings;

/// Flags of `kakehi edge`.
#[derive(Args, Debug)]
pub(super) struct Settings {
    /// Namespace and name of the Gateway, for logs
    #[arg(long, env = "KAKEHI_EDGE_NAME")]
    name: String,
    /// Address of the listeners
    #[arg(long, env = "KAKEHI_ADDRESS", value_name = "IP")]
    address: IpAddr,
    /// Private directory for sockets and state
    #[arg(long, env = "KAKEHI_RUNTIME_DIR", value_name = "DIR")]
    runtime_dir: PathBuf,
    /// Unix socket on which the control plane publishes this edge's snapshot
    #[arg(long, env = "KAKEHI_SNAPSHOT", value_name = "SOCKET")]
    snapshot: PathBuf,
    /// The sozu binary
    #[arg(long, env = "KAKEHI_SOZU", default_value = "sozu", value_name = "PATH")]
    sozu: PathBuf,
    /// Command socket of a Sōzu that `kakehi launch` keeps running, in place of one that the edge starts
    #[arg(long, env = "KAKEHI_SOZU_SOCKET", value_name = "SOCKET")]
    sozu_socket: Option<PathBuf>,
    /// Sōzu's own log level: error, warn, info (access logs come with info)
    #[arg(long, env = "KAKEHI_SOZU_LOG", default_value = "error", value_name = "LEVEL")]
    sozu_log: String,
    /// Serve every route through the filter proxy, none by Sōzu alone
    #[arg(long, env = "KAKEHI_FORCE_HOP")]
    force_hop: bool,
    /// Address of the health port: /healthz, and /readyz once a snapshot is applied
    #[arg(long, env = "KAKEHI_HEALTH", value_name = "IP:PORT")]
    health: Option<SocketAddr>,
    /// Seconds for which it serves on, no longer ready, once it is told to end
    #[arg(long, env = "KAKEHI_LINGER", default_value_t = 0, value_name = "SECONDS")]
    linger: u64,
}

#[tokio::main(flavor = "current_thread")]
pub(super) async fn run(settings: Settings, log: &LogSettings) -> anyhow::Result<ExitCode> {
    let filter =
        FilterCommand { program: std::env::current_exe()?, args: std::iter::once("filter".to_owned()).chain(log.flags()).collect() };
    let sozu = match settings.sozu_socket {
        Some(socket) => SozuOrigin::Adopt(socket),
        None => SozuOrigin::Spawn { program: settings.sozu, log_level: settings.sozu_log },
    };
    let settings = EdgeSettings {
        name: settings.name,
        address: settings.address,
        runtime_dir: settings.runtime_dir,
        snapshot: settings.snapshot,
        sozu,
        filter,
        force_hop: settings.force_hop,
        health: settings.health,
        linger: Duration::from_secs(settings.linger),
    };
    edge::run(settings).await?;
    Ok(ExitCode::SUCCESS)
}
