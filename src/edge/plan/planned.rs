//! What was decided about a virtual host, and which of its texts are planned again.

use std::collections::BTreeSet;

use super::Reason;
use super::few::Few;

/// A virtual host as planned.
#[derive(Clone, Debug, Default)]
pub(super) struct Planned {
    /// Why it goes to the filter as a whole.
    pub whole: Option<Reason>,
    /// The texts that have frontends.
    pub texts: Few<String, ()>,
    /// Whether hosts with several labels before a wildcard's suffix belong to it too.
    pub deep: bool,
}

impl Planned {
    /// Whether the list has to send its hosts of several labels to the filter.
    pub(super) fn is_deep(&self) -> bool {
        self.deep && !self.texts.is_empty()
    }
}

/// Texts to plan again.
pub(super) enum Texts {
    /// Every one.
    All,
    /// These only.
    These(BTreeSet<String>),
}
