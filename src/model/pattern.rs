//! Regular expressions that users write, compiled in one way by all that judge or run them.
//!
//! Each becomes a deterministic automaton: a value costs one step a byte whatever the expression, and what that would make too
//! large is refused when the route is read. An expression takes bytes, as nearly all values are ASCII: `\w`, `\d`, `\s` and `\b`
//! mean ASCII, as in RE2, and `.` is one byte. One that cannot be read so (`\p{Greek}`, `[é]`) takes UTF-8 characters.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind};
use regex_syntax::hir::{Hir, Look};
use serde::Serialize;

/// Most characters of an expression (the limit of `HTTPPathMatch.value`).
const MAX_LENGTH: usize = 1024;
/// Most groups within groups.
const MAX_NESTING: u32 = 64;
/// Most bytes of a compiled expression. Counted repetitions multiply, so a short text can be a large program.
const MAX_PROGRAM: usize = 64 * 1024;
/// What compiling an expression may take.
struct Bounds {
    /// Bytes of the automaton that is made deterministic.
    nfa: usize,
    /// Bytes of the result.
    program: usize,
    /// Bytes of the sets of states that the result's states stand for: the time grows with them.
    sets: usize,
}

/// Milliseconds.
const FULL: Bounds = Bounds { nfa: 4 * MAX_PROGRAM, program: MAX_PROGRAM, sets: MAX_PROGRAM };
/// A fraction of a millisecond, whatever the expression.
const CHEAP: Bounds = Bounds { nfa: 16 * 1024, program: 8 * 1024, sets: 4 * 1024 };
/// Most bytes of the compiled expressions of one route, each counted once.
const MAX_OF_ROUTE: usize = 512 * 1024;
/// What an expression takes beside its program.
const BESIDE: usize = 512;

type Program = dense::DFA<Vec<u32>>;

/// A compiled expression that must match a whole value (RE2 syntax; no look-around, no back-references). Clones share it.
#[derive(Clone, Debug)]
pub struct Pattern(Arc<Program>);

/// A pattern that others may have dropped.
#[derive(Clone, Debug)]
pub struct WeakPattern(Weak<Program>);

/// The expression cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, thiserror::Error)]
pub enum PatternError {
    /// Longer than 1,024 characters.
    #[error("longer than {MAX_LENGTH} characters")]
    TooLong,
    /// Its compiled form would be larger than 64 KiB.
    #[error("larger than {} KiB when compiled", MAX_PROGRAM / 1024)]
    TooLarge,
    /// The expressions of its route are larger than 512 KiB with it.
    #[error("the expressions of one route are larger than {} KiB when compiled", MAX_OF_ROUTE / 1024)]
    TooMany,
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
        Self::compile_within(text, &FULL)
    }

    /// Compiles `text` if that is cheap; none when it is costly, or impossible for the size of the result.
    ///
    /// # Errors
    /// [`PatternError`] when it is malformed or too long.
    pub fn compile_cheaply(text: &str) -> Result<Option<Self>, PatternError> {
        match Self::compile_within(text, &CHEAP) {
            Err(PatternError::TooLarge) => Ok(None),
            compiled => compiled.map(Some),
        }
    }

    fn compile_within(text: &str, bounds: &Bounds) -> Result<Self, PatternError> {
        if text.len() > MAX_LENGTH {
            return Err(PatternError::TooLong);
        }
        let read = parse(text, false).or_else(|| parse(text, true)).ok_or(PatternError::Syntax)?;
        let whole = Hir::concat(vec![Hir::look(Look::Start), read, Hir::look(Look::End)]);
        let nfa = thompson::Config::new().utf8(false).nfa_size_limit(Some(bounds.nfa)).which_captures(WhichCaptures::None);
        let nfa = thompson::Compiler::new().configure(nfa).build_from_hir(&whole).map_err(|_| PatternError::TooLarge)?;
        let dfa = dense::Config::new()
            .start_kind(StartKind::Anchored)
            .match_kind(MatchKind::All)
            .accelerate(false)
            .dfa_size_limit(Some(bounds.program))
            .determinize_size_limit(Some(bounds.sets));
        let built = dense::Builder::new().configure(dfa).build_from_nfa(&nfa);
        built.map(|program| Self(Arc::new(program))).map_err(|error| match error.is_size_limit_exceeded() {
            true => PatternError::TooLarge,
            false => PatternError::Syntax,
        })
    }

    /// Whether the whole of `value` matches.
    pub fn matches(&self, value: &[u8]) -> bool {
        // No byte stops this automaton early, so there is no error.
        matches!(self.0.try_search_fwd(&Input::new(value).anchored(Anchored::Yes).earliest(true)), Ok(Some(_)))
    }

    /// Bytes that it takes.
    pub fn size(&self) -> usize {
        self.0.memory_usage() + BESIDE
    }

    /// This pattern for as long as another holds it.
    pub fn downgrade(&self) -> WeakPattern {
        WeakPattern(Arc::downgrade(&self.0))
    }
}

impl WeakPattern {
    /// The pattern, if it is still held.
    pub fn upgrade(&self) -> Option<Pattern> {
        self.0.upgrade().map(Pattern)
    }

    /// Whether it is still held.
    pub fn is_held(&self) -> bool {
        self.0.strong_count() > 0
    }
}

/// Reads an expression by bytes, or by characters.
fn parse(text: &str, unicode: bool) -> Option<Hir> {
    syntax::parse_with(text, &syntax::Config::new().utf8(false).unicode(unicode).nest_limit(MAX_NESTING)).ok()
}

/// The expressions of one route, within what one route may have. What translation accepts the filter accepts: it reads the
/// same or fewer in the same order.
#[derive(Debug)]
pub struct Expressions {
    known: BTreeMap<Box<str>, Result<Pattern, PatternError>>,
    left: usize,
}

impl Default for Expressions {
    fn default() -> Self {
        Self { known: BTreeMap::new(), left: MAX_OF_ROUTE }
    }
}

impl Expressions {
    /// Compiles `text`, once however often the route has it.
    ///
    /// # Errors
    /// [`PatternError`]; [`PatternError::TooMany`] for all that are new once the route has had too much.
    pub fn compile(&mut self, text: &str) -> Result<Pattern, PatternError> {
        self.compile_by(text, Pattern::compile)
    }

    /// The same, compiled by `compile`, which may know it already.
    ///
    /// # Errors
    /// The same.
    pub fn compile_by(&mut self, text: &str, compile: impl FnOnce(&str) -> Result<Pattern, PatternError>) -> Result<Pattern, PatternError> {
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        if self.left == 0 {
            return Err(PatternError::TooMany);
        }
        let compiled = compile(text);
        let fits = charge(&mut self.left, compiled.as_ref().map(Pattern::size).map_err(|error| *error));
        let compiled = if fits { compiled } else { Err(PatternError::TooMany) };
        self.known.insert(text.into(), compiled.clone());
        compiled
    }
}

/// Takes from what is left to a route what an expression costs; whether that was enough.
fn charge(left: &mut usize, size: Result<usize, PatternError>) -> bool {
    // What is refused for its size has cost as much as what is not.
    let cost = match size {
        Ok(size) => size,
        Err(PatternError::TooLarge) => MAX_PROGRAM,
        Err(_) => BESIDE,
    };
    let fits = cost <= *left;
    *left = if fits { *left - cost } else { 0 };
    fits
}

/// The same verdicts as those of [`Expressions`], where sizes are known and programs are not wanted.
#[derive(Debug)]
pub struct Sizes {
    known: BTreeMap<Box<str>, Result<(), PatternError>>,
    left: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { known: BTreeMap::new(), left: MAX_OF_ROUTE }
    }
}

impl Sizes {
    /// Judges `text`, of which `size` says what it takes when compiled.
    ///
    /// # Errors
    /// As [`Expressions::compile`].
    pub fn judge(&mut self, text: &str, size: impl FnOnce(&str) -> Result<usize, PatternError>) -> Result<(), PatternError> {
        if let Some(known) = self.known.get(text) {
            return *known;
        }
        if self.left == 0 {
            return Err(PatternError::TooMany);
        }
        let size = size(text);
        let verdict = if charge(&mut self.left, size) { size.map(drop) } else { Err(PatternError::TooMany) };
        self.known.insert(text.into(), verdict);
        verdict
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Expressions, MAX_OF_ROUTE, MAX_PROGRAM, Pattern, PatternError, Sizes};

    #[test]
    fn the_whole_value_must_match() {
        let pattern = Pattern::compile("a|b+").unwrap();
        assert!(pattern.matches(b"a") && pattern.matches(b"bbb"));
        assert!(!pattern.matches(b"ab") && !pattern.matches(b"a\n") && !pattern.matches(b""));
        assert!(Pattern::compile("").unwrap().matches(b""));
        assert!(Pattern::compile("^a$|b").unwrap().matches(b"a"));
    }

    #[test]
    fn what_cannot_be_run_safely_is_refused() {
        assert_eq!(Pattern::compile("a)|(b").unwrap_err(), PatternError::Syntax);
        assert_eq!(Pattern::compile("(a").unwrap_err(), PatternError::Syntax);
        assert_eq!(Pattern::compile("(?=a)").unwrap_err(), PatternError::Syntax);
        assert_eq!(Pattern::compile(&format!("{}a{}", "(".repeat(500), ")".repeat(500))).unwrap_err(), PatternError::Syntax);
        for large in ["((a{100}){100}){100}", ".*a.{20}", r"\p{L}{100}", "(?:a?){1000}{1000}"] {
            assert_eq!(Pattern::compile(large).unwrap_err(), PatternError::TooLarge, "{large}");
        }
        assert_eq!(Pattern::compile(&"a".repeat(1025)).unwrap_err(), PatternError::TooLong);
    }

    #[test]
    fn classes_are_ascii_and_characters_beyond_it_can_be_named() {
        let table = [
            (r"\w+", "caf\u{e9}", false),
            (r"\w+", "cafe_1", true),
            (r"\d", "\u{663}", false),
            ("caf\u{e9}", "caf\u{e9}", true),
            ("caf[\u{e9}e]", "caf\u{e9}", true),
            (r"\p{Greek}+", "\u{3b1}\u{3b2}", true),
            (r"\p{Greek}+", "ab", false),
            (r".*\bbot\b.*", "a bot!", true),
        ];
        for (text, value, wanted) in table {
            assert_eq!(Pattern::compile(text).unwrap().matches(value.as_bytes()), wanted, "{text} {value}");
        }
        assert!(Pattern::compile(".*evil.*").unwrap().matches(b"\xff evil"), "bytes that are no UTF-8 hide nothing");
    }

    #[test]
    fn what_users_write_is_accepted() {
        let words = "bot|crawler|spider|curl|wget|python|java|go-http|ahrefs|semrush|yandex|baidu|bing|google";
        for text in [
            &format!("(?i).*({words}).*"),
            "(?i)mozilla.*(android|iphone|ipad).*mobile.*",
            "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
            r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*",
            r"(?i)[a-z0-9._%+-]+@[a-z0-9.-]+\.[a-z]{2,}",
            "(^|.*; ?)session=abc[^;]*(;.*)?",
            r"Bearer [A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+",
            r"/api/v[0-9]+/.*\.json",
            r"h1\w{20}",
            ".{0,255}",
        ] {
            assert!(Pattern::compile(text).is_ok_and(|pattern| pattern.size() <= MAX_PROGRAM), "{text}");
        }
        for (text, cheap) in
            [(r"h1\w{20}", true), ("/api/v[0-9]+/.*", true), (".*(x.{0,9}y)", false), ("(?:a?b?c?d?){90}", false), (r"\p{L}", false)]
        {
            assert_eq!(Pattern::compile_cheaply(text).unwrap().is_some(), cheap, "{text}");
        }
        assert_eq!(Pattern::compile_cheaply("(").unwrap_err(), PatternError::Syntax);
    }

    #[test]
    fn a_route_has_so_many_and_each_counts_once() {
        let mut expressions = Expressions::default();
        let mut accepted = Vec::new();
        for number in 0..2048 {
            let text = format!(r"h{number}\w{{20}}");
            match expressions.compile(&text) {
                Ok(pattern) => accepted.push((text, pattern)),
                Err(error) => assert_eq!(error, PatternError::TooMany),
            }
        }
        let mut sizes = Sizes::default();
        let judged = (0..2048).map(|number| format!(r"h{number}\w{{20}}"));
        let judged = judged.filter(|text| sizes.judge(text, |text| Pattern::compile(text).map(|pattern| pattern.size())).is_ok());
        assert_eq!(judged.count(), accepted.len(), "the same verdicts without programs");
        let size: usize = accepted.iter().map(|(_, pattern)| pattern.size()).sum();
        assert!((100..1000).contains(&accepted.len()) && size <= MAX_OF_ROUTE, "{} {size}", accepted.len());
        assert!(expressions.compile(&accepted[0].0).is_ok(), "what is there already costs nothing");
        // The filter reads what was accepted.
        let mut again = Expressions::default();
        assert!(accepted.iter().all(|(text, _)| again.compile(text).is_ok()));
        let mut refused = Expressions::default();
        let errors: Vec<_> = (0..100).map(|number| refused.compile(&format!(".*a.{{20}}{number}")).unwrap_err()).collect();
        assert_eq!(errors.iter().filter(|error| **error == PatternError::TooLarge).count(), MAX_OF_ROUTE / MAX_PROGRAM);
    }

    proptest! {
        /// On ASCII the meaning is that of the `regex` crate.
        #[test]
        fn ascii_is_taken_as_by_another_engine(
            text in r"([a-c.]|\\w|\\d|[ab]\+|\(a\|b\)\*|\[\^a\]|c\?|\^|\$|b\{1,3\}|\\b){0,6}",
            value in "[a-d1 ]{0,8}",
        ) {
            let other = regex::Regex::new(&format!("^(?:{text})$")).unwrap();
            prop_assert_eq!(Pattern::compile(&text).unwrap().matches(value.as_bytes()), other.is_match(&value), "{} {}", text, value);
        }
    }
}
