//! Secrets: of all of them only names and versions are known; of those that translation looks up, the keys that it reads.
//!
//! The watch asks for metadata alone. A Secret that is wanted is read by its name, and again when its version has changed.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures::{StreamExt, stream};
use imbl::OrdSet;
use imbl::ordset::DiffItem;
use kube::Client;
use kube::api::{Api, DynamicObject, ObjectMeta, PartialObjectMeta};
use kube::runtime::watcher::Event;
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::api::Object;
use crate::model::{Kind, ObjectId};
use crate::store::kinds::row;

/// What Secrets are for, and the keys that each use reads. Nothing else of a Secret is kept.
pub const USES: &[(&str, &[&str])] = &[("certificate of a listener or of an Ingress", &["tls.crt", "tls.key"])];
/// Secrets that are read at the same time.
const READS: usize = 16;
/// One read takes no longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// First and longest wait before a Secret is read again that could not be read.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(60));
/// A Secret that could not be read so often is not waited for any more. It is tried for ever.
const ATTEMPTS: u32 = 5;

/// The Secrets that translation looks up.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Wanted {
    /// Counts changes.
    generation: u64,
    ids: OrdSet<ObjectId>,
}

/// Where it is said which Secrets translation looks up.
#[derive(Clone, Debug, Default)]
pub struct Wants(watch::Sender<Wanted>);

impl Wants {
    /// Wants these Secrets and no others. Returns what [`Event::Secrets`](crate::store::Event::Secrets) says once those are told
    /// that were not wanted before; none when there is no such Secret.
    pub fn want(&self, ids: &OrdSet<ObjectId>) -> Option<u64> {
        let (mut more, mut generation) = (false, 0);
        self.0.send_if_modified(|wanted| {
            let (mut differs, before) = (false, std::mem::replace(&mut wanted.ids, ids.clone()));
            for item in before.diff(ids) {
                (differs, more) = (true, more || !matches!(item, DiffItem::Remove(_)));
            }
            wanted.generation += u64::from(differs);
            generation = wanted.generation;
            differs
        });
        more.then_some(generation)
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Wanted> {
        self.0.subscribe()
    }
}

/// What is known of Secrets.
pub(super) struct Secrets {
    client: Client,
    wanted: watch::Receiver<Wanted>,
    /// Versions of all that there are.
    known: HashMap<ObjectId, Option<String>>,
    /// The same, while they are listed.
    listed: Option<HashMap<ObjectId, Option<String>>>,
    /// Those that are wanted.
    held: HashMap<ObjectId, Object>,
    /// Those that could not be read, how often, and when they are tried again.
    late: BTreeMap<ObjectId, u32>,
    retry: Option<Instant>,
    /// Whether all of them were told once.
    complete: bool,
}

/// A Secret could not be read.
pub(super) struct Unread {
    pub(super) id: ObjectId,
    pub(super) problem: String,
}

/// What follows for the pump, and what could not be read.
pub(super) type Steps = (Vec<Event<Object>>, Vec<Unread>);

impl Secrets {
    pub(super) fn new(client: Client, wants: &Wants) -> Self {
        let wanted = wants.subscribe();
        let (known, held, late) = Default::default();
        Self { client, wanted, known, listed: None, held, late, retry: None, complete: false }
    }

    /// Resolves when others are wanted, or when it is time to try those again that could not be read.
    async fn due(&mut self) {
        let retry = async {
            match self.retry {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Ok(()) = self.wanted.changed() => {}
            () = retry => {}
            else => std::future::pending().await,
        }
    }

    /// They may not be read: what is wanted is not waited for.
    pub(super) fn deny(&mut self) {
        self.complete = true;
    }

    /// The newest wishes that are answered as far as they can be; none while some Secret is yet to be read.
    pub(super) fn answered(&self) -> Option<u64> {
        let waits = self.late.values().any(|attempts| *attempts < ATTEMPTS);
        (self.complete && !waits).then(|| self.wanted.borrow().generation)
    }

    /// What an event of the watch, which knows metadata alone, means for the pump.
    pub(super) async fn take(&mut self, event: Event<Object>) -> Steps {
        match event {
            Event::Init => self.listed = Some(HashMap::new()),
            Event::InitApply(object) => {
                self.listed.get_or_insert_default().insert(object.id(), version(&object));
            }
            Event::InitDone => return self.list().await,
            Event::Apply(object) => {
                self.known.insert(object.id(), version(&object));
                return self.settle().await;
            }
            Event::Delete(object) => {
                let id = object.id();
                self.known.remove(&id);
                self.late.remove(&id);
                return (self.held.remove(&id).map(Event::Delete).into_iter().collect(), Vec::new());
            }
        }
        (Vec::new(), Vec::new())
    }

    async fn list(&mut self) -> Steps {
        self.known = self.listed.take().unwrap_or_default();
        let (_, unread) = self.settle().await;
        self.complete = true;
        let held = self.held.values().cloned().map(Event::InitApply);
        ([Event::Init].into_iter().chain(held).chain([Event::InitDone]).collect(), unread)
    }

    /// Reads what is wanted and not held as it is now, and lets go of what is not wanted.
    pub(super) async fn settle(&mut self) -> Steps {
        let wanted = self.wanted.borrow_and_update().ids.clone();
        let (known, late) = (&self.known, &mut self.late);
        late.retain(|id, _| wanted.contains(id) && known.contains_key(id));
        let gone: Vec<_> = self.held.keys().filter(|id| !wanted.contains(*id) || !self.known.contains_key(*id)).cloned().collect();
        let mut steps: Vec<_> = gone.iter().filter_map(|id| self.held.remove(id)).map(Event::Delete).collect();
        let is_newest =
            |id: &ObjectId| self.held.get(id).is_some_and(|held| self.known.get(id).is_some_and(|known| *known == version(held)));
        let missing: Vec<_> = wanted.iter().filter(|id| self.known.contains_key(*id) && !is_newest(id)).cloned().collect();
        let client = &self.client;
        let read: Vec<_> = stream::iter(missing).map(|id| read(client, id)).buffer_unordered(READS).collect().await;
        let mut unread = Vec::new();
        for (id, answer) in read {
            match answer {
                Ok(Some(object)) => {
                    self.late.remove(&id);
                    // Newer than the watch has told yet, it may be.
                    self.known.insert(id.clone(), version(&object));
                    self.held.insert(id, object.clone());
                    steps.push(Event::Apply(object));
                }
                // The watch tells of its end.
                Ok(None) => drop(self.late.remove(&id)),
                Err(problem) => {
                    *self.late.entry(id.clone()).or_default() += 1;
                    unread.push(Unread { id, problem });
                }
            }
        }
        let least = self.late.values().min();
        self.retry = least.map(|attempts| Instant::now() + BACKOFF.0.saturating_mul(1 << attempts.min(&8)).min(BACKOFF.1));
        (steps, unread)
    }
}

/// Resolves when Secrets are to be read; never for another kind.
pub(super) async fn due(secrets: &mut Option<Secrets>) {
    match secrets {
        Some(secrets) => secrets.due().await,
        None => std::future::pending().await,
    }
}

/// Events of metadata as events of objects.
pub(super) fn bare(event: Event<PartialObjectMeta<DynamicObject>>) -> Event<DynamicObject> {
    let object = |bare: PartialObjectMeta<DynamicObject>| DynamicObject { types: bare.types, metadata: bare.metadata, data: Value::Null };
    match event {
        Event::Apply(bare) => Event::Apply(object(bare)),
        Event::Delete(bare) => Event::Delete(object(bare)),
        Event::Init => Event::Init,
        Event::InitApply(bare) => Event::InitApply(object(bare)),
        Event::InitDone => Event::InitDone,
    }
}

fn version(object: &Object) -> Option<String> {
    object.metadata().resource_version.clone()
}

/// A Secret as far as it is used.
async fn read(client: &Client, id: ObjectId) -> (ObjectId, Result<Option<Object>, String>) {
    let resource = row(Kind::Secret).resource("v1");
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &id.namespace, &resource);
    let answer = match timeout(PATIENCE, api.get_opt(&id.name)).await {
        Ok(Ok(found)) => Ok(found.map(used)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(late) => Err(late.to_string()),
    };
    (id, answer)
}

/// What is used of a Secret.
fn used(secret: DynamicObject) -> Object {
    let ObjectMeta { name, namespace, uid, resource_version, creation_timestamp, .. } = secret.metadata;
    let metadata = ObjectMeta { name, namespace, uid, resource_version, creation_timestamp, ..Default::default() };
    let mut fields = Map::new();
    if let Value::Object(mut all) = secret.data
        && let Some(Value::Object(mut data)) = all.remove("data")
    {
        data.retain(|key, _| USES.iter().any(|(_, keys)| keys.contains(&key.as_str())));
        fields.insert("data".to_owned(), Value::Object(data));
    }
    Object::from_parts(Kind::Secret, metadata, fields)
}

#[cfg(test)]
mod tests {
    use imbl::OrdSet;
    use serde_json::json;

    use super::{Wants, used};
    use crate::model::{Kind, ObjectId};

    fn secret(name: &str) -> ObjectId {
        ObjectId::new(Kind::Secret, "shop", name)
    }

    #[test]
    fn only_what_is_used_of_a_secret_is_kept() {
        let object = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "data": {"tls.crt": "Yw==", "tls.key": "aw==", "password": "cGFzcw=="},
            "metadata": {
                "name": "n", "namespace": "s", "uid": "u", "resourceVersion": "7", "labels": {"a": "b"},
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{\"data\": {\"password\": \"cGFzcw==\"}}"},
            },
        }));
        let value = used(object.unwrap()).to_value().unwrap();
        assert_eq!(value["metadata"], json!({"name": "n", "namespace": "s", "uid": "u", "resourceVersion": "7"}));
        assert_eq!(value["data"], json!({"tls.crt": "Yw==", "tls.key": "aw=="}));
        assert!(!value.to_string().contains("cGFzcw"));
    }

    #[test]
    fn only_new_wishes_are_waited_for() {
        let wants = Wants::default();
        let (one, two) = (OrdSet::unit(secret("a")), OrdSet::from_iter([secret("a"), secret("b")]));
        assert_eq!(wants.want(&OrdSet::new()), None);
        assert_eq!((wants.want(&one), wants.want(&one)), (Some(1), None));
        assert_eq!((wants.want(&two), wants.want(&one), wants.want(&two)), (Some(2), None, Some(4)));
    }
}
