//! What an edge exports. Every series has the label `edge` besides those named in its row.

use super::{Series, counter, gauge, histogram};

/// Labels that say which traffic is meant. The route's are empty for requests that no route took; `other` is the route of
/// what is beyond the limit of pairs.
const TRAFFIC: &[&str] = &["stage", "route_kind", "route_namespace", "route", "backend"];

/// Requests.
pub const REQUESTS: Series = counter(
    "kakehi_requests_total",
    &["stage", "route_kind", "route_namespace", "route", "backend", "status"],
    "Requests answered, by the stage that decided them (native: Sōzu alone, filtered: the filter proxy), route, backend \
     (NAMESPACE/SERVICE:PORT, empty without one) and status",
);
/// Time of requests.
pub const REQUEST: Series =
    histogram("kakehi_request_seconds", TRAFFIC, "From the first byte of a request to the last byte of its response");
/// Requests not told apart.
pub const TRAFFIC_PAIRS: Series =
    gauge("kakehi_traffic_pairs", &["stage"], "Pairs of route and backend that are counted apart; beyond 2000 they count as route other");
/// Damaged records.
pub const LOST_RECORDS: Series = counter(
    "kakehi_lost_records_total",
    &[],
    "Damaged places in Sōzu's record of requests, at each of which a request or two went uncounted",
);

/// Bytes.
pub const BYTES: Series = counter(
    "kakehi_request_bytes_total",
    &["stage", "direction"],
    "Bytes of requests (received) and of their answers (sent), with their heads, by the stage that decided them; counted at their ends",
);
/// Requests without a backend.
pub const UNREACHED: Series = counter(
    "kakehi_unreached_requests_total",
    &[],
    "Requests that Sōzu answered itself because it reached no endpoint of their backend; of the filter proxy see \
     kakehi_filter_backend_connections_total",
);
/// Failed handshakes.
pub const TLS_FAILURES: Series = counter(
    "kakehi_tls_failures_total",
    &["process"],
    "Connections whose TLS handshake failed, by the process that speaks TLS on their port: sozu-a, sozu-b or filter",
);

/// Access log.
pub const ACCESS_LOG: Series = counter(
    "kakehi_access_log_lines_total",
    &["stage", "result"],
    "Lines of the access log that were written, and that were dropped because standard output did not take them fast enough",
);

/// Sōzu.
pub const SOZU_UP: Series = gauge("kakehi_sozu_up", &["sozu"], "1 while this Sōzu answers on its command socket");
/// Whether each is in step.
pub const SOZU_IN_STEP: Series =
    gauge("kakehi_sozu_in_step", &["sozu"], "1 while this Sōzu holds what was last applied to it; the others serve while it does not");
/// Starts of Sōzu.
pub const SOZU_STARTS: Series = counter("kakehi_sozu_starts_total", &[], "Sōzu processes that were started or adopted, the first included");
/// Starts of Sōzu that failed.
pub const SOZU_FAILED_STARTS: Series =
    counter("kakehi_sozu_failed_starts_total", &["sozu"], "Sōzu processes that ended within a second, or did not come up");
/// Workers.
pub const SOZU_WORKERS: Series = gauge("kakehi_sozu_workers", &[], "Running worker processes of Sōzu");
/// Listeners.
pub const SOZU_LISTENERS: Series =
    gauge("kakehi_sozu_listeners", &["state"], "Ports that Sōzu listens on (bound), or was refused (refused)");
/// Connections.
pub const SOZU_CONNECTIONS: Series =
    gauge("kakehi_sozu_connections", &["side"], "Open connections of Sōzu: from clients, and to backends (the filter proxy among them)");
/// Buffers.
pub const SOZU_BUFFERS: Series = gauge("kakehi_sozu_buffers", &[], "Buffers of Sōzu in use: two for each connection and for each stream");
/// Full.
pub const SOZU_FULL: Series =
    gauge("kakehi_sozu_full", &[], "1 while nearly all buffers of Sōzu are in use: new clients are turned away, and the edge is not ready");
/// Addresses with too many connections.
pub const ADDRESSES_OVER: Series = gauge(
    "kakehi_addresses_over_limit",
    &[],
    "Client addresses that have as many connections as one may have on ports that Sōzu reads: their new ones are refused",
);
/// Connections refused for their address.
pub const ADDRESSES_REFUSED: Series = counter(
    "kakehi_connections_refused_total",
    &[],
    "Connections on ports that Sōzu reads that were refused because their address has too many; under a flood not all are counted",
);
/// Hanging processes.
pub const HANGS: Series = counter(
    "kakehi_edge_hangs_total",
    &["process"],
    "How often a process of the edge (sozu, sozu-worker, filter) left five probes in a row without an answer, and was replaced",
);

/// Filter proxy.
pub const FILTER_UP: Series = gauge("kakehi_filter_up", &[], "1 while the filter proxy answers");
/// Starts of the filter proxy.
pub const FILTER_STARTS: Series =
    counter("kakehi_filter_starts_total", &[], "Filter proxy processes that were started, the first included");
/// Open requests.
pub const FILTER_ACTIVE: Series = gauge("kakehi_filter_active_requests", &[], "Requests and tunnels that are open in the filter proxy");
/// Refusals.
pub const FILTER_REFUSED: Series =
    counter("kakehi_filter_refused_requests_total", &[], "Requests that the filter proxy refused because they are no proper HTTP");
/// Backend connections.
pub const FILTER_CONNECTS: Series = counter(
    "kakehi_filter_backend_connections_total",
    &["result"],
    "Connections to backends that the filter proxy made (ok) or could not make (error)",
);
/// Backend failures.
pub const FILTER_FAILURES: Series = counter(
    "kakehi_filter_backend_failures_total",
    &["reason"],
    "Exchanges of the filter proxy with backends that broke before a response (broken) or took too long (timeout)",
);
/// Replays.
pub const FILTER_REPLAYS: Series =
    counter("kakehi_filter_replays_total", &[], "Requests that the filter proxy sent once more because a reused connection was dead");
/// Retries.
pub const FILTER_RETRIES: Series =
    counter("kakehi_filter_retries_total", &[], "Requests that the filter proxy sent again because their rule says so");
/// Mirrors.
pub const FILTER_MIRRORS: Series = counter(
    "kakehi_filter_mirrors_total",
    &["result"],
    "Copies for mirrors that the filter proxy sent (sent), and that came to nothing (failed): among those sent the ones without an \
     answer, and those left out because too many were on their way",
);
/// Client connections.
pub const FILTER_CONNECTIONS: Series =
    gauge("kakehi_filter_connections", &[], "Connections that are open to the filter proxy: of clients, and of Sōzu");
/// Held bytes.
pub const FILTER_HELD: Series = gauge(
    "kakehi_filter_held_bytes",
    &["what"],
    "Bytes that clients make the filter proxy hold (held), and how many they may (limit); at the limit requests are answered 503",
);
/// Refused connections.
pub const FILTER_REFUSED_CONNECTIONS: Series = counter(
    "kakehi_filter_refused_connections_total",
    &["reason"],
    "Connections that the filter proxy closed at once: too many and none idle (connections), too many of one client address \
     (address), too much held (memory)",
);
/// Closed connections.
pub const FILTER_CLOSED: Series = counter(
    "kakehi_filter_closed_connections_total",
    &["reason"],
    "Connections that the filter proxy closed: idle ones for new ones (connections), because too much is held (memory), because the \
     client took nothing or sent one head for too long (stalled), at their greatest age (age), at the end of a drain (drain)",
);
/// Shed requests.
pub const FILTER_SHED: Series = counter(
    "kakehi_filter_shed_requests_total",
    &["reason"],
    "Requests that the filter proxy answered 503: too much held (memory), too many at their backend (backend), too many before the \
     first snapshot (start)",
);

/// Control plane.
pub const CONNECTED: Series = gauge("kakehi_edge_connected", &[], "1 while a control plane feeds this edge");
/// Epoch.
pub const EPOCH: Series = gauge("kakehi_edge_epoch", &[], "Epoch of the leader whose snapshot is served");
/// Change.
pub const SEQ: Series = gauge("kakehi_edge_seq", &[], "Number of the change, within its epoch, that is served");
/// Age.
pub const AGE: Series = gauge("kakehi_edge_snapshot_age_seconds", &[], "Time since the newest change came");
/// Lag.
pub const LAG: Series = gauge(
    "kakehi_edge_apply_lag_seconds",
    &[],
    "How long the newest change has been waiting for Sōzu and the filter proxy to hold it, else 0",
);
/// Time to apply.
pub const EDGE_APPLY: Series =
    histogram("kakehi_edge_apply_seconds", &[], "From the arrival of a change to the moment at which Sōzu and the filter proxy hold it");
/// Time of the last change.
pub const LAST_APPLY: Series = gauge(
    "kakehi_edge_last_apply_timestamp_seconds",
    &[],
    "When Sōzu and the filter proxy last came to hold a change, as a Unix time; 0 before the first",
);
/// CPU.
pub const EDGE_CPU: Series = counter(
    "kakehi_edge_process_cpu_seconds_total",
    &["process"],
    "CPU time of the edge's processes: edge, filter, sozu-a and sozu-b, each with its workers; in a pod Sōzu has a container of its own, which this does not see",
);
/// Memory.
pub const EDGE_MEMORY: Series = gauge("kakehi_edge_process_resident_memory_bytes", &["process"], "Resident memory of the same processes");
/// Files.
pub const EDGE_FILES: Series = gauge("kakehi_edge_process_open_fds", &["process"], "Open file descriptors of the same processes");
/// Start.
pub const EDGE_START: Series =
    gauge("kakehi_edge_process_start_timestamp_seconds", &["process"], "When the same processes started, as a Unix time");
/// Lost lines of the log.
pub const EDGE_LOG_LOST: Series =
    counter("kakehi_edge_log_lines_lost_total", &[], "Lines of the supervisor's log that were lost: standard error was too slow");
/// Sōzu out of step.
pub const OUT_OF_STEP: Series = gauge(
    "kakehi_sozu_lag_seconds",
    &[],
    "How long Sōzu has been away, or could not be brought to what is wanted, else 0; from 10 s on the edge is not ready",
);
/// Copy of the snapshot.
pub const UNSAVED: Series = gauge(
    "kakehi_edge_snapshot_unsaved",
    &[],
    "1 while the last good snapshot cannot be copied to the edge's volume, which is full most likely: should the edge restart \
     while no control plane answers, it would serve the copy before",
);
/// Refused resources.
pub const EDGE_REFUSED: Series = gauge("kakehi_edge_refused_keys", &[], "Resources that this edge holds back");
/// Readiness.
pub const READY: Series = gauge("kakehi_edge_ready", &[], "1 while requests may be sent to this edge");

/// Series of an edge.
pub const EDGE: &[&Series] = &[
    &REQUESTS,
    &REQUEST,
    &TRAFFIC_PAIRS,
    &LOST_RECORDS,
    &ACCESS_LOG,
    &BYTES,
    &UNREACHED,
    &TLS_FAILURES,
    &READY,
    &CONNECTED,
    &EPOCH,
    &SEQ,
    &AGE,
    &LAG,
    &EDGE_APPLY,
    &LAST_APPLY,
    &EDGE_CPU,
    &EDGE_MEMORY,
    &EDGE_FILES,
    &EDGE_START,
    &EDGE_LOG_LOST,
    &OUT_OF_STEP,
    &UNSAVED,
    &EDGE_REFUSED,
    &SOZU_UP,
    &SOZU_IN_STEP,
    &SOZU_STARTS,
    &SOZU_FAILED_STARTS,
    &SOZU_WORKERS,
    &SOZU_LISTENERS,
    &SOZU_CONNECTIONS,
    &SOZU_BUFFERS,
    &SOZU_FULL,
    &ADDRESSES_OVER,
    &ADDRESSES_REFUSED,
    &HANGS,
    &FILTER_UP,
    &FILTER_STARTS,
    &FILTER_ACTIVE,
    &FILTER_REFUSED,
    &FILTER_CONNECTS,
    &FILTER_FAILURES,
    &FILTER_REPLAYS,
    &FILTER_RETRIES,
    &FILTER_MIRRORS,
    &FILTER_CONNECTIONS,
    &FILTER_HELD,
    &FILTER_REFUSED_CONNECTIONS,
    &FILTER_CLOSED,
    &FILTER_SHED,
];
