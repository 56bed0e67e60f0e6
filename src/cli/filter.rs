//! `kakehi filter`: the filter proxy of one edge.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::filter::{self, Limits, Listen, Shared};
use crate::model::FILTER_WORKERS;
use crate::stop::told_to_end;

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
}

/// How long requests may take to end once the process is told to.
const DRAIN: Duration = Duration::from_secs(1);

pub(super) fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    let settings = filter::Settings {
        snapshot: settings.snapshot,
        relay: settings.listen.is_none().then_some(Listen::Inherited(1)),
        listen: settings.listen.map_or(Listen::Inherited(0), Listen::Unix),
        report: settings.report,
        workers: settings.workers,
        drain: DRAIN,
    };
    let shared = Shared::new(Limits::default());
    let stop = async {
        match told_to_end() {
            Ok(told) => drop(told.await),
            Err(error) => tracing::error!(%error, "no signal handlers"),
        }
    };
    filter::run(&settings, &shared, stop)?;
    Ok(ExitCode::SUCCESS)
}
