//! Whether the random cases are worth asking.

use super::generate::{BACKENDS, world};
use super::naive::{Verdict, decide, winner};
use super::requests::requests;
use super::world::Service;

#[test]
fn cases_repeat_and_reach_every_kind_of_outcome() {
    assert_eq!(format!("{:?}", world(7)), format!("{:?}", world(7)));
    assert_eq!(format!("{:?}", requests(&world(7), 7, 20)), format!("{:?}", requests(&world(7), 7, 20)));
    let (mut asked, mut hits, mut contested) = (0, 0, 0);
    let mut kinds = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let world = world(seed);
        for request in requests(&world, seed, 50) {
            asked += 1;
            if let Some(best) = winner(&world, &request) {
                hits += 1;
                let mut without = world.clone();
                without.routes.remove(best.0);
                contested += usize::from(winner(&without, &request).is_some());
            }
            for verdict in decide(&world, &[8080, 8081], &request) {
                kinds.insert(match verdict {
                    Verdict::Answer(status) => status,
                    Verdict::Redirect { status, .. } => status,
                    Verdict::Forward { .. } => 200,
                });
            }
        }
    }
    assert!(hits * 2 > asked, "only {hits} of {asked} requests meet a route");
    assert!(contested * 4 > asked, "only {contested} of {asked} requests meet several routes");
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), [200, 301, 302, 303, 307, 308, 404, 500, 503]);
}

#[test]
fn backends_are_never_shared_and_fit_the_pool() {
    for seed in 0..2000 {
        let world = world(seed);
        let mut seen = std::collections::BTreeSet::new();
        for backend in world.routes.iter().flat_map(|route| &route.rules).flat_map(|rule| &rule.backends) {
            if let Service::Live(number) = backend.service {
                assert!(number < BACKENDS && seen.insert(number), "seed {seed}");
            }
        }
        assert!(!world.listeners.is_empty() && !world.routes.is_empty());
    }
}
