//! What the filters of a rule, or of a backend reference, come to, whatever the kind of route.

use crate::model::{Filter, HeaderEdit, Redirect};
use crate::report::Issue;

/// What a list of filters comes to.
#[derive(Default)]
pub(super) struct Filters {
    pub(super) filters: Vec<Filter>,
    pub(super) redirect: Option<Redirect>,
    pub(super) issues: Vec<Issue>,
}

/// The edits of a header modifier of any place. Each place has its own generated types of one shape.
macro_rules! edit {
    ($modifier:expr) => {
        $modifier.as_ref().map(|modifier| {
            let set = modifier.set.iter().flatten().map(|header| (header.name.as_str(), header.value.as_str()));
            let add = modifier.add.iter().flatten().map(|header| (header.name.as_str(), header.value.as_str()));
            $crate::translate::routes::headers::edit(set, add, modifier.remove.iter().flatten().map(String::as_str))
        })
    };
}
pub(super) use edit;

impl Filters {
    /// A filter that cannot be honoured.
    pub(super) fn unsupported(&mut self, filter: &str) {
        self.issues.push(Issue::UnsupportedFilter { filter: filter.to_owned() });
    }

    /// A header modifier; none when its field is missing.
    pub(super) fn edit(&mut self, filter: &str, edit: Option<(HeaderEdit, Vec<Issue>)>, wrap: fn(HeaderEdit) -> Filter) {
        match edit {
            Some((edit, issues)) => {
                self.filters.push(wrap(edit));
                self.issues.extend(issues);
            }
            None => self.issues.push(Issue::EmptyFilter { filter: filter.to_owned() }),
        }
    }
}
