//! The end of a Sōzu under load: its ports close, what is in flight ends by itself, and a soft stop comes last, because it ends
//! tunnels and relayed connections at once and closes kept connections under clients that may just be sending the next request
//! (`make bench-chaos`).

use std::time::Duration;

use sozu_command_lib::proto::command::request::RequestType;
use sozu_command_lib::proto::command::{DeactivateListener, SoftStop};
use tokio::time::Instant;

use super::instance::COMMAND;
use super::query::{active, activity};
use super::{Socket, SocketError};

/// How long clients of kept connections have to send the request whose answer tells them to come by another connection.
const TOLD: Duration = Duration::from_secs(3);
/// How often Sōzu is asked what is under way.
const POLL: Duration = Duration::from_millis(100);
/// A soft stop takes at least this, whatever is left of the drain.
const LAST: Duration = Duration::from_millis(500);

/// Asks a Sōzu to end, with this deadline. Returns how long its processes may still take.
pub(super) async fn end(socket: &mut Socket, deadline: Instant) -> Duration {
    if let Err(error) = close_ports(socket).await {
        tracing::warn!(%error, "Sōzu's ports do not close");
    }
    quiet(socket, deadline).await;
    let left = deadline.saturating_duration_since(Instant::now()).max(LAST);
    let asked = socket.request(RequestType::SoftStop(SoftStop {}), left).await;
    tracing::debug!(?asked, "soft stop");
    left
}

/// New connections are refused from now on; those that are open are served.
async fn close_ports(socket: &mut Socket) -> Result<(), SocketError> {
    for (address, proxy) in active(socket, COMMAND).await? {
        let close = DeactivateListener { address: address.into(), proxy: proxy.into(), to_scm: false, ..Default::default() };
        socket.request(RequestType::DeactivateListener(close), COMMAND).await?;
    }
    Ok(())
}

/// Waits until no tunnel and no relayed connection is left, and for a moment in which clients of kept connections learn with their
/// next answer that they end.
async fn quiet(socket: &mut Socket, deadline: Instant) {
    let told = Instant::now() + TOLD;
    loop {
        let now = Instant::now();
        let streams = match activity(socket).await {
            Ok(activity) if activity.streams == 0 && activity.requests == 0 && now < told => activity.connections,
            Ok(activity) => activity.streams + u64::from(now < told),
            Err(error) => return tracing::debug!(%error, "Sōzu does not say what is under way"),
        };
        if streams == 0 || now >= deadline {
            return;
        }
        tokio::time::sleep(POLL).await;
    }
}
