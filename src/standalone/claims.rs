//! Claims of hosts ([`crate::translate::ownership`]) in standalone mode: a file in the runtime directory, which translation sees
//! as the ConfigMaps that an operator would keep. No manifest can be one of these: they are in no namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;
use tokio::sync::{mpsc, watch};

use crate::api::{Change, Object};
use crate::controller::world::World;
use crate::model::Kind;
use crate::store::Event;
use crate::translate::ownership::{Claims, ClaimsPlace, Host};

/// Name of the file.
const FILE: &str = "host-claims.json";
/// Largest file that is read.
const LIMIT: u64 = 64 << 20;

/// Where translation finds the claims.
pub fn place() -> ClaimsPlace {
    ClaimsPlace { namespace: String::new(), prefix: "host-claims-".to_owned() }
}

/// Per namespace and class, lines of claims.
type Lines = BTreeMap<String, BTreeMap<String, String>>;

/// The claims of all namespaces, and their file.
pub struct Keeper {
    path: PathBuf,
    claims: BTreeMap<String, Claims>,
    /// The hosts that each namespace was to have when it was looked at last.
    settled: BTreeMap<String, Arc<BTreeSet<Host>>>,
    /// Why the file was not written last time.
    unwritten: bool,
}

impl Keeper {
    /// What the file in a directory holds. One that cannot be read counts as empty: age decides then.
    pub fn open(directory: &Path) -> Self {
        let path = directory.join(FILE);
        let lines = read(&path).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "cannot read the claims of hosts; hosts belong to the oldest Ingress that names them");
            Lines::new()
        });
        let claims = |data| Claims::read(&ConfigMap { data: Some(data), ..ConfigMap::default() });
        let claims = lines.into_iter().map(|(namespace, data)| (namespace, claims(data))).collect();
        Self { path, claims, settled: BTreeMap::new(), unwritten: false }
    }

    /// What translation is to know before anything else.
    pub fn first(&self) -> Option<Event> {
        let changes: Vec<_> = self.claims.iter().filter_map(|(claimant, claims)| change(claimant, claims)).collect();
        (!changes.is_empty()).then_some(Event::Changes(changes))
    }

    /// Keeps the claims as long as there is anybody to tell them.
    pub async fn run(mut self, mut world: watch::Receiver<World>, events: mpsc::WeakSender<Event>) {
        while world.changed().await.is_ok() {
            let known = world.borrow_and_update().clone();
            let changes = if known.published { self.settle(&known) } else { Vec::new() };
            if changes.is_empty() {
                continue;
            }
            self.write();
            // Held only while it sends: the directory's end is the end of all events.
            let Some(events) = events.upgrade() else { return };
            if events.send(Event::Changes(changes)).await.is_err() {
                return;
            }
        }
    }

    fn settle(&mut self, world: &World) -> Vec<Change> {
        let claimants: BTreeSet<_> = self.claims.keys().chain(world.claims.keys()).cloned().collect();
        let mut changes = Vec::new();
        for claimant in claimants {
            let hosts = world.claims.get(&claimant).cloned().unwrap_or_default();
            let settled = self.settled.insert(claimant.clone(), hosts.clone());
            if settled.is_some_and(|settled| Arc::ptr_eq(&settled, &hosts)) {
                continue;
            }
            let before = self.claims.remove(&claimant).unwrap_or_default();
            let kept = before.kept(&hosts, now());
            if kept != before {
                changes.extend(change(&claimant, &kept));
            }
            if kept.0.is_empty() {
                self.settled.remove(&claimant);
            } else {
                self.claims.insert(claimant, kept);
            }
        }
        changes
    }

    fn write(&mut self) {
        let lines: Lines = self.claims.iter().map(|(claimant, claims)| (claimant.clone(), claims.data())).collect();
        let written = replace(&self.path, &json!(lines).to_string());
        if let (Err(error), false) = (&written, self.unwritten) {
            let path = self.path.display();
            tracing::warn!(%path, %error, "cannot write the claims of hosts; after a restart hosts belong to the oldest Ingress that names them");
        }
        self.unwritten = written.is_err();
    }
}

fn read(path: &Path) -> io::Result<Lines> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Lines::new()),
        found => {
            if found?.len() > LIMIT {
                return Err(io::Error::other("larger than 64 MiB"));
            }
        }
    }
    serde_json::from_str(&std::fs::read_to_string(path)?).map_err(io::Error::other)
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, path)
}

/// The ConfigMap that an operator would keep, or that there is none.
fn change(claimant: &str, claims: &Claims) -> Option<Change> {
    let name = place().name(claimant);
    let value = json!({"metadata": {"name": name, "namespace": ""}, "data": claims.data()});
    let object = Object::from_value(Kind::ConfigMap, value).ok()?;
    Some(Change { id: object.id(), old: None, new: (!claims.0.is_empty()).then_some(object) })
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs().cast_signed()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::{FILE, Keeper};
    use crate::controller::world::World;
    use crate::model::{EdgeId, Hostname};

    fn world(of: &[(&str, &str)]) -> World {
        let mut world = World::default();
        for (namespace, host) in of {
            let hosts: BTreeSet<_> = [(EdgeId::of_class("web"), Hostname::parse_ingress(host).unwrap())].into();
            world.claims.insert((*namespace).to_owned(), Arc::new(hosts));
        }
        world
    }

    fn told(keeper: &Keeper) -> usize {
        keeper.first().map_or(0, |event| if let crate::store::Event::Changes(changes) = event { changes.len() } else { 0 })
    }

    #[test]
    fn claims_outlast_the_process_and_end_with_their_hosts() {
        let directory = tempfile::tempdir().unwrap();
        let mut keeper = Keeper::open(directory.path());
        assert_eq!(told(&keeper), 0);
        let first = world(&[("a", "a.x.io"), ("b", "*.x.io")]);
        assert_eq!(keeper.settle(&first).len(), 2);
        keeper.write();
        assert!(keeper.settle(&first).is_empty(), "nothing is new");
        let mut again = Keeper::open(directory.path());
        assert_eq!((told(&again), &again.claims), (2, &keeper.claims));
        let changes = again.settle(&world(&[("a", "a.x.io")]));
        assert!(changes.len() == 1 && changes[0].new.is_none(), "{changes:?}");
        again.write();
        assert_eq!(told(&Keeper::open(directory.path())), 1);
    }

    #[test]
    fn without_a_readable_file_age_decides() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE), "{").unwrap();
        assert_eq!(told(&Keeper::open(directory.path())), 0);
        let mut keeper = Keeper::open(&directory.path().join("missing"));
        assert_eq!(keeper.settle(&world(&[("a", "a.x.io")])).len(), 1);
        keeper.write();
        assert!(keeper.unwritten);
    }
}
