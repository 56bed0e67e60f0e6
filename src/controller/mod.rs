//! From a source's events to edges and statuses: what standalone mode and the operator on a cluster have in common.
//!
//! [`pipeline`] is the translator task, generic over who runs edges ([`EdgeHost`]); [`world`] is what it tells everybody
//! else; [`acks`] is what the edges said; [`view`] is what people see. [`operator`] is the whole on a cluster: a kube
//! controller per kind ([`dispatch`]) with one [`reconcile`], which writes through one [`writer`].

pub mod acks;
pub mod auth;
pub mod ca;
pub mod claims;
pub mod complaints;
pub mod dispatch;
pub mod endpoint;
mod expiry;
pub mod finalizer;
pub mod fleet;
mod follower;
pub mod lane;
mod leaver;
pub mod operator;
pub mod pace;
pub mod pipeline;
pub mod port;
pub mod provisioning;
pub mod reconcile;
pub mod refusals;
pub mod view;
pub mod withdraw;
pub mod world;
pub mod writer;

use std::time::Duration;

use crate::model::EdgeId;
use crate::snapshot::publish::Publisher;
use crate::translate::EdgeData;

/// Who runs edges.
pub trait EdgeHost: Send {
    /// Why an edge cannot be run.
    type Error: std::error::Error + Send;

    /// Has an edge run as its data says, starting or moving it when it does not, and returns what feeds it: a publisher of
    /// `epoch` that has published nothing when the edge was started just now. None while the edge cannot run anywhere.
    fn run(&mut self, id: &EdgeId, data: &EdgeData, epoch: u64) -> impl Future<Output = Result<Option<Publisher>, Self::Error>> + Send;

    /// How long an edge that is to end has to acknowledge that it serves nothing any more.
    fn patience(&self) -> Duration;

    /// Ends an edge.
    fn stop(&mut self, id: &EdgeId) -> impl Future<Output = ()> + Send;

    /// Ends this process's part in all edges.
    fn stop_all(&mut self) -> impl Future<Output = ()> + Send;
}
