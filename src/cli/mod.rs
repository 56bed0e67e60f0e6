//! Subcommands: one thin file each.

mod capacity;
mod check;
mod completion;
mod controller;
pub mod crds;
mod edge;
mod filter;
mod launch;
mod ready;
pub mod rules;
mod standalone;
mod telling;
mod trace;
mod translate;
mod withdraw;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::api::GATEWAY_API;
use crate::edge::raise_files;
use crate::edge::sozu::VERSION as SOZU;
use crate::observe::log;
use crate::settings::{
    CheckSettings, ControllerSettings, LogSettings, StandaloneSettings, TraceSettings, TranslateSettings, WithdrawSettings,
};

/// Examples below the list of commands.
const EXAMPLES: &str = "\
Examples:
  kakehi standalone --config-dir config/standalone --sozu sozu   serve a directory
  kakehi check config/standalone                                 what is wrong with it
  kakehi trace http://demo.localhost:8080/split                  who would answer, of a running instance
  kakehi completion bash >/etc/bash_completion.d/kakehi          completion

https://github.com/kakehi-dev/kakehi";

/// Gateway API on the Sōzu reverse proxy.
#[derive(Parser)]
#[command(name = "kakehi", version, about, max_term_width = 120, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    log: LogSettings,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a directory of manifests through Sōzu on this machine, without a cluster
    Standalone(StandaloneSettings),
    /// Say what is wrong with a directory of manifests, with file and line. Exit 1 when something is refused or not served
    Check(CheckSettings),
    /// Print what a directory of manifests means: snapshot, plan with reasons, statuses. Exit 1 when something is refused or not served
    Translate(TranslateSettings),
    /// Say which rule takes a request and why no other does: listener, candidates by rank, stage, answer, endpoints
    Trace(TraceSettings),
    /// Serve a cluster: watch its objects, feed its edges, write statuses
    Controller(ControllerSettings),
    /// Before an operator is uninstalled: stop it, take its finalizers from all objects, delete the edges of IngressClasses
    Withdraw(WithdrawSettings),
    /// Ask an operator or an edge whether it is ready. Exit 1 when it is not
    Ready(ready::Settings),
    /// Print the CustomResourceDefinitions of Kakehi's own kinds
    Crds,
    /// Print the ClusterRole that the operator needs
    Rules,
    /// Print what a shell needs to complete this command line
    Completion(completion::Settings),
    /// Supervise one edge's Sōzus and filter proxy (started by standalone, or in an edge pod)
    Edge(edge::Settings),
    /// Keep the Sōzus of an edge running for its supervisor (started by standalone, or in an edge pod)
    Launch(launch::Settings),
    /// Run the filter proxy of an edge (started by the edge)
    Filter(filter::Settings),
}

/// The whole command line, for documentation made from it.
pub fn command() -> clap::Command {
    Cli::command()
}

/// What `--version` says: `commit` is that of the build, where it was told.
fn version(commit: Option<&str>) -> String {
    let (own, commit) = (env!("CARGO_PKG_VERSION"), commit.unwrap_or("unknown"));
    format!("{own}\ncommit {commit}\nSōzu {SOZU}\nGateway API {GATEWAY_API}")
}

/// Reads the command line and runs it. `commit` is that of the build, where it was told.
pub fn run(commit: Option<&str>) -> ExitCode {
    // A command's texts live as long as the process.
    let version: &'static str = version(commit).leak();
    let cli = match Cli::from_arg_matches(&command().long_version(version).get_matches()) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let logging = match log::start(cli.log.log_format, &cli.log.log) {
        Ok(logging) => logging,
        Err(error) => {
            eprintln!("kakehi: {error}");
            return ExitCode::from(2);
        }
    };
    raise_files();
    let done = match cli.command {
        Command::Standalone(settings) => standalone::run(settings, cli.log),
        Command::Controller(settings) => controller::run(settings),
        Command::Withdraw(settings) => withdraw::run(settings),
        Command::Check(settings) => check::run(&settings),
        Command::Translate(settings) => translate::run(&settings),
        Command::Trace(settings) => trace::run(&settings),
        Command::Edge(settings) => edge::run(settings, &cli.log),
        Command::Launch(settings) => launch::run(settings),
        Command::Ready(settings) => ready::run(settings),
        Command::Crds => crds::run(),
        Command::Rules => rules::run(),
        Command::Completion(settings) => completion::run(&settings),
        Command::Filter(settings) => filter::run(settings),
    };
    // What was logged comes before why it ends.
    drop(logging);
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("kakehi: {}", telling::with_causes(&error));
            ExitCode::FAILURE
        }
    }
}
