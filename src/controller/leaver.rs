//! Ingresses that have left, for another class or none, and still show addresses of ours.

use serde_json::Value;

use super::world::World;
use crate::api::Object;
use crate::model::Kind;
use crate::report::{Address, ObjectReport, Provisioned, left};

/// The status of an Ingress that is not ours any more, when all that it shows may have been written by us: `written`, or addresses
/// that edges of our classes have. The API server knows whether it was. Before everything is translated nothing is known to have left.
pub(super) fn status(object: &Object, report: Option<&ObjectReport>, world: &World, written: Option<&Value>) -> Option<Value> {
    let is_known = world.published && world.fresh;
    if object.kind() != Kind::Ingress || report.is_some() || !is_known {
        return None;
    }
    let classes = world.provisioned.iter().flatten().filter(|(edge, _)| edge.kind() == Kind::IngressClass);
    let ours: Vec<Address> = classes.flat_map(|(_, Provisioned { addresses, .. })| addresses).cloned().collect();
    left(object.status(), &ours, written)
}
