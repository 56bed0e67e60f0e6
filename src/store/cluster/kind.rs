//! The watch of one kind.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{BoxStream, select_all};
use futures::{StreamExt, TryStreamExt};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, PartialObjectMeta};
use kube::core::DynamicResourceScope;
use kube::runtime::{WatchStreamExt, watcher};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::discovery::Served;
use super::merge::Merge;
use super::secrets::{Secrets, Steps, Unread, bare, due};
use super::{LIST_TURN, Namespaces, State, States};
use crate::api::{Change, Object};
use crate::model::Kind;
use crate::store::Event;
use crate::store::kinds::{Row, Scope};
use crate::store::pump::AnyPump;

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// How often a kind is listed that may be listed and not watched.
const POLL: Duration = Duration::from_secs(10);
/// How long after a list it is known that a kind may be watched too, which was forbidden before.
const SETTLED: Duration = Duration::from_secs(2);

/// Fields by which the API server leaves out what is never read.
fn selector(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Secret => Some("type!=helm.sh/release.v1"),
        _ => None,
    }
}

pub(super) struct Watch {
    pub(super) row: &'static Row,
    pub(super) pump: Box<dyn AnyPump>,
    pub(super) client: Client,
    /// How it is watched.
    pub(super) config: watcher::Config,
    /// In which namespaces; none: in all.
    pub(super) namespaces: Namespaces,
    /// What is known of Secrets; none for another kind.
    pub(super) secrets: Option<Secrets>,
    /// What is served; none for a kind that every API server serves.
    pub(super) served: Option<watch::Receiver<Served>>,
    pub(super) lists: Arc<Semaphore>,
    pub(super) states: watch::Sender<States>,
    /// Whether everything is to be listed anew.
    pub(super) renew: watch::Receiver<bool>,
    pub(super) events: mpsc::Sender<Event>,
    /// What was logged last.
    pub(super) reported: State,
    /// It was forbidden to list or to watch, and it is not known yet that this is over.
    pub(super) denied: bool,
    /// Which wishes for Secrets were answered.
    pub(super) answered: u64,
}

/// What the watch at a place says.
type Placed = (usize, watcher::Result<watcher::Event<DynamicObject>>);

/// The receiver of events is gone.
struct Closed;

impl Watch {
    /// Watches until the receiver of events is gone.
    pub(super) async fn run(mut self) {
        while let Ok(Some(version)) = self.version().await {
            if self.follow(version).await.is_err() {
                return;
            }
        }
    }

    /// The version to watch, as soon as there is one. None when nobody discovers any more.
    async fn version(&mut self) -> Result<Option<&'static str>, Closed> {
        let kind = self.row.kind;
        let preferred = self.row.versions.first().copied();
        let Some(mut served) = self.served.clone() else { return Ok(preferred) };
        loop {
            let now = served.borrow_and_update().as_ref().map(|served| served.get(&kind).copied());
            match now {
                Some(Some(version)) => return Ok(Some(version)),
                Some(None) => self.withdraw().await?,
                None => {}
            }
            tokio::select! {
                changed = served.changed() => if changed.is_err() { return Ok(None) },
                () = self.events.closed() => return Err(Closed),
            }
        }
    }

    /// The kind is not served: there are no objects of it.
    async fn withdraw(&mut self) -> Result<(), Closed> {
        self.pump.apply(watcher::Event::Init);
        let changes = self.pump.apply(watcher::Event::InitDone);
        send(&self.events, changes).await?;
        self.report(State::NotServed, "");
        Ok(())
    }

    /// Watches one version until it is not the one to watch any more.
    async fn follow(&mut self, version: &'static str) -> Result<(), Closed> {
        let row = self.row;
        let config = selector(row.kind).into_iter().fold(self.config.clone(), watcher::Config::fields);
        let (mut settled, mut poll) = (None, None);
        let mut turn = turn(self.lists.clone()).await;
        let watches = self.watches(&row.resource(version), &config);
        let mut merge = Merge::new(watches.len());
        let mut events = select_all(watches);
        let mut served = self.served.clone();
        let fresh = *self.renew.borrow_and_update();
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                Ok(()) = self.renew.changed() => return Ok(()),
                () = other_version(&mut served, row.kind, version) => return Ok(()),
                () = self.events.closed() => return Err(Closed),
                () = due(&mut self.secrets) => {
                    self.settle().await?;
                    continue;
                }
                () = at(poll) => return Ok(()),
                () = at(settled) => {
                    settled = None;
                    self.denied = false;
                    self.report(State::Synced, version);
                    continue;
                }
                () = sleep(LIST_TURN), if turn.is_some() => {
                    turn = None;
                    continue;
                }
            };
            match event {
                None => return Ok(()),
                Some((place, Ok(event))) => {
                    let events = merge.take(place, event);
                    if self.take_all(events).await? {
                        turn = None;
                        if self.listed(version, fresh) && !merge.is_denied() {
                            settled = Some(Instant::now() + SETTLED);
                        }
                    }
                }
                Some((place, Err(error))) => {
                    turn = None;
                    if self.fail(&error, version) {
                        // A watch that is let in says nothing while nothing happens; a list says what there is.
                        (settled, poll) = (None, poll.or_else(|| Some(Instant::now() + POLL)));
                        self.take_all(merge.deny(place)).await?;
                        self.secrets.iter_mut().for_each(Secrets::deny);
                        self.settle().await?;
                    }
                }
            }
        }
    }

    /// Everything was listed. Whether it is yet to be seen that it may be watched too.
    fn listed(&mut self, version: &'static str, fresh: bool) -> bool {
        if !self.denied {
            self.report(State::Synced, version);
        }
        if fresh {
            self.states.send_modify(|states| states.entry(self.row.kind).or_default().fresh = true);
        }
        self.denied
    }

    /// One watch of the kind, or one in every namespace that is watched, each with its place among them.
    fn watches(&self, resource: &ApiResource, config: &watcher::Config) -> Vec<BoxStream<'static, Placed>> {
        let spaces: Vec<Option<&String>> = match &self.namespaces {
            Some(namespaces) if self.row.scope == Scope::Namespaced => namespaces.iter().map(Some).collect(),
            _ => vec![None],
        };
        let watch = |(place, space): (usize, Option<&String>)| {
            let events = match self.row.kind {
                Kind::Secret => {
                    let api = self.api::<PartialObjectMeta<DynamicObject>>(space, resource);
                    watcher(api, config.clone()).default_backoff().map_ok(bare).boxed()
                }
                _ => watcher(self.api::<DynamicObject>(space, resource), config.clone()).default_backoff().boxed(),
            };
            events.map(move |event| (place, event)).boxed()
        };
        spaces.into_iter().enumerate().map(watch).collect()
    }

    fn api<K>(&self, space: Option<&String>, resource: &ApiResource) -> Api<K>
    where
        K: kube::Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>,
    {
        match space {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, resource),
            None => Api::all_with(self.client.clone(), resource),
        }
    }

    /// Pumps events. Whether one of them ends a list.
    async fn take_all(&mut self, events: Vec<watcher::Event<DynamicObject>>) -> Result<bool, Closed> {
        let mut done = false;
        for event in events {
            done |= matches!(event, watcher::Event::InitDone);
            self.take(decode(self.row.kind, event)).await?;
        }
        Ok(done)
    }

    /// Pumps an event, and tells what it changed.
    async fn take(&mut self, event: watcher::Event<Object>) -> Result<(), Closed> {
        let Some(secrets) = &mut self.secrets else {
            let changes = self.pump.apply(event);
            return send(&self.events, changes).await;
        };
        let steps = secrets.take(event).await;
        self.pump_secrets(steps).await
    }

    /// Reads the Secrets that are wanted now.
    async fn settle(&mut self) -> Result<(), Closed> {
        let Some(secrets) = &mut self.secrets else { return Ok(()) };
        let steps = secrets.settle().await;
        self.pump_secrets(steps).await
    }

    async fn pump_secrets(&mut self, (steps, unread): Steps) -> Result<(), Closed> {
        for Unread { id, problem } in unread {
            self.count(READ);
            tracing::warn!(secret = %id, problem, "cannot be read; tried again");
        }
        let changes = steps.into_iter().flat_map(|step| self.pump.apply(step)).collect();
        send(&self.events, changes).await?;
        match self.secrets.as_ref().and_then(Secrets::answered) {
            Some(generation) if generation > self.answered => {
                self.answered = generation;
                self.events.send(Event::Secrets(generation)).await.map_err(|_| Closed)
            }
            _ => Ok(()),
        }
    }

    fn count(&self, what: &'static str) {
        self.states.send_modify(|states| *states.entry(self.row.kind).or_default().errors.entry(what).or_default() += 1);
    }

    /// Counts and tells a failure. Whether it is a refusal.
    fn fail(&mut self, error: &watcher::Error, version: &'static str) -> bool {
        let (what, code) = variant(error);
        self.count(what);
        match code {
            Some(403) => {
                if self.reported != State::Forbidden {
                    tracing::error!(kind = %self.row.kind, %error, "may not be read, which takes list and watch; taken as it was last known, and tried again");
                }
                self.denied = true;
                self.report(State::Forbidden, version);
            }
            // The server has forgotten where the watch left off, which is no failure, or the kind is going away.
            Some(404 | 410) => tracing::debug!(kind = %self.row.kind, %error, "watch starts anew"),
            _ => tracing::warn!(kind = %self.row.kind, %error, "watch failed; it is tried again"),
        }
        code == Some(403)
    }

    fn report(&mut self, state: State, version: &'static str) {
        let before = std::mem::replace(&mut self.reported, state);
        if before != state {
            let (kind, state) = (self.row.kind, state.name());
            match before {
                State::Starting => tracing::debug!(%kind, state, version, "watch"),
                _ => tracing::info!(%kind, state, version, "watch"),
            }
        }
        self.states.send_if_modified(|states| {
            let watched = states.entry(self.row.kind).or_default();
            let differs = (watched.state, watched.version) != (state, version);
            (watched.state, watched.version) = (state, version);
            differs
        });
    }
}

/// Resolves at this time; never without one.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// A turn to list a whole kind, or none when others take too long.
async fn turn(lists: Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    timeout(LIST_TURN, lists.acquire_owned()).await.ok()?.ok()
}

async fn send(events: &mpsc::Sender<Event>, changes: Vec<Change>) -> Result<(), Closed> {
    if changes.is_empty() {
        return Ok(());
    }
    events.send(Event::Changes(changes)).await.map_err(|_| Closed)
}

/// Resolves when another version than this is to be watched, or none.
async fn other_version(served: &mut Option<watch::Receiver<Served>>, kind: Kind, version: &str) {
    let Some(served) = served else { return std::future::pending().await };
    let differs = |served: &Served| served.as_ref().is_some_and(|served| served.get(&kind) != Some(&version));
    if served.wait_for(differs).await.is_err() {
        std::future::pending().await
    }
}

/// Every name of an error of a watch.
pub const VARIANTS: [&str; 6] = ["list", "watch-start", "watch-event", "watch", "no-resource-version", READ];
/// A Secret that is wanted could not be read.
const READ: &str = "read";

/// What failed, for metrics, of those of [`VARIANTS`], and the API server's code.
pub fn variant(error: &watcher::Error) -> (&'static str, Option<u16>) {
    let code = |error: &kube::Error| match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    };
    match error {
        watcher::Error::InitialListFailed(error) => ("list", code(error)),
        watcher::Error::WatchStartFailed(error) => ("watch-start", code(error)),
        watcher::Error::WatchError(status) => ("watch-event", Some(status.code)),
        watcher::Error::WatchFailed(error) => ("watch", code(error)),
        watcher::Error::NoResourceVersion => ("no-resource-version", None),
    }
}

fn decode(kind: Kind, event: watcher::Event<DynamicObject>) -> watcher::Event<Object> {
    let decode = |object| object_of(kind, object);
    match event {
        watcher::Event::Apply(object) => watcher::Event::Apply(decode(object)),
        watcher::Event::Delete(object) => watcher::Event::Delete(decode(object)),
        watcher::Event::Init => watcher::Event::Init,
        watcher::Event::InitApply(object) => watcher::Event::InitApply(decode(object)),
        watcher::Event::InitDone => watcher::Event::InitDone,
    }
}

/// The object without what is never read.
fn object_of(kind: Kind, mut object: DynamicObject) -> Object {
    object.metadata.managed_fields = None;
    if let Some(annotations) = &mut object.metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
    let fields = match object.data {
        serde_json::Value::Object(fields) => fields,
        _ => serde_json::Map::new(),
    };
    Object::from_parts(kind, object.metadata, fields)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::object_of;
    use crate::model::Kind;

    #[test]
    fn managed_fields_and_the_last_applied_text_are_not_kept() {
        let object = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"},
            "metadata": {
                "name": "n", "namespace": "s", "managedFields": [{"manager": "m"}],
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "kept": "yes"},
            },
        }));
        let object = object_of(Kind::ConfigMap, object.unwrap());
        let value = object.to_value().unwrap();
        assert_eq!(value["metadata"], json!({"name": "n", "namespace": "s", "annotations": {"kept": "yes"}}));
        assert_eq!(value["data"], json!({"a": "b"}));
    }
}
