//! The watch of one kind.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::Client;
use kube::api::{Api, DynamicObject};
use kube::runtime::{WatchStreamExt, watcher};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::discovery::Served;
use super::{LIST_TURN, State, States};
use crate::api::{Change, Object};
use crate::model::Kind;
use crate::store::Event;
use crate::store::kinds::Row;
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
}

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
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &row.resource(version));
        let mut events = std::pin::pin!(watcher(api, config).default_backoff());
        let mut served = self.served.clone();
        let fresh = *self.renew.borrow_and_update();
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                Ok(()) = self.renew.changed() => return Ok(()),
                () = other_version(&mut served, row.kind, version) => return Ok(()),
                () = self.events.closed() => return Err(Closed),
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
                Some(Ok(event)) => {
                    let done = matches!(event, watcher::Event::InitDone);
                    let changes = self.pump.apply(decode(row.kind, event));
                    send(&self.events, changes).await?;
                    if done {
                        turn = None;
                        if self.denied {
                            settled = Some(Instant::now() + SETTLED);
                        } else {
                            self.report(State::Synced, version);
                        }
                        if fresh {
                            self.states.send_modify(|states| states.entry(row.kind).or_default().fresh = true);
                        }
                    }
                }
                Some(Err(error)) => {
                    turn = None;
                    if self.fail(&error, version) {
                        // A watch that is let in says nothing while nothing happens; a list says what there is.
                        (settled, poll) = (None, poll.or_else(|| Some(Instant::now() + POLL)));
                    }
                }
            }
        }
    }

    /// Counts and tells a failure. Whether it is a refusal.
    fn fail(&mut self, error: &watcher::Error, version: &'static str) -> bool {
        let (what, code) = variant(error);
        self.states.send_modify(|states| *states.entry(self.row.kind).or_default().errors.entry(what).or_default() += 1);
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
pub const VARIANTS: [&str; 5] = ["list", "watch-start", "watch-event", "watch", "no-resource-version"];

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
