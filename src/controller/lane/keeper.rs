//! One edge: brings its objects to what is wanted, again and again until the API server takes them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use tokio::sync::{AcquireError, SemaphorePermit, mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use super::super::writer::{WriteError, variant};
use super::predecessor::Retiring;
use super::{FIELD_MANAGER, Shared, Word};
use crate::leader::NotLeading;
use crate::model::EdgeId;
use crate::provision::{EdgeSpec, Part, names, objects};

/// First and longest wait after something was refused.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(60));
/// How often it is looked whether the pods serve that replace others.
const SUCCESSION: Duration = Duration::from_secs(5);
/// A request that takes longer is given up and tried again.
const PATIENCE: Duration = Duration::from_secs(15);

/// What is wanted of an edge.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// How it is to run; not at all when absent.
    pub(super) spec: Option<Arc<EdgeSpec>>,
    /// Counts reasons to look at everything again.
    pub(super) again: u64,
}

/// The one task that writes an edge's objects.
pub(super) struct Keeper {
    pub(super) shared: Arc<Shared>,
    pub(super) id: EdgeId,
    ca: watch::Receiver<String>,
    words: mpsc::UnboundedSender<(EdgeId, Word)>,
    /// What the API server took, by part.
    applied: BTreeMap<Part, DynamicObject>,
    /// Parts that are known not to be there.
    pub(super) absent: BTreeSet<Part>,
    turn: Turn,
    /// Whether what a version before made elsewhere may still be there.
    former: bool,
    /// The workload of the other kind that is to end once that of now serves.
    pub(super) retiring: Option<Retiring>,
    /// Whether the last attempt failed.
    failed: bool,
}

/// Whether the pods may be replaced.
enum Turn {
    /// It was not asked for.
    Unasked,
    /// Some wait.
    Waiting(oneshot::Receiver<()>),
    /// They may.
    Given,
}

/// Something of an edge cannot be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    /// The API server refuses, or cannot be reached.
    #[error("{kind}: {message}")]
    Refused { kind: String, message: String, variant: &'static str },
    /// The name is taken.
    #[error("{kind} {name} exists and does not belong to this Gateway")]
    Foreign { kind: String, name: String },
    /// What was made for a Gateway of the same name, which is gone, is still there.
    #[error("{kind} {name} of an earlier Gateway is still being deleted")]
    Leaving { kind: String, name: String },
    /// Others write now.
    #[error(transparent)]
    NotLeading(#[from] NotLeading),
    /// An object cannot be written down.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>, id: EdgeId, ca: watch::Receiver<String>, words: mpsc::UnboundedSender<(EdgeId, Word)>) -> Self {
        let former = shared.installation.former_place(&id).is_some();
        let (applied, absent) = Default::default();
        Self { shared, id, ca, words, applied, absent, turn: Turn::Unasked, former, retiring: None, failed: false }
    }

    /// Follows what is wanted, until nothing is wanted any more and nothing is left.
    pub(super) async fn run(mut self, mut wanted: watch::Receiver<Wanted>) {
        let mut wait = BACKOFF.0;
        let mut looks = 0;
        loop {
            let Wanted { spec, again } = wanted.borrow_and_update().clone();
            if looks != again {
                looks = again;
                self.applied.clear();
                self.absent.clear();
            }
            // Nothing wanted yet is not nothing wanted any more.
            let done = match &spec {
                Some(spec) => self.make(spec).await.map(|waits| (false, waits)),
                None if wanted.has_changed().is_err() => self.unmake().await.map(|()| (true, false)),
                None => Ok((false, false)),
            };
            if !matches!(done, Ok((_, true))) {
                self.pass();
            }
            let problem = done.as_ref().err().map(ToString::to_string);
            self.failed = problem.is_some();
            if let Err(error) = &done {
                self.count(error);
            }
            if let Some(problem) = &problem {
                tracing::warn!(edge = %self.id, problem, ?wait, "cannot be provisioned; trying again");
            }
            if spec.is_some() {
                self.say(Word::Problem(problem));
            }
            match done {
                Ok((true, _)) => return tracing::info!(edge = %self.id, "everything of it is deleted"),
                Ok((false, _)) => {
                    wait = BACKOFF.0;
                    if self.news(&mut wanted).await.is_err() && wanted.borrow().spec.is_some() {
                        return;
                    }
                }
                Err(_) => {
                    // News may be the end of the problem.
                    drop(timeout(wait, wanted.changed()).await);
                    if wanted.has_changed().is_err() {
                        sleep(wait).await;
                    }
                    wait = (wait * 2).min(BACKOFF.1);
                }
            }
        }
    }

    /// Waits until something else is wanted, or the pods may be replaced, or it is to be looked for what ends when others serve.
    async fn news(&mut self, wanted: &mut watch::Receiver<Wanted>) -> Result<(), watch::error::RecvError> {
        let looks = (self.former || self.retiring.is_some()) && wanted.borrow().spec.is_some();
        let Turn::Waiting(turn) = &mut self.turn else {
            let changed = wanted.changed();
            return if looks { timeout(SUCCESSION, changed).await.unwrap_or(Ok(())) } else { changed.await };
        };
        tokio::select! {
            changed = wanted.changed() => changed,
            given = turn => {
                self.turn = if given.is_ok() { Turn::Given } else { Turn::Unasked };
                Ok(())
            }
        }
    }

    /// Makes no use of a turn that it has or waits for.
    fn pass(&mut self) {
        if !matches!(self.turn, Turn::Unasked) {
            self.turn = Turn::Unasked;
            self.say(Word::Pass);
        }
    }

    fn count(&self, problem: &Problem) {
        let (kind, variant) = match problem {
            Problem::Refused { kind, variant, .. } => (kind.as_str(), *variant),
            Problem::Foreign { kind, .. } => (kind.as_str(), "foreign"),
            // Neither is an error: the next attempt finds it gone, and another process leads.
            Problem::Leaving { .. } | Problem::NotLeading(_) | Problem::Json(_) => return,
        };
        self.shared.errors.with_label_values(&[kind, variant]).inc();
    }

    /// A turn to write.
    async fn writes(shared: &Shared, failed: bool) -> Result<SemaphorePermit<'_>, AcquireError> {
        if failed { shared.retrying.acquire().await } else { shared.writing.acquire().await }
    }

    fn say(&self, word: Word) {
        if self.words.send((self.id.clone(), word)).is_err() {
            tracing::debug!(edge = %self.id, "nobody listens any more");
        }
    }

    /// Brings every part to what the edge needs. Without ports there is nothing to run: what is there is left as it is, so
    /// that an address is not lost over a mistake in a Gateway. A workload whose pods would be replaced waits for its turn,
    /// and the other parts do not wait for it: whether it waits.
    async fn make(&mut self, spec: &EdgeSpec) -> Result<bool, Problem> {
        let ca = self.ca.borrow().clone();
        // A new leader has no bundle for a moment; pods that run must not be left without.
        let mut waits = false;
        if spec.ports.is_empty() || ca.is_empty() {
            return Ok(waits);
        }
        let mut wanted = objects(spec, &self.shared.installation, &ca)?;
        for part in Part::ALL {
            match wanted.remove(&part) {
                Some(object) if self.applied.get(&part) == Some(&object) => {}
                Some(object) => {
                    if self.apply(part, &object, spec).await? {
                        self.absent.remove(&part);
                        self.applied.insert(part, object);
                    } else {
                        waits = true;
                    }
                }
                None if self.absent.contains(&part) => {}
                // Pods that wait to be replaced keep their budget and their autoscaler.
                None if part.is_workload() || (waits && part.is_of_pods()) => {}
                None => self.delete(part).await?,
            }
        }
        self.retire(spec).await?;
        if self.former && !waits {
            self.former = !self.replace_former(spec).await?;
        }
        Ok(waits)
    }

    async fn unmake(&mut self) -> Result<(), Problem> {
        for part in Part::ALL.into_iter().rev() {
            self.delete(part).await?;
        }
        Ok(())
    }

    /// Whether the part is now as it is to be: it may have to wait for its turn.
    async fn apply(&mut self, part: Part, object: &DynamicObject, spec: &EdgeSpec) -> Result<bool, Problem> {
        let shared = self.shared.clone();
        let _permit = Self::writes(&shared, self.failed).await;
        let api = self.api(part);
        let name = object.name_any();
        let kind = part.resource().kind;
        if let Some(live) = request(&kind, api.get_metadata_opt(&name)).await? {
            let owned = shared.installation.owns(spec, &live.metadata);
            match (owned, live.metadata.deletion_timestamp.is_some()) {
                (true, false) => {}
                (false, false) if self.shared.is_ours(&live.metadata, &self.id) => {
                    self.remove(&api, &kind, &live.metadata).await?;
                    return Err(Problem::Leaving { kind, name });
                }
                (_, true) if self.shared.is_ours(&live.metadata, &self.id) => return Err(Problem::Leaving { kind, name }),
                _ => return Err(Problem::Foreign { kind, name }),
            }
            if names::template_of(live.annotations()) != names::template_of(object.annotations()) && !self.may_replace() {
                return Ok(false);
            }
        } else if part.is_workload() && self.has_other(part).await? && !self.may_replace() {
            return Ok(false);
        }
        let params = PatchParams::apply(FIELD_MANAGER).force();
        self.shared.leadership.check()?;
        let written = request(&kind, api.patch(&name, &params, &Patch::Apply(object))).await?;
        tracing::info!(edge = %self.id, kind, name, "applied");
        if part.is_workload() && matches!(self.turn, Turn::Given) {
            self.turn = Turn::Unasked;
            self.say(Word::Written(written.metadata.generation.unwrap_or_default()));
        }
        Ok(true)
    }

    /// Whether the pods may be replaced now; asks for it when they may not.
    fn may_replace(&mut self) -> bool {
        if let Turn::Unasked = self.turn {
            let (give, turn) = oneshot::channel();
            self.turn = Turn::Waiting(turn);
            self.say(Word::Ask(give));
        }
        matches!(self.turn, Turn::Given)
    }

    /// Deletes a part, if there is one and it is ours.
    async fn delete(&mut self, part: Part) -> Result<(), Problem> {
        let shared = self.shared.clone();
        let _permit = Self::writes(&shared, self.failed).await;
        let api = self.api(part);
        let kind = part.resource().kind;
        let live = request(&kind, api.get_metadata_opt(&shared.installation.name_of(&self.id))).await?;
        if let Some(live) = live.filter(|live| self.shared.is_ours(&live.metadata, &self.id)) {
            self.remove(&api, &kind, &live.metadata).await?;
        }
        self.applied.remove(&part);
        self.absent.insert(part);
        Ok(())
    }

    pub(super) async fn remove(&self, api: &Api<DynamicObject>, kind: &str, live: &kube::api::ObjectMeta) -> Result<(), Problem> {
        let only = Preconditions { uid: live.uid.clone(), resource_version: None };
        let params = DeleteParams { preconditions: Some(only), ..DeleteParams::background() };
        let name = live.name.as_deref().unwrap_or_default();
        self.shared.leadership.check()?;
        match request(kind, api.delete(name, &params)).await {
            Ok(_) => {
                tracing::info!(edge = %self.id, kind, name, "deleted");
                Ok(())
            }
            // Somebody was faster.
            Err(_) if matches!(api.get_metadata_opt(name).await, Ok(None)) => Ok(()),
            Err(problem) => Err(problem),
        }
    }

    pub(super) fn api(&self, part: Part) -> Api<DynamicObject> {
        Api::namespaced_with(self.shared.client.clone(), self.shared.installation.namespace_of(&self.id), &part.resource())
    }
}

/// One request, with an end, and the API server's own words when it refuses.
pub(super) async fn request<T>(kind: &str, answer: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Problem> {
    let refused = |message: String, variant| Problem::Refused { kind: kind.to_owned(), message, variant };
    match timeout(PATIENCE, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            let message = match &error {
                kube::Error::Api(status) => status.message.clone(),
                other => other.to_string(),
            };
            Err(refused(message, variant(&error)))
        }
        Err(_) => Err(refused(format!("no answer from the API server within {PATIENCE:?}"), WriteError::TimedOut.variant())),
    }
}
