//! What the control plane exports.

use super::{Series, counter, gauge, histogram};

/// Version.
pub const BUILD: Series = gauge("kakehi_build_info", &["version"], "Always 1, labelled with the version");
/// Leadership.
pub const LEADER: Series = gauge("kakehi_leader", &[], "1 while this process leads: it alone feeds edges and writes statuses");
/// Store.
pub const OBJECTS: Series = gauge("kakehi_objects", &["kind"], "Objects in the store");
/// Findings.
pub const FINDINGS: Series = gauge("kakehi_findings", &["kind", "reason"], "Problems of user objects now");
/// Refused manifests.
pub const REFUSED_WRITES: Series = gauge("kakehi_refused_writes", &[], "Manifests that the directory source refuses now");
/// Translation.
pub const TRANSLATE: Series = histogram("kakehi_translate_seconds", &[], "Time of one translation of a batch of changes");
/// Published change.
pub const PUBLISHED: Series = gauge("kakehi_snapshot_seq", &["edge"], "Newest published change");
/// Acknowledged change.
pub const ACKED: Series = gauge("kakehi_acked_seq", &["edge"], "Newest change that the data plane acknowledged");
/// Size of snapshots.
pub const RESOURCES: Series = gauge("kakehi_snapshot_resources", &["edge"], "Resources in the edge's snapshot");
/// Age of snapshots.
pub const SNAPSHOT_AGE: Series = gauge("kakehi_snapshot_age_seconds", &["edge"], "Time since the edge's snapshot last changed");
/// Lag of acknowledgements.
pub const ACK_LAG: Series =
    gauge("kakehi_ack_lag_seconds", &["edge"], "How long the newest change has been waiting for the data plane to acknowledge it, else 0");
/// Refused resources.
pub const REFUSED_KEYS: Series = gauge("kakehi_refused_keys", &["edge"], "Resources that the data plane holds back");
/// Time to acknowledgement.
pub const APPLY: Series = histogram("kakehi_apply_seconds", &["edge"], "From publishing a change to its acknowledgement");
/// Restarts of edge processes.
pub const EDGE_RESTARTS: Series =
    counter("kakehi_edge_restarts_total", &["edge"], "Edge processes that ended by themselves, in standalone mode");
/// Status writes.
pub const STATUS_WRITES: Series = counter("kakehi_status_writes_total", &["kind"], "Statuses written");

/// Expiry of certificates.
pub const CERTIFICATE_EXPIRY: Series = gauge(
    "kakehi_certificate_expiry_timestamp_seconds",
    &["edge", "namespace", "name"],
    "End of validity of a certificate that is served, as a Unix time, by its Secret: of each namespace the 20 that end first, and 2000 in all",
);
/// Certificates.
pub const CERTIFICATES: Series = gauge("kakehi_certificates", &["edge"], "Certificates that are served");
/// CPU.
pub const PROCESS_CPU: Series = counter("kakehi_process_cpu_seconds_total", &[], "CPU time of this process");
/// Memory.
pub const PROCESS_MEMORY: Series = gauge("kakehi_process_resident_memory_bytes", &[], "Resident memory of this process");
/// Files.
pub const PROCESS_FILES: Series = gauge("kakehi_process_open_fds", &[], "Open file descriptors of this process");
/// Lost lines of the log.
pub const LOG_LOST: Series =
    counter("kakehi_log_lines_lost_total", &[], "Lines of this process's log that were lost: standard error was too slow");
/// Start.
pub const PROCESS_START: Series = gauge("kakehi_process_start_timestamp_seconds", &[], "When this process started, as a Unix time");

/// Series of standalone mode and of operator replicas.
pub const CONTROL: &[&Series] = &[
    &BUILD,
    &LEADER,
    &OBJECTS,
    &FINDINGS,
    &REFUSED_WRITES,
    &TRANSLATE,
    &PUBLISHED,
    &ACKED,
    &RESOURCES,
    &SNAPSHOT_AGE,
    &ACK_LAG,
    &REFUSED_KEYS,
    &APPLY,
    &EDGE_RESTARTS,
    &STATUS_WRITES,
    &CERTIFICATES,
    &CERTIFICATE_EXPIRY,
    &PROCESS_CPU,
    &PROCESS_MEMORY,
    &PROCESS_FILES,
    &PROCESS_START,
    &LOG_LOST,
];

/// Turns.
pub const RECONCILES: Series = counter("kakehi_reconciles_total", &["kind", "result"], "Turns of objects at the API server");
/// Time of turns.
pub const RECONCILE: Series = histogram("kakehi_reconcile_seconds", &["kind"], "Time of one turn of an object at the API server");
/// Errors of turns.
pub const RECONCILE_ERRORS: Series = counter(
    "kakehi_reconcile_errors_total",
    &["kind", "variant"],
    "Writes to the API server that were not done: of statuses and finalizers, of Events, and of the objects of edges",
);
/// Waiting objects.
pub const QUEUE: Series = gauge("kakehi_queue_depth", &["kind"], "Objects that wait for their turn");
/// Watches.
pub const WATCH_STATE: Series = gauge("kakehi_watch_state", &["kind", "state"], "1 for the state in which the watch of a kind is");
/// Errors of watches.
pub const WATCH_ERRORS: Series = counter(
    "kakehi_watch_errors_total",
    &["kind", "variant"],
    "Failures of watches; EdgeService, EdgeDeployment, EdgeDaemonSet and EdgePod are what the leader has made for edges",
);
/// Gateway API.
pub const GATEWAY_API: Series =
    gauge("kakehi_gateway_api_info", &["version", "channel"], "Always 1, labelled with the Gateway API that is installed, if any");
/// Rollouts.
pub const EDGE_ROLLOUTS: Series = gauge(
    "kakehi_edge_rollouts",
    &["state"],
    "Edges whose pods are being replaced (rolling), wait for their turn (waiting: at most edges.concurrentRollouts roll at a time), \
     or make no progress (stuck: they serve on with their old pods, and no longer count); in the leader",
);
/// Snapshot port.
pub const STREAMS: Series = counter(
    "kakehi_stream_connections_total",
    &["result"],
    "Connections to the snapshot port: served, refused, strange (no hello), crowded (too many at once)",
);

/// Series of operator replicas only.
pub const OPERATOR: &[&Series] =
    &[&RECONCILES, &RECONCILE, &RECONCILE_ERRORS, &QUEUE, &WATCH_STATE, &WATCH_ERRORS, &EDGE_ROLLOUTS, &STREAMS, &GATEWAY_API];
