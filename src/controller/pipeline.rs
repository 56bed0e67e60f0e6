//! The translator task: changes in, snapshots to edges, wakes to whoever writes statuses. It owns all translation state.

mod edges;
mod retries;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use super::EdgeHost;
use super::acks::Wake;
use super::follower::Published;
use super::world::World;
use crate::api::{Change, Object};
use crate::model::{EdgeId, Kind, ObjectId, Resolution};
use crate::observe::metrics::Metrics;
use crate::store::cluster::Wants;
use crate::store::kinds::{Finalizer, row};
use crate::store::names::Names;
use crate::store::{Event, Severity};
use crate::translate::{Changes, Now, Translator};
use retries::Retries;

/// Most events taken in at once: later ones gather while a translation runs, none waits for a timer.
const BATCH: usize = 4096;
/// How long the first answers of DNS are waited for.
const FIRST_NAMES: std::time::Duration = std::time::Duration::from_secs(5);
/// How long what was decided waits for Secrets that are there and not read yet, and how long at first: a restart takes no
/// certificates away.
const SECRETS: std::time::Duration = std::time::Duration::from_secs(2);
const FIRST_SECRETS: std::time::Duration = std::time::Duration::from_secs(30);
/// How often certificate expiry is looked at.
const EXPIRY: std::time::Duration = std::time::Duration::from_secs(3600);

/// Whom the translator task tells what.
pub struct Outputs {
    /// What everybody else knows.
    pub world: watch::Sender<World>,
    /// To whoever writes statuses.
    pub wakes: mpsc::UnboundedSender<Wake>,
    /// Counters.
    pub metrics: Metrics,
}

/// What was decided and is not told yet: it may rest on a Secret that is there and not read.
struct Held {
    decided: Changes,
    /// Objects that changed, as they are now.
    objects: Vec<(ObjectId, Option<Object>)>,
    /// The wishes that are to be answered.
    wishes: u64,
    /// It is told then, whatever was answered.
    until: Instant,
}

/// The translator task.
pub struct Pipeline<H> {
    translator: Translator,
    edges: H,
    /// The epoch that is served; 0 while another process leads.
    epoch: watch::Receiver<u64>,
    /// What everybody else knows.
    world: watch::Sender<World>,
    /// What they are told next: objects, what was decided about them and what edges serve of them, in one piece.
    next: World,
    wakes: mpsc::UnboundedSender<Wake>,
    metrics: Metrics,
    /// Who asks DNS; none where no name is served.
    names: Option<Names>,
    /// Where it is said which Secrets are looked up; none where all are told.
    wants: Option<Wants>,
    /// Which wishes for Secrets were answered.
    answered: u64,
    /// What was translated and waits for Secrets.
    held: Option<Held>,
    /// Changes that were not translated yet.
    gathered: Vec<Change>,
    /// What DNS says that was not translated yet.
    resolved: BTreeMap<String, Resolution>,
    /// Edges that are told to serve nothing any more, and end when they have said so or take too long.
    leaving: BTreeSet<EdgeId>,
    left: JoinSet<EdgeId>,
    /// Edges that cannot be run.
    retries: Retries,
    /// To whoever times the acknowledgements of each edge.
    published: BTreeMap<EdgeId, Published>,
    /// Everything that existed at the start is known. Publishing opens then: a restart withdraws nothing.
    open: bool,
}

impl<H: EdgeHost> Pipeline<H> {
    /// A task that knows nothing yet. `epoch` is 0 while another process leads.
    pub fn new(translator: Translator, edges: H, epoch: watch::Receiver<u64>, outputs: Outputs) -> Self {
        let Outputs { world, wakes, metrics } = outputs;
        Self {
            translator,
            edges,
            epoch,
            world,
            next: World::default(),
            wakes,
            metrics,
            names: None,
            wants: None,
            answered: 0,
            held: None,
            gathered: Vec::new(),
            resolved: BTreeMap::new(),
            leaving: BTreeSet::new(),
            left: JoinSet::new(),
            retries: Retries::default(),
            published: BTreeMap::new(),
            open: false,
        }
    }

    /// The same, with somebody to ask DNS for names.
    #[must_use]
    pub fn asking(self, names: Option<Names>) -> Self {
        Self { names, ..self }
    }

    /// The same, with a source that tells of those Secrets alone that are looked up.
    #[must_use]
    pub fn wanting(self, wants: Option<Wants>) -> Self {
        Self { wants, ..self }
    }

    /// Runs until the source or `stop` ends it, then stops all edges.
    pub async fn run(mut self, mut events: mpsc::Receiver<Event>, stop: impl Future<Output = ()>) {
        let mut batch = Vec::new();
        let mut expiry = interval(EXPIRY);
        expiry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(stop);
        loop {
            tokio::select! {
                received = events.recv_many(&mut batch, BATCH) => {
                    if received == 0 {
                        break;
                    }
                    for event in batch.drain(..) {
                        self.take(event);
                    }
                }
                (name, resolution) = changed(&mut self.names) => drop(self.resolved.insert(name, resolution)),
                _ = expiry.tick() => {}
                Ok(()) = self.epoch.changed() => self.lead(),
                Some(Ok(id)) = self.left.join_next() => {
                    let waiting = self.end(&id).await;
                    self.tell();
                    drop(self.wakes.send(Wake::Objects(waiting)));
                }
                () = late(self.held.as_ref()) => {}
                // What is translated and held is not to be served yet.
                id = self.retries.next(), if self.held.is_none() => self.again(&id).await,
                () = &mut stop => break,
            }
            if self.open {
                self.step().await;
            }
        }
        self.edges.stop_all().await;
        // Whoever follows an edge's acks ends with its publisher.
        self.next.edges = imbl::OrdMap::new();
        self.tell();
    }

    fn tell(&self) {
        let World { objects, reports, edges, failed, served, withdrawn, claims, refusals, fresh, published, sound, .. } = self.next.clone();
        self.world.send_modify(|world| {
            (world.claims, world.failed) = (claims, failed);
            (world.objects, world.reports, world.edges) = (objects, reports, edges);
            (world.served, world.withdrawn) = (served, withdrawn);
            (world.refusals, world.fresh, world.published, world.sound) = (refusals, fresh, published, sound);
        });
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Changes(changes) => self.gathered.extend(changes),
            Event::Synced => {
                self.open = true;
                self.sound();
            }
            Event::Fresh => self.next.fresh = true,
            Event::Secrets(answered) => self.answered = self.answered.max(answered),
            Event::Refusals { file, refusals } => {
                for refusal in &refusals {
                    match refusal.severity {
                        Severity::Error | Severity::Warning => tracing::warn!("{refusal}"),
                        Severity::Info => tracing::info!("{refusal}"),
                    }
                }
                if refusals.is_empty() {
                    if self.next.refusals.remove(&file).is_some() {
                        tracing::info!(file, "nothing in it is refused any more");
                    }
                } else {
                    self.next.refusals.insert(file, refusals);
                }
                self.sound();
                self.tell();
            }
        }
    }

    /// From the moment on at which nothing is refused, whatever is refused later has a version before that stays in force.
    fn sound(&mut self) {
        let refused = || self.next.refusals.values().flatten().any(|refusal| refusal.severity == Severity::Error);
        self.next.sound = self.next.sound || (self.open && !refused());
    }

    /// All edges are served in the epoch of now.
    fn lead(&mut self) {
        let epoch = *self.epoch.borrow_and_update();
        for publisher in self.next.edges.values() {
            publisher.lead(epoch);
        }
    }

    /// Translates what was gathered and tells it. If it looks up Secrets that were not looked up before, these are awaited first:
    /// a certificate is not missing because it is yet to be read. What comes meanwhile waits for its turn.
    async fn step(&mut self) {
        if let Some(held) = self.held.take() {
            let waits = held.wishes > self.answered;
            if waits && Instant::now() < held.until {
                self.held = Some(held);
                return;
            }
            if waits {
                tracing::warn!("a Secret cannot be read in time; serving without it until it can be");
            }
            let (secrets, others) = std::mem::take(&mut self.gathered).into_iter().partition(|change| change.id.kind == Kind::Secret);
            self.gathered = others;
            let (decided, objects) = self.translate(secrets).await;
            self.tell_decided(held.decided.then(decided), held.objects.into_iter().chain(objects).collect()).await;
            if self.gathered.is_empty() {
                return;
            }
        }
        let changes = std::mem::take(&mut self.gathered);
        let (decided, objects) = self.translate(changes).await;
        match self.wants.as_ref().and_then(|wants| wants.want(self.translator.secrets())) {
            Some(wishes) => {
                let patience = if self.next.published { SECRETS } else { FIRST_SECRETS };
                self.held = Some(Held { decided, objects, wishes, until: Instant::now() + patience });
            }
            None => self.tell_decided(decided, objects).await,
        }
    }

    /// Decides what follows from changes; and the objects that changed, as they are now.
    async fn translate(&mut self, changes: Vec<Change>) -> (Changes, Vec<(ObjectId, Option<Object>)>) {
        let objects = changes.iter().map(|change| (change.id.clone(), change.new.clone())).collect();
        let started = Instant::now();
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default();
        let changes = changes.into_iter().map(without_terminating);
        let now = Now::from_unix(seconds.cast_signed());
        let mut decided = self.translator.apply_with(changes, std::mem::take(&mut self.resolved), now);
        self.ask(&mut decided, now).await;
        self.metrics.translate.observe(started.elapsed().as_secs_f64());
        (decided, objects)
    }

    async fn tell_decided(&mut self, decided: Changes, objects: Vec<(ObjectId, Option<Object>)>) {
        let mut dirty: Vec<_> = objects.iter().map(|(id, _)| id.clone()).collect();
        for (id, object) in objects {
            match object {
                Some(object) => drop(self.next.objects.insert(id, object)),
                None => self.next.forget(&id),
            }
        }
        for (id, edge) in decided.edges {
            self.publish(&id, edge).await;
        }
        dirty.extend(decided.reports.keys().cloned());
        for (id, report) in decided.reports {
            match report {
                Some(report) => self.next.reports.insert(id, report),
                None => self.next.reports.remove(&id),
            };
        }
        for (namespace, hosts) in decided.claims {
            match hosts.is_empty() {
                true => self.next.claims.remove(&namespace),
                false => self.next.claims.insert(namespace, hosts),
            };
        }
        self.next.published = true;
        self.tell();
        drop(self.wakes.send(Wake::Objects(dirty)));
    }

    /// Asks for the names that are wanted now. At first, answers are waited for: a restart takes no endpoints away.
    async fn ask(&mut self, decided: &mut Changes, now: Now) {
        let Some(names) = &mut self.names else { return };
        names.want(self.translator.names());
        if self.next.published {
            return;
        }
        let translator = &mut self.translator;
        let answered = timeout(FIRST_NAMES, async {
            while !names.is_settled() {
                let answer = names.changed().await;
                let Changes { edges, reports, claims, .. } = translator.apply_with([], [answer], now);
                decided.claims.extend(claims);
                decided.edges.extend(edges);
                decided.reports.extend(reports);
            }
        });
        if answered.await.is_err() {
            tracing::warn!("not every external name was answered in time; serving the others");
        }
    }
}

/// Resolves when what is held waits no longer.
async fn late(held: Option<&Held>) {
    match held {
        Some(held) => sleep_until(held.until).await,
        None => std::future::pending().await,
    }
}

/// What DNS says anew.
async fn changed(names: &mut Option<Names>) -> (String, Resolution) {
    match names {
        Some(names) => names.changed().await,
        None => std::future::pending().await,
    }
}

/// To translation, an object of ours that is being deleted is gone: it is withdrawn at once, and released afterwards.
fn without_terminating(change: Change) -> Change {
    let class = row(change.id.kind).finalizer;
    let ends = |object: &Object| matches!(class, Finalizer::Owned | Finalizer::Attached) && object.metadata().deletion_timestamp.is_some();
    Change { new: change.new.filter(|object| !ends(object)), old: change.old.filter(|object| !ends(object)), id: change.id }
}
