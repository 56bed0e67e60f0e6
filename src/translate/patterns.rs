//! Which regular expressions the filter can run, and what it may cost to find out.

use std::collections::HashMap;

use regex_automata::util::syntax;
use regex_syntax::hir::{Hir, HirKind};

use crate::model::{Pattern, PatternError};

/// Verdicts that are remembered, each once per text.
const REMEMBERED: usize = 16_384;
/// Places of an expression, counted repetitions written out, beyond which it is refused before it is compiled.
const MOST_PLACES: usize = 400;
/// Places that one unit of the budget pays for.
const PLACES_OF_UNIT: usize = 16;

/// What is known of an expression.
#[derive(Clone, Copy, Debug)]
struct Verdict {
    /// It cannot be compiled cheaply.
    costly: bool,
    /// Its size when compiled; none: not known yet.
    size: Option<Result<usize, PatternError>>,
}

/// Verdicts by the hash of the text.
#[derive(Debug, Default)]
pub(super) struct Judged(HashMap<[u8; 32], Verdict>);

impl Judged {
    /// Whether it takes more to find out the size of an expression than its text may cost every tenant. Cheap.
    pub(super) fn is_costly(&mut self, expression: &str) -> bool {
        self.known(expression).costly
    }

    /// The size of an expression that the filter can run.
    pub(super) fn size(&mut self, expression: &str) -> Result<usize, PatternError> {
        let Verdict { costly, size } = self.known(expression);
        if let Some(size) = size {
            return size;
        }
        let size = Pattern::compile(expression).map(|pattern| pattern.size());
        self.0.insert(hash(expression), Verdict { costly, size: Some(size) });
        size
    }

    fn known(&mut self, expression: &str) -> Verdict {
        let hash = hash(expression);
        if let Some(verdict) = self.0.get(&hash) {
            return *verdict;
        }
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        let verdict = tried(expression);
        self.0.insert(hash, verdict);
        verdict
    }
}

fn hash(expression: &str) -> [u8; 32] {
    *blake3::hash(expression.as_bytes()).as_bytes()
}

/// What can be found out cheaply.
fn tried(expression: &str) -> Verdict {
    if places(expression).is_some_and(|places| places > MOST_PLACES) {
        return Verdict { costly: false, size: Some(Err(PatternError::TooLarge)) };
    }
    match Pattern::compile_cheaply(expression) {
        Ok(Some(pattern)) => Verdict { costly: false, size: Some(Ok(pattern.size())) },
        Ok(None) => Verdict { costly: true, size: None },
        Err(problem) => Verdict { costly: false, size: Some(Err(problem)) },
    }
}

/// What an expression takes of the budget. Compiling one costs about as much as it has places times the size of the result,
/// which is bounded.
pub(super) fn price(expression: &str) -> usize {
    // What cannot be read by bytes is refused cheaply, or names characters, which are several places each.
    let places = places(expression).unwrap_or(expression.len().saturating_mul(8));
    1 + places.min(MOST_PLACES) / PLACES_OF_UNIT
}

/// Places for a byte in an expression, counted repetitions written out; none when it cannot be read by bytes.
fn places(expression: &str) -> Option<usize> {
    let config = syntax::Config::new().utf8(false).unicode(false).nest_limit(64);
    syntax::parse_with(expression, &config).ok().map(|hir| size(&hir))
}

/// Recursion ends: the parser bounds the nesting.
fn size(hir: &Hir) -> usize {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 0,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(_) => 1,
        HirKind::Capture(capture) => size(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().map(size).fold(0, usize::saturating_add),
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min.saturating_add(1)).max(1);
            size(&repetition.sub).saturating_mul(usize::try_from(times).unwrap_or(usize::MAX))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Judged, MOST_PLACES, REMEMBERED, Verdict, places, price};
    use crate::model::PatternError;

    #[test]
    fn places_are_counted_with_repetitions_written_out() {
        for (text, counted) in [
            ("", Some(0)),
            ("ab", Some(2)),
            (r"h1\w{20}", Some(22)),
            ("((a{9}){9}){9}", Some(729)),
            ("(a|bc)*", Some(3)),
            ("(a|bc)+", Some(6)),
            ("(", None),
        ] {
            assert_eq!(places(text), counted, "{text}");
        }
        assert_eq!((price("a"), price(r"h1\w{20}"), price("(?:a?){900}")), (1, 2, 1 + MOST_PLACES / 16));
    }

    #[test]
    fn verdicts_are_remembered_and_bounded() {
        let mut judged = Judged::default();
        assert!(judged.size("a").is_ok() && judged.size("a").is_ok());
        assert_eq!(judged.size("(").unwrap_err(), PatternError::Syntax);
        assert_eq!(judged.size("(?:a?){900}").unwrap_err(), PatternError::TooLarge);
        assert_eq!(judged.0.len(), 3);
        assert!(judged.is_costly(".*(x.{0,9}y)") && judged.size(".*(x.{0,9}y)").is_ok() && judged.is_costly(".*(x.{0,9}y)"));
        assert!(["a", "(", "(?:a?){900}"].iter().all(|text| !judged.is_costly(text)));
        let verdict = Verdict { costly: false, size: Some(Err(PatternError::Syntax)) };
        let others = (0..REMEMBERED as u64).map(|number| (*blake3::hash(&number.to_le_bytes()).as_bytes(), verdict));
        judged.0.extend(others);
        assert!(judged.size("b").is_ok());
        assert_eq!(judged.0.len(), 1);
    }
}
