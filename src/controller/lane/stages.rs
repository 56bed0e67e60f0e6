//! Whose pods may be replaced now: at most so many edges at a time, the next when the former are rolled out.
//!
//! A rollout that makes no progress gives its turn back, and so does one that takes too long: its old pods serve on, and others
//! must not wait for it. Turns are given by us: what else happens to a Deployment or DaemonSet, which people of its namespace may change as
//! often as they like, holds nobody up. A turn that is free goes to the namespace that has the fewest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use prometheus::IntGaugeVec;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::model::EdgeId;

/// Longest time of a turn. A rollout without any progress ends by itself after ten minutes.
const LONGEST: Duration = Duration::from_secs(900);

/// How far a workload is: a Deployment or a DaemonSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rollout {
    /// All pods are of the newest template.
    Done,
    /// Pods are being replaced.
    Rolling,
    /// Pods should be replaced and are not.
    Stuck,
}

/// A workload, as its rollout goes.
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

    /// What a DaemonSet's controller says of it: it has no conditions, and tells of no rollout that is stuck. Among many nodes one may
    /// be broken for long.
    pub(super) fn of_daemons(daemons: &DaemonSet) -> Self {
        let status = daemons.status.as_ref();
        let generation = daemons.metadata.generation.unwrap_or_default();
        let seen = status.and_then(|status| status.observed_generation).unwrap_or_default();
        let wanted = status.map(|status| status.desired_number_scheduled).unwrap_or_default();
        let new = status.and_then(|status| status.updated_number_scheduled).unwrap_or_default();
        let available = status.and_then(|status| status.number_available).unwrap_or_default();
        let nearly = i64::from(new.min(available)) * 10 >= i64::from(wanted) * 9;
        Self { generation, rollout: if seen >= generation && nearly { Rollout::Done } else { Rollout::Rolling } }
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
    /// Whether all workloads are known.
    listed: bool,
    /// Whether that has been so before: rollouts of the leader before have turns.
    taken_over: bool,
    standings: BTreeMap<EdgeId, Standing>,
    /// Each with its end.
    turns: BTreeMap<EdgeId, (Turn, Instant)>,
    waiting: BTreeMap<EdgeId, oneshot::Sender<()>>,
    /// `kakehi_edge_rollouts{state}`.
    gauge: IntGaugeVec,
}

impl Stages {
    /// Turns for `limit` edges at a time.
    pub(super) fn new(limit: usize, gauge: IntGaugeVec) -> Self {
        let (standings, turns, waiting) = Default::default();
        Self { limit, listed: false, taken_over: false, standings, turns, waiting, gauge }
    }

    /// The workloads are about to be told anew.
    pub(super) fn unlist(&mut self) {
        self.listed = false;
        self.standings.clear();
    }

    /// All workloads were told.
    pub(super) fn list(&mut self) {
        self.listed = true;
        if !std::mem::replace(&mut self.taken_over, true) {
            let rolling = self.standings.iter().filter(|(_, standing)| standing.rollout == Rollout::Rolling);
            let end = Instant::now() + LONGEST;
            let turns = rolling.map(|(id, standing)| (id.clone(), (Turn::Written(standing.generation), end)));
            let ours = std::mem::take(&mut self.turns);
            self.turns = turns.chain(ours).collect();
        }
        self.give();
    }

    /// What is seen of an edge's workload; `None` when it is deleted.
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

    /// An edge wrote its workload, which is of this generation now.
    pub(super) fn applied(&mut self, id: EdgeId, generation: i64) {
        self.turns.insert(id, (Turn::Written(generation), Instant::now() + LONGEST));
        self.give();
    }

    /// Time has passed.
    pub(super) fn tick(&mut self) {
        self.give();
    }

    /// An edge makes no use of its turn.
    pub(super) fn withdraw(&mut self, id: &EdgeId) {
        self.turns.remove(id);
        self.waiting.remove(id);
        self.give();
    }

    fn give(&mut self) {
        let (standings, now) = (&self.standings, Instant::now());
        self.turns.retain(|id, (turn, end)| match turn {
            _ if *end <= now => {
                tracing::warn!(edge = %id, "its rollout takes long; it goes on, and the next edge has its turn");
                false
            }
            Turn::Given => true,
            Turn::Written(generation) => {
                standings.get(id).is_none_or(|standing| standing.generation < *generation || standing.rollout == Rollout::Rolling)
            }
        });
        self.waiting.retain(|_, turn| !turn.is_closed());
        if self.listed {
            let waiting: Vec<EdgeId> = self.waiting.keys().cloned().collect();
            let rolling = self.turns.keys().cloned().collect();
            for id in next(self.limit, &rolling, &waiting) {
                let Some(turn) = self.waiting.remove(&id) else { continue };
                if turn.send(()).is_ok() {
                    tracing::info!(edge = %id, waiting = self.waiting.len(), "its pods may be replaced");
                    self.turns.insert(id, (Turn::Given, now + LONGEST));
                }
            }
        }
        let stuck = self.standings.values().filter(|standing| standing.rollout == Rollout::Stuck).count();
        for (state, count) in [("waiting", self.waiting.len()), ("rolling", self.turns.len()), ("stuck", stuck)] {
            self.gauge.with_label_values(&[state]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

/// Which of those that wait have their turn while others roll: an edge that has one already, since it makes no more of them, and
/// others until `limit` roll, from the namespaces that have the fewest turns.
fn next(limit: usize, rolling: &BTreeSet<EdgeId>, waiting: &[EdgeId]) -> Vec<EdgeId> {
    let (mut given, mut new): (Vec<_>, Vec<_>) = waiting.iter().cloned().partition(|id| rolling.contains(id));
    let mut turns: BTreeMap<String, usize> = BTreeMap::new();
    for id in rolling {
        *turns.entry(id.namespace.clone()).or_default() += 1;
    }
    for _ in rolling.len()..limit {
        let turns_of = |id: &EdgeId| turns.get(&id.namespace).copied().unwrap_or_default();
        let Some((place, _)) = new.iter().enumerate().min_by_key(|(_, id)| turns_of(id)) else { break };
        let id = new.remove(place);
        *turns.entry(id.namespace.clone()).or_default() += 1;
        given.push(id);
    }
    given
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
    fn one_namespace_does_not_keep_the_turns_from_others() {
        let of = |namespace: &str, number: usize| EdgeId::of_gateway(namespace, format!("{number:03}"));
        let waiting: Vec<_> = (0..50).map(|number| of("a", number)).chain([of("b", 0), of("c", 0)]).collect();
        assert_eq!(next(3, &[of("a", 90), of("a", 91)].into(), &waiting), [of("b", 0)]);
        assert_eq!(next(5, &[].into(), &waiting), [of("a", 0), of("b", 0), of("c", 0), of("a", 1), of("a", 2)]);
    }

    /// Who may write a Deployment can keep it rolling for ever.
    #[tokio::test(start_paused = true)]
    async fn what_others_do_to_deployments_holds_nobody_up() {
        let gauge = IntGaugeVec::new(Opts::new("rollouts", "of edges"), &["state"]).unwrap();
        let mut stages = Stages::new(2, gauge.clone());
        let fakes = edges(&[1, 2, 3, 4, 5]);
        // Those that roll when a leader begins may be its predecessor's.
        fakes[..2].iter().for_each(|id| stages.see(id.clone(), standing(1, Rollout::Rolling)));
        stages.list();
        let honest = EdgeId::of_gateway("other", "web");
        let (send, mut turn) = oneshot::channel();
        stages.ask(honest.clone(), send);
        assert!(turn.try_recv().is_err());
        for (round, id) in (2..60).flat_map(|round| fakes.iter().map(move |id| (round, id.clone()))) {
            stages.see(id, standing(round, Rollout::Rolling));
        }
        assert!(turn.try_recv().is_err(), "they have turns yet");
        tokio::time::advance(super::LONGEST).await;
        stages.tick();
        assert!(turn.try_recv().is_ok());
        stages.unlist();
        stages.list();
        assert_eq!(gauge.with_label_values(&["rolling"]).get(), 1, "only a turn that was given");
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

    #[test]
    fn a_daemon_set_s_numbers_say_how_far_it_is() {
        let of = |observed: i64, [wanted, new, available]: [i32; 3]| {
            let status = json!({
                "observedGeneration": observed, "desiredNumberScheduled": wanted, "updatedNumberScheduled": new, "numberAvailable": available,
                "currentNumberScheduled": wanted, "numberMisscheduled": 0, "numberReady": available,
            });
            Some(Standing::of_daemons(&serde_json::from_value(json!({"metadata": {"generation": 3}, "status": status})).unwrap()))
        };
        assert_eq!(of(3, [3, 3, 3]), standing(3, Rollout::Done));
        assert_eq!(of(2, [3, 3, 3]), standing(3, Rollout::Rolling), "of the template before");
        assert_eq!(of(3, [3, 2, 3]), standing(3, Rollout::Rolling));
        assert_eq!(of(3, [3, 3, 2]), standing(3, Rollout::Rolling));
        assert_eq!(of(3, [100, 95, 92]), standing(3, Rollout::Done), "some node is always broken");
        let new = serde_json::from_value(json!({"metadata": {"generation": 1}})).unwrap();
        assert_eq!(Standing::of_daemons(&new).rollout, Rollout::Rolling, "its controller has not seen it");
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
