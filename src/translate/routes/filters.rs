//! What the filters of a rule, or of a backend reference, come to, whatever the kind of route.

use crate::model::{Filter, HeaderEdit, Redirect};
use crate::report::Issue;
use crate::translate::facts::ObjectRef;
use crate::translate::routes::MirrorFacts;

/// What a list of filters comes to.
#[derive(Default)]
pub(super) struct Filters {
    pub(super) filters: Vec<Filter>,
    pub(super) mirrors: Vec<MirrorFacts>,
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

/// A mirror of any place: its reference, and its share as percent or fraction.
macro_rules! mirror {
    ($mirror:expr) => {
        $mirror.as_ref().map(|mirror| {
            let fraction = mirror.fraction.as_ref().map(|fraction| (fraction.numerator, fraction.denominator.unwrap_or(100)));
            let reference = $crate::translate::routes::parse::reference!(mirror.backend_ref);
            (reference, mirror.backend_ref.port, mirror.percent, fraction)
        })
    };
}
pub(super) use mirror;

/// Reference, port, percent and fraction of a mirror.
type DeclaredMirror = (ObjectRef, Option<i32>, Option<i32>, Option<(i32, i32)>);

impl Filters {
    /// A filter that cannot be honoured.
    pub(super) fn unsupported(&mut self, filter: &str) {
        self.issues.push(Issue::UnsupportedFilter { filter: filter.to_owned() });
    }

    /// A mirror; none when its field is missing.
    pub(super) fn mirror(&mut self, declared: Option<DeclaredMirror>) {
        let Some((reference, port, percent, fraction)) = declared else {
            return self.issues.push(Issue::EmptyFilter { filter: "RequestMirror".to_owned() });
        };
        let (numerator, denominator) = fraction.or(percent.map(|percent| (percent, 100))).unwrap_or((1, 1));
        match (u32::try_from(numerator), u32::try_from(denominator)) {
            (Ok(above), Ok(below)) if above <= below && below > 0 && !(percent.is_some() && fraction.is_some()) => {
                self.mirrors.push(MirrorFacts { reference, port, share: (above, below) });
            }
            _ => {
                let value = format!("{numerator}/{denominator}");
                self.issues.push(Issue::InvalidValue { field: "requestMirror".to_owned(), value });
            }
        }
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
