//! The plan against the meaning of the snapshot, on Sōzu's router as measured.

use proptest::prelude::*;

use super::native::{NativeRule, judge};
use super::{Options, Planner, Stage, Target};
use crate::edge::testing::generate;
use crate::edge::testing::naive::{self, Request};
use crate::edge::testing::router::Router;
use crate::model::BackendProtocol;
use crate::snapshot::{Key, Resource, Snapshot};

fn plan(snapshot: &Snapshot) -> Target {
    let mut planner = Planner::new(Options::default());
    planner.apply(&snapshot.as_delta());
    planner.target().clone()
}

/// The filter decides right by definition; what Sōzu decides alone must be the same.
fn agree(snapshot: &Snapshot, router: &Router, request: &Request) -> Result<(), TestCaseError> {
    let wanted = naive::decide(snapshot, request);
    match router.route(request) {
        Some(Stage::Hop(_)) => {}
        None => prop_assert!(wanted.is_none(), "Sōzu answers 404 to {request:?}, but {wanted:?} takes it"),
        Some(Stage::Native { backend, .. }) => {
            let protocol = |id: &_| match snapshot.get(&Key::Backend(Clone::clone(id))).map(|resource| &**resource) {
                Some(Resource::Backend(backend)) => backend.protocol,
                _ => BackendProtocol::Http,
            };
            let native: Option<NativeRule> = wanted.as_ref().and_then(|(_, rule)| judge(rule, protocol).ok());
            prop_assert_eq!(Some(backend), native.as_ref().map(|rule| &rule.backend), "{:?} belongs to {:?}", request, wanted);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_sozu_decides_alone_is_what_the_snapshot_means(
        snapshot in generate::snapshot(),
        requests in prop::collection::vec(generate::request(), 60),
    ) {
        let router = Router::of(&plan(&snapshot));
        for request in &requests {
            agree(&snapshot, &router, request)?;
        }
    }

    #[test]
    fn following_changes_equals_planning_from_scratch(snapshots in prop::collection::vec(generate::snapshot(), 1..5)) {
        let mut planner = Planner::new(Options::default());
        for snapshot in &snapshots {
            let delta = planner.snapshot().diff(snapshot);
            planner.apply(&delta);
            prop_assert_eq!(planner.target(), &plan(snapshot));
        }
    }

    #[test]
    fn forced_everything_goes_to_the_filter(snapshot in generate::snapshot(), requests in prop::collection::vec(generate::request(), 30)) {
        let mut planner = Planner::new(Options { force_hop: true, ..Options::default() });
        planner.apply(&snapshot.as_delta());
        let router = Router::of(planner.target());
        for request in &requests {
            match router.route(request) {
                None => prop_assert!(naive::decide(&snapshot, request).is_none()),
                Some(stage) => prop_assert!(matches!(stage, Stage::Hop(_))),
            }
        }
    }
}
