//! What the edge acknowledged of what a trace rests on.

use serde::{Deserialize, Serialize, Serializer};

use super::{Choice, Trace};
use crate::snapshot::Key;
use crate::snapshot::wire::Ack;

/// How far an edge has come with what was published to it: a part of the page `/debug/snapshot`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Progress {
    /// What its nodes said last; none: not all of them have spoken yet.
    pub acknowledged: Option<Ack>,
    /// What they have not acknowledged yet.
    pub pending: Vec<Key>,
}

/// What the edge said of one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Said {
    /// The resource.
    #[serde(serialize_with = "as_text")]
    pub resource: Key,
    /// How it stands.
    #[serde(flatten)]
    pub state: Standing,
}

/// How a resource stands on an edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum Standing {
    /// The edge serves it as it is.
    Acknowledged,
    /// The edge cannot hold it.
    Refused {
        /// Its words.
        reason: String,
    },
    /// The edge has not said that it holds its present form.
    Pending,
}

fn as_text<S: Serializer>(key: &Key, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(key)
}

impl Progress {
    fn of(&self, resource: Key) -> Said {
        let refusals = self.acknowledged.iter().flat_map(|ack| &ack.refused);
        let refused = refusals.into_iter().find(|refusal| refusal.key == resource);
        let state = match refused {
            _ if self.pending.contains(&resource) => Standing::Pending,
            Some(refusal) => Standing::Refused { reason: refusal.reason.clone() },
            None => Standing::Acknowledged,
        };
        Said { resource, state }
    }
}

impl Trace {
    /// Adds what the edge said of the listener, the certificates, the route and the backends.
    pub fn with(mut self, progress: &Progress) -> Self {
        self.acknowledged = self.resources().into_iter().map(|resource| progress.of(resource)).collect();
        self
    }

    fn resources(&self) -> Vec<Key> {
        let chosen = self.listeners.iter().filter(|listener| listener.outcome == Choice::Chosen);
        let winner = self.winning();
        let certificates = self.certificates.iter().flatten();
        let mut resources: Vec<Key> = chosen.map(|listener| Key::Listener(listener.name.clone())).collect();
        resources.extend(certificates.map(|id| Key::Certificate(id.clone())));
        resources.extend(winner.map(|winner| Key::Route(winner.route.clone())));
        resources.extend(self.backends().into_iter().map(Key::Backend));
        resources
    }
}
