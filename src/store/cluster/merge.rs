//! The watches of several namespaces as one: what a pump is told looks like the watch of a whole kind.

use std::collections::{HashMap, HashSet};

use kube::ResourceExt;
use kube::api::DynamicObject;
use kube::runtime::watcher::Event;

/// An object within its kind.
type Name = (Option<String>, String);

/// What is known of each namespace.
pub(super) struct Merge {
    spaces: Vec<Space>,
    /// Whether all of them were told once.
    told: bool,
}

#[derive(Default)]
struct Space {
    /// What a list has named so far, while one is under way.
    listed: Option<HashMap<Name, DynamicObject>>,
    /// What there is.
    known: HashSet<Name>,
    /// It was listed, or may not be.
    complete: bool,
    /// It may not be read.
    denied: bool,
}

impl Merge {
    /// Nothing is known of so many namespaces; of one, events pass as they are.
    pub(super) fn new(spaces: usize) -> Self {
        Self { spaces: (0..spaces).map(|_| Space::default()).collect(), told: false }
    }

    /// Whether some namespace may not be read.
    pub(super) fn is_denied(&self) -> bool {
        self.spaces.iter().any(|space| space.denied)
    }

    /// What an event of one namespace's watch means for the whole.
    pub(super) fn take(&mut self, place: usize, event: Event<DynamicObject>) -> Vec<Event<DynamicObject>> {
        let is_only = self.spaces.len() == 1;
        let Some(space) = self.spaces.get_mut(place) else { return Vec::new() };
        if matches!(event, Event::InitDone) {
            space.denied = false;
        }
        if is_only {
            return vec![event];
        }
        match event {
            Event::Init => space.listed = Some(HashMap::new()),
            Event::InitApply(object) => drop(space.listed.get_or_insert_default().insert(name(&object), object)),
            Event::InitDone if self.told => return space.replace(),
            Event::InitDone => {
                space.complete = true;
                return self.tell();
            }
            Event::Apply(object) => {
                space.known.insert(name(&object));
                return vec![Event::Apply(object)];
            }
            Event::Delete(object) => {
                space.known.remove(&name(&object));
                return vec![Event::Delete(object)];
            }
        }
        Vec::new()
    }

    /// A namespace may not be read: it holds no other back.
    pub(super) fn deny(&mut self, place: usize) -> Vec<Event<DynamicObject>> {
        let passes = self.spaces.len() == 1 || self.told;
        let Some(space) = self.spaces.get_mut(place) else { return Vec::new() };
        space.denied = true;
        if passes {
            return Vec::new();
        }
        space.complete = true;
        self.tell()
    }

    /// Everything, once it is known of all namespaces.
    fn tell(&mut self) -> Vec<Event<DynamicObject>> {
        if !self.spaces.iter().all(|space| space.complete) {
            return Vec::new();
        }
        self.told = true;
        let mut events = vec![Event::Init];
        for space in &mut self.spaces {
            let listed = space.listed.take().unwrap_or_default();
            space.known = listed.keys().cloned().collect();
            events.extend(listed.into_values().map(Event::InitApply));
        }
        events.push(Event::InitDone);
        events
    }
}

impl Space {
    /// The namespace was listed anew.
    fn replace(&mut self) -> Vec<Event<DynamicObject>> {
        let listed = self.listed.take().unwrap_or_default();
        let before = std::mem::replace(&mut self.known, listed.keys().cloned().collect());
        let gone = before.into_iter().filter(|name| !listed.contains_key(name)).map(nameless);
        let gone: Vec<_> = gone.map(Event::Delete).collect();
        listed.into_values().map(Event::Apply).chain(gone).collect()
    }
}

fn name(object: &DynamicObject) -> Name {
    (object.namespace(), object.name_any())
}

/// Nothing but the name of an object.
fn nameless((namespace, name): Name) -> DynamicObject {
    let mut object = DynamicObject { types: None, metadata: Default::default(), data: serde_json::Value::Null };
    (object.metadata.namespace, object.metadata.name) = (namespace, Some(name));
    object
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt;
    use kube::api::DynamicObject;
    use kube::runtime::watcher::Event;

    use super::{Merge, nameless};

    fn object(text: &str) -> DynamicObject {
        let (namespace, name) = text.split_once('/').unwrap();
        nameless((Some(namespace.to_owned()), name.to_owned()))
    }

    /// Events as text: `(` and `)` around a list, `+` and `-` before what is there and what is gone.
    fn text(events: Vec<Event<DynamicObject>>) -> String {
        let full = |object: &DynamicObject| format!("{}/{}", object.namespace().unwrap(), object.name_any());
        let one = |event: &Event<DynamicObject>| match event {
            Event::Init => "(".to_owned(),
            Event::InitDone => ")".to_owned(),
            Event::InitApply(object) | Event::Apply(object) => format!("+{}", full(object)),
            Event::Delete(object) => format!("-{}", full(object)),
        };
        let mut words: Vec<_> = events.iter().map(one).collect();
        // Within a list there is no order.
        if let [open, inner @ .., close] = words.as_mut_slice()
            && (open.as_str(), close.as_str()) == ("(", ")")
        {
            inner.sort();
        } else {
            words.sort();
        }
        words.join(" ")
    }

    fn list(merge: &mut Merge, place: usize, names: &[&str]) -> String {
        let inner = names.iter().map(|name| Event::InitApply(object(name)));
        let events = [Event::Init].into_iter().chain(inner).chain([Event::InitDone]);
        text(events.flat_map(|event| merge.take(place, event)).collect())
    }

    #[test]
    fn all_are_told_once_all_are_known() {
        let mut merge = Merge::new(2);
        assert_eq!(list(&mut merge, 1, &["b/1"]), "");
        assert_eq!(list(&mut merge, 0, &["a/1", "a/2"]), "( +a/1 +a/2 +b/1 )");
        assert_eq!(text(merge.take(0, Event::Apply(object("a/3")))), "+a/3");
        assert_eq!(text(merge.take(0, Event::Delete(object("a/1")))), "-a/1");
        assert_eq!(list(&mut merge, 0, &["a/2", "a/4"]), "+a/2 +a/4 -a/3", "a list of one takes nothing from the other");
        assert_eq!(list(&mut merge, 1, &[]), "-b/1");
    }

    #[test]
    fn a_namespace_that_may_not_be_read_holds_no_other_back() {
        let mut merge = Merge::new(2);
        assert_eq!(list(&mut merge, 0, &["a/1"]), "");
        assert_eq!(text(merge.deny(1)), "( +a/1 )");
        assert!(merge.is_denied());
        assert_eq!(list(&mut merge, 1, &["b/1"]), "+b/1");
        assert!(!merge.is_denied());
        assert_eq!(text(merge.deny(1)), "", "what was known stays");
    }

    #[test]
    fn one_watch_passes_as_it_is() {
        let mut merge = Merge::new(1);
        assert_eq!(text(merge.deny(0)), "");
        assert_eq!(text(merge.take(0, Event::Init)), "(");
        assert_eq!(text(merge.take(0, Event::InitApply(object("a/1")))), "+a/1");
    }
}
