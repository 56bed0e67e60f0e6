//! `kakehi standalone`: a directory of manifests, served on this machine.

use std::process::ExitCode;

use crate::settings::{LogSettings, StandaloneSettings};
use crate::standalone;
use crate::stop::told_to_end;

#[tokio::main(worker_threads = 2)]
pub(super) async fn run(settings: StandaloneSettings, log: LogSettings) -> anyhow::Result<ExitCode> {
    let stop = told_to_end()?;
    standalone::run(settings, log, stop).await?;
    Ok(ExitCode::SUCCESS)
}
