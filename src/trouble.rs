//! Troubles that last: told when they begin and when their reason changes, not at each attempt, and told when they end.

use std::fmt::Display;

/// One kind of trouble of one thing.
///
/// ```
/// # use kakehi::trouble::Trouble;
/// let mut trouble = Trouble::default();
/// assert!(trouble.begins("refused") && !trouble.begins("refused") && trouble.begins("timed out"));
/// assert!(trouble.ends() && !trouble.ends());
/// ```
#[derive(Debug, Default)]
pub struct Trouble(Option<String>);

impl Trouble {
    /// Notes a failure. Whether it is news: none was told since the last success, or for another reason.
    pub fn begins(&mut self, reason: impl Display) -> bool {
        let reason = reason.to_string();
        if self.0.as_ref() == Some(&reason) {
            return false;
        }
        self.0 = Some(reason);
        true
    }

    /// Notes a success. Whether a failure was told before.
    pub fn ends(&mut self) -> bool {
        self.0.take().is_some()
    }
}
