//! The leader's snapshot port: authority, certificate, admission, and the way there.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kube::{Api, Client};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;

use super::auth::{TokenReviewer, Workloads};
use super::ca::{CaError, Keeper};
use super::endpoint::{Replica, announce};
use crate::leader::Leadership;
use crate::listen::listen;
use crate::snapshot::serve::{Counters, Limits, Publishers, Server};
use crate::snapshot::tls::{Identity, IdentityError};

/// Wait between attempts.
const RETRY: Duration = Duration::from_secs(1);
/// How often the way to the leader is written again, whatever has become of it.
const REANNOUNCE: Duration = Duration::from_secs(30);

/// Where and as whom.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Address of the port.
    pub listen: SocketAddr,
    /// Name of the Secret with the authority, in the replica's namespace.
    pub secret: String,
    /// Names by which edges call the server.
    pub names: Vec<String>,
    /// This replica; without one (outside a cluster) no Service leads here.
    pub replica: Option<Replica>,
    /// Namespace of the Secret.
    pub namespace: String,
}

/// The port cannot be opened.
#[derive(Debug, thiserror::Error)]
enum PortError {
    #[error("snapshot port: {0}")]
    Listen(#[from] io::Error),
    #[error(transparent)]
    Ca(#[from] CaError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// What the port is made of.
pub struct Port<W> {
    /// The API server.
    pub client: Client,
    /// Whether this process may write there.
    pub leadership: Leadership,
    /// What is served.
    pub publishers: Publishers,
    /// To whom.
    pub workloads: W,
    /// Where the authorities are told that edges are to trust.
    pub bundle: watch::Sender<String>,
    /// What happens on the port.
    pub counters: Arc<Counters>,
}

impl<W: Workloads + Clone> Port<W> {
    /// Serves from the moment at which `epoch` is no longer 0, for ever. What fails is tried again.
    pub async fn run(self, mut epoch: watch::Receiver<u64>, settings: Settings) {
        if epoch.wait_for(|epoch| *epoch > 0).await.is_err() {
            return;
        }
        let (listener, keeper, identity, server) = loop {
            match self.open(&settings).await {
                Ok(opened) => break opened,
                Err(error) => tracing::error!(%error, "the snapshot port cannot be opened; trying again"),
            }
            sleep(RETRY).await;
        };
        tracing::info!(address = %settings.listen, "serving snapshots");
        // Edges are led here when there is someone to talk to.
        tokio::join!(server.serve(listener), keeper.keep(identity), lead_here(self.client, self.leadership, settings.replica));
    }

    async fn open(&self, settings: &Settings) -> Result<(TcpListener, Keeper, Identity, Server<TokenReviewer<W>>), PortError> {
        let secrets = Api::namespaced(self.client.clone(), &settings.namespace);
        let mut keeper =
            Keeper::new((secrets, self.leadership.clone()), settings.secret.clone(), settings.names.clone(), self.bundle.clone());
        let identity = keeper.open().await?;
        let reviewer = TokenReviewer::new(self.client.clone(), self.workloads.clone());
        let server = Server::new(self.publishers.clone(), reviewer, &identity, Limits::default())?.counting(self.counters.clone());
        Ok((listen(settings.listen)?, keeper, identity, server))
    }
}

/// Sees to it that edges find this replica.
async fn lead_here(client: Client, leadership: Leadership, replica: Option<Replica>) {
    let Some(replica) = replica else { return };
    loop {
        let wait = match announce(client.clone(), &leadership, &replica).await {
            Ok(()) => REANNOUNCE,
            Err(error) => {
                tracing::error!(%error, "the leader's EndpointSlice cannot be written; trying again");
                RETRY
            }
        };
        sleep(wait).await;
    }
}
