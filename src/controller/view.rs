//! What people see of the world: the admin port's pages, and the parts of `kakehi translate`.

mod declared;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use imbl::OrdSet;
use serde_json::{Value, json};
use tokio::sync::watch;

pub use self::declared::report as declared_report;
use super::lane::WATCHED;
use super::reconcile::EVENT;
use super::refusals;
use super::world::World;
use super::writer::WriteError;
use crate::edge::plan::{self, explain};
use crate::model::{EdgeId, ListenerName, ObjectId};
use crate::observe::admin::View;
use crate::observe::metrics::Metrics;
use crate::provision::Part;
use crate::report::{Finding, ObjectReport};
use crate::snapshot::publish::Publisher;
use crate::snapshot::serve::Counters;
use crate::snapshot::{Key, Snapshot};
use crate::store::Refusal;
use crate::store::cluster::{State, States, VARIANTS};
use crate::store::kinds::table;

/// Edges that are named as not ready, at most.
const NAMED: usize = 5;
/// States in which rollouts of edges are counted.
const ROLLOUTS: [&str; 3] = ["rolling", "waiting", "stuck"];

/// The admin port's view of the world.
pub struct WorldView {
    /// The newest world.
    pub world: watch::Receiver<World>,
    /// Gauges to bring up to date.
    pub metrics: Metrics,
    /// How edges plan.
    pub options: plan::Options,
    /// Whether edges that have not acknowledged anything yet keep this process from being ready.
    pub awaits_edges: bool,
}

/// Why no client reaches an edge that has bound none of its listeners.
fn unbound(edge: &EdgeId, publisher: &Publisher) -> Option<String> {
    let acks = publisher.acks();
    let ack = acks.borrow();
    let refused = &ack.as_ref()?.refused;
    let reason = |name: &ListenerName| refused.iter().find(|refusal| refusal.key == Key::Listener(name.clone())).map(|found| &found.reason);
    let (_, snapshot) = publisher.current();
    let mut listeners = snapshot.iter().map_while(|(_, resource)| resource.as_listener());
    let first = listeners.next()?;
    let told = format!("edge {edge} listener {}: {}", first.name, reason(&first.name)?);
    listeners.all(|listener| reason(&listener.name).is_some()).then_some(told)
}

impl View for WorldView {
    fn ready(&self) -> bool {
        self.unready().is_none()
    }

    fn unready(&self) -> Option<String> {
        let world = self.world.borrow();
        if !world.published {
            return Some("objects are still loaded".to_owned());
        }
        if let Some((edge, reason)) = world.failed.get_min().filter(|_| self.awaits_edges) {
            return Some(format!("edge {edge} cannot be run: {reason}"));
        }
        let silent = world.edges.iter().filter(|(_, publisher)| self.awaits_edges && publisher.acks().borrow().is_none());
        let silent: Vec<_> = silent.map(|(edge, _)| edge.to_string()).collect();
        let few = silent.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        match silent.len().saturating_sub(NAMED) {
            _ if silent.is_empty() => None,
            0 => Some(format!("nothing was applied yet by edge {few}")),
            more => Some(format!("nothing was applied yet by edge {few} and {more} more")),
        }
        .or_else(|| {
            let mut edges = world.edges.iter().filter(|_| self.awaits_edges).map(|(edge, publisher)| unbound(edge, publisher));
            let first = edges.next()??;
            edges.all(|reason| reason.is_some()).then_some(first)
        })
    }

    fn report(&self) -> Value {
        let world = self.world.borrow().clone();
        let refused: Vec<_> = world.refusals.values().flatten().map(refusal_view).collect();
        let object = |report: &ObjectReport| world.objects.get(&report.id).and_then(|object| object.to_value().ok());
        let mut beside = refusals::all(&world);
        let mut view = |report: &ObjectReport| {
            let refused = beside.remove(&report.id).unwrap_or_default();
            declared::report(report, &refused, || object(report))
        };
        let mut reports: Vec<_> = world.reports.values().map(|report| view(report)).collect();
        // Of a class that nothing else is said of.
        reports.extend(beside.iter().map(|(id, refused)| report_with(&ObjectReport::empty(id.clone()), refused)));
        json!({"refused": refused, "objects": reports})
    }

    fn snapshot(&self) -> Value {
        let world = self.world.borrow().clone();
        by_edge(&world, |publisher| {
            let (stamp, snapshot) = publisher.current();
            let acked = publisher.acks().borrow().clone();
            let (pending, snapshot) = (publisher.pending(), snapshot_view(&snapshot));
            json!({"stamp": stamp, "acknowledged": acked, "pending": pending, "options": self.options, "snapshot": snapshot})
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
        let refused = refusals::all(&world);
        for finding in world.reports.values().flat_map(|report| &report.findings).chain(refused.values().flatten()) {
            let labels = [finding.object.kind.name(), finding.issue.effect().reason];
            self.metrics.findings.with_label_values(&labels).inc();
        }
        self.refresh_edges(&world);
        super::expiry::refresh(&world, &self.metrics);
        let refused = world.refusals.values().map(Vec::len).sum::<usize>();
        self.metrics.refused_writes.set(i64::try_from(refused).unwrap_or(i64::MAX));
    }
}

impl WorldView {
    /// Sets the gauges of the edges that there are; those of others go.
    fn refresh_edges(&self, world: &World) {
        let metrics = &self.metrics;
        let gauges = [&metrics.published, &metrics.acked, &metrics.resources, &metrics.refused_keys];
        gauges.iter().for_each(|gauge| gauge.reset());
        [&metrics.snapshot_age, &metrics.ack_lag].iter().for_each(|gauge| gauge.reset());
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        for (id, publisher) in &world.edges {
            let name = [id.to_string()];
            let (stamp, snapshot) = publisher.current();
            let age = publisher.since().elapsed().as_secs_f64();
            let ack = publisher.acks().borrow().clone();
            let behind = ack.as_ref().is_none_or(|ack| ack.stamp < stamp);
            let ack = ack.unwrap_or_default();
            metrics.published.with_label_values(&name).set(number(stamp.seq));
            metrics.acked.with_label_values(&name).set(number(ack.stamp.seq));
            metrics.resources.with_label_values(&name).set(number(snapshot.len() as u64));
            metrics.refused_keys.with_label_values(&name).set(number(ack.refused.len() as u64));
            metrics.snapshot_age.with_label_values(&name).set(age);
            metrics.ack_lag.with_label_values(&name).set(if behind { age } else { 0.0 });
        }
    }
}

/// The admin port's view of an operator: the world, and how it stands with the API server.
pub struct OperatorView {
    /// The world.
    pub world: WorldView,
    /// The watches.
    pub states: watch::Receiver<States>,
    /// Objects that wait for their turn.
    pub queued: watch::Receiver<OrdSet<ObjectId>>,
    /// What happens on the snapshot port.
    pub streams: Arc<Counters>,
}

impl View for OperatorView {
    fn ready(&self) -> bool {
        self.world.ready()
    }

    fn unready(&self) -> Option<String> {
        self.world.unready()
    }

    fn report(&self) -> Value {
        self.world.report()
    }

    fn snapshot(&self) -> Value {
        self.world.snapshot()
    }

    fn plan(&self) -> Value {
        self.world.plan()
    }

    fn refresh(&self) {
        self.world.refresh();
        let metrics = &self.world.metrics;
        for (kind, watched) in self.states.borrow().iter() {
            for variant in VARIANTS {
                metrics.watch_errors.with_label_values(&[kind.name(), variant]);
            }
            for state in State::ALL {
                let labels = [kind.name(), state.name()];
                metrics.watch_state.with_label_values(&labels).set(i64::from(state == watched.state));
            }
            for (variant, count) in &watched.errors {
                let counter = metrics.watch_errors.with_label_values(&[kind.name(), variant]);
                counter.inc_by(count.saturating_sub(counter.get()));
            }
        }
        for (kind, variant) in WATCHED.into_iter().flat_map(|kind| VARIANTS.map(|variant| (kind, variant))) {
            metrics.watch_errors.with_label_values(&[kind, variant]);
        }
        metrics.gateway_api.reset();
        if let Some(bundle) = &self.world.world.borrow().bundle {
            metrics.gateway_api.with_label_values(&[bundle.version(), bundle.channel()]).set(1);
        }
        for state in ROLLOUTS {
            metrics.edge_rollouts.with_label_values(&[state]);
        }
        let streams = &self.streams;
        let results =
            [("served", &streams.served), ("refused", &streams.refused), ("strange", &streams.strange), ("crowded", &streams.crowded)];
        for (result, count) in results {
            let counter = metrics.streams.with_label_values(&[result]);
            counter.inc_by(count.load(Relaxed).saturating_sub(counter.get()));
        }
        let mut waiting: BTreeMap<&str, i64> = table().filter(|row| row.status).map(|row| (row.kind.name(), 0)).collect();
        for id in self.queued.borrow().iter() {
            *waiting.entry(id.kind.name()).or_default() += 1;
        }
        let parts: Vec<_> = Part::ALL.into_iter().map(|part| part.resource().kind).collect();
        for kind in waiting.keys().copied().chain(parts.iter().map(String::as_str)).chain([EVENT]) {
            for variant in WriteError::VARIANTS {
                metrics.reconcile_errors.with_label_values(&[kind, variant]);
            }
        }
        for (kind, count) in waiting {
            metrics.queue.with_label_values(&[kind]).set(count);
        }
    }
}

fn by_edge(world: &World, view: impl Fn(&Publisher) -> Value) -> Value {
    Value::Object(world.edges.iter().map(|(id, publisher)| (id.to_string(), view(publisher))).collect())
}

/// A refused manifest, for people.
pub fn refusal_view(refusal: &Refusal) -> Value {
    json!({"file": refusal.file, "line": refusal.line, "object": refusal.object.as_ref().map(ToString::to_string),
        "severity": refusal.severity, "message": refusal.message})
}

/// A report, for people.
pub fn report_view(report: &ObjectReport) -> Value {
    report_with(report, &[])
}

/// A report with what edges refuse of the object.
fn report_with(report: &ObjectReport, refused: &[Finding]) -> Value {
    let findings: Vec<_> = report
        .findings
        .iter()
        .chain(refused)
        .map(|finding| {
            let effect = finding.issue.effect();
            json!({"at": finding.scope.to_string(), "severity": finding.issue.severity(), "reason": effect.reason, "message": finding.issue.to_string()})
        })
        .collect();
    json!({"object": report.id.to_string(), "generation": report.generation, "findings": findings, "verdict": report.verdict})
}

/// A snapshot without private keys and without header values that filters set.
pub fn snapshot_view(snapshot: &Snapshot) -> Value {
    let resources: Vec<_> = snapshot.iter().map(|(_, resource)| resource.for_people()).collect();
    json!({"hash": snapshot.hash(), "resources": resources})
}

/// What each stage serves, with reasons; without header values that filters set.
pub fn plan_view(snapshot: &Snapshot, options: &plan::Options) -> Value {
    serde_json::to_value(explain::explain(&snapshot.for_people(), options)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::snapshot_view;
    use crate::model::{
        Action, BackendId, BackendRef, BackendTarget, Filter, HeaderEdit, Hostname, Kind, ObjectId, PathMatch, Route, Rule,
    };
    use crate::snapshot::{Resource, Snapshot};

    #[test]
    fn header_values_that_filters_set_are_shown_to_nobody() {
        const CANARY: &str = "Bearer canary";
        let pair = |name: &str| (name.to_owned(), CANARY.to_owned());
        let edit = || HeaderEdit { set: vec![pair("authorization")], add: vec![pair("x-key")], remove: vec!["x-gone".to_owned()] };
        let target = BackendTarget::Service(BackendId { namespace: "shop".into(), service: "web".into(), port: 80 });
        let backend = BackendRef { weight: 1, target, filters: vec![Filter::RequestHeaders(edit())] };
        let path = PathMatch::Prefix("/".to_owned());
        let mut rule = Rule::for_path(Hostname::Any, path, Action::Forward(vec![backend]));
        rule.filters = vec![Filter::RequestHeaders(edit()), Filter::ResponseHeaders(edit())];
        let id = ObjectId::new(Kind::HttpRoute, "shop", "route");
        let route = Route { id, created: 0, attachments: Vec::new(), rules: vec![rule], written: Vec::new(), file: None };
        let shown = snapshot_view(&Snapshot::from_resources([Resource::Route(route.clone())])).to_string();
        assert!(!shown.contains(CANARY) && shown.matches("\"redacted\"").count() == 6, "{shown}");
        assert!(shown.contains("authorization") && shown.contains("x-gone"));
        assert!(!format!("{route:?}").contains(CANARY), "{route:?}");
    }
}
