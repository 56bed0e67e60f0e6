//! What a Sōzu says about itself, asked over a connection of its own.

use std::path::Path;
use std::time::Duration;

use sozu_command_lib::proto::command::filtered_metrics::Inner;
use sozu_command_lib::proto::command::request::RequestType;
use sozu_command_lib::proto::command::response_content::ContentType;
use sozu_command_lib::proto::command::{FilteredMetrics, QueryMetricsOptions};

use super::{Socket, SocketError};

/// Open connections of all workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// From clients.
    pub clients: u64,
    /// To backends.
    pub backends: u64,
}

/// An answer takes no longer.
const WITHIN: Duration = Duration::from_secs(2);
/// Sōzu's names for them.
const NAMES: [&str; 2] = ["client.connections", "backend.connections"];

/// Asks the Sōzu behind a command socket. One that has had no connection yet knows of none.
///
/// # Errors
/// The socket's.
pub async fn connections(socket: &Path) -> Result<Connections, SocketError> {
    let mut socket = Socket::connect(socket).await?;
    let options = QueryMetricsOptions { metric_names: NAMES.map(str::to_owned).into(), no_clusters: true, ..Default::default() };
    let reply = socket.request(RequestType::QueryMetrics(options), WITHIN).await?;
    let Some(ContentType::Metrics(metrics)) = reply.content else { return Ok(Connections::default()) };
    let gauge = |name: &str| match metrics.proxying.get(name) {
        Some(FilteredMetrics { inner: Some(Inner::Gauge(number)) }) => *number,
        _ => 0,
    };
    let [clients, backends] = NAMES.map(gauge);
    Ok(Connections { clients, backends })
}
