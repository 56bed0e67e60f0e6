//! Leader election by a Lease: who holds it serves snapshots and writes to the API server, nobody else does.
//!
//! Deadlines are local and monotonic, so clocks need not agree: a holder believes in itself for [`Settings::believe`] after
//! it sent the last renewal that was confirmed, a candidate takes over when it has seen no renewal for the longer time that
//! the Lease names. Each term has an epoch of its own, `leaseTransitions`, greater than that of every term before.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

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
}

impl Settings {
    /// The usual times: renewed every 2 s, trusted for 10 s, taken over after 15 s.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>, identity: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            identity: identity.into(),
            duration: Duration::from_secs(15),
            believe: Duration::from_secs(10),
            period: Duration::from_secs(2),
        }
    }
}

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
    /// The epoch, while this process leads. To be asked before each write.
    pub fn epoch(&self) -> Option<u64> {
        self.0.borrow().filter(|term| Instant::now() < term.until).map(|term| term.epoch)
    }

    /// Waits until this process leads, and returns the epoch; none when it never will.
    pub async fn elected(&mut self) -> Option<u64> {
        self.0.wait_for(Option::is_some).await.ok()?.map(|term| term.epoch)
    }
}

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
    since: Instant,
}

impl Candidate {
    /// A candidate, and what tells whether it leads.
    pub fn new(client: Client, settings: Settings) -> (Self, Leadership) {
        let term = watch::Sender::new(None);
        let leadership = Leadership(term.subscribe());
        (Self { api: Api::namespaced(client, &settings.namespace), settings, term }, leadership)
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
            match self.try_take(&mut seen).await {
                Ok(Some(lease)) => return (lease, sent),
                Ok(None) => {}
                // Another candidate was faster.
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => tracing::warn!(%error, lease = %self.settings.name, "cannot stand for leader"),
            }
            sleep(self.settings.period.mul_f64(0.8 + 0.4 * rand::random::<f64>())).await;
        }
    }

    async fn try_take(&self, seen: &mut Option<Seen>) -> Result<Option<Lease>, kube::Error> {
        let Some(mut lease) = self.api.get_opt(&self.settings.name).await? else {
            let metadata = ObjectMeta { name: Some(self.settings.name.clone()), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(self.spec(1, None)) };
            return self.api.create(&PostParams::default(), &lease).await.map(Some);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.filter(|holder| !holder.is_empty());
        if seen.as_ref().is_none_or(|seen| (&seen.holder, &seen.renewed) != (&holder, &spec.renew_time)) {
            tracing::debug!(?holder, "the Lease is renewed");
            *seen = Some(Seen { holder: holder.clone(), renewed: spec.renew_time, since: Instant::now() });
        }
        let named = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
        let patience = named.unwrap_or(self.settings.duration);
        if holder.is_some() && seen.as_ref().is_none_or(|seen| seen.since.elapsed() < patience) {
            return Ok(None);
        }
        lease.spec = Some(self.spec(spec.lease_transitions.unwrap_or_default().max(0).saturating_add(1), None));
        self.api.replace(&self.settings.name, &PostParams::default(), &lease).await.map(Some)
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
            match timeout_at(until, self.api.replace(&self.settings.name, &params, &lease)).await {
                Err(_) => return Err(Lost::Late),
                Ok(Ok(lease)) => {
                    self.believe(epoch, sent);
                    return Ok(lease);
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "cannot renew the Lease");
                    // An answer that was lost has renewed it all the same; another holder has ended this term.
                    if let Ok(Ok(Some(now))) = timeout_at(until, self.api.get_opt(&self.settings.name)).await {
                        if holder(&now) != self.settings.identity || self::epoch(&now) != epoch {
                            return Err(Lost::Taken(holder(&now).to_owned()));
                        }
                        lease = now;
                    }
                }
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

fn holder(lease: &Lease) -> &str {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default()
}

fn epoch(lease: &Lease) -> u64 {
    let transitions = lease.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or_default();
    u64::try_from(transitions).unwrap_or_default()
}
