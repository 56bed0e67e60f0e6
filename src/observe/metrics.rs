//! Prometheus series of the control plane.

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder, exponential_buckets,
};

/// All series, registered once per process.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    /// Always 1, labelled with the release and channel of Gateway API that is installed.
    pub gateway_api: IntGaugeVec,
    /// `kakehi_objects{kind}`: objects in the store.
    pub objects: IntGaugeVec,
    /// `kakehi_findings{kind,reason}`: problems of user objects now.
    pub findings: IntGaugeVec,
    /// `kakehi_refused_writes`: manifests that the directory source refuses now.
    pub refused_writes: IntGauge,
    /// `kakehi_translate_seconds`: time of one translation of a batch of changes.
    pub translate: Histogram,
    /// `kakehi_snapshot_seq{edge}`: newest published change.
    pub published: IntGaugeVec,
    /// `kakehi_acked_seq{edge}`: newest change that the data plane acknowledged.
    pub acked: IntGaugeVec,
    /// `kakehi_snapshot_resources{edge}`: resources in the edge's snapshot.
    pub resources: IntGaugeVec,
    /// `kakehi_refused_keys{edge}`: resources that the data plane holds back.
    pub refused_keys: IntGaugeVec,
    /// `kakehi_apply_seconds{edge}`: from publishing a change to its acknowledgement.
    pub apply: HistogramVec,
    /// `kakehi_edge_restarts_total{edge}`: edge processes that ended by themselves and were started again.
    pub edge_restarts: IntCounterVec,
    /// `kakehi_status_writes_total{kind}`: statuses written.
    pub status_writes: IntCounterVec,
    /// `kakehi_reconciles_total{kind,result}`: turns of objects at the API server.
    pub reconciles: IntCounterVec,
    /// `kakehi_reconcile_seconds{kind}`: time of one turn.
    pub reconcile_seconds: HistogramVec,
    /// `kakehi_reconcile_errors_total{kind,variant}`: writes that were not done.
    pub reconcile_errors: IntCounterVec,
    /// `kakehi_queue_depth{kind}`: objects that wait for their turn.
    pub queue: IntGaugeVec,
    /// `kakehi_watch_state{kind,state}`: 1 for the state in which the watch of a kind is.
    pub watch_state: IntGaugeVec,
    /// `kakehi_watch_errors_total{kind,variant}`: failures of watches.
    pub watch_errors: IntCounterVec,
    /// `kakehi_edge_rollouts{state}`: edges whose pods are being replaced (`rolling`), which wait for their turn (`waiting`), or
    /// whose rollout makes no progress (`stuck`); in the leader.
    pub edge_rollouts: IntGaugeVec,
    /// `kakehi_leader`: 1 while this process leads.
    pub leader: IntGauge,
}

impl Metrics {
    /// Registers every series.
    ///
    /// # Errors
    /// Never for the names above; the library checks them.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let gauges = |name: &str, help: &str, labels: &[&str]| -> Result<IntGaugeVec, prometheus::Error> {
            let gauges = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauges.clone()))?;
            Ok(gauges)
        };
        let counters = |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok(counters)
        };
        let buckets = exponential_buckets(0.0001, 2.0, 18)?;
        let translate = Histogram::with_opts(
            HistogramOpts::new("kakehi_translate_seconds", "Time of one translation of a batch of changes").buckets(buckets.clone()),
        )?;
        let apply = HistogramVec::new(
            HistogramOpts::new("kakehi_apply_seconds", "From publishing a change to its acknowledgement").buckets(buckets),
            &["edge"],
        )?;
        let reconcile_seconds = HistogramVec::new(
            HistogramOpts::new("kakehi_reconcile_seconds", "Time of one turn of an object at the API server")
                .buckets(exponential_buckets(0.0001, 4.0, 10)?),
            &["kind"],
        )?;
        registry.register(Box::new(reconcile_seconds.clone()))?;
        let leader = IntGauge::new("kakehi_leader", "1 while this process leads")?;
        registry.register(Box::new(leader.clone()))?;
        let refused_writes = IntGauge::new("kakehi_refused_writes", "Manifests that the directory source refuses now")?;
        registry.register(Box::new(translate.clone()))?;
        registry.register(Box::new(apply.clone()))?;
        registry.register(Box::new(refused_writes.clone()))?;
        let build = gauges("kakehi_build_info", "Always 1, labelled with the version", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Self {
            objects: gauges("kakehi_objects", "Objects in the store", &["kind"])?,
            findings: gauges("kakehi_findings", "Problems of user objects now", &["kind", "reason"])?,
            published: gauges("kakehi_snapshot_seq", "Newest published change", &["edge"])?,
            acked: gauges("kakehi_acked_seq", "Newest change that the data plane acknowledged", &["edge"])?,
            resources: gauges("kakehi_snapshot_resources", "Resources in the edge's snapshot", &["edge"])?,
            refused_keys: gauges("kakehi_refused_keys", "Resources that the data plane holds back", &["edge"])?,
            edge_restarts: counters("kakehi_edge_restarts_total", "Edge processes that ended by themselves", &["edge"])?,
            status_writes: counters("kakehi_status_writes_total", "Statuses written", &["kind"])?,
            reconciles: counters("kakehi_reconciles_total", "Turns of objects at the API server", &["kind", "result"])?,
            reconcile_errors: counters("kakehi_reconcile_errors_total", "Writes that were not done", &["kind", "variant"])?,
            queue: gauges("kakehi_queue_depth", "Objects that wait for their turn", &["kind"])?,
            watch_state: gauges("kakehi_watch_state", "1 for the state in which the watch of a kind is", &["kind", "state"])?,
            edge_rollouts: gauges("kakehi_edge_rollouts", "Edges whose pods are being replaced, or are to be", &["state"])?,
            watch_errors: counters("kakehi_watch_errors_total", "Failures of watches", &["kind", "variant"])?,
            gateway_api: gauges("kakehi_gateway_api_info", "Always 1, labelled with the Gateway API installed", &["version", "channel"])?,
            reconcile_seconds,
            leader,
            registry,
            refused_writes,
            translate,
            apply,
        })
    }

    /// The exposition text.
    ///
    /// # Errors
    /// The encoder's.
    pub fn text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}
