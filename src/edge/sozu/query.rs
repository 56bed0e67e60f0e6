//! What a Sōzu says about itself, asked over a connection of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use sozu_command_lib::proto::command::filtered_metrics::Inner;
use sozu_command_lib::proto::command::request::RequestType;
use sozu_command_lib::proto::command::response_content::ContentType;
use sozu_command_lib::proto::command::{FilteredMetrics, ListListeners, ListWorkers, ListenerType, QueryMetricsOptions, RunState};

use super::{Socket, SocketError};

/// Open connections of all workers, and what bounds them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// From clients.
    pub clients: u64,
    /// To backends.
    pub backends: u64,
    /// Most from clients.
    pub limit: u64,
    /// Buffers in use.
    pub buffers: u64,
    /// Connections whose TLS handshake failed, since the process started.
    pub tls_failures: u64,
}

impl Connections {
    /// How many connections there are room for: nine places that Sōzu itself allows are eight of these.
    pub fn room(&self) -> u64 {
        self.limit / 9 * 8
    }

    /// Whether new clients are turned away: nearly all buffers are taken. There are sixteen for every nine connections that Sōzu
    /// itself allows (`edge/budget`).
    pub fn is_full(&self) -> bool {
        self.limit > 0 && self.buffers.saturating_mul(9) >= self.limit.saturating_mul(16) / 100 * 98
    }
}

/// What is under way in all workers that an end would cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Activity {
    /// Requests.
    pub requests: u64,
    /// WebSockets and other tunnels, and relayed connections.
    pub streams: u64,
    /// Connections of clients, idle ones too.
    pub connections: u64,
}

/// An answer takes no longer.
const WITHIN: Duration = Duration::from_secs(2);
/// Sōzu's names for them (its `metrics/names.rs`), and for handshakes that failed, by reason (its `protocol/rustls.rs`).
const NAMES: [&str; 16] = [
    "client.connections",
    "backend.connections",
    "client.connections_max",
    "buffer.in_use",
    "tls.handshake.failed.alert_received",
    "tls.handshake.failed.decrypt_error",
    "tls.handshake.failed.inappropriate_handshake_message",
    "tls.handshake.failed.inappropriate_message",
    "tls.handshake.failed.invalid_certificate",
    "tls.handshake.failed.invalid_message",
    "tls.handshake.failed.no_alpn",
    "tls.handshake.failed.no_certificates_present",
    "tls.handshake.failed.other",
    "tls.handshake.failed.oversized_record",
    "tls.handshake.failed.peer_incompatible",
    "tls.handshake.failed.peer_misbehaved",
];
/// Its names for what is under way.
const ACTIVITY: [&str; 5] =
    ["http.active_requests", "websocket.active_requests", "protocol.tcp", "protocol.proxy.send", "client.connections"];

/// Asks the Sōzu behind a command socket. One that has had no connection yet knows of none.
///
/// # Errors
/// The socket's.
pub async fn connections(socket: &Path) -> Result<Connections, SocketError> {
    let mut socket = Socket::connect(socket).await?;
    let [clients, backends, limit, buffers, handshakes @ ..] = numbers(&mut socket, NAMES).await?;
    Ok(Connections { clients, backends, limit, buffers, tls_failures: handshakes.iter().sum() })
}

/// For each of these clusters: endpoints that Sōzu thought of as answering when it last chose one, endpoints, and connections
/// that could not be made. All are zero of a cluster that it has not chosen an endpoint of.
///
/// # Errors
/// The socket's.
pub async fn availability(socket: &Path, clusters: &[String]) -> Result<Vec<[u64; 3]>, SocketError> {
    const NAMES: [&str; 3] = ["cluster.available_backends", "cluster.total_backends", "backend.connections.error"];
    let mut socket = Socket::connect(socket).await?;
    let mut all = Vec::with_capacity(clusters.len());
    // One by one: a question about several fails for all if one of them is not known.
    for cluster in clusters {
        let (metric_names, cluster_ids) = (NAMES.map(str::to_owned).into(), vec![cluster.clone()]);
        let options = QueryMetricsOptions { metric_names, cluster_ids, ..Default::default() };
        let answered = match socket.request(RequestType::QueryMetrics(options), WITHIN).await?.content {
            Some(ContentType::Metrics(mut metrics)) => metrics.clusters.remove(cluster).map(|metrics| metrics.cluster).unwrap_or_default(),
            _ => Default::default(),
        };
        all.push(NAMES.map(|name| number(answered.get(name))));
    }
    Ok(all)
}

/// What is under way.
///
/// # Errors
/// The socket's.
pub(super) async fn activity(socket: &mut Socket) -> Result<Activity, SocketError> {
    let [requests, tunnels, relayed, greeting, connections] = numbers(socket, ACTIVITY).await?;
    Ok(Activity { requests, streams: tunnels + relayed + greeting, connections })
}

/// The ports that take connections, those without TLS first, relayed ones last.
///
/// # Errors
/// The socket's.
pub(super) async fn active(socket: &mut Socket, within: Duration) -> Result<Vec<(SocketAddr, ListenerType)>, SocketError> {
    let reply = socket.request(RequestType::ListListeners(ListListeners {}), within).await?;
    let Some(ContentType::ListenersList(list)) = reply.content else { return Ok(Vec::new()) };
    let http = list.http_listeners.into_values().map(|listener| (listener.active, listener.address, ListenerType::Http));
    let https = list.https_listeners.into_values().map(|listener| (listener.active, listener.address, ListenerType::Https));
    let relays = list.tcp_listeners.into_values().map(|listener| (listener.active, listener.address, ListenerType::Tcp));
    let all = http.chain(https).chain(relays).filter(|(active, ..)| *active);
    Ok(all.map(|(_, address, kind)| (address.into(), kind)).collect())
}

/// Process ids of the running workers, in order.
///
/// # Errors
/// The socket's.
pub(super) async fn workers(socket: &mut Socket, within: Duration) -> Result<Vec<i32>, SocketError> {
    let reply = socket.request(RequestType::ListWorkers(ListWorkers {}), within).await?;
    let Some(ContentType::Workers(workers)) = reply.content else { return Ok(Vec::new()) };
    let running = workers.vec.iter().filter(|worker| worker.run_state() == RunState::Running);
    let mut pids: Vec<i32> = running.map(|worker| worker.pid).collect();
    pids.sort_unstable();
    Ok(pids)
}

async fn numbers<const N: usize>(socket: &mut Socket, names: [&str; N]) -> Result<[u64; N], SocketError> {
    let options = QueryMetricsOptions { metric_names: names.map(str::to_owned).into(), no_clusters: true, ..Default::default() };
    let reply = socket.request(RequestType::QueryMetrics(options), WITHIN).await?;
    let Some(ContentType::Metrics(metrics)) = reply.content else { return Ok([0; N]) };
    Ok(names.map(|name| number(metrics.proxying.get(name))))
}

fn number(metric: Option<&FilteredMetrics>) -> u64 {
    match metric {
        Some(FilteredMetrics { inner: Some(Inner::Gauge(number)) }) => *number,
        Some(FilteredMetrics { inner: Some(Inner::Count(number)) }) => u64::try_from(*number).unwrap_or_default(),
        _ => 0,
    }
}
