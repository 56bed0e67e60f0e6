//! Leader election by a Lease: who holds it serves snapshots and writes to the API server, nobody else does.
//!
//! Deadlines are local and monotonic, so clocks need not agree: a holder believes in itself for [`Settings::believe`] after
//! it sent the last renewal that was confirmed, a candidate takes over when it has seen no renewal for the longer time that
//! the Lease names.
//!
//! Each term has an epoch of its own, greater than that of every term before, for edges refuse a leader whose epoch is over.
//! It is `leaseTransitions`, which is at least the time of the election in seconds: so it does not fall when the Lease is
//! deleted, or restored from a backup. A holder whose Lease is deleted writes it again with the epoch that it has; others
//! wait for that as long as for a renewal.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Which Lease, as whom, and how fast.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Name of this process, which no other has or had.
    pub identity: String,
    /// How long others wait for a renewal before they take over, in whole seconds.
    pub duration: Duration,
    /// How long the holder trusts in a renewal; well below `duration`.
    pub believe: Duration,
    /// How often the holder renews and others look.
    pub period: Duration,
    /// How long one request may take, so that a connection that has fallen silent does not cost the Lease.
    pub patience: Duration,
}

impl Settings {
    /// The usual times: renewed every 2 s, with 3 s for an answer, trusted for 10 s, taken over after 15 s.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>, identity: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            identity: identity.into(),
            duration: Duration::from_secs(15),
            believe: Duration::from_secs(10),
            period: Duration::from_secs(2),
            patience: Duration::from_secs(3),
        }
    }
}

/// What epochs count from: 2020-01-01, so that a Lease's 32 bits last until 2088.
const BEGINNING: i64 = 1_577_836_800;

/// A time as leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Term {
    epoch: u64,
    until: Instant,
}

/// Whether this process leads.
#[derive(Clone, Debug)]
pub struct Leadership(watch::Receiver<Option<Term>>);

impl Leadership {
    /// The epoch, while this process leads.
    pub fn epoch(&self) -> Option<u64> {
        self.0.borrow().filter(|term| Instant::now() < term.until).map(|term| term.epoch)
    }

    /// The epoch, to be asked for before each write.
    ///
    /// # Errors
    /// When this process does not lead (any more).
    pub fn check(&self) -> Result<u64, NotLeading> {
        self.epoch().ok_or(NotLeading)
    }

    /// Waits until this process leads, and returns the epoch; none when it never will.
    pub async fn elected(&mut self) -> Option<u64> {
        self.0.wait_for(Option::is_some).await.ok()?.map(|term| term.epoch)
    }
}

/// This process does not lead, and must not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the leader")]
pub struct NotLeading;

/// Why leading ended.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// No renewal was confirmed in time.
    #[error("the Lease could not be renewed in time")]
    Late,
    /// Somebody else holds it.
    #[error("the Lease is held by {0}")]
    Taken(String),
}

/// The process as a candidate.
pub struct Candidate {
    api: Api<Lease>,
    settings: Settings,
    term: watch::Sender<Option<Term>>,
}

/// What a candidate saw of the holder, and when it first looked so.
struct Seen {
    holder: Option<String>,
    renewed: Option<MicroTime>,
    transitions: i32,
    /// How long others are to wait for a renewal.
    patience: Duration,
    since: Instant,
}

impl Candidate {
    /// A candidate, and what tells whether it leads.
    pub fn new(client: Client, settings: Settings) -> (Self, Leadership) {
        let term = watch::Sender::new(None);
        let leadership = Leadership(term.subscribe());
        (Self { api: Api::namespaced(client, &settings.namespace), settings, term }, leadership)
    }

    /// Name of this process.
    pub fn identity(&self) -> &str {
        &self.settings.identity
    }

    /// Stands until elected, then leads until `stop` resolves, and gives the Lease back.
    ///
    /// # Errors
    /// When the Lease is lost. Whatever this process holds true may be outdated then: it is to end.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), Lost> {
        tokio::pin!(stop);
        let (lease, sent) = tokio::select! {
            elected = self.stand() => elected,
            () = &mut stop => return Ok(()),
        };
        let epoch = epoch(&lease);
        tracing::info!(epoch, lease = %self.settings.name, "leading");
        self.believe(epoch, sent);
        let mut lease = lease;
        loop {
            tokio::select! {
                renewed = self.renew(lease, epoch) => lease = renewed.inspect_err(|_| self.resign())?,
                () = &mut stop => break,
            }
        }
        self.resign();
        self.release(epoch).await;
        Ok(())
    }

    fn believe(&self, epoch: u64, sent: Instant) {
        self.term.send_replace(Some(Term { epoch, until: sent + self.settings.believe }));
    }

    fn resign(&self) {
        self.term.send_replace(None);
    }

    /// Waits until the Lease can be taken, and takes it. Returns it with the time when it was asked for.
    async fn stand(&self) -> (Lease, Instant) {
        let mut seen: Option<Seen> = None;
        loop {
            let sent = Instant::now();
            match timeout(self.settings.patience, self.try_take(&mut seen)).await {
                Ok(Ok(Some(lease))) => return (lease, sent),
                Ok(Ok(None)) => {}
                // Another candidate was faster.
                Ok(Err(kube::Error::Api(status))) if status.code == 409 => {}
                Err(_) => tracing::warn!(lease = %self.settings.name, "cannot stand for leader: no answer in time"),
                Ok(Err(error)) => tracing::warn!(%error, lease = %self.settings.name, "cannot stand for leader"),
            }
            sleep(self.settings.period.mul_f64(0.8 + 0.4 * rand::random::<f64>())).await;
        }
    }

    async fn try_take(&self, seen: &mut Option<Seen>) -> Result<Option<Lease>, kube::Error> {
        let lease = self.api.get_opt(&self.settings.name).await?;
        if let Some(spec) = lease.as_ref().map(|lease| lease.spec.clone().unwrap_or_default()) {
            let holder = spec.holder_identity.filter(|holder| !holder.is_empty());
            if seen.as_ref().is_none_or(|seen| (&seen.holder, &seen.renewed) != (&holder, &spec.renew_time)) {
                tracing::debug!(?holder, "the Lease is renewed");
                let named = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
                *seen = Some(Seen {
                    holder,
                    renewed: spec.renew_time,
                    transitions: spec.lease_transitions.unwrap_or_default(),
                    patience: named.unwrap_or(self.settings.duration),
                    since: Instant::now(),
                });
            }
        }
        if seen.as_ref().is_some_and(|seen| seen.holder.is_some() && seen.since.elapsed() < seen.patience) {
            return Ok(None);
        }
        let transitions = next(seen.as_ref().map_or(0, |seen| seen.transitions), Timestamp::now());
        match lease {
            Some(mut lease) => {
                lease.spec = Some(self.spec(transitions, None));
                self.api.replace(&self.settings.name, &PostParams::default(), &lease).await.map(Some)
            }
            None => self.create(self.spec(transitions, None)).await.map(Some),
        }
    }

    async fn create(&self, spec: LeaseSpec) -> Result<Lease, kube::Error> {
        let metadata = ObjectMeta { name: Some(self.settings.name.clone()), ..ObjectMeta::default() };
        self.api.create(&PostParams::default(), &Lease { metadata, spec: Some(spec) }).await
    }

    fn spec(&self, transitions: i32, acquired: Option<MicroTime>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        LeaseSpec {
            holder_identity: Some(self.settings.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(self.settings.duration.as_secs()).unwrap_or(i32::MAX)),
            lease_transitions: Some(transitions),
            acquire_time: Some(acquired.unwrap_or_else(|| now.clone())),
            renew_time: Some(now),
            ..LeaseSpec::default()
        }
    }

    /// Waits for the time to renew, and renews.
    async fn renew(&self, mut lease: Lease, epoch: u64) -> Result<Lease, Lost> {
        let until = self.term.borrow().map(|term| term.until).unwrap_or_else(Instant::now);
        let mut pause = self.settings.period;
        loop {
            if timeout_at(until, sleep(pause)).await.is_err() {
                return Err(Lost::Late);
            }
            pause = self.settings.period / 4;
            let spec = lease.spec.clone().unwrap_or_default();
            lease.spec = Some(self.spec(spec.lease_transitions.unwrap_or_default(), spec.acquire_time));
            let sent = Instant::now();
            let params = PostParams::default();
            let soon = || until.min(Instant::now() + self.settings.patience);
            match timeout_at(soon(), self.api.replace(&self.settings.name, &params, &lease)).await {
                Ok(Ok(lease)) => {
                    self.believe(epoch, sent);
                    return Ok(lease);
                }
                Ok(Err(error)) => tracing::warn!(%error, "cannot renew the Lease"),
                Err(_) => tracing::warn!("cannot renew the Lease: no answer in time"),
            }
            // An answer that was lost has renewed it all the same; another holder has ended this term.
            match timeout_at(soon(), self.api.get_opt(&self.settings.name)).await {
                Ok(Ok(Some(now))) if holder(&now) != self.settings.identity || self::epoch(&now) != epoch => {
                    return Err(Lost::Taken(holder(&now).to_owned()));
                }
                Ok(Ok(Some(now))) => lease = now,
                Ok(Ok(None)) => {
                    let sent = Instant::now();
                    if let Ok(Ok(created)) = timeout_at(soon(), self.create(lease.spec.clone().unwrap_or_default())).await {
                        tracing::warn!("somebody has deleted the Lease; written again");
                        self.believe(epoch, sent);
                        return Ok(created);
                    }
                }
                Ok(Err(_)) | Err(_) => {}
            }
        }
    }

    /// Gives the Lease back, so that nobody has to wait for its end.
    async fn release(&self, epoch: u64) {
        let released = async {
            let mut lease = self.api.get(&self.settings.name).await?;
            if holder(&lease) != self.settings.identity || self::epoch(&lease) != epoch {
                return Ok(());
            }
            if let Some(spec) = &mut lease.spec {
                spec.holder_identity = Some(String::new());
                spec.lease_duration_seconds = Some(1);
                spec.renew_time = Some(MicroTime(Timestamp::now()));
            }
            self.api.replace(&lease.name_any(), &PostParams::default(), &lease).await.map(drop)
        };
        match tokio::time::timeout(self.settings.period, released).await {
            Ok(Ok(())) => tracing::info!("the Lease is given back"),
            Ok(Err(error)) => tracing::warn!(%error, "cannot give the Lease back"),
            Err(_) => tracing::warn!("cannot give the Lease back in time"),
        }
    }
}

/// The transitions of a Lease that is taken now, when these were seen.
fn next(seen: i32, now: Timestamp) -> i32 {
    let time = i32::try_from(now.as_second() - BEGINNING).unwrap_or_default();
    seen.max(0).saturating_add(1).max(time)
}

fn holder(lease: &Lease) -> &str {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default()
}

fn epoch(lease: &Lease) -> u64 {
    let transitions = lease.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or_default();
    u64::try_from(transitions).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::{BEGINNING, next};

    #[test]
    fn an_epoch_never_falls_whatever_becomes_of_the_lease() {
        let at = |seconds: i64| Timestamp::from_second(BEGINNING + seconds).unwrap();
        let first = next(0, at(1_000));
        assert_eq!(first, 1_000);
        assert_eq!(next(first, at(1_000)), 1_001, "two elections within a second");
        assert_eq!(next(first, at(500)), 1_001, "a clock that is behind");
        assert!(next(0, at(1_002)) > next(first, at(1_001)), "the Lease was deleted");
        assert_eq!(next(i32::MAX, at(0)), i32::MAX);
        assert_eq!(next(-5, at(-5)), 1);
    }
}
