//! `kakehi launch`: keeps the Sōzus of an edge running for a supervisor in another process.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::capacity::CapacitySettings;
use super::telling::with_causes;
use crate::edge::{self, Capacity, Farewell, SpawnSettings};
use crate::model::capacity::DRAIN;
use crate::observe::log::SOZU_LEVELS;
use crate::stop::told_to_end;

/// Flags of `kakehi launch`.
#[derive(Args, Debug)]
pub(super) struct Settings {
    /// The sozu binary
    #[arg(long, env = "KAKEHI_SOZU", default_value = "sozu", value_name = "PATH")]
    sozu: PathBuf,
    /// Private directory: below it one for each Sōzu (a, b), with its command socket and state; in it the filter proxy's sockets
    #[arg(long, env = "KAKEHI_SOZU_DIR", value_name = "DIR")]
    dir: PathBuf,
    /// Sōzu's own log level: error, warn, info, debug, trace
    #[arg(long, env = "KAKEHI_SOZU_LOG", default_value = "error", value_name = "LEVEL", value_parser = SOZU_LEVELS)]
    sozu_log: String,
    /// Seconds for which new connections are still taken once it is told to end
    #[arg(long, env = "KAKEHI_LINGER", default_value_t = 0, value_name = "SECONDS")]
    linger: u64,
    /// Seconds that requests in flight may then take
    #[arg(long, env = DRAIN, default_value_t = 25, value_name = "SECONDS")]
    drain: u64,
    /// Say why it failed in this file instead of on standard error
    #[arg(long, env = "KAKEHI_LAST_WORDS", value_name = "FILE")]
    last_words: Option<PathBuf>,
    #[command(flatten)]
    capacity: CapacitySettings,
}

#[tokio::main(flavor = "current_thread")]
pub(super) async fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    let last_words = settings.last_words.clone();
    match (launch(settings).await, last_words) {
        (Ok(()), _) => Ok(ExitCode::SUCCESS),
        (Err(error), Some(file)) if write(&file, &with_causes(&error)) => Ok(ExitCode::FAILURE),
        (Err(error), _) => Err(error),
    }
}

async fn launch(settings: Settings) -> anyhow::Result<()> {
    edge::private_directory(&settings.dir).with_context(|| settings.dir.display().to_string())?;
    // What a launcher before us left behind serves on, whatever became of the binary since.
    if !edge::left_behind(&settings.dir) {
        edge::check_sozu(&settings.sozu).await?;
    }
    let farewell = Farewell { linger: Duration::from_secs(settings.linger), drain: Duration::from_secs(settings.drain) };
    let capacity = Capacity::from(settings.capacity);
    let spawn = SpawnSettings { program: settings.sozu, dir: settings.dir, log_level: settings.sozu_log, budget: capacity.launched() };
    Ok(edge::launch(spawn, capacity.sozus(), farewell, told_to_end()?).await?)
}

/// Whether it could be written.
fn write(file: &Path, words: &str) -> bool {
    let written = std::fs::write(file, words);
    if let Err(error) = &written {
        tracing::warn!(file = %file.display(), %error, "cannot write the last words");
    }
    written.is_ok()
}
