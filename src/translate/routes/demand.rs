//! What a route asks its namespace's budgets for, and what becomes of a route that asks for too much.

use super::RouteFacts;
use super::translate::Attached;
use crate::model::{Age, ObjectId};
use crate::report::{Issue, Limit, Scope};
use crate::translate::budget::{ENTRIES_OF_ALL, ENTRIES_OF_NAMESPACE, ENTRIES_OF_ROUTE, Good};
use crate::translate::queue::Entry;
use crate::translate::reader::Reader;

/// What a route asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Demand {
    age: Option<Age>,
    expressions: usize,
    /// Known once the expressions are judged.
    pub(super) costly: usize,
    entries: usize,
}

impl Demand {
    /// The route as one that asks for something, with how much.
    pub(crate) fn of(&self, good: Good, id: &ObjectId) -> Option<(Entry<ObjectId>, usize)> {
        let count = match good {
            Good::Expressions => self.expressions,
            Good::Costly => self.costly,
            Good::Entries => self.entries,
            Good::Hosts => 0,
        };
        Some(((self.age.clone()?, id.clone()), count)).filter(|_| count > 0)
    }
}

/// What a route asks for. One that has too many entries, by itself or with others of its namespace, is attached to nothing.
pub(super) fn ask(reader: &mut Reader<'_>, (id, age): (&ObjectId, &Age), facts: &RouteFacts, attached: &mut Attached) -> Demand {
    let attachments = attached.listeners.values().flat_map(|listeners| listeners.values());
    let places: usize = attachments.map(|(_, attachment)| attachment.hostnames.len()).sum();
    let entries = places * facts.rules.iter().map(|rule| rule.matches.len()).sum::<usize>();
    if entries == 0 {
        return Demand::default();
    }
    let demand = Demand { age: Some(age.clone()), expressions: facts.price(), costly: 0, entries };
    let issue = if entries > ENTRIES_OF_ROUTE {
        Issue::Limit(Limit::TooManyEntries { found: entries, most: ENTRIES_OF_ROUTE })
    } else if !reader.within(Good::Entries, (id, age), entries) {
        let (of_namespace, of_all) = (ENTRIES_OF_NAMESPACE, ENTRIES_OF_ALL);
        Issue::Limit(Limit::EntryBudget { namespace: id.namespace.clone(), of_namespace, of_all })
    } else {
        return demand;
    };
    attached.issues.push((Scope::Object, issue));
    attached.listeners.clear();
    // What is too much by itself takes nothing from the others.
    if entries > ENTRIES_OF_ROUTE { Demand::default() } else { demand }
}
