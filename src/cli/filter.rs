//! `kakehi filter`: the filter proxy of one edge.

use std::cell::Cell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::access_log::{AccessLog, AccessLogSettings};
use crate::filter::{self, Farewell, Limits, Listen, Shared};
use crate::model::{FILTER_CONNECTIONS, FILTER_CONNECTIONS_PER_ADDRESS, FILTER_DRAIN, FILTER_MEMORY, FILTER_SOZU_BUFFER, FILTER_WORKERS};
use crate::stop::{INPUT_ENDED, told_to_end};

/// Flags of `kakehi filter`. The listening sockets for requests and for relayed connections
/// are file descriptors 3 and 4 (`LISTEN_FDS=2`), unless `--listen` names one for requests.
#[derive(Args, Debug)]
pub(super) struct Settings {
    /// Unix socket on which the supervisor publishes the snapshot
    #[arg(long, env = "KAKEHI_SNAPSHOT", value_name = "SOCKET")]
    snapshot: PathBuf,
    /// Unix socket to listen on, instead of an inherited one
    #[arg(long, value_name = "SOCKET")]
    listen: Option<PathBuf>,
    /// Unix socket that answers each connection with what was counted, as JSON
    #[arg(long, value_name = "SOCKET")]
    report: Option<PathBuf>,
    /// Threads that serve
    #[arg(long, env = FILTER_WORKERS, default_value_t = 1, value_name = "N")]
    workers: usize,
    /// Bytes that clients may make the process hold, beside what the routes take: connections, heads, and bodies that are not
    /// passed on yet. Beyond it requests are answered 503, and the connections that have stood still longest are closed
    #[arg(long, env = FILTER_MEMORY, default_value_t = 256 << 20, value_name = "BYTES")]
    memory: usize,
    /// Connections that are served at a time. When there are so many, the client that idles longest is closed, else the new one
    #[arg(long, env = FILTER_CONNECTIONS, default_value_t = 10_000, value_name = "N")]
    connections: usize,
    /// How many of them one client address (of IPv6 one /64) may have on relayed ports; 0 is no limit. Default: half of them
    #[arg(long, env = FILTER_CONNECTIONS_PER_ADDRESS, value_name = "N")]
    connections_per_address: Option<usize>,
    /// Bytes of a buffer of the Sōzus that hand over requests: an answer with a larger head is not for them, and is answered 502
    #[arg(long, env = FILTER_SOZU_BUFFER, default_value_t = 64 << 10, value_name = "BYTES")]
    sozu_buffer: usize,
    /// Seconds in which requests and tunnels may end once the process is told to; what is left then, or when it is told once
    /// more, is cut off
    #[arg(long, env = FILTER_DRAIN, default_value_t = 1, value_name = "SECONDS")]
    drain: u64,
    /// Name of the edge, for its access log
    #[arg(long, default_value = "", value_name = "NAME", hide_default_value = true)]
    edge: String,
    #[command(flatten)]
    access_log: AccessLogSettings,
}

pub(super) fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    let access_log = AccessLog::on_stdout(&settings.access_log, &settings.edge)?;
    let limits = Limits {
        memory: settings.memory,
        connections: settings.connections,
        connections_per_address: settings.connections_per_address.unwrap_or(settings.connections / 2),
        sozu_buffer: settings.sozu_buffer,
        ..Limits::default()
    };
    let settings = filter::Settings {
        snapshot: settings.snapshot,
        relay: settings.listen.is_none().then_some(Listen::Inherited(1)),
        listen: settings.listen.map_or(Listen::Inherited(0), Listen::Unix),
        report: settings.report,
        workers: settings.workers,
        drain: Duration::from_secs(settings.drain),
    };
    let shared = Shared::logging(limits, access_log);
    let told = || async {
        match told_to_end() {
            Ok(told) => told.await,
            Err(error) => {
                tracing::error!(%error, "no signal handlers");
                "no signal handlers"
            }
        }
    };
    let first = Cell::new("");
    let stop = async {
        first.set(told().await);
        // The supervisor is gone, and the next one starts another filter proxy on the same sockets.
        if first.get() == INPUT_ENDED { Farewell::Leave } else { Farewell::Serve }
    };
    let cut = async {
        // An input that ended stays so.
        if told().await == first.get() && first.get() == INPUT_ENDED {
            std::future::pending().await
        }
    };
    filter::run(&settings, &shared, stop, cut)?;
    Ok(ExitCode::SUCCESS)
}
