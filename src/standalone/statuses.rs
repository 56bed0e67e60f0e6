//! Statuses: rendered from reports and acknowledgements, written when they changed, newest wins.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::meaning::with_status;
use super::status_dir::StatusDir;
use super::telling::Telling;
use crate::controller::acks::{Awaited, Wake};
use crate::controller::world::World;
use crate::model::ObjectId;
use crate::observe::metrics::Metrics;
use crate::report::{Observed, status};

/// Most wakes taken in at once.
const BATCH: usize = 1024;

/// The task that writes statuses.
pub struct Statuses {
    /// The newest world.
    pub world: watch::Receiver<World>,
    /// Name of this controller.
    pub controller_name: String,
    /// Where statuses are written, besides the log.
    pub directory: Option<StatusDir>,
    /// Counters.
    pub metrics: Metrics,
    /// What was written, by object.
    written: BTreeMap<ObjectId, Value>,
    /// What the edges said, and who waits for them.
    awaited: Awaited,
    /// Findings that were logged.
    telling: Telling,
}

impl Statuses {
    /// A writer that has written nothing yet.
    pub fn new(world: watch::Receiver<World>, controller_name: String, directory: Option<StatusDir>, metrics: Metrics) -> Self {
        Self {
            world,
            controller_name,
            directory,
            metrics,
            written: BTreeMap::new(),
            awaited: Awaited::default(),
            telling: Telling::default(),
        }
    }

    /// Writes until every sender is gone.
    pub async fn run(mut self, mut wakes: mpsc::UnboundedReceiver<Wake>) {
        let mut batch = Vec::new();
        while wakes.recv_many(&mut batch, BATCH).await > 0 {
            let world = self.world.borrow().clone();
            let dirty = self.awaited.take(batch.drain(..), &world);
            self = match tokio::task::spawn_blocking(move || self.write_all(dirty, &world)).await {
                Ok(this) => this,
                Err(error) => return tracing::error!(%error, "the status task ended"),
            };
        }
    }

    fn write_all(mut self, dirty: BTreeSet<ObjectId>, world: &World) -> Self {
        for id in dirty {
            self.write(&id, world);
        }
        self
    }

    fn write(&mut self, id: &ObjectId, world: &World) {
        let object = world.objects.get(id);
        let report = world.reports.get(id).map(AsRef::as_ref);
        self.telling.tell(id, report);
        let observed = self.awaited.acks.said(id, world);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs().cast_signed()).unwrap_or_default();
        let observed = Observed { controller_name: &self.controller_name, edges: &observed, provisioned: None, now, bundle: None };
        let status = object.and_then(|_| status(id.kind, report, self.written.get(id), &observed));
        if status.as_ref() == self.written.get(id) {
            return;
        }
        self.log(id, status.as_ref());
        let done = match (&self.directory, object, &status) {
            (None, _, _) => Ok(()),
            (Some(directory), Some(object), Some(status)) => match with_status(object, status) {
                Ok(value) => directory.write(id, &value).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            },
            (Some(directory), _, _) => directory.remove(id).map_err(|error| error.to_string()),
        };
        if let Err(error) = done {
            tracing::error!(object = %id, error, "cannot write the status");
        }
        match status {
            Some(status) => self.written.insert(id.clone(), status),
            None => self.written.remove(id),
        };
    }

    fn log(&self, id: &ObjectId, status: Option<&Value>) {
        self.metrics.status_writes.with_label_values(&[id.kind.name()]).inc();
        let Some(status) = status else { return tracing::info!(object = %id, "status withdrawn") };
        tracing::info!(object = %id, conditions = %conditions(status), "status");
    }
}

/// `Accepted=True ResolvedRefs=False(BackendNotFound) …` of the object and its parents.
fn conditions(status: &Value) -> String {
    let lists = status.get("parents").and_then(Value::as_array).into_iter().flatten().chain([status]);
    let all = lists.filter_map(|holder| holder.get("conditions")?.as_array()).flatten();
    let words = all.map(|condition| {
        let field = |name: &str| condition.get(name).and_then(Value::as_str).unwrap_or_default();
        match field("status") {
            "True" => format!("{}=True", field("type")),
            other => format!("{}={other}({})", field("type"), field("reason")),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}
