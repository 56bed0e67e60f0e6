//! Which finalizer an object is to carry, and when it may go.

use std::time::Duration;

use super::acks::Acks;
use super::world::World;
use crate::api::Object;
use crate::model::{EdgeId, Kind, ObjectId};
use crate::report::Verdict;
use crate::snapshot::publish::Publisher;
use crate::store::kinds::{Finalizer, row};

/// Longest name of a finalizer, after its domain.
const NAME: usize = 63;

/// The finalizer of objects that a controller's edges serve: the controller's name, which no other installation has.
pub fn of_controller(controller_name: &str) -> String {
    let (domain, path) = controller_name.split_once('/').unwrap_or(("kakehi.dev", controller_name));
    let name: String = path.chars().map(|c| if c == '/' { '.' } else { c }).take(NAME).collect();
    format!("{domain}/{}", name.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()))
}

/// What an operator does about the finalizers of its objects.
#[derive(Clone, Debug)]
pub struct Finalizers {
    /// The name of [`of_controller`].
    pub name: String,
    /// Whether what is attached to edges carries it too.
    pub hold_attached: bool,
}

/// Carried by a GatewayClass while a Gateway uses it: the name is Gateway API's
/// (`GatewayClassFinalizerGatewaysExist`).
pub const GATEWAY_EXISTS: &str = "gateway-exists-finalizer.gateway.networking.k8s.io";

/// A JSON patch that takes a finalizer from its place in an object's list. Refused when something else is there by now.
pub fn removal(place: usize, name: &str) -> serde_json::Value {
    let path = format!("/metadata/finalizers/{place}");
    serde_json::json!([{"op": "test", "path": path, "value": name}, {"op": "remove", "path": path}])
}

/// How long edges have to say that they do not serve an object any more.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// What is to be done about an object's finalizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due<'a> {
    /// Nothing.
    Nothing,
    /// To be added.
    Add(&'a str),
    /// To be removed, from this place in the list.
    Remove(&'a str, usize),
    /// To be looked at again: edges have so long to answer.
    Wait(Duration),
}

/// What is to be done about the finalizer of an object.
pub fn due<'a>(object: &Object, world: &World, acks: &Acks, ours: &'a Finalizers) -> Due<'a> {
    let (id, metadata) = (object.id(), object.metadata());
    let ending = metadata.deletion_timestamp.is_some();
    let verdict = world.reports.get(&id).map(|report| &report.verdict);
    let (name, wanted) = match row(id.kind).finalizer {
        Finalizer::Never => return Due::Nothing,
        Finalizer::InUse if !matches!(verdict, Some(Verdict::Class { .. })) => return Due::Nothing,
        Finalizer::InUse => (GATEWAY_EXISTS, is_used(&id, world)),
        Finalizer::Owned => (ours.name.as_str(), !ending && matches!(verdict, Some(Verdict::Gateway { .. }))),
        Finalizer::Attached => (ours.name.as_str(), ours.hold_attached && !ending && world.served_by(&id).next().is_some()),
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

/// How long edges still have to answer, when one has not. Those that are gone or end with their namespace are not asked, nor those
/// of which no pod has been connected for as long as an answer would be waited for: none of them holds anything of this operator.
fn unanswered(id: &ObjectId, world: &World, acks: &Acks) -> Option<Duration> {
    let lives = |publisher: &Publisher| publisher.absence().is_none_or(|absence| absence < PATIENCE);
    let serves = |edge: &EdgeId| world.edges.get(edge).is_some_and(lives) && !world.is_ending(&edge.namespace);
    let asked = world.withdrawn_from(id).filter(|(edge, stamp, _)| serves(edge) && !acks.reached(edge, *stamp));
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

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::time::{Instant, advance};

    use super::{Due, Finalizers, PATIENCE, due, of_controller};
    use crate::api::Object;
    use crate::controller::acks::Acks;
    use crate::controller::world::World;
    use crate::model::{EdgeId, Kind, ObjectId};
    use crate::snapshot::publish::Publisher;
    use crate::snapshot::wire::Stamp;

    /// A deleted route that an edge of ours may hold waits; one whose edge has had no pod for long, or is gone, does not.
    #[tokio::test(start_paused = true)]
    async fn an_edge_that_does_not_live_is_not_waited_for() {
        let ours = Finalizers { name: "test.dev/ours".into(), hold_attached: true };
        let metadata = json!({
            "namespace": "shop", "name": "route", "finalizers": ["other.dev/theirs", "test.dev/ours"], "deletionTimestamp": "2026-01-01T00:00:00Z",
        });
        let object = Object::from_value(Kind::HttpRoute, json!({"metadata": metadata, "spec": {}})).unwrap();
        let (id, edge) = (ObjectId::new(Kind::HttpRoute, "shop", "route"), EdgeId::of_gateway("shop", "web"));
        let mut world = World::default();
        world.edges.insert(edge.clone(), Publisher::new(1));
        world.withdrawn.insert((id.clone(), edge.clone()), (Stamp { epoch: 1, seq: 1 }, Instant::now()));
        let of = |world: &World| due(&object, world, &Acks::default(), &ours);
        assert_eq!(of(&world), Due::Wait(PATIENCE), "its pods may yet come: the operator has just begun");
        advance(PATIENCE).await;
        world.withdrawn.insert((id, edge.clone()), (Stamp { epoch: 1, seq: 2 }, Instant::now()));
        assert_eq!(of(&world), Due::Remove("test.dev/ours", 1));
        world.edges.insert(edge.clone(), Publisher::new(1));
        assert_eq!(of(&world), Due::Wait(PATIENCE));
        world.edges.remove(&edge);
        assert_eq!(of(&world), Due::Remove("test.dev/ours", 1));
    }

    #[test]
    fn a_finalizer_is_a_qualified_name() {
        assert_eq!(of_controller("kakehi.dev/gateway-controller"), "kakehi.dev/gateway-controller");
        assert_eq!(of_controller("example.com/a/b"), "example.com/a.b");
        assert_eq!(of_controller(&format!("example.com/{}-b", "a".repeat(62))), format!("example.com/{}", "a".repeat(62)));
    }
}
