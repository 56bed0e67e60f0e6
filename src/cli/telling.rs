//! What a command prints: its answer, and why it failed.

use std::io::{self, Write};

/// Prints an answer to standard output. A reader that has seen enough, such as `head`, is no error.
///
/// # Errors
/// Any other failure to write.
pub(super) fn print(answer: &str) -> io::Result<()> {
    write(&mut io::stdout().lock(), answer)
}

fn write(out: &mut impl Write, answer: &str) -> io::Result<()> {
    match out.write_all(answer.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// An error with its causes, each told once: most of our errors name their cause already.
pub(super) fn with_causes(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string).filter(|cause| !cause.is_empty()) {
        if told.is_empty() {
            told = cause;
        } else if !told.contains(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use anyhow::Context;

    use super::{with_causes, write};

    #[derive(Debug, thiserror::Error)]
    #[error("{path}: {source}")]
    struct File {
        path: &'static str,
        source: io::Error,
    }

    #[test]
    fn each_cause_is_told_once() {
        let error = || File { path: "a.yaml", source: io::Error::from_raw_os_error(2) };
        assert_eq!(with_causes(&error().into()), "a.yaml: No such file or directory (os error 2)");
        let within = Err::<(), _>(error()).context("cannot start").unwrap_err();
        assert_eq!(with_causes(&within), "cannot start: a.yaml: No such file or directory (os error 2)");
    }

    struct Gone(io::ErrorKind);

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_seen_enough_is_no_error() {
        assert!(write(&mut Gone(io::ErrorKind::BrokenPipe), "answer").is_ok());
        assert!(write(&mut Gone(io::ErrorKind::StorageFull), "answer").is_err());
    }
}
