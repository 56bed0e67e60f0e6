//! Regular expressions that users write, compiled in one way by whoever judges or runs them.

use regex::bytes::{Regex, RegexBuilder};
use serde::Serialize;

/// Most characters of an expression (the limit of `HTTPPathMatch.value`).
const MAX_LENGTH: usize = 1024;
/// Most bytes of a compiled expression. Counted repetitions multiply, so a short text can be a large program.
const MAX_PROGRAM: usize = 1 << 20;

/// A compiled expression that must match a whole value (RE2 syntax; no look-around, no back-references, linear time).
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

/// The expression cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, thiserror::Error)]
pub enum PatternError {
    /// Longer than 1,024 characters.
    #[error("longer than {MAX_LENGTH} characters")]
    TooLong,
    /// Its compiled form would be larger than 1 MiB.
    #[error("too large when compiled")]
    TooLarge,
    /// No expression of the syntax.
    #[error("not a regular expression of the RE2 syntax")]
    Syntax,
}

impl Pattern {
    /// Compiles `text`.
    ///
    /// # Errors
    /// [`PatternError`] when it is malformed, too long or too large.
    pub fn compile(text: &str) -> Result<Self, PatternError> {
        if text.len() > MAX_LENGTH {
            return Err(PatternError::TooLong);
        }
        let build = |text: &str| {
            RegexBuilder::new(text).size_limit(MAX_PROGRAM).build().map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => PatternError::TooLarge,
                _ => PatternError::Syntax,
            })
        };
        // Alone first: `a)|(b` is only balanced inside the anchoring group.
        build(text)?;
        build(&format!("^(?:{text})$")).map(Self)
    }

    /// Whether the whole of `value` matches.
    pub fn matches(&self, value: &[u8]) -> bool {
        self.0.is_match(value)
    }
}

#[cfg(test)]
mod tests {
    use super::{Pattern, PatternError};

    #[test]
    fn the_whole_value_must_match() {
        let pattern = Pattern::compile("a|b+").unwrap();
        assert!(pattern.matches(b"a") && pattern.matches(b"bbb"));
        assert!(!pattern.matches(b"ab") && !pattern.matches(b"a\n") && !pattern.matches(b""));
    }

    #[test]
    fn what_cannot_be_run_safely_is_refused() {
        assert_eq!(Pattern::compile("a)|(b").unwrap_err(), PatternError::Syntax);
        assert_eq!(Pattern::compile("(a").unwrap_err(), PatternError::Syntax);
        assert_eq!(Pattern::compile("(?=a)").unwrap_err(), PatternError::Syntax);
        assert_eq!(Pattern::compile("((a{100}){100}){100}").unwrap_err(), PatternError::TooLarge);
        assert_eq!(Pattern::compile(&"a".repeat(1025)).unwrap_err(), PatternError::TooLong);
    }
}
