//! Prometheus series of the control plane; what each says is in [`crate::series`].

use prometheus::{
    Counter, Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder, core::Collector, exponential_buckets,
};

use crate::model::EdgeId;
use crate::process::{Usage, lost_lines};
use crate::series::{self, Series};

/// All series, registered once per process.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    /// [`series::GATEWAY_API`].
    pub gateway_api: IntGaugeVec,
    /// [`series::OBJECTS`].
    pub objects: IntGaugeVec,
    /// [`series::FINDINGS`].
    pub findings: IntGaugeVec,
    /// [`series::REFUSED_WRITES`].
    pub refused_writes: IntGauge,
    /// [`series::TRANSLATE`].
    pub translate: Histogram,
    /// [`series::PUBLISHED`].
    pub published: IntGaugeVec,
    /// [`series::ACKED`].
    pub acked: IntGaugeVec,
    /// [`series::RESOURCES`].
    pub resources: IntGaugeVec,
    /// [`series::SNAPSHOT_AGE`].
    pub snapshot_age: GaugeVec,
    /// [`series::ACK_LAG`].
    pub ack_lag: GaugeVec,
    /// [`series::REFUSED_KEYS`].
    pub refused_keys: IntGaugeVec,
    /// [`series::APPLY`].
    pub apply: HistogramVec,
    /// [`series::EDGE_RESTARTS`].
    pub edge_restarts: IntCounterVec,
    /// [`series::STATUS_WRITES`].
    pub status_writes: IntCounterVec,
    /// [`series::RECONCILES`].
    pub reconciles: IntCounterVec,
    /// [`series::RECONCILE`].
    pub reconcile_seconds: HistogramVec,
    /// [`series::RECONCILE_ERRORS`].
    pub reconcile_errors: IntCounterVec,
    /// [`series::QUEUE`].
    pub queue: IntGaugeVec,
    /// [`series::WATCH_STATE`].
    pub watch_state: IntGaugeVec,
    /// [`series::WATCH_ERRORS`].
    pub watch_errors: IntCounterVec,
    /// [`series::EDGE_ROLLOUTS`].
    pub edge_rollouts: IntGaugeVec,
    /// [`series::STREAMS`].
    pub streams: IntCounterVec,
    /// [`series::LEADER`].
    pub leader: IntGauge,
    /// [`series::CERTIFICATES`].
    pub certificates: IntGaugeVec,
    /// [`series::CERTIFICATE_EXPIRY`].
    pub certificate_expiry: IntGaugeVec,
    process: Process,
}

/// What this process uses.
#[derive(Clone, Debug)]
struct Process {
    cpu: Counter,
    memory: IntGauge,
    files: IntGauge,
    start: Gauge,
    lost: IntCounter,
}

impl Process {
    fn refresh(&self) {
        self.lost.inc_by(lost_lines().saturating_sub(self.lost.get()));
        let Some(usage) = Usage::own() else { return };
        self.cpu.inc_by((usage.cpu_seconds - self.cpu.get()).max(0.0));
        self.memory.set(i64::try_from(usage.resident_bytes).unwrap_or(i64::MAX));
        self.files.set(i64::try_from(usage.open_files).unwrap_or(i64::MAX));
        self.start.set(usage.started);
    }
}

/// Makes series and registers them.
struct Rows(Registry);

impl Rows {
    fn add<C: Collector + Clone + 'static>(&self, made: Result<C, prometheus::Error>) -> Result<C, prometheus::Error> {
        let made = made?;
        self.0.register(Box::new(made.clone()))?;
        Ok(made)
    }

    fn gauges(&self, row: &Series) -> Result<IntGaugeVec, prometheus::Error> {
        self.add(IntGaugeVec::new(Opts::new(row.name, row.help), row.labels))
    }

    fn times(&self, row: &Series) -> Result<GaugeVec, prometheus::Error> {
        self.add(GaugeVec::new(Opts::new(row.name, row.help), row.labels))
    }

    fn counters(&self, row: &Series) -> Result<IntCounterVec, prometheus::Error> {
        self.add(IntCounterVec::new(Opts::new(row.name, row.help), row.labels))
    }

    fn histograms(&self, row: &Series, buckets: Vec<f64>) -> Result<HistogramVec, prometheus::Error> {
        self.add(HistogramVec::new(HistogramOpts::new(row.name, row.help).buckets(buckets), row.labels))
    }

    fn only(&self, row: &Series) -> Result<IntGauge, prometheus::Error> {
        self.add(IntGauge::new(row.name, row.help))
    }
}

impl Metrics {
    /// Registers every series.
    ///
    /// # Errors
    /// Never for the names in the table; the library checks them.
    pub fn new() -> Result<Self, prometheus::Error> {
        let rows = Rows(Registry::new());
        let fine = exponential_buckets(0.0001, 2.0, 18)?;
        let translate = HistogramOpts::new(series::TRANSLATE.name, series::TRANSLATE.help).buckets(fine.clone());
        rows.gauges(&series::BUILD)?.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Self {
            gateway_api: rows.gauges(&series::GATEWAY_API)?,
            objects: rows.gauges(&series::OBJECTS)?,
            findings: rows.gauges(&series::FINDINGS)?,
            refused_writes: rows.only(&series::REFUSED_WRITES)?,
            translate: rows.add(Histogram::with_opts(translate))?,
            published: rows.gauges(&series::PUBLISHED)?,
            acked: rows.gauges(&series::ACKED)?,
            resources: rows.gauges(&series::RESOURCES)?,
            snapshot_age: rows.times(&series::SNAPSHOT_AGE)?,
            ack_lag: rows.times(&series::ACK_LAG)?,
            refused_keys: rows.gauges(&series::REFUSED_KEYS)?,
            apply: rows.histograms(&series::APPLY, fine)?,
            edge_restarts: rows.counters(&series::EDGE_RESTARTS)?,
            status_writes: rows.counters(&series::STATUS_WRITES)?,
            reconciles: rows.counters(&series::RECONCILES)?,
            reconcile_seconds: rows.histograms(&series::RECONCILE, exponential_buckets(0.0001, 4.0, 10)?)?,
            reconcile_errors: rows.counters(&series::RECONCILE_ERRORS)?,
            queue: rows.gauges(&series::QUEUE)?,
            watch_state: rows.gauges(&series::WATCH_STATE)?,
            watch_errors: rows.counters(&series::WATCH_ERRORS)?,
            edge_rollouts: rows.gauges(&series::EDGE_ROLLOUTS)?,
            streams: rows.counters(&series::STREAMS)?,
            leader: rows.only(&series::LEADER)?,
            certificates: rows.gauges(&series::CERTIFICATES)?,
            certificate_expiry: rows.gauges(&series::CERTIFICATE_EXPIRY)?,
            process: Process {
                cpu: rows.add(Counter::new(series::PROCESS_CPU.name, series::PROCESS_CPU.help))?,
                memory: rows.only(&series::PROCESS_MEMORY)?,
                files: rows.only(&series::PROCESS_FILES)?,
                start: rows.add(Gauge::new(series::PROCESS_START.name, series::PROCESS_START.help))?,
                lost: rows.add(IntCounter::new(series::LOG_LOST.name, series::LOG_LOST.help))?,
            },
            registry: rows.0,
        })
    }

    /// An edge is gone, and its series with it.
    pub fn forget_edge(&self, edge: &EdgeId) {
        let name = [edge.to_string()];
        // What was never counted is not there.
        drop(self.apply.remove_label_values(&name));
        drop(self.edge_restarts.remove_label_values(&name));
    }

    /// The exposition text.
    ///
    /// # Errors
    /// The encoder's.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        self.process.refresh();
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}
