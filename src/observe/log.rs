//! Logs: one line per event on stderr, text or JSON. Lines wait for a thread of their own, so that a standard error that is slow or that
//! is read by none holds up nothing: it costs lines, which are counted.

use std::io::{self, Write};

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::process;

/// Lines that may wait.
const QUEUE: usize = 4096;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts logging. `filter` is a tracing filter such as `info` or `info,kakehi::edge=debug`. What waits is written, a second long at
/// most, when the guard is dropped.
///
/// # Errors
/// When the filter does not parse, or logging was started before.
pub fn start(format: Format, filter: &str) -> anyhow::Result<WorkerGuard> {
    let output = Output { told: 0, seen: 0, to: io::stderr() };
    let (writer, guard) = NonBlockingBuilder::default().buffered_lines_limit(QUEUE).thread_name("log").finish(output);
    process::count_lost_lines(writer.error_counter());
    let builder = tracing_subscriber::fmt().with_env_filter(EnvFilter::try_new(filter)?).with_writer(writer);
    let started = match format {
        Format::Text => builder.with_target(false).with_ansi(false).try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!(error))?;
    Ok(guard)
}

/// Where lines go. It says how many were lost, once the queue has room again.
struct Output<W> {
    to: W,
    /// Lost lines of which something was said, and those that there were at the last look.
    told: u64,
    seen: u64,
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let written = self.to.write(line);
        let lost = process::lost_lines();
        let rests = lost == std::mem::replace(&mut self.seen, lost);
        if rests && lost > self.told {
            let lines = lost - std::mem::replace(&mut self.told, lost);
            // It waits in the queue as any other line does.
            tracing::warn!(lines, "lines of this log were lost: standard error was too slow");
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Levels at which Sōzu logs.
pub const SOZU_LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// What to log, as a flag gives it: a level, or levels per module. A word that is no level would be taken for the name of a
/// module, of which everything is logged: it is refused.
///
/// # Errors
/// What is wrong with it.
pub fn levels(text: &str) -> Result<String, String> {
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
        if level.parse::<LevelFilter>().is_err() {
            return Err(format!(
                "{level:?} is no level: error, warn, info, debug, trace or off, also per module as in info,kakehi::edge=debug"
            ));
        }
    }
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::levels;

    #[test]
    fn a_mistyped_level_is_refused() {
        for good in ["info", "WARN", "off", "info,kakehi::edge=debug", "warn,kube=trace", ""] {
            assert_eq!(levels(good).as_deref(), Ok(good));
        }
        for (bad, word) in [("inof", "inof"), ("debugg", "debugg"), ("info,kakehi::edge=debgu", "debgu"), ("kakehi::edge", "kakehi::edge")]
        {
            assert!(levels(bad).unwrap_err().starts_with(&format!("{word:?} is no level")), "{bad}");
        }
    }
}
