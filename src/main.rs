//! The `kakehi` binary.

use std::process::ExitCode;

/// The edge takes in thousands of routes at once, and what that needed for a moment is given back to the system, which glibc's
/// allocator does not do when long-lived pieces lie between. It is faster for the filter proxy, too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Read here and not in the library, which is not built anew for each commit.
    kakehi::cli::run(option_env!("KAKEHI_COMMIT"))
}
