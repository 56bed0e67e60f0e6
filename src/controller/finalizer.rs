//! Which finalizer an object is to carry, and when it may go.

use std::time::Duration;

use super::acks::Acks;
use super::world::World;
use crate::api::Object;
use crate::model::{Kind, ObjectId};
use crate::report::Verdict;
use crate::store::kinds::{Finalizer, row};

/// Carried by objects of ours that edges serve.
pub const WITHDRAW: &str = "kakehi.dev/withdraw";
/// Carried by a GatewayClass while a Gateway uses it: the name is Gateway API's
/// (`GatewayClassFinalizerGatewaysExist`).
pub const GATEWAY_EXISTS: &str = "gateway-exists-finalizer.gateway.networking.k8s.io";

/// How long edges have to say that they do not serve an object any more.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is to be done about an object's finalizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// To be added.
    Add(&'static str),
    /// To be removed, from this place in the list.
    Remove(&'static str, usize),
    /// To be looked at again: edges have so long to answer.
    Wait(Duration),
}

/// What is to be done about the finalizer of an object.
pub fn due(object: &Object, world: &World, acks: &Acks) -> Due {
    let (id, metadata) = (object.id(), object.metadata());
    let ending = metadata.deletion_timestamp.is_some();
    let verdict = world.reports.get(&id).map(|report| &report.verdict);
    let (name, wanted) = match row(id.kind).finalizer {
        Finalizer::Never => return Due::Nothing,
        Finalizer::InUse if !matches!(verdict, Some(Verdict::Class { .. })) => return Due::Nothing,
        Finalizer::InUse => (GATEWAY_EXISTS, is_used(&id, world)),
        Finalizer::Owned => (WITHDRAW, !ending && matches!(verdict, Some(Verdict::Gateway { .. }))),
        Finalizer::Attached => (WITHDRAW, !ending && world.served_by(&id).next().is_some()),
    };
    let place = metadata.finalizers.iter().flatten().position(|finalizer| finalizer == name);
    match place {
        None if wanted && !ending && !world.is_ending(&id.namespace) => Due::Add(name),
        Some(index) if !wanted => match unanswered(&id, world, acks) {
            Some(wait) if ending => Due::Wait(wait),
            _ => Due::Remove(name, index),
        },
        _ => Due::Nothing,
    }
}

/// How long edges still have to answer, when one has not. Those that are gone themselves are not asked.
fn unanswered(id: &ObjectId, world: &World, acks: &Acks) -> Option<Duration> {
    let asked = world.withdrawn_from(id).filter(|(edge, stamp, _)| world.edges.contains_key(*edge) && !acks.reached(edge, *stamp));
    asked.map(|(_, _, since)| PATIENCE.saturating_sub(since.elapsed())).max().filter(|wait| !wait.is_zero())
}

/// Whether a Gateway is of this class.
fn is_used(class: &ObjectId, world: &World) -> bool {
    let first = ObjectId::new(Kind::Gateway, "", "");
    let gateways = world.objects.range(first..).take_while(|(id, _)| id.kind == Kind::Gateway);
    gateways.filter_map(|(_, object)| class_of(object)).any(|name| name == class.name)
}

fn class_of(object: &Object) -> Option<&str> {
    match object {
        Object::Gateway(gateway) => Some(&gateway.ok()?.spec.gateway_class_name),
        _ => None,
    }
}
