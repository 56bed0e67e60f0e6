//! Steps on the model of Sōzu's state and on the model of its router.

use std::net::IpAddr;

use proptest::prelude::*;
use sozu_command_lib::state::ConfigState;

use super::{Item, Order, Shadow, Step, Wire, load, orphans, steps};
use crate::edge::plan::{Frontend, Options, Planner, PortId, Stage, Target};
use crate::edge::testing::generate;
use crate::edge::testing::naive::{self, Request};
use crate::edge::testing::router::Router;
use crate::snapshot::Snapshot;

fn wire() -> Wire {
    Wire { address: IpAddr::from([127, 0, 0, 1]), hop: "/run/hop.sock".into(), relay: "/run/relay.sock".into() }
}

fn plan(snapshot: &Snapshot) -> Target {
    let mut planner = Planner::new(Options::default());
    planner.apply(&snapshot.as_delta());
    planner.target().clone()
}

/// Both models of one Sōzu.
struct Model {
    shadow: Shadow,
    router: Router,
}

impl Model {
    fn new() -> Self {
        Self { shadow: Shadow::new(wire()), router: Router::default() }
    }

    /// Applies the steps to `target` and looks after each.
    fn advance(&mut self, target: &Target, order: Order, requests: &[Request]) -> Result<(), TestCaseError> {
        let before: Vec<bool> = requests.iter().map(|request| self.router.route(request).is_some()).collect();
        let after = Router::of(target);
        let planned = steps(&self.shadow, target, order).unwrap();
        for (number, step) in planned.iter().enumerate() {
            prop_assert_eq!(self.shadow.take(step), Ok(()), "{:?}", step.item);
            self.follow(step, target);
            prop_assert_eq!(orphans(self.shadow.state()), Vec::<String>::new(), "after {:?}", step.item);
            if planned.get(number + 1).is_some_and(|next| next.glued) {
                continue;
            }
            for (request, was) in requests.iter().zip(&before) {
                let is = self.router.route(request).is_some();
                prop_assert!(is || !was || after.route(request).is_none(), "{:?} is lost after {:?}", request, step.item);
            }
        }
        self.shadow.settle(target.clone());
        Ok(())
    }

    fn follow(&mut self, step: &Step, target: &Target) {
        let port = match &step.item {
            Item::Frontend(port, ..) => port,
            Item::Bound(port) if step.adds => return self.router.bind(*port),
            Item::Bound(port) => return self.router.release(*port),
            _ => return,
        };
        let wanted = if step.adds { find(target, &step.item) } else { find(self.shadow.applied(), &step.item) }.unwrap();
        if step.adds {
            self.router.add(*port, wanted);
        } else {
            self.router.remove(*port, &wanted);
        }
    }
}

fn find(target: &Target, item: &Item) -> Option<Frontend> {
    let of = |port: PortId, front: &Frontend| Item::Frontend(port, front.host.clone(), front.path.clone(), front.method.clone());
    let mut all = target.chains.iter().flat_map(|(id, chain)| chain.frontends.iter().map(|front| (id.vhost.port, front)));
    all.find(|(port, front)| of(*port, front) == *item).map(|(_, front)| front.clone())
}

/// All but the count of requests, the order of relays, and the empty lists that removed backends and relays leave behind.
fn content(state: &ConfigState) -> ConfigState {
    let mut state = ConfigState { request_counts: Default::default(), ..state.clone() };
    state.backends.retain(|_, backends| !backends.is_empty());
    state.tcp_fronts.retain(|_, fronts| !fronts.is_empty());
    state.tcp_fronts.values_mut().for_each(|fronts| fronts.sort());
    state
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_step_is_safe_and_the_last_arrives(
        snapshots in prop::collection::vec(generate::snapshot(), 1..5),
        requests in prop::collection::vec(generate::request(), 40),
    ) {
        let mut model = Model::new();
        for snapshot in &snapshots {
            let target = plan(snapshot);
            model.advance(&target, Order::Kept, &requests)?;
            let mut fresh = Model::new();
            fresh.advance(&target, Order::Kept, &[])?;
            prop_assert_eq!(content(model.shadow.state()), content(fresh.shadow.state()));
            for request in &requests {
                let (there, wanted) = (model.router.route(request), fresh.router.route(request));
                prop_assert!(there.is_none() == wanted.is_none() && there.zip(wanted).is_none_or(|(a, b)| a.same(b)), "{:?}", request);
            }
            prop_assert!(steps(&model.shadow, &target, Order::Kept).unwrap().is_empty());
        }
    }

    #[test]
    fn a_lost_order_is_restored(snapshot in generate::snapshot(), next in generate::snapshot(), requests in prop::collection::vec(generate::request(), 40)) {
        let mut model = Model::new();
        model.advance(&plan(&snapshot), Order::Kept, &[])?;
        model.router.sort();
        model.advance(&plan(&next), Order::Lost, &[])?;
        for request in &requests {
            if let Some(Stage::Native { .. }) | None = model.router.route(request) {
                let fresh = Router::of(&plan(&next));
                prop_assert_eq!(model.router.route(request), fresh.route(request));
                prop_assert!(model.router.route(request).is_some() || naive::decide(&next, request).is_none());
            }
        }
    }
}

#[test]
fn files_are_short_and_never_part_a_replacement() {
    let step = |glued| Step {
        item: Item::Cluster(crate::edge::plan::ClusterId::Hop),
        request: Wire::add_cluster(&crate::edge::plan::ClusterId::Hop, crate::model::Affinity::None),
        adds: true,
        glued,
        keys: Default::default(),
    };
    // Pairs of a removal and its addition, out of step with the limit.
    let all: Vec<Step> = (0..5 * load::MAX_RECORDS).map(|number| step(number > 0 && number % 2 == 0)).collect();
    let files = load::files(&all);
    assert_eq!(files.iter().map(|file| file.len()).sum::<usize>(), all.len());
    for file in files {
        assert!(file.len() <= load::MAX_RECORDS && !file[0].glued);
    }
}
