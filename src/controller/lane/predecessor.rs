//! What served before and ends once its successor serves: a workload of the other kind (a Deployment in place of a DaemonSet, or the
//! other way round), and what a version before made elsewhere.

use std::time::Duration;

use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::keeper::{Keeper, Problem, request};
use crate::provision::{EdgeSpec, Part};

/// How long a successor may be without a new ready pod before the ports of its nodes are made free for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A workload that is to end, as it was seen last.
pub(super) struct Retiring {
    /// Ready pods of its successor, and its own.
    seen: (i64, i64),
    /// Since when they are so many.
    since: Instant,
}

/// What is done next to the workload that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It serves on.
    Wait,
    /// It has only so many pods any more: its successor's wait for the ports of their nodes.
    Shrink(i64),
    /// It is deleted.
    Delete,
}

/// Which ports of nodes pods take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ports {
    None,
    /// Those that containers name.
    Named,
    /// All that the node has.
    Node,
}

/// How many pods a workload has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pods {
    wanted: i64,
    available: i64,
    /// Those that do not end.
    there: i64,
    ports: Ports,
}

impl Pods {
    /// What a workload and its controller say; nothing while the controller has not seen its newest version.
    fn of(part: Part, object: &DynamicObject) -> Option<Self> {
        let number = |pointer: &str| object.data.pointer(pointer).and_then(Value::as_i64);
        let observed = number("/status/observedGeneration").unwrap_or_default();
        if observed < object.metadata.generation.unwrap_or_default() {
            return None;
        }
        let (wanted, available, there) = match part {
            Part::DaemonSet => ("/status/desiredNumberScheduled", "/status/numberAvailable", "/status/currentNumberScheduled"),
            _ => ("/spec/replicas", "/status/availableReplicas", "/status/replicas"),
        };
        let wanted = number(wanted).unwrap_or_default();
        let (available, there) = (number(available).unwrap_or_default(), number(there).unwrap_or_default());
        Some(Self { wanted, available, there, ports: ports(&object.data) })
    }

    /// Whether so many are nearly all that are wanted: among many nodes one may be broken for long.
    fn nearly(self, pods: i64) -> bool {
        self.wanted > 0 && pods * 10 >= self.wanted * 9
    }
}

fn ports(workload: &Value) -> Ports {
    let Some(pod) = workload.pointer("/spec/template/spec") else { return Ports::None };
    if pod.get("hostNetwork") == Some(&Value::Bool(true)) {
        return Ports::Node;
    }
    let containers = pod.get("containers").and_then(Value::as_array).into_iter().flatten();
    let mut open = containers.filter_map(|container| container.get("ports")?.as_array()).flatten();
    if open.any(|port| port.get("hostPort").is_some()) { Ports::Named } else { Ports::None }
}

/// What is done to `old`, whose successor is `new`. `stands`: for some time neither had more or fewer pods.
fn step((part, old): (Part, Option<Pods>), new: Option<Pods>, stands: bool) -> Step {
    let (Some(old), Some(new)) = (old, new) else { return Step::Wait };
    if new.nearly(new.available) {
        return Step::Delete;
    }
    // On a node whose ports the old pods have, no new one starts; on all others they have.
    let in_the_way = old.ports != Ports::None && old.ports == new.ports && new.nearly(new.available + old.there);
    match part {
        _ if !in_the_way || !stands => Step::Wait,
        Part::Deployment if old.wanted > 1 => Step::Shrink(old.wanted.min(old.there.max(1)) - 1),
        _ => Step::Delete,
    }
}

impl Keeper {
    /// Whether the edge has a workload of the other kind than this.
    pub(super) async fn has_other(&mut self, part: Part) -> Result<bool, Problem> {
        let other = part.other_workload();
        if self.absent.contains(&other) {
            return Ok(false);
        }
        let name = self.shared.installation.name_of(&self.id);
        let live = request(&other.resource().kind, self.api(other).get_metadata_opt(&name)).await?;
        let has = live.is_some_and(|live| self.shared.is_ours(&live.metadata, &self.id));
        if !has {
            self.absent.insert(other);
        }
        Ok(has)
    }

    /// Brings the workload that the edge had before nearer to its end, as far as that of now serves in its place.
    pub(super) async fn retire(&mut self, spec: &EdgeSpec) -> Result<(), Problem> {
        let (part, before) = (spec.workload().other_workload(), self.retiring.take());
        if !self.has_other(spec.workload()).await? {
            return Ok(());
        }
        let (api, kind, name) = (self.api(part), part.resource().kind, self.shared.installation.name_of(&self.id));
        let Some(old) = request(&kind, api.get_opt(&name)).await? else { return Ok(()) };
        let new = request(&spec.workload().resource().kind, self.api(spec.workload()).get_opt(&name)).await?;
        let new = new.filter(|new| self.shared.installation.owns(spec, &new.metadata)).and_then(|new| Pods::of(spec.workload(), &new));
        let pods = Pods::of(part, &old);
        let seen = (new.map(|new| new.available).unwrap_or_default(), pods.map(|pods| pods.there).unwrap_or_default());
        let since = before.filter(|before| before.seen == seen).map_or_else(Instant::now, |before| before.since);
        // What was made for an earlier Gateway of the name has no successor.
        let is_own = self.shared.installation.owns(spec, &old.metadata);
        let step = if is_own { step((part, pods), new, since.elapsed() >= PATIENCE) } else { Step::Delete };
        match step {
            Step::Wait => {}
            Step::Shrink(replicas) => {
                tracing::info!(edge = %self.id, kind, name, replicas, "shrinks: pods that replace its own wait for the ports of their nodes");
                self.shared.leadership.check()?;
                let fewer = json!({"metadata": {"uid": old.metadata.uid}, "spec": {"replicas": replicas}});
                request(&kind, api.patch(&name, &PatchParams::default(), &Patch::Merge(fewer))).await?;
            }
            Step::Delete => {
                self.remove(&api, &kind, &old.metadata).await?;
                self.absent.insert(part);
                return Ok(());
            }
        }
        self.retiring = Some(Retiring { seen, since });
        Ok(())
    }

    /// Deletes what a version before made elsewhere for this edge, once its new pods serve. Whether that is done.
    pub(super) async fn replace_former(&mut self, spec: &EdgeSpec) -> Result<bool, Problem> {
        let shared = self.shared.clone();
        let Some((namespace, name)) = shared.installation.former_place(&self.id) else { return Ok(true) };
        let at = |part: Part| Api::<DynamicObject>::namespaced_with(shared.client.clone(), &namespace, &part.resource());
        let mut is_there = false;
        for part in Part::ALL.into_iter().filter(|part| part.is_workload()) {
            is_there |= match request(&part.resource().kind, at(part).get_metadata_opt(&name)).await {
                Ok(live) => live.is_some_and(|live| shared.installation.made_before(spec, &live.metadata)),
                // Rights to it are gone with the version before.
                Err(Problem::Refused { variant: "forbidden", .. }) => {
                    tracing::info!(edge = %self.id, namespace, name, "may not look for what a version before made");
                    return Ok(true);
                }
                Err(problem) => return Err(problem),
            };
        }
        if is_there {
            let part = spec.workload();
            let new = request(&part.resource().kind, self.api(part).get_opt(&shared.installation.name_of(&self.id))).await?;
            if new.and_then(|new| Pods::of(part, &new)).is_none_or(|pods| pods.available == 0) {
                return Ok(false);
            }
        }
        for part in Part::ALL.into_iter().rev() {
            let (api, kind) = (at(part), part.resource().kind);
            let live = request(&kind, api.get_metadata_opt(&name)).await?;
            if let Some(live) = live.filter(|live| shared.installation.made_before(spec, &live.metadata)) {
                self.remove(&api, &kind, &live.metadata).await?;
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use kube::api::DynamicObject;
    use serde_json::{Value, json};

    use super::{Pods, Ports, Step, step};
    use crate::provision::Part;

    fn pods(wanted: i64, available: i64, there: i64, ports: Ports) -> Option<Pods> {
        Some(Pods { wanted, available, there, ports })
    }

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_workload_says_how_many_pods_it_has() {
        let daemons = |observed: i64| {
            object(json!({
                "metadata": {"generation": 3},
                "spec": {"template": {"spec": {"containers": [{"ports": [{"containerPort": 1}]}, {"ports": [{"hostPort": 80}]}]}}},
                "status": {"observedGeneration": observed, "desiredNumberScheduled": 5, "numberAvailable": 2, "currentNumberScheduled": 4},
            }))
        };
        assert_eq!(Pods::of(Part::DaemonSet, &daemons(3)), pods(5, 2, 4, Ports::Named));
        assert_eq!(Pods::of(Part::DaemonSet, &daemons(2)), None, "of an older version");
        let deployment = object(json!({
            "metadata": {"generation": 1},
            "spec": {"replicas": 3, "template": {"spec": {"hostNetwork": true, "containers": [{}]}}},
            "status": {"observedGeneration": 1, "availableReplicas": 1, "replicas": 3},
        }));
        assert_eq!(Pods::of(Part::Deployment, &deployment), pods(3, 1, 3, Ports::Node));
        let own = object(json!({"spec": {"replicas": 1, "template": {"spec": {"containers": [{"ports": [{"containerPort": 1}]}]}}}}));
        assert_eq!(Pods::of(Part::Deployment, &own), pods(1, 0, 0, Ports::None));
    }

    #[test]
    fn what_served_before_serves_until_its_successor_does() {
        let next = |old: (Part, Option<Pods>), new| [false, true].map(|stands| step(old, new, stands));
        let old = (Part::Deployment, pods(2, 2, 2, Ports::None));
        assert_eq!(next(old, None), [Step::Wait; 2], "it is not there yet");
        for (available, then) in [(0, Step::Wait), (1, Step::Wait), (2, Step::Wait), (3, Step::Delete)] {
            assert_eq!(next(old, pods(3, available, 3, Ports::None)), [then; 2], "{available} of 3");
        }
        assert_eq!(next(old, pods(0, 0, 0, Ports::None)), [Step::Wait; 2], "no node is chosen: it serves nowhere");
        assert_eq!(next(old, pods(100, 89, 100, Ports::None)), [Step::Wait; 2]);
        assert_eq!(next(old, pods(100, 90, 100, Ports::None)), [Step::Delete; 2], "some node is always broken");
        assert_eq!(next((Part::DaemonSet, None), pods(3, 2, 3, Ports::None)), [Step::Wait; 2]);
    }

    #[test]
    fn pods_that_are_in_the_way_leave_one_by_one() {
        for ports in [Ports::Named, Ports::Node] {
            let old = |there| (Part::Deployment, pods(there, there, there, ports));
            let new = |available| pods(5, available, 5, ports);
            assert_eq!(step(old(2), new(3), false), Step::Wait, "the last may start in a moment");
            assert_eq!(step(old(2), new(2), true), Step::Wait, "another node may have one yet");
            assert_eq!(step(old(2), new(3), true), Step::Shrink(1));
            assert_eq!(step(old(1), new(3), true), Step::Wait, "the node that is free has none yet");
            assert_eq!(step(old(1), new(4), true), Step::Delete);
            assert_eq!(step((Part::DaemonSet, pods(2, 2, 2, ports)), pods(2, 0, 0, ports), true), Step::Delete, "it cannot shrink");
            let other = if ports == Ports::Named { Ports::Node } else { Ports::Named };
            assert_eq!(step(old(2), pods(5, 3, 5, other), true), Step::Wait, "not the same ports");
        }
    }
}
