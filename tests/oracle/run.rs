//! What the tests over random sets share: which sets to ask, and the report of a mismatch.

use std::time::Duration;

use super::manifest::{self, Place};
use super::naive::decide;
use super::world::{Request, World};

/// Mismatches after which a run stops: enough to see a pattern.
pub const ENOUGH: usize = 3;
/// Time that shrinking one failure may take.
pub const SHRINK_TIME: Duration = Duration::from_secs(30);

/// Which sets to ask, from the environment.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub first: u64,
    pub sets: u64,
    pub requests: usize,
}

impl Plan {
    pub fn from_environment() -> Self {
        let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
        let plan = Self {
            first: number("KAKEHI_ORACLE_SEED").unwrap_or(1),
            sets: number("KAKEHI_ORACLE_SETS").unwrap_or(50),
            requests: number("KAKEHI_ORACLE_REQUESTS").unwrap_or(100) as usize,
        };
        println!("oracle: seeds {} to {}, {} requests each", plan.first, plan.first + plan.sets - 1, plan.requests);
        plan
    }

    pub fn seeds(self) -> impl Iterator<Item = u64> {
        self.first..self.first + self.sets
    }
}

/// One failure, with all that is needed to see it again.
pub fn report(seed: u64, world: &World, place: Place, request: &Request, found: &str) -> String {
    let permitted = decide(world, place.ports, request);
    format!(
        "KAKEHI_ORACLE_SEED={seed} KAKEHI_ORACLE_SETS=1\n{}request: {request:?}\noracle:  {permitted:?}\n{found}\n",
        brief(world, place)
    )
}

/// The Gateway and its routes as manifests, one in a line. (A Service `bN` has one endpoint, `idle` none, `nowhere` is not.)
pub fn brief(world: &World, place: Place) -> String {
    let objects = manifest::objects(world, place);
    let telling = objects.iter().filter(|object| object["kind"] == "Gateway" || object["kind"] == "HTTPRoute");
    telling.map(|object| format!("{object}\n")).collect()
}

/// Ends a test with the reports that it gathered.
pub fn conclude(reports: &[String]) {
    assert!(reports.is_empty(), "{} mismatches\n\n{}", reports.len(), reports.join("\n=======\n"));
}
