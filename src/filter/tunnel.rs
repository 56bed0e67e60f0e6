//! Connections that changed their protocol: bytes both ways until one side ends.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use super::counters::Gauge;

/// Joins both sides once each has changed its protocol.
pub(super) async fn join(client: OnUpgrade, backend: OnUpgrade, active: Gauge) {
    let _active = active;
    let joined = async {
        let (client, backend) = futures::future::try_join(client, backend).await.map_err(std::io::Error::other)?;
        copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(backend)).await
    };
    if let Err(error) = joined.await {
        tracing::debug!(%error, "tunnel ended");
    }
}
