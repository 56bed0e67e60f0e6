//! The metrics page of an edge.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures::future::join_all;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::gate::Refusals;
use super::pulse::Pulses;
use super::reach::{self, Reach};
use super::sozu::{self, Connections};
use super::traffic::Native;
use crate::model::{BackendId, Route};
use crate::process::{Usage, lost_lines};
use crate::series::{self, Series, Text, of_count};
use crate::snapshot::publish::Publisher;
use crate::snapshot::wire::Stamp;
use crate::snapshot::{Key, Resource, Snapshot};
use crate::traffic::{BOUNDS, Count, Histogram, Pair, Report, Routed, label};

/// The filter proxy's report takes no longer.
const REPORT: Duration = Duration::from_secs(2);
/// A Sōzu that is out of step for so long is no place to send requests to: others may be better.
const PATIENCE: Duration = Duration::from_secs(10);
/// Names of the stages.
const NATIVE: &str = "native";
const FILTERED: &str = "filtered";
/// Names of the Sōzus among the processes.
const SOZUS: [&str; 2] = ["sozu-a", "sozu-b"];

/// How an edge stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// The newest change that came, and when.
    pub newest: Option<(Stamp, Instant)>,
    /// The change that both stages hold.
    pub held: Option<Stamp>,
    /// Resources that are held back.
    pub refused: usize,
    /// Sōzu processes that were started or adopted.
    pub sozu_starts: u64,
    /// Its running workers.
    pub sozu_workers: usize,
    /// Its ports: bound, and refused.
    pub listeners: (usize, usize),
    /// Since when Sōzu is away or not what it should be.
    pub out_of_step: Option<Instant>,
    /// Its Sōzus by name, and whether each is in step.
    pub twins: Vec<(&'static str, bool)>,
}

/// What the page shows.
#[derive(Clone)]
pub(super) struct Metrics {
    /// The edge's name.
    edge: String,
    /// How it stands.
    pub standing: watch::Sender<Standing>,
    /// Whether something was applied, and the end was not asked for.
    pub serving: watch::Sender<bool>,
    /// Whether a control plane feeds it.
    pub connected: watch::Sender<bool>,
    /// Whether the newest snapshot could not be copied to disk.
    pub unsaved: watch::Sender<bool>,
    /// Times from the arrival of a change until both stages hold it.
    pub apply: Arc<Histogram>,
    /// When that was last so, in seconds since the Unix epoch.
    pub applied: Arc<AtomicU64>,
    /// Process ids: of the filter proxy, and of each Sōzu with its workers.
    pub pids: watch::Sender<Pids>,
    /// Requests that Sōzu decided.
    pub native: Arc<Native>,
    /// What the filter proxy holds.
    publisher: Publisher,
    /// Starts of the filter proxy.
    pub filter_starts: Arc<AtomicU64>,
    /// Whether the processes answer.
    pub pulses: Pulses,
    /// Whether Sōzu turns clients away.
    pub crowded: watch::Sender<bool>,
    /// Client addresses that have too many connections.
    pub refusals: Arc<Refusals>,
    paths: Arc<Paths>,
}

/// The processes of an edge.
#[derive(Clone, Debug, Default)]
pub(super) struct Pids {
    /// The filter proxy.
    pub filter: Option<u32>,
    /// Each Sōzu by its name: the main process and its workers.
    pub sozus: Vec<(&'static str, Vec<u32>)>,
}

/// Where the processes of an edge are asked how they are.
#[derive(Debug, Default)]
pub(super) struct Paths {
    /// The filter proxy's report socket.
    pub report: PathBuf,
    /// The command sockets of the Sōzus.
    pub commands: Vec<PathBuf>,
}

impl Metrics {
    /// Those of an edge about which nothing is known yet.
    pub(super) fn new((edge, native): (&str, Arc<Native>), publisher: &Publisher, paths: Paths) -> Self {
        Self {
            edge: edge.to_owned(),
            standing: watch::Sender::default(),
            serving: watch::Sender::new(false),
            connected: watch::Sender::new(false),
            unsaved: watch::Sender::new(false),
            apply: Arc::default(),
            applied: Arc::default(),
            pids: watch::Sender::default(),
            native,
            publisher: publisher.clone(),
            filter_starts: Arc::default(),
            pulses: Pulses::default(),
            crowded: watch::Sender::new(false),
            refusals: Arc::default(),
            paths: Arc::new(paths),
        }
    }

    /// The command sockets of the Sōzus.
    pub(super) fn commands(&self) -> &[PathBuf] {
        &self.paths.commands
    }

    /// Connections of each Sōzu that says how many it has.
    pub(super) async fn connections(&self) -> Vec<Option<Connections>> {
        let asked = self.commands().iter().map(|command| sozu::connections(command));
        let answers = join_all(asked).await.into_iter();
        answers.map(|answer| answer.inspect_err(|error| tracing::debug!(%error, "Sōzu does not say how it is")).ok()).collect()
    }

    /// Names of the Sōzus that are away, or not what they should be.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        self.standing.borrow().twins.iter().filter(|(_, in_step)| !in_step).map(|(name, _)| *name).collect()
    }

    /// Whether requests may be sent to it.
    pub(super) fn is_ready(&self) -> bool {
        self.unready().is_none()
    }

    /// Why no requests may be sent to it.
    pub(super) fn unready(&self) -> Option<&'static str> {
        let (bound, refused) = self.standing.borrow().listeners;
        let reasons = [
            (bound == 0 && refused > 0, "none of its ports can be bound"),
            (!*self.serving.borrow(), "nothing is applied yet, or it is ending"),
            (self.out_of_step() >= PATIENCE, "Sōzu is away, or not what it should be"),
            (!self.pulses.worker.is_well(), "Sōzu's worker does not answer"),
            (!self.pulses.filter.is_well(), "the filter proxy does not answer"),
            (*self.crowded.borrow(), "Sōzu turns clients away"),
        ];
        reasons.into_iter().find(|(holds, _)| *holds).map(|(_, reason)| reason)
    }

    /// How long Sōzu has been away or not what it should be.
    fn out_of_step(&self) -> Duration {
        self.standing.borrow().out_of_step.map(|since| since.elapsed()).unwrap_or_default()
    }

    /// What is known of endpoints of these backends that do not answer, by the edge's name.
    pub(super) async fn reach(&self, backends: &[BackendId]) -> serde_json::Value {
        let (report, native) = tokio::join!(report(&self.paths.report), reach::native(self.commands(), backends));
        let filter = report.map(|report| report.unreached).unwrap_or_default();
        serde_json::json!({ &self.edge: Reach { native, filter } })
    }

    /// The page of now.
    pub(super) async fn page(&self) -> String {
        let (report, connections) = tokio::join!(report(&self.paths.report), self.connections());
        let mut text = Text::new("edge", &self.edge);
        self.traffic(&mut text, report.as_ref().map(|report| report.traffic.as_slice()).unwrap_or_default());
        self.bytes(&mut text, report.as_ref(), &connections);
        self.processes(&mut text);
        self.access_log(&mut text, report.as_ref().map(|report| report.access_log).unwrap_or_default());
        self.state(&mut text);
        self.sozu(&mut text, &connections);
        self.filter(&mut text, report);
        text.finish()
    }

    fn traffic(&self, text: &mut Text, filtered: &[Count]) {
        let snapshot = self.publisher.current().1;
        let traffic = &self.native.traffic;
        traffic.prune(|pair| route(&snapshot, pair).is_some_and(|route| pair.is_of(route)));
        let native = traffic.counts();
        let stages = [(NATIVE, native.as_slice()), (FILTERED, filtered)];
        text.family(&series::REQUESTS);
        each(&stages, |labels, count| {
            for (status, number) in &count.statuses {
                let [stage, kind, namespace, name, backend] = labels;
                text.sample(&series::REQUESTS, &[stage, kind, namespace, name, backend, &label(*status)], of_count(*number));
            }
        });
        text.family(&series::REQUEST);
        each(&stages, |labels, count| text.histogram(&series::REQUEST, &labels, &BOUNDS, (&count.times, count.seconds)));
        text.family(&series::TRAFFIC_PAIRS);
        for (stage, counts) in stages {
            let pairs = counts.iter().filter(|count| matches!(count.pair.route, Routed::By(_))).count();
            text.sample(&series::TRAFFIC_PAIRS, &[stage], of_count(pairs as u64));
        }
        text.only(&series::LOST_RECORDS, of_count(self.native.lost.load(Relaxed)));
    }

    fn bytes(&self, text: &mut Text, report: Option<&Report>, connections: &[Option<Connections>]) {
        let native = self.native.bytes.each_ref().map(|bytes| bytes.load(Relaxed));
        let filtered = report.map(|report| report.bytes).unwrap_or_default();
        text.family(&series::BYTES);
        for (stage, bytes) in [(NATIVE, native), (FILTERED, filtered)] {
            for (direction, bytes) in ["received", "sent"].iter().zip(bytes) {
                text.sample(&series::BYTES, &[stage, direction], of_count(bytes));
            }
        }
        text.only(&series::UNREACHED, of_count(self.native.unreached.load(Relaxed)));
        text.family(&series::TLS_FAILURES);
        // What does not answer has no sample: a number that falls would count anew.
        for (name, now) in SOZUS.iter().zip(connections) {
            now.iter().for_each(|now| text.sample(&series::TLS_FAILURES, &[name], of_count(now.tls_failures)));
        }
        report.iter().for_each(|report| text.sample(&series::TLS_FAILURES, &["filter"], of_count(report.tls_failures)));
    }

    fn processes(&self, text: &mut Text) {
        let Pids { filter, sozus } = self.pids.borrow().clone();
        let named = SOZUS.iter().zip(sozu::TWINS);
        let sozus = named.filter_map(|(process, twin)| Some((*process, sozus.iter().find(|(name, _)| *name == twin)?.1.clone())));
        let all = [("edge", vec![std::process::id()]), ("filter", filter.into_iter().collect())].into_iter().chain(sozus);
        let used: Vec<(&str, Usage)> = all.filter_map(|(process, pids)| Some((process, Usage::sum(pids)?))).collect();
        let mut family = |series: &Series, of: fn(&Usage) -> f64| {
            text.family(series);
            used.iter().for_each(|(process, usage)| text.sample(series, &[process], of(usage)));
        };
        family(&series::EDGE_CPU, |usage| usage.cpu_seconds);
        family(&series::EDGE_MEMORY, |usage| of_count(usage.resident_bytes));
        family(&series::EDGE_FILES, |usage| of_count(usage.open_files));
        family(&series::EDGE_START, |usage| usage.started);
        text.only(&series::EDGE_LOG_LOST, of_count(lost_lines()));
    }

    fn access_log(&self, text: &mut Text, filtered: [u64; 2]) {
        let native = self.native.access_log.as_ref().map(|log| log.counts()).unwrap_or_default();
        text.family(&series::ACCESS_LOG);
        for (stage, counts) in [(NATIVE, native), (FILTERED, filtered)] {
            for (result, count) in ["written", "dropped"].iter().zip(counts) {
                text.sample(&series::ACCESS_LOG, &[stage, result], of_count(count));
            }
        }
    }

    fn state(&self, text: &mut Text) {
        let standing = self.standing.borrow().clone();
        let flag = |value: bool| f64::from(u8::from(value));
        text.only(&series::READY, flag(self.is_ready()));
        text.only(&series::CONNECTED, flag(*self.connected.borrow()));
        let held = standing.held.unwrap_or_default();
        text.only(&series::EPOCH, of_count(held.epoch));
        text.only(&series::SEQ, of_count(held.seq));
        let age = standing.newest.map_or(0.0, |(_, came)| came.elapsed().as_secs_f64());
        let behind = standing.newest.is_some_and(|(stamp, _)| standing.held != Some(stamp));
        text.only(&series::AGE, age);
        text.only(&series::LAG, if behind { age } else { 0.0 });
        let (times, seconds) = self.apply.read();
        text.family(&series::EDGE_APPLY);
        text.histogram(&series::EDGE_APPLY, &[], &BOUNDS, (&times, seconds));
        text.only(&series::LAST_APPLY, of_count(self.applied.load(Relaxed)));
        text.only(&series::OUT_OF_STEP, self.out_of_step().as_secs_f64());
        text.only(&series::UNSAVED, flag(*self.unsaved.borrow()));
        text.only(&series::EDGE_REFUSED, of_count(standing.refused as u64));
    }

    fn sozu(&self, text: &mut Text, connections: &[Option<Connections>]) {
        let standing = self.standing.borrow().clone();
        text.family(&series::SOZU_UP);
        for (name, answer) in sozu::TWINS.iter().zip(connections) {
            text.sample(&series::SOZU_UP, &[name], of_count(answer.is_some().into()));
        }
        text.family(&series::SOZU_IN_STEP);
        for (name, in_step) in &standing.twins {
            text.sample(&series::SOZU_IN_STEP, &[name], of_count((*in_step).into()));
        }
        text.only(&series::SOZU_STARTS, of_count(standing.sozu_starts));
        text.family(&series::SOZU_FAILED_STARTS);
        for (name, command) in sozu::TWINS.iter().zip(self.commands()) {
            text.sample(&series::SOZU_FAILED_STARTS, &[name], of_count(sozu::failed_starts(command)));
        }
        text.only(&series::SOZU_WORKERS, of_count(standing.sozu_workers as u64));
        text.family(&series::SOZU_LISTENERS);
        for (state, number) in [("bound", standing.listeners.0), ("refused", standing.listeners.1)] {
            text.sample(&series::SOZU_LISTENERS, &[state], of_count(number as u64));
        }
        let sum = |of: fn(&Connections) -> u64| of_count(connections.iter().flatten().map(of).sum());
        text.only(&series::SOZU_BUFFERS, sum(|now| now.buffers));
        text.only(&series::SOZU_FULL, of_count(connections.iter().flatten().any(Connections::is_full).into()));
        text.only(&series::ADDRESSES_OVER, of_count(self.refusals.addresses.load(Relaxed)));
        text.only(&series::ADDRESSES_REFUSED, of_count(self.refusals.connections.load(Relaxed)));
        text.family(&series::HANGS);
        for (process, hangs) in self.pulses.hangs() {
            text.sample(&series::HANGS, &[process], of_count(hangs));
        }
        text.family(&series::SOZU_CONNECTIONS);
        text.sample(&series::SOZU_CONNECTIONS, &["clients"], sum(|now| now.clients));
        text.sample(&series::SOZU_CONNECTIONS, &["backends"], sum(|now| now.backends));
    }

    fn filter(&self, text: &mut Text, report: Option<Report>) {
        text.only(&series::FILTER_UP, of_count(report.is_some().into()));
        text.only(&series::FILTER_STARTS, of_count(self.filter_starts.load(Relaxed)));
        let report = report.unwrap_or_default();
        text.only(&series::FILTER_ACTIVE, of_count(u64::try_from(report.active).unwrap_or_default()));
        text.only(&series::FILTER_REFUSED, of_count(report.refused));
        let mut pair = |series: &Series, samples: [(&str, u64); 2]| {
            text.family(series);
            for (value, number) in samples {
                text.sample(series, &[value], of_count(number));
            }
        };
        pair(&series::FILTER_CONNECTS, [("ok", report.connected), ("error", report.connect_errors)]);
        pair(&series::FILTER_FAILURES, [("broken", report.upstream_errors), ("timeout", report.timeouts)]);
        pair(&series::FILTER_MIRRORS, [("sent", report.mirrored), ("failed", report.mirror_errors)]);
        text.only(&series::FILTER_REPLAYS, of_count(report.replays));
        text.only(&series::FILTER_RETRIES, of_count(report.retries));
        load(text, &report);
    }
}

/// What the filter proxy holds, and what it turned away.
fn load(text: &mut Text, report: &Report) {
    text.only(&series::FILTER_CONNECTIONS, of_count(report.connections));
    let mut family = |series: &Series, values: &[&str], numbers: &[u64]| {
        text.family(series);
        for (value, number) in values.iter().zip(numbers) {
            text.sample(series, &[value], of_count(*number));
        }
    };
    family(&series::FILTER_HELD, &["held", "limit"], &[report.held, report.memory]);
    family(&series::FILTER_REFUSED_CONNECTIONS, &Report::REFUSED, &report.refused_connections);
    family(&series::FILTER_CLOSED, &Report::CLOSED, &report.closed_connections);
    family(&series::FILTER_SHED, &Report::SHED, &report.shed_requests);
}

/// Visits what was counted, with the values of the labels that say whom for.
fn each(stages: &[(&str, &[Count])], mut visit: impl FnMut([&str; 5], &Count)) {
    for (stage, counts) in stages {
        for count in *counts {
            let backend = count.pair.backend.as_ref().map(ToString::to_string).unwrap_or_default();
            let (kind, namespace, name) = match &count.pair.route {
                Routed::By(id) => (id.kind.name(), id.namespace.as_str(), id.name.as_str()),
                Routed::Nowhere => ("", "", ""),
                Routed::Other => ("", "", "other"),
            };
            // Tallies that were never added to are not worth a line.
            if !count.statuses.is_empty() {
                visit([stage, kind, namespace, name, &backend], count);
            }
        }
    }
}

fn route<'a>(snapshot: &'a Snapshot, pair: &Pair) -> Option<&'a Route> {
    let Routed::By(id) = &pair.route else { return None };
    match &**snapshot.get(&Key::Route(id.clone()))? {
        Resource::Route(route) => Some(route),
        _ => None,
    }
}

/// What the filter proxy counted; nothing while it does not answer.
async fn report(socket: &Path) -> Option<Report> {
    let asked = timeout(REPORT, async {
        let mut bytes = Vec::new();
        UnixStream::connect(socket).await?.read_to_end(&mut bytes).await?;
        Ok::<_, std::io::Error>(serde_json::from_slice(&bytes)?)
    });
    match asked.await {
        Ok(Ok(report)) => Some(report),
        Ok(Err(error)) => {
            tracing::debug!(%error, "the filter proxy does not report");
            None
        }
        Err(_) => None,
    }
}
