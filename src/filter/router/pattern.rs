//! Regular expressions of matches.

use regex::bytes::{Regex, RegexBuilder};

/// Greatest compiled size of one expression in bytes. The engine runs in time linear in the input; this bounds memory and
/// the constant.
const SIZE_LIMIT: usize = 1 << 20;

/// Greatest length of the text of one expression in bytes.
const LONGEST: usize = 4096;

/// A compiled expression that must match a whole value, or a broken one.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    /// Compiled and anchored at both ends.
    Compiled(Regex),
    /// Could not be compiled. It counts as satisfied and its entry answers 500: access rules fail closed.
    Broken,
}

/// Compiles `expression` so that it must match a whole value.
///
/// # Errors
/// Why it does not compile, for people.
pub fn compile(expression: &str) -> Result<Regex, String> {
    if expression.len() > LONGEST {
        return Err(format!("regular expression of {} bytes, at most {LONGEST} are allowed", expression.len()));
    }
    // Alone first: "a)|(b" is no expression, although the anchored text around it would be one.
    let alone = RegexBuilder::new(expression).size_limit(SIZE_LIMIT).build();
    let anchored = alone.and_then(|_| RegexBuilder::new(&format!("\\A(?:{expression})\\z")).size_limit(SIZE_LIMIT).build());
    anchored.map_err(|error| format!("regular expression {expression:?}: {error}"))
}

impl Pattern {
    /// Compiles; the reason is added to `problems` when that fails.
    pub(super) fn new(expression: &str, problems: &mut Vec<String>) -> Self {
        match compile(expression) {
            Ok(regex) => Self::Compiled(regex),
            Err(problem) => {
                problems.push(problem);
                Self::Broken
            }
        }
    }

    /// Whether the whole of `value` matches.
    pub(super) fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Compiled(regex) => regex.is_match(value),
            Self::Broken => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Pattern, compile};

    #[test]
    fn the_whole_value_must_match() {
        let pattern = Pattern::new("a|ab", &mut Vec::new());
        assert!(pattern.matches(b"a") && pattern.matches(b"ab"));
        assert!(!pattern.matches(b"abc") && !pattern.matches(b"xa") && !pattern.matches(b"a\n"));
    }

    #[test]
    fn what_cannot_be_compiled_says_why() {
        for bad in ["(", "a)|(b", "(?=a)", r"(a)\1", r"\w{1000}{1000}", &"a".repeat(5000)] {
            assert!(compile(bad).is_err(), "{bad}");
            let mut problems = Vec::new();
            assert!(Pattern::new(bad, &mut problems).matches(b"anything"));
            assert_eq!(problems.len(), 1);
        }
    }
}
