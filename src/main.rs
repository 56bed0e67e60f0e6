//! The `kakehi` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    kakehi::cli::run()
}
