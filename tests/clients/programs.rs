//! Backends in other languages: programs that print their address and end with their standard input.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A running backend.
pub struct Program {
    child: Child,
    /// Where it listens.
    pub at: SocketAddr,
}

impl Program {
    /// Starts one; nothing when this machine lacks its language, where that is allowed.
    pub fn start(command: &mut Command) -> Option<Self> {
        // It ends when the other end of its input is gone, however this process ends.
        let mut child = match command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() {
            Ok(child) => child,
            Err(error) => return lacks(&command.get_program().to_string_lossy(), &error),
        };
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let at = line.trim().parse().unwrap_or_else(|error| panic!("{command:?} said {line:?}: {error}"));
        Some(Self { child, at })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The source of a program.
pub fn source(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/clients/programs", name].iter().collect()
}

/// Says that a tool is missing, where that is allowed.
pub fn lacks<T>(tool: &str, error: &std::io::Error) -> Option<T> {
    assert!(std::env::var_os("KAKEHI_CLIENTS").is_none(), "{tool}: {error}");
    eprintln!("{tool} is left out: {error} (config/install-clients installs it)");
    None
}
