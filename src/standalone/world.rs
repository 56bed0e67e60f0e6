//! Everything that is known now, as one persistent value: written by the translator task, read by everybody else.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::OrdMap;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::api::Object;
use crate::edge::plan::{self, explain};
use crate::model::{EdgeId, Kind, ObjectId};
use crate::observe::admin::View;
use crate::observe::metrics::Metrics;
use crate::report::ObjectReport;
use crate::snapshot::publish::Publisher;
use crate::snapshot::wire::Stamp;
use crate::snapshot::{Key, Snapshot};
use crate::store::Refusal;

/// What is known now. A clone costs nothing.
#[derive(Clone, Default)]
pub struct World {
    /// Objects that the source accepted.
    pub objects: OrdMap<ObjectId, Object>,
    /// What was decided about them.
    pub reports: OrdMap<ObjectId, Arc<ObjectReport>>,
    /// Running edges.
    pub edges: OrdMap<EdgeId, Publisher>,
    /// For every object that an edge serves: the state of that edge which first held its present form.
    pub served: OrdMap<(ObjectId, EdgeId), Stamp>,
    /// Refused manifests by file.
    pub refusals: OrdMap<String, Vec<Refusal>>,
    /// Everything that existed at the start is translated and published.
    pub synced: bool,
}

impl World {
    /// The edges that serve an object, with the stamps from which on they do.
    pub fn served_by(&self, id: &ObjectId) -> impl Iterator<Item = (&EdgeId, Stamp)> {
        let first = EdgeId { namespace: String::new(), name: String::new() };
        let id = id.clone();
        let from = (id.clone(), first);
        self.served.range(from..).take_while(move |((object, _), _)| *object == id).map(|((_, edge), stamp)| (edge, *stamp))
    }
}

/// The object whose status shows a resource's fate, if any.
pub fn owner(edge: &EdgeId, key: &Key) -> Option<ObjectId> {
    match key {
        Key::Route(id) => Some(id.clone()),
        Key::Listener(_) => Some(ObjectId::new(Kind::Gateway, &edge.namespace, &edge.name)),
        Key::Certificate(_) | Key::Backend(_) => None,
    }
}

/// The admin port's view of the world.
pub struct WorldView {
    /// The newest world.
    pub world: watch::Receiver<World>,
    /// Gauges to bring up to date.
    pub metrics: Metrics,
    /// How edges plan.
    pub options: plan::Options,
}

impl View for WorldView {
    fn ready(&self) -> bool {
        let world = self.world.borrow();
        world.synced && world.edges.values().all(|publisher| publisher.acks().borrow().is_some())
    }

    fn report(&self) -> Value {
        let world = self.world.borrow().clone();
        let refused: Vec<_> = world.refusals.values().flatten().map(refusal).collect();
        let reports: Vec<_> = world.reports.values().map(|report| report_view(report)).collect();
        json!({"refused": refused, "objects": reports})
    }

    fn snapshot(&self) -> Value {
        let world = self.world.borrow().clone();
        by_edge(&world, |publisher| {
            let (stamp, snapshot) = publisher.current();
            let acked = publisher.acks().borrow().clone();
            json!({"stamp": stamp, "acknowledged": acked, "snapshot": snapshot_view(&snapshot)})
        })
    }

    fn plan(&self) -> Value {
        let world = self.world.borrow().clone();
        by_edge(&world, |publisher| plan_view(&publisher.current().1, &self.options))
    }

    fn refresh(&self) {
        let world = self.world.borrow().clone();
        let mut objects: BTreeMap<&str, i64> = BTreeMap::new();
        for id in world.objects.keys() {
            *objects.entry(id.kind.name()).or_default() += 1;
        }
        self.metrics.objects.reset();
        for (kind, count) in objects {
            self.metrics.objects.with_label_values(&[kind]).set(count);
        }
        self.metrics.findings.reset();
        for report in world.reports.values() {
            for finding in &report.findings {
                let labels = [report.id.kind.name(), finding.issue.effect().reason];
                self.metrics.findings.with_label_values(&labels).inc();
            }
        }
        let refused = world.refusals.values().map(Vec::len).sum::<usize>();
        self.metrics.refused_writes.set(i64::try_from(refused).unwrap_or(i64::MAX));
    }
}

fn by_edge(world: &World, view: impl Fn(&Publisher) -> Value) -> Value {
    Value::Object(world.edges.iter().map(|(id, publisher)| (id.to_string(), view(publisher))).collect())
}

/// A refused manifest, for people.
pub fn refusal(refusal: &Refusal) -> Value {
    json!({"file": refusal.file, "line": refusal.line, "object": refusal.object.as_ref().map(ToString::to_string),
        "severity": refusal.severity, "message": refusal.message})
}

/// A report, for people.
pub fn report_view(report: &ObjectReport) -> Value {
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|finding| {
            let effect = finding.issue.effect();
            json!({"at": finding.scope.to_string(), "severity": finding.issue.severity(), "reason": effect.reason, "message": finding.issue.to_string()})
        })
        .collect();
    json!({"object": report.id.to_string(), "generation": report.generation, "findings": findings, "verdict": report.verdict})
}

/// A snapshot without private keys.
pub fn snapshot_view(snapshot: &Snapshot) -> Value {
    let resources: Vec<_> = snapshot.iter().map(|(_, resource)| resource.redacted()).collect();
    json!({"hash": snapshot.hash(), "resources": resources})
}

/// What each stage serves, with reasons.
pub fn plan_view(snapshot: &Snapshot, options: &plan::Options) -> Value {
    serde_json::to_value(explain::explain(snapshot, options)).unwrap_or_default()
}
