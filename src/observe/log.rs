//! Logs: one line per event on stderr, text or JSON.

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts logging. `filter` is a tracing filter such as `info` or `info,kakehi::edge=debug`.
///
/// # Errors
/// When the filter does not parse, or logging was started before.
pub fn start(format: Format, filter: &str) -> anyhow::Result<()> {
    let builder = tracing_subscriber::fmt().with_env_filter(EnvFilter::try_new(filter)?).with_writer(std::io::stderr);
    let started = match format {
        Format::Text => builder.with_target(false).with_ansi(false).try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!(error))
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
