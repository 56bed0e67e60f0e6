//! What the system lets a process open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that a process may have open at most.
pub(super) fn files() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// Lets this process and its children have as many files open as they may: shells and container engines often set less, which a
/// program is to raise that needs more.
pub fn raise_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, ?current, ?maximum, "the limit of open files cannot be raised");
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Resource, getrlimit};

    use super::raise_files;

    #[test]
    fn all_files_that_may_be_open_are_used() {
        raise_files();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
