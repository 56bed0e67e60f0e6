//! `kakehi edge`: the supervisor of one edge's Sōzus and filter proxy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::capacity::CapacitySettings;
use crate::access_log::{AccessLog, AccessLogSettings};
use crate::edge::{self, EdgeSettings, FilterCommand, Origin, SozuOrigin};
use crate::model::capacity::DRAIN;
use crate::observe::log::SOZU_LEVELS;
use crate::settings::LogSettings;
use crate::snapshot::disk::Disk;
use crate::snapshot::fetch::Remote;

/// Flags of `kakehi edge`.
#[derive(Args, Debug)]
pub(super) struct Settings {
    /// The edge, as NAMESPACE/NAME of its Gateway
    #[arg(long, env = "KAKEHI_EDGE_NAME")]
    name: String,
    /// Address of the listeners
    #[arg(long, env = "KAKEHI_ADDRESS", value_name = "IP", required_unless_present = "pod_ip")]
    address: Option<IpAddr>,
    /// Address of the pod: without `--address`, listeners are on 0.0.0.0 when it is an IPv4 address, else on `::`
    #[arg(long, env = "KAKEHI_POD_IP", value_name = "IP")]
    pod_ip: Option<IpAddr>,
    /// Private directory for sockets and state
    #[arg(long, env = "KAKEHI_RUNTIME_DIR", value_name = "DIR")]
    runtime_dir: PathBuf,
    /// Unix socket on which a control plane on this machine publishes this edge's snapshot
    #[arg(long, env = "KAKEHI_SNAPSHOT", value_name = "SOCKET", required_unless_present = "snapshot_url", conflicts_with = "snapshot_url")]
    snapshot: Option<PathBuf>,
    /// Where a control plane on the network serves snapshots: https://HOST:PORT
    #[arg(long, env = "KAKEHI_SNAPSHOT_URL", value_name = "URL", requires_all = ["ca", "token", "state"])]
    snapshot_url: Option<String>,
    /// PEM file of the authorities that its certificate may come from, read at each connection
    #[arg(long, env = "KAKEHI_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// File of the ServiceAccount token that is shown to it, read at each connection
    #[arg(long, env = "KAKEHI_TOKEN", value_name = "FILE")]
    token: Option<PathBuf>,
    /// Directory, in memory, for the last good snapshot, which is served while no control plane answers
    #[arg(long, env = "KAKEHI_STATE", value_name = "DIR")]
    state: Option<PathBuf>,
    /// The sozu binary
    #[arg(long, env = "KAKEHI_SOZU", default_value = "sozu", value_name = "PATH")]
    sozu: PathBuf,
    /// Directory in which `kakehi launch` keeps Sōzus running, in place of those that the edge starts
    #[arg(long, env = "KAKEHI_SOZU_DIR", value_name = "DIR")]
    sozu_dir: Option<PathBuf>,
    /// Sōzu's own log level: error, warn, info, debug, trace
    #[arg(long, env = "KAKEHI_SOZU_LOG", default_value = "error", value_name = "LEVEL", value_parser = SOZU_LEVELS)]
    sozu_log: String,
    /// Serve every route through the filter proxy, none by Sōzu alone
    #[arg(long, env = "KAKEHI_FORCE_HOP")]
    force_hop: bool,
    /// Relay the connections of every port to the filter proxy
    #[arg(long, env = "KAKEHI_FORCE_RELAY")]
    force_relay: bool,
    /// Address of the health port: /healthz, /readyz once a snapshot is applied, /metrics
    #[arg(long, env = "KAKEHI_HEALTH", value_name = "IP:PORT")]
    health: Option<SocketAddr>,
    /// Seconds for which it serves on, no longer ready, once it is told to end
    #[arg(long, env = "KAKEHI_LINGER", default_value_t = 0, value_name = "SECONDS")]
    linger: u64,
    /// Seconds that requests, streams and tunnels in flight may then take
    #[arg(long, env = DRAIN, default_value_t = 25, value_name = "SECONDS")]
    drain: u64,
    #[command(flatten)]
    capacity: CapacitySettings,
    #[command(flatten)]
    access_log: AccessLogSettings,
}

#[tokio::main(flavor = "current_thread")]
pub(super) async fn run(settings: Settings, log: &LogSettings) -> anyhow::Result<ExitCode> {
    let named = ["filter".to_owned(), "--edge".to_owned(), settings.name.clone()];
    let args = named.into_iter().chain(log.flags()).chain(settings.access_log.flags()).collect();
    let filter = FilterCommand { program: std::env::current_exe()?, args };
    let access_log = AccessLog::on_stdout(&settings.access_log, &settings.name)?;
    let snapshot = origin(&settings)?;
    let sozu = match settings.sozu_dir {
        Some(dir) => SozuOrigin::Adopt(dir),
        None => {
            edge::check_sozu(&settings.sozu).await?;
            SozuOrigin::Spawn { program: settings.sozu, log_level: settings.sozu_log }
        }
    };
    let settings = EdgeSettings {
        name: settings.name,
        address: settings.address.unwrap_or_else(|| every_address_like(settings.pod_ip)),
        runtime_dir: settings.runtime_dir,
        snapshot,
        sozu,
        filter,
        force_hop: settings.force_hop,
        force_relay: settings.force_relay,
        health: settings.health,
        linger: Duration::from_secs(settings.linger),
        drain: Duration::from_secs(settings.drain),
        capacity: settings.capacity.into(),
        access_log,
    };
    edge::run(settings).await?;
    Ok(ExitCode::SUCCESS)
}

/// Every address of a pod's family.
fn every_address_like(pod: Option<IpAddr>) -> IpAddr {
    match pod {
        Some(IpAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
        Some(IpAddr::V4(_)) | None => Ipv4Addr::UNSPECIFIED.into(),
    }
}

/// Where the snapshot comes from. The command line is checked already for what belongs together.
fn origin(settings: &Settings) -> anyhow::Result<Origin> {
    match settings {
        Settings { snapshot_url: Some(url), ca: Some(ca), token: Some(token), state: Some(state), name, .. } => {
            // Without it the edge serves all the same, and starts empty when the leader is away.
            if let Err(error) = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(state) {
                tracing::warn!(path = %state.display(), %error, "no directory for the last good snapshot");
            }
            let remote = Remote::new(url, ca.clone(), token.clone(), name.clone())?;
            Ok(Origin::Remote(remote, Disk::new(state.clone())))
        }
        Settings { snapshot: Some(path), .. } => Ok(Origin::Local(path.clone())),
        _ => anyhow::bail!("neither --snapshot nor --snapshot-url with --ca, --token and --state"),
    }
}
