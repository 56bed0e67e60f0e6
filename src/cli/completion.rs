//! `kakehi completion SHELL`: what a shell needs to complete our command line.

use std::process::ExitCode;

use clap::Args;
use clap_complete::{Shell, generate};

use super::{command, telling};

#[derive(Args)]
pub(super) struct Settings {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    generate(settings.shell, &mut command(), "kakehi", &mut script);
    telling::print(&String::from_utf8(script)?)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;
    use clap_complete::{Shell, generate};

    use super::command;

    #[test]
    fn every_shell_completes_every_command() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            generate(*shell, &mut command(), "kakehi", &mut script);
            let script = String::from_utf8(script).unwrap();
            let missing: Vec<_> =
                command().get_subcommands().map(|one| one.get_name().to_owned()).filter(|name| !script.contains(name)).collect();
            assert!(missing.is_empty(), "{shell}: {missing:?}");
        }
    }
}
