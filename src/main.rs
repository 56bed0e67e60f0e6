//! The `kakehi` binary.

use std::process::ExitCode;

use kakehi::cli;

fn main() -> ExitCode {
    cli::run()
}
