//! Everything that is known now, as one persistent value: written by the translator task, read by everybody else.

use std::sync::Arc;

use imbl::OrdMap;

use crate::api::Object;
use crate::model::{EdgeId, ObjectId};
use crate::report::ObjectReport;
use crate::snapshot::Key;
use crate::snapshot::publish::Publisher;
use crate::snapshot::wire::Stamp;
use crate::store::Refusal;

/// What is known now. A clone costs nothing.
#[derive(Clone, Default)]
pub struct World {
    /// Objects that the source accepted.
    pub objects: OrdMap<ObjectId, Object>,
    /// What was decided about them.
    pub reports: OrdMap<ObjectId, Arc<ObjectReport>>,
    /// Running edges.
    pub edges: OrdMap<EdgeId, Publisher>,
    /// For every object that an edge serves: the state of that edge which first held its present form.
    pub served: OrdMap<(ObjectId, EdgeId), Stamp>,
    /// Refused manifests by file.
    pub refusals: OrdMap<String, Vec<Refusal>>,
    /// Everything that existed at the start is translated and published.
    pub published: bool,
}

impl World {
    /// The edges that serve an object, with the stamps from which on they do.
    pub fn served_by(&self, id: &ObjectId) -> impl Iterator<Item = (&EdgeId, Stamp)> {
        let first = EdgeId { namespace: String::new(), name: String::new() };
        let id = id.clone();
        let from = (id.clone(), first);
        self.served.range(from..).take_while(move |((object, _), _)| *object == id).map(|((_, edge), stamp)| (edge, *stamp))
    }
}

/// The object whose status shows a resource's fate, if any.
pub fn owner(edge: &EdgeId, key: &Key) -> Option<ObjectId> {
    match key {
        Key::Route(id) => Some(id.clone()),
        Key::Listener(_) => Some(edge.owner()),
        Key::Certificate(_) | Key::Backend(_) => None,
    }
}
