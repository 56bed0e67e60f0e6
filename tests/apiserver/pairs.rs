//! A route that is deleted and made again in one breath, as tools do: how often the second is lost, and how long it waits.

use std::time::Duration;

use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two looks, or tries.
const LOOK: Duration = Duration::from_millis(2);

/// How the second is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By a create, tried again while the answer is 409.
    Create,
    /// By one server-side apply.
    Apply,
}

/// What became of pairs.
#[derive(Debug, Default)]
pub struct Counted {
    /// Pairs after which nothing was there.
    pub lost: usize,
    /// Answers to an apply that showed a deletion timestamp.
    pub shown: usize,
    /// Creates that were answered with 409.
    pub conflicts: usize,
    /// How long the first was there after its deletion was answered.
    pub waits: Vec<Duration>,
}

/// Deletes a route that edges serve and makes it again, so many times.
pub async fn count(api: &Api<DynamicObject>, route: &Value, way: Way, pairs: usize) -> Counted {
    let object: DynamicObject = serde_json::from_value(route.clone()).unwrap();
    let name = object.metadata.name.clone().unwrap();
    let (as_applied, forced) = (Patch::Apply(&object), PatchParams::apply("pairs").force());
    let apply = || api.patch(&name, &forced, &as_applied);
    let mut counted = Counted::default();
    for _ in 0..pairs {
        let first = apply().await.unwrap().metadata.uid;
        served(api, &name).await;
        api.delete(&name, &DeleteParams::default()).await.unwrap();
        let deleted = Instant::now();
        match way {
            Way::Create => {
                while let Err(error) = api.create(&PostParams::default(), &object).await {
                    assert!(is_conflict(&error) && deleted.elapsed() < PATIENCE, "{error}");
                    counted.conflicts += 1;
                    sleep(LOOK).await;
                }
                counted.waits.push(deleted.elapsed());
            }
            Way::Apply => {
                let answer = apply().await.unwrap();
                counted.shown += usize::from(answer.metadata.deletion_timestamp.is_some());
                while api.get_opt(&name).await.unwrap().is_some_and(|there| there.metadata.uid == first) {
                    assert!(deleted.elapsed() < PATIENCE, "{name} is not released");
                    sleep(LOOK).await;
                }
                counted.waits.push(deleted.elapsed());
            }
        }
        let left = api.get_opt(&name).await.unwrap();
        counted.lost += usize::from(left.is_none_or(|left| left.metadata.deletion_timestamp.is_some()));
    }
    counted
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

/// Waits until all its edges serve the route.
async fn served(api: &Api<DynamicObject>, name: &str) {
    let started = Instant::now();
    let is_served = |route: DynamicObject| {
        let parents = route.data["status"]["parents"].as_array().cloned().unwrap_or_default();
        let of_parents = parents.iter().flat_map(|parent| parent["conditions"].as_array().into_iter().flatten());
        let mut programmed = of_parents.filter(|condition| condition["type"].as_str().is_some_and(|name| name.ends_with("Programmed")));
        programmed.any(|condition| condition["status"] == "True")
    };
    while !api.get_opt(name).await.unwrap().is_some_and(is_served) {
        assert!(started.elapsed() < PATIENCE, "{name} is not served");
        sleep(LOOK).await;
    }
}
