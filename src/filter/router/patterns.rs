//! The expressions of all routes: each text is compiled once, and kept while a route has it.

use imbl::HashMap;

use crate::model::{Expressions, Pattern, PatternError, WeakPattern};

/// Dropped expressions are looked for when so many are known, and whenever they are twice as many as were held then.
const FEW: usize = 64;

/// Compiled expressions by their text. A clone is cheap.
#[derive(Clone, Default)]
pub(super) struct Patterns {
    known: HashMap<Box<str>, WeakPattern>,
    held: usize,
}

/// What the expressions of one route are compiled with.
pub(super) struct Compiler<'p> {
    patterns: &'p mut Patterns,
    route: Expressions,
}

impl Patterns {
    /// For one route.
    pub(super) fn compiler(&mut self) -> Compiler<'_> {
        Compiler { patterns: self, route: Expressions::default() }
    }

    fn get(&mut self, text: &str) -> Result<Pattern, PatternError> {
        if let Some(held) = self.known.get(text).and_then(WeakPattern::upgrade) {
            return Ok(held);
        }
        let compiled = Pattern::compile(text)?;
        if self.known.len() > FEW.max(2 * self.held) {
            self.known.retain(|_, pattern| pattern.is_held());
            self.held = self.known.len();
        }
        self.known.insert(text.into(), compiled.downgrade());
        Ok(compiled)
    }
}

impl Compiler<'_> {
    /// A compiled expression. One that cannot be compiled counts as satisfied, and its match answers 500: rules that restrict
    /// access fail closed.
    pub(super) fn pattern(&mut self, expression: &str, problems: &mut Vec<String>) -> Option<Pattern> {
        let Self { patterns, route } = self;
        let compiled = route.compile_by(expression, |text| patterns.get(text));
        compiled.map_err(|problem| problems.push(format!("regular expression {expression:?}: {problem}"))).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Patterns;

    #[test]
    fn an_expression_is_compiled_once_and_forgotten_with_its_last_route() {
        let mut patterns = Patterns::default();
        let mut problems = Vec::new();
        let one = patterns.compiler().pattern("a+", &mut problems).unwrap();
        let two = patterns.compiler().pattern("a+", &mut problems).unwrap();
        let held = patterns.known.get("a+").unwrap().clone();
        drop(one);
        assert!(held.is_held());
        drop(two);
        assert!(!held.is_held());
        for number in 0..1000 {
            patterns.compiler().pattern(&format!("a{number}"), &mut problems).unwrap();
        }
        assert!(patterns.known.len() < 100 && problems.is_empty(), "{}", patterns.known.len());
    }
}
