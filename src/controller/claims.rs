//! Claims of hosts ([`crate::translate::ownership`]): what the leader keeps of them in ConfigMaps of the operator's namespace,
//! one for each namespace that has hosts on edges of IngressClasses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use kube::{Client, Error as KubeError};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::complaints::Complaints;
use super::world::World;
use super::writer::{WriteError, variant};
use crate::api::Object;
use crate::leader::Leadership;
use crate::model::{Kind, ObjectId};
use crate::store::cluster::{State, States};
use crate::translate::ownership::{Claims, ClaimsPlace, Host};

/// What writes of claims are called among the kinds that are written.
const KIND: &str = "HostClaims";
/// Between two rounds of writes: changes gather meanwhile, so that one ConfigMap is written a few times a second at most.
const PAUSE: Duration = Duration::from_millis(250);
/// After a round in which something could not be written.
const RETRY: Duration = Duration::from_secs(5);
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Keeps the claims while this process leads.
pub struct Keeper {
    maps: Api<ConfigMap>,
    place: ClaimsPlace,
    leadership: Leadership,
    states: watch::Receiver<States>,
    complaints: Complaints,
    /// What was compared last and needed no write: the hosts that a namespace is to have, and the version of its ConfigMap.
    settled: BTreeMap<String, (Arc<BTreeSet<Host>>, Option<String>)>,
}

/// A ConfigMap as it is and as it is to be.
struct Task {
    claimant: String,
    object: Option<Object>,
    wanted: Claims,
}

impl Keeper {
    /// A keeper that writes as the holder of the Lease.
    pub fn new(
        client: Client,
        place: ClaimsPlace,
        leadership: Leadership,
        (states, complaints): (watch::Receiver<States>, Complaints),
    ) -> Self {
        let maps = Api::namespaced(client, &place.namespace);
        Self { maps, place, leadership, states, complaints, settled: BTreeMap::new() }
    }

    /// Keeps them from the moment on at which this process leads.
    pub async fn run(mut self, mut world: watch::Receiver<World>, mut epoch: watch::Receiver<u64>) {
        if epoch.wait_for(|epoch| *epoch > 0).await.is_err() {
            return;
        }
        loop {
            let known = world.borrow_and_update().clone();
            let mut failed = false;
            for task in self.tasks(&known) {
                failed |= self.settle(task).await;
            }
            sleep(if failed { RETRY } else { PAUSE }).await;
            if !failed && world.changed().await.is_err() {
                return;
            }
        }
    }

    /// Writes what one ConfigMap is to be; whether that failed.
    async fn settle(&self, task: Task) -> bool {
        let Err(error) = self.write(&task).await else { return false };
        if self.complaints.count(KIND, error.variant()).await {
            tracing::warn!(namespace = task.claimant, %error, "cannot write claims of hosts; others that fail so are counted");
        }
        // The watch brings what was written in between.
        !matches!(&error, WriteError::Api(error) if ["conflict", "gone"].contains(&variant(error)))
    }

    /// The ConfigMaps that are not as they are to be.
    fn tasks(&mut self, world: &World) -> Vec<Task> {
        let first = ObjectId::new(Kind::ConfigMap, &self.place.namespace, &self.place.prefix);
        let maps = world.objects.range(first..).map_while(|(id, object)| {
            let claimant = self.place.claimant(&id.namespace, &id.name).filter(|_| id.kind == Kind::ConfigMap)?;
            Some((claimant.to_owned(), object.clone()))
        });
        let mut all: BTreeMap<String, Option<Object>> = maps.map(|(claimant, object)| (claimant, Some(object))).collect();
        for claimant in world.claims.keys() {
            all.entry(claimant.clone()).or_default();
        }
        self.settled.retain(|claimant, _| all.contains_key(claimant));
        let releases = self.releases(world);
        let mut tasks = Vec::new();
        for (claimant, object) in all {
            let hosts = world.claims.get(&claimant).cloned().unwrap_or_default();
            let version = object.as_ref().and_then(|object| object.metadata().resource_version.clone());
            let same = |(before, seen): &(Arc<BTreeSet<Host>>, Option<String>)| Arc::ptr_eq(before, &hosts) && *seen == version;
            if self.settled.get(&claimant).is_some_and(same) {
                continue;
            }
            let before = object.as_ref().map(claims_of).unwrap_or_default();
            let wanted = before.kept(&hosts, now());
            let wanted = if releases { wanted } else { Claims(before.0.clone().into_iter().chain(wanted.0).collect()) };
            if wanted == before && (object.is_none() || !before.0.is_empty()) {
                if releases {
                    self.settled.insert(claimant, (hosts, version));
                }
                continue;
            }
            tasks.push(Task { claimant, object, wanted });
        }
        tasks
    }

    /// Whether hosts that no Ingress names may be released. What cannot be read may be there.
    fn releases(&self, world: &World) -> bool {
        let states = self.states.borrow();
        let known = |kind| states.get(&kind).is_some_and(|watched| watched.state == State::Synced);
        world.fresh && [Kind::Ingress, Kind::IngressClass, Kind::ConfigMap].into_iter().all(known)
    }

    async fn write(&self, Task { claimant, object, wanted }: &Task) -> Result<(), WriteError> {
        let name = self.place.name(claimant);
        self.leadership.check()?;
        match object {
            None => {
                let labels = BTreeMap::from([("app.kubernetes.io/managed-by".to_owned(), "kakehi".to_owned())]);
                let metadata = ObjectMeta { name: Some(name), labels: Some(labels), ..ObjectMeta::default() };
                let map = ConfigMap { metadata, data: Some(wanted.data()), ..ConfigMap::default() };
                answer(self.maps.create(&PostParams::default(), &map)).await
            }
            Some(object) if wanted.0.is_empty() => {
                let metadata = object.metadata();
                let preconditions = Preconditions { resource_version: metadata.resource_version.clone(), uid: metadata.uid.clone() };
                answer(self.maps.delete(&name, &DeleteParams::default().preconditions(preconditions))).await
            }
            Some(object) => {
                let version = object.metadata().resource_version.clone().unwrap_or_default();
                let operations = serde_json::json!([
                    {"op": "add", "path": "/metadata/resourceVersion", "value": version},
                    {"op": "add", "path": "/data", "value": wanted.data()},
                ]);
                let patch = Patch::Json::<()>(serde_json::from_value(operations)?);
                answer(self.maps.patch(&name, &PatchParams::default(), &patch)).await
            }
        }
    }
}

async fn answer<T>(write: impl Future<Output = Result<T, KubeError>>) -> Result<(), WriteError> {
    Ok(timeout(PATIENCE, write).await.map_err(|_| WriteError::TimedOut)?.map(drop)?)
}

/// The claims that a ConfigMap holds.
fn claims_of(object: &Object) -> Claims {
    match object {
        Object::ConfigMap(map) => map.ok().map(Claims::read).unwrap_or_default(),
        _ => Claims::default(),
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs().cast_signed()).unwrap_or_default()
}
