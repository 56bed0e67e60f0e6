//! Whose pods may be replaced now: at most so many edges at a time, the next when the former are rolled out.
//!
//! A rollout that makes no progress gives its turn back: its old pods serve on, and others must not wait for it for ever.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::Deployment;
use prometheus::IntGaugeVec;
use tokio::sync::oneshot;

use crate::model::EdgeId;

/// How far a Deployment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rollout {
    /// All pods are of the newest template.
    Done,
    /// Pods are being replaced.
    Rolling,
    /// Pods should be replaced and are not.
    Stuck,
}

/// A Deployment, as its rollout goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// Generation that this is about.
    pub(super) generation: i64,
    /// How far it is.
    pub(super) rollout: Rollout,
}

impl Standing {
    /// What a Deployment's controller says of it. Pods that come and go after a rollout (scaling, crashes) do not count.
    pub(super) fn of(deployment: &Deployment) -> Self {
        let status = deployment.status.as_ref();
        let generation = deployment.metadata.generation.unwrap_or_default();
        let seen = status.and_then(|status| status.observed_generation).unwrap_or_default();
        let conditions = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
        let reason = conditions.filter(|condition| condition.type_ == "Progressing").find_map(|condition| condition.reason.as_deref());
        let rollout = match reason {
            _ if seen < generation => Rollout::Rolling,
            Some("NewReplicaSetAvailable") => Rollout::Done,
            Some("ProgressDeadlineExceeded" | "DeploymentPaused") => Rollout::Stuck,
            _ => Rollout::Rolling,
        };
        Self { generation, rollout }
    }
}

/// A turn that an edge has, given back with [`Stages::applied`] or [`Stages::withdraw`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// The new template is being written.
    Given,
    /// It was written, as this generation.
    Written(i64),
}

/// All turns.
pub(super) struct Stages {
    limit: usize,
    /// Whether all Deployments are known.
    listed: bool,
    standings: BTreeMap<EdgeId, Standing>,
    turns: BTreeMap<EdgeId, Turn>,
    waiting: BTreeMap<EdgeId, oneshot::Sender<()>>,
    /// `kakehi_edge_rollouts{state}`.
    gauge: IntGaugeVec,
}

impl Stages {
    /// Turns for `limit` edges at a time.
    pub(super) fn new(limit: usize, gauge: IntGaugeVec) -> Self {
        Self { limit, listed: false, standings: BTreeMap::new(), turns: BTreeMap::new(), waiting: BTreeMap::new(), gauge }
    }

    /// The Deployments are about to be told anew.
    pub(super) fn unlist(&mut self) {
        self.listed = false;
        self.standings.clear();
    }

    /// All Deployments were told.
    pub(super) fn list(&mut self) {
        self.listed = true;
        self.give();
    }

    /// What is seen of an edge's Deployment; `None` when it is deleted.
    pub(super) fn see(&mut self, id: EdgeId, standing: Option<Standing>) {
        match standing {
            Some(standing) => {
                if standing.rollout == Rollout::Stuck && self.standings.get(&id).is_none_or(|before| before.rollout != Rollout::Stuck) {
                    tracing::warn!(edge = %id, "its rollout makes no progress; its old pods serve on, and the next edge has its turn");
                }
                self.standings.insert(id, standing);
            }
            None => {
                self.standings.remove(&id);
                self.turns.remove(&id);
            }
        }
        self.give();
    }

    /// An edge waits for its turn, told through `turn`. It no longer does when the other end of it is dropped.
    pub(super) fn ask(&mut self, id: EdgeId, turn: oneshot::Sender<()>) {
        self.waiting.insert(id, turn);
        self.give();
    }

    /// An edge wrote its Deployment, which is of this generation now.
    pub(super) fn applied(&mut self, id: EdgeId, generation: i64) {
        self.turns.insert(id, Turn::Written(generation));
        self.give();
    }

    /// An edge makes no use of its turn.
    pub(super) fn withdraw(&mut self, id: &EdgeId) {
        self.turns.remove(id);
        self.waiting.remove(id);
        self.give();
    }

    fn give(&mut self) {
        let standings = &self.standings;
        self.turns.retain(|id, turn| match turn {
            Turn::Given => true,
            Turn::Written(generation) => standings.get(id).is_none_or(|standing| standing.generation < *generation),
        });
        self.waiting.retain(|_, turn| !turn.is_closed());
        if self.listed {
            let waiting: Vec<EdgeId> = self.waiting.keys().cloned().collect();
            for id in next(self.limit, &self.rolling(), &waiting) {
                let Some(turn) = self.waiting.remove(&id) else { continue };
                if turn.send(()).is_ok() {
                    tracing::info!(edge = %id, waiting = self.waiting.len(), "its pods may be replaced");
                    self.turns.insert(id, Turn::Given);
                }
            }
        }
        let stuck = self.standings.values().filter(|standing| standing.rollout == Rollout::Stuck).count();
        for (state, count) in [("waiting", self.waiting.len()), ("rolling", self.rolling().len()), ("stuck", stuck)] {
            self.gauge.with_label_values(&[state]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Edges whose pods are being replaced, or are about to be.
    fn rolling(&self) -> BTreeSet<EdgeId> {
        let seen = self.standings.iter().filter(|(_, standing)| standing.rollout == Rollout::Rolling).map(|(id, _)| id);
        seen.chain(self.turns.keys()).cloned().collect()
    }
}

/// Which of those that wait have their turn while others roll: an edge that rolls already, since it makes no more of them, and
/// the first of the others until `limit` roll.
fn next(limit: usize, rolling: &BTreeSet<EdgeId>, waiting: &[EdgeId]) -> Vec<EdgeId> {
    let (again, new): (Vec<_>, Vec<_>) = waiting.iter().cloned().partition(|id| rolling.contains(id));
    again.into_iter().chain(new.into_iter().take(limit.saturating_sub(rolling.len()))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prometheus::{IntGaugeVec, Opts};
    use serde_json::json;
    use tokio::sync::oneshot;

    use super::{Rollout, Stages, Standing, next};
    use crate::model::EdgeId;

    fn edges(numbers: &[usize]) -> Vec<EdgeId> {
        numbers.iter().map(|number| EdgeId { namespace: "shop".into(), name: format!("{number:03}").as_str().into() }).collect()
    }

    fn standing(generation: i64, rollout: Rollout) -> Option<Standing> {
        Some(Standing { generation, rollout })
    }

    #[test]
    fn so_many_roll_and_the_others_wait() {
        let given = |limit, rolling: &[usize], waiting: &[usize]| next(limit, &edges(rolling).into_iter().collect(), &edges(waiting));
        assert_eq!(given(2, &[], &[1, 2, 3]), edges(&[1, 2]));
        assert_eq!(given(2, &[9], &[1, 2, 3]), edges(&[1]));
        assert_eq!(given(2, &[8, 9], &[1, 2, 3]), []);
        assert_eq!(given(2, &[2, 9], &[1, 2, 3]), edges(&[2]), "it rolls already");
        assert_eq!(given(1, &[7, 8, 9], &[1]), [], "a leader before had another limit");
    }

    #[test]
    fn a_deployment_s_conditions_say_how_far_it_is() {
        let of = |observed: i64, reason: &str| {
            let condition = json!([{"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
                                   {"type": "Progressing", "status": "True", "reason": reason}]);
            let status = json!({"observedGeneration": observed, "conditions": condition});
            Standing::of(&serde_json::from_value(json!({"metadata": {"generation": 3}, "status": status})).unwrap())
        };
        assert_eq!(Some(of(3, "NewReplicaSetAvailable")), standing(3, Rollout::Done));
        assert_eq!(Some(of(2, "NewReplicaSetAvailable")), standing(3, Rollout::Rolling), "of the template before");
        assert_eq!(Some(of(3, "ReplicaSetUpdated")), standing(3, Rollout::Rolling));
        assert_eq!(Some(of(3, "ProgressDeadlineExceeded")), standing(3, Rollout::Stuck));
        assert_eq!(Standing::of(&serde_json::from_value(json!({"metadata": {"generation": 1}})).unwrap()).rollout, Rollout::Rolling);
    }

    /// A fleet of edges that all want new pods: whatever the order of events, never more than the limit roll, and all do.
    #[test]
    fn a_fleet_is_rolled_in_stages() {
        let (limit, all) = (3, edges(&(0..20).collect::<Vec<_>>()));
        let gauge = IntGaugeVec::new(Opts::new("rollouts", "of edges"), &["state"]).unwrap();
        let mut stages = Stages::new(limit, gauge.clone());
        let mut turns = Vec::new();
        for id in &all {
            let (send, turn) = oneshot::channel();
            stages.ask(id.clone(), send);
            turns.push((id.clone(), turn));
        }
        assert_eq!(gauge.with_label_values(&["waiting"]).get(), 20, "nothing is known of the Deployments yet");
        all.iter().for_each(|id| stages.see(id.clone(), standing(1, Rollout::Done)));
        stages.list();
        let (mut rolling, mut rolled) = (BTreeSet::new(), 0);
        while rolled < all.len() {
            for (id, turn) in &mut turns {
                if turn.try_recv().is_ok() {
                    rolling.insert(id.clone());
                    // The write is known before the watch tells of it, and then after.
                    stages.applied(id.clone(), 2);
                    stages.see(id.clone(), standing(2, Rollout::Rolling));
                }
            }
            assert!(!rolling.is_empty() && rolling.len() <= limit, "{rolling:?}");
            assert_eq!(gauge.with_label_values(&["rolling"]).get(), i64::try_from(rolling.len()).unwrap());
            let first = rolling.pop_last().unwrap();
            // One does not get anywhere: it holds nobody up.
            let end = if rolled == 7 { Rollout::Stuck } else { Rollout::Done };
            stages.see(first, standing(2, end));
            rolled += 1;
        }
        assert_eq!((gauge.with_label_values(&["waiting"]).get(), gauge.with_label_values(&["rolling"]).get()), (0, 0));
        assert_eq!(gauge.with_label_values(&["stuck"]).get(), 1);
    }

    #[test]
    fn a_turn_that_is_not_used_is_the_next_one_s() {
        let gauge = IntGaugeVec::new(Opts::new("rollouts", "of edges"), &["state"]).unwrap();
        let mut stages = Stages::new(1, gauge);
        stages.list();
        let [first, second, third] = edges(&[1, 2, 3]).try_into().unwrap();
        let ((a, mut one), (b, two), (c, mut three)) = (oneshot::channel(), oneshot::channel::<()>(), oneshot::channel());
        stages.ask(first.clone(), a);
        stages.ask(second, b);
        stages.ask(third, c);
        assert!(one.try_recv().is_ok() && three.try_recv().is_err());
        // The second has another wish meanwhile, and the API server refuses the first.
        drop(two);
        stages.withdraw(&first);
        assert!(three.try_recv().is_ok());
    }
}
