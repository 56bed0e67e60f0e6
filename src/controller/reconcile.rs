//! What leaves the process for one object: status, Events, finalizer. The same for every kind; it never translates.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use imbl::OrdSet;
use kube::runtime::controller::Action;
use serde_json::Value;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::time::Instant;

use super::acks::Acks;
use super::complaints::Complaints;
use super::finalizer::{Due, Finalizers, due};
use super::leaver;
use super::pace::Pace;
use super::refusals;
use super::world::World;
use super::writer::{WriteError, Writer};
use crate::api::{Obj, Object};
use crate::model::{EdgeId, Kind, ObjectId};
use crate::observe::metrics::Metrics;
use crate::report::{Finding, Issue, MOST_PARENTS, ObjectReport, Observed, Provisioned, Verdict, left_out, status};
use crate::store::kinds::{Told, row, table};
use crate::store::pump::Pumped;

/// Status writes of one object at once, and the time between those that follow.
const STATUS: (u32, Duration) = (3, Duration::from_millis(500));
/// First and longest wait of an object whose Service has no endpoint.
const ENDPOINTS: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));
/// First and longest wait after an error.
const ERRORS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// Wait of an object that is to be written once more, while too many are.
const CROWDED: Duration = Duration::from_secs(1);
/// Objects of one kind that are written once more after an error, at the same time: fewer than are reconciled at the same
/// time, so that those for which no answer comes leave turns to others.
const RETRIES: usize = 8;
/// Wait after a conflict: what has changed comes by the watch and wakes the object before.
const CONFLICT: Duration = Duration::from_secs(2);
/// What Events are called among the kinds that are written.
pub const EVENT: &str = "Event";
/// Most Events for one change of an object.
const EVENTS: usize = 5;

/// What every reconcile shares.
pub struct Context {
    /// What is known.
    pub world: watch::Receiver<World>,
    /// What the edges said.
    pub acks: watch::Receiver<Acks>,
    /// The way to the API server.
    pub writer: Writer,
    /// Name of this controller.
    pub controller_name: String,
    /// The finalizers that its objects carry.
    pub finalizers: Finalizers,
    /// Counters.
    pub metrics: Metrics,
    /// What is said about errors.
    pub complaints: Complaints,
    /// Turns for objects whose last one failed.
    pub retries: BTreeMap<Kind, Semaphore>,
    /// Objects that wait for their turn.
    pub queued: watch::Sender<OrdSet<ObjectId>>,
    /// What is remembered of objects.
    pub memories: Mutex<HashMap<ObjectId, Memory>>,
}

/// What is remembered of an object from one reconcile to the next.
pub struct Memory {
    errors: u32,
    pace: Pace,
    /// What was judged when endpoints were missing.
    missing: Option<Missing>,
    /// The status that was written last, and the version that the object had afterwards.
    written: Option<(Option<String>, Value)>,
    /// What was told by Events last, of an object whose status has no conditions to tell it.
    told: Option<Arc<ObjectReport>>,
    /// What edges refused of it, as far as it was told so.
    refused: Vec<Finding>,
    /// How many of its parents were told to have no entry in its status.
    left_out: Option<usize>,
}

/// Endpoints were missing.
struct Missing {
    /// What was judged then.
    report: Arc<ObjectReport>,
    /// How often was waited since.
    times: u32,
    /// When the next wait is over.
    due: Instant,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            errors: 0,
            pace: Pace::new(STATUS.1, STATUS.0),
            missing: None,
            written: None,
            told: None,
            refused: Vec::new(),
            left_out: None,
        }
    }
}

/// The reconcile of every kind. Errors are dealt with here.
///
/// # Errors
/// Never.
pub async fn reconcile<K: Pumped>(trigger: Arc<Obj<K>>, context: Arc<Context>) -> Result<Action, Infallible> {
    let id = ObjectId::new(K::KIND, trigger.namespace(), trigger.name());
    Ok(context.turn(&id).await.map_or_else(Action::await_change, Action::requeue))
}

/// The turns for objects whose last one failed.
pub fn retries() -> BTreeMap<Kind, Semaphore> {
    table().map(|row| (row.kind, Semaphore::new(RETRIES))).collect()
}

impl Context {
    /// One turn of an object. Returns when it is due again if nothing happens.
    async fn turn(&self, id: &ObjectId) -> Option<Duration> {
        self.queued.send_if_modified(|queued| queued.remove(id).is_some());
        let (kind, started) = (id.kind.name(), Instant::now());
        let failed = self.memories.lock().await.get(id).is_some_and(|memory| memory.errors > 0);
        let retry = self.retries.get(&id.kind).filter(|_| failed).map(Semaphore::try_acquire);
        if let Some(Err(_)) = retry {
            return Some(CROWDED);
        }
        let mut memory = self.memories.lock().await.remove(id).unwrap_or_default();
        let done = self.step(id, &mut memory).await;
        self.metrics.reconcile_seconds.with_label_values(&[kind]).observe(started.elapsed().as_secs_f64());
        let again = match done {
            Ok(again) => {
                memory.errors = 0;
                self.metrics.reconciles.with_label_values(&[kind, "ok"]).inc();
                again
            }
            Err(error) => {
                self.metrics.reconciles.with_label_values(&[kind, "error"]).inc();
                self.after_error(id, &error, &mut memory).await
            }
        };
        if self.world.borrow().objects.contains_key(id) {
            self.memories.lock().await.insert(id.clone(), memory);
        }
        again
    }

    async fn step(&self, id: &ObjectId, memory: &mut Memory) -> Result<Option<Duration>, WriteError> {
        let world = self.world.borrow().clone();
        let acks = self.acks.borrow().clone();
        let Some(object) = world.objects.get(id) else { return Ok(None) };
        let report = world.reports.get(id);
        let judged = report.is_none_or(|report| report.generation == object.metadata().generation.unwrap_or_default());
        // The translator wakes the object once it has come as far.
        if !self.writer.leads() || !judged {
            return Ok(None);
        }
        let mut again = report.and_then(|report| missing_endpoints(report, memory));
        let mut version = object.metadata().resource_version.clone().unwrap_or_default();
        match self.write_status((object, report), (&world, &acks), memory).await? {
            Written::No => {}
            Written::As(new) => version = new.unwrap_or(version),
            Written::Later(wait) => again = sooner(again, wait),
        }
        if row(id.kind).told == Told::Events {
            let refused = refusals::of(id, report.map(AsRef::as_ref), &acks.said(id, &world));
            self.tell_changes((object, report), refused, memory).await;
        }
        match due(object, &world, &acks, &self.finalizers) {
            Due::Nothing => {}
            Due::Add(name) => self.writer.add_finalizer(object, &version, name).await?,
            Due::Remove(name, index) => self.writer.remove_finalizer(object, index, name).await?,
            Due::Wait(wait) => again = sooner(again, wait),
        }
        Ok(again)
    }

    async fn write_status(
        &self,
        (object, report): (&Object, Option<&Arc<ObjectReport>>),
        (world, acks): (&World, &Acks),
        memory: &mut Memory,
    ) -> Result<Written, WriteError> {
        let id = object.id();
        if !row(id.kind).status || (report.is_none() && object.metadata().deletion_timestamp.is_some()) {
            return Ok(Written::No);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs().cast_signed()).unwrap_or_default();
        let nothing = Provisioned::default();
        let edge = match report.map(|report| &report.verdict) {
            Some(Verdict::Ingress { edge, .. } | Verdict::ListenerSet { edge, .. }) => edge.clone(),
            _ => EdgeId::of_gateway(&id.namespace, &id.name),
        };
        let provisioned = match &world.provisioned {
            // What the edge has is not known yet, and told then.
            Some(all) if world.edges.contains_key(&edge) && !all.contains_key(&edge) => return Ok(Written::No),
            Some(all) => Some(all.get(&edge).unwrap_or(&nothing)),
            None => None,
        };
        let (edges, bundle) = (acks.said(&id, world), world.bundle.as_ref());
        let observed = Observed { controller_name: &self.controller_name, edges: &edges, provisioned, bundle, now };
        let previous = object.status();
        let report = report.map(AsRef::as_ref);
        let left = || leaver::status(object, report, world, memory.written.as_ref().map(|(_, status)| status));
        let wanted = match status(id.kind, report, previous, &observed) {
            Some(wanted) => wanted,
            None => match left() {
                Some(wanted) if self.writer.wrote_addresses(object).await? => wanted,
                _ => return Ok(Written::No),
            },
        };
        self.tell_left_out((&id, report), previous, memory);
        // The API server drops what its definitions do not know: what was written once and is there as it is stays so.
        let written =
            memory.written.as_ref().is_some_and(|(version, status)| *version == object.metadata().resource_version && *status == wanted);
        if previous == Some(&wanted) || written {
            return Ok(Written::No);
        }
        if let Err(wait) = memory.pace.try_take(Instant::now()) {
            return Ok(Written::Later(wait));
        }
        let version = self.writer.status(object, &wanted).await?;
        self.metrics.status_writes.with_label_values(&[id.kind.name()]).inc();
        memory.written = Some((version.clone(), wanted));
        if row(id.kind).told == Told::Conditions {
            let refused = refusals::of(&id, report, &edges);
            self.tell(object, new_findings(report, &refused, previous)).await;
        }
        Ok(Written::As(version))
    }

    /// Tells what is new about an object whose status has no conditions.
    async fn tell_changes(&self, (object, report): (&Object, Option<&Arc<ObjectReport>>), refused: Vec<Finding>, memory: &mut Memory) {
        let told = std::mem::replace(&mut memory.told, report.cloned());
        let told_refused = std::mem::replace(&mut memory.refused, refused);
        let is_told =
            |finding: &&Finding| told.as_ref().is_some_and(|told| told.findings.contains(finding)) || told_refused.contains(finding);
        let findings = report.into_iter().flat_map(|report| &report.findings).chain(&memory.refused);
        self.tell(object, findings.filter(|finding| !is_told(finding)).take(EVENTS)).await;
    }

    /// Says once how many parents of a route have no entry in its status.
    fn tell_left_out(&self, (id, report): (&ObjectId, Option<&ObjectReport>), previous: Option<&Value>, memory: &mut Memory) {
        let left = report.and_then(|report| left_out(report, previous, &self.controller_name));
        if std::mem::replace(&mut memory.left_out, left) == left {
            return;
        }
        if let Some(left) = left {
            tracing::warn!(object = %id, left, "parents of this route have no entry in its status: it holds {MOST_PARENTS}, those of other controllers included");
        }
    }

    async fn tell(&self, object: &Object, findings: impl Iterator<Item = &Finding>) {
        for finding in findings {
            if let Err(error) = self.writer.event(object, finding).await {
                if self.complaints.count(EVENT, error.variant()).await {
                    tracing::warn!(object = %object.id(), %error, "cannot write an Event; others that fail so are counted");
                }
                return;
            }
        }
    }

    /// When an object is due again after an error.
    async fn after_error(&self, id: &ObjectId, error: &WriteError, memory: &mut Memory) -> Option<Duration> {
        let due = self.complaints.count(id.kind.name(), error.variant()).await;
        match error.variant() {
            "gone" | "not-leading" => None,
            "conflict" => Some(CONFLICT),
            variant => {
                let wait = ERRORS.0.saturating_mul(1 << memory.errors.min(8)).min(ERRORS.1);
                memory.errors += 1;
                if due {
                    tracing::warn!(object = %id, %error, variant, "cannot write; tried again, and others that fail so are counted");
                }
                Some(wait)
            }
        }
    }
}

enum Written {
    No,
    /// The object is in this version now.
    As(Option<String>),
    /// It was written too often.
    Later(Duration),
}

fn sooner(again: Option<Duration>, wait: Duration) -> Option<Duration> {
    Some(again.map_or(wait, |again| again.min(wait)))
}

/// When to look again at an object whose Service is absent or has no endpoint: later each time nothing has changed.
fn missing_endpoints(report: &Arc<ObjectReport>, memory: &mut Memory) -> Option<Duration> {
    let is_missing = |finding: &Finding| {
        matches!(finding.issue, Issue::NoEndpoints { .. } | Issue::BackendNotFound { .. } | Issue::BackendPortMissing { .. })
    };
    if !report.findings.iter().any(is_missing) {
        memory.missing = None;
        return None;
    }
    let (now, before) = (Instant::now(), memory.missing.take().filter(|missing| Arc::ptr_eq(&missing.report, report)));
    let missing = match before {
        // Something else woke the object.
        Some(missing) if now < missing.due => missing,
        before => {
            let times = before.map_or(0, |missing| missing.times + 1);
            let wait = ENDPOINTS.0.saturating_mul(1 << times.min(8)).min(ENDPOINTS.1);
            Missing { report: report.clone(), times, due: now + wait }
        }
    };
    let wait = missing.due - now;
    memory.missing = Some(missing);
    Some(wait)
}

/// Problems that the status written before does not tell. So a new leader does not tell them again.
fn new_findings<'a>(
    report: Option<&'a ObjectReport>,
    refused: &'a [Finding],
    previous: Option<&Value>,
) -> impl Iterator<Item = &'a Finding> {
    let mut told = Vec::new();
    if let Some(previous) = previous {
        messages(previous, &mut told);
    }
    let findings = report.into_iter().flat_map(|report| &report.findings).chain(refused);
    let is_new = move |finding: &&Finding| {
        let text = finding.issue.to_string();
        !told.iter().any(|message| message.contains(&text))
    };
    findings.filter(is_new).take(EVENTS)
}

fn messages(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            into.extend(fields.get("message").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| messages(value, into));
        }
        Value::Array(items) => items.iter().for_each(|value| messages(value, into)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::advance;

    use super::{Memory, missing_endpoints};
    use crate::model::{BackendId, Kind, ObjectId};
    use crate::report::{Finding, Issue, ObjectReport, Scope, Verdict};

    fn report(missing: bool) -> Arc<ObjectReport> {
        let id = ObjectId::new(Kind::HttpRoute, "shop", "route");
        let backend = BackendId { namespace: "shop".into(), service: "empty".into(), port: 80 };
        let finding = Finding { object: id.clone(), scope: Scope::Object, issue: Issue::NoEndpoints { backend } };
        Arc::new(ObjectReport { id, generation: 1, findings: missing.then_some(finding).into_iter().collect(), verdict: Verdict::None })
    }

    /// Whole seconds until the next look.
    fn wait(report: &Arc<ObjectReport>, memory: &mut Memory) -> Option<u64> {
        missing_endpoints(report, memory).map(|wait| wait.as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn endpoints_are_looked_for_later_each_time_and_anew_after_a_change() {
        let mut memory = Memory::default();
        for judged in [report(true), report(true)] {
            for expected in [2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
                assert_eq!(wait(&judged, &mut memory), Some(expected));
                advance(Duration::from_secs(1)).await;
                assert_eq!(wait(&judged, &mut memory), Some(expected - 1), "woken by something else");
                advance(Duration::from_secs(expected - 1)).await;
            }
        }
        assert_eq!(wait(&report(false), &mut memory), None);
        assert_eq!(wait(&report(true), &mut memory), Some(2));
    }
}
