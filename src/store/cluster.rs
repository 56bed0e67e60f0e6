//! The API server source: one watch per kind, through the same pumps as a directory.
//!
//! - A kind whose CustomResourceDefinition is absent is [`State::NotServed`]: known to be empty, and picked up when it is
//!   installed. Which version is watched is decided by what is served and what the table of kinds accepts.
//! - A kind that may not be read is [`State::Forbidden`]: empty, and tried again.
//! - Every watch stands alone: an error, a refusal or a silence of one holds no other back.
//! - A watch is begun anew before it can have been silent for long, and a connection on which nothing is heard is given up:
//!   see [`connect`].
//! - Of what is kept nothing is kept twice: no `managedFields`, no last-applied annotation, no Helm releases.
//! - Of Secrets only those are read that translation looks up ([`Cluster::wants`]), and of those only the keys of [`USES`].

mod discovery;
mod kind;
mod merge;
mod secrets;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use imbl::OrdMap;
use kube::runtime::reflector::Store;
use kube::runtime::watcher;
use kube::{Client, Config};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use self::discovery::Discovery;
pub use self::discovery::served;
use self::kind::Watch;
pub use self::kind::{VARIANTS, variant};
use self::secrets::Secrets;
pub use self::secrets::{USES, Wants};
use super::Event;
use super::kinds::{Origin, table};
use super::pump::{Pumped, Pumps};
use crate::api::Obj;
use crate::api::bundle::Bundle;
use crate::model::Kind;

/// How long a watch lasts, in seconds: the API server ends it then, and it goes on where it left off. So every connection on
/// which something is awaited speaks at least this often.
const WATCH: u32 = 30;
/// How long nothing may be heard on a connection to the API server. Longer than [`WATCH`], and than admission may take (30 s).
/// Nobody says that a peer is gone when a node or a link on the way dies, and kube alone would wait for 295 s.
const SILENCE: Duration = Duration::from_secs(45);
/// Lists of whole kinds that are on their way at the same time.
const LISTS: usize = 4;
/// How long a list may keep others waiting.
const LIST_TURN: Duration = Duration::from_secs(5);

/// The namespaces that are watched; none: all. Objects without a namespace are watched in any case.
pub type Namespaces = Option<Arc<BTreeSet<String>>>;

/// How it stands with one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Not known yet.
    #[default]
    Starting,
    /// Its objects are known, and so will be what happens to them.
    Synced,
    /// The API server does not serve it.
    NotServed,
    /// It may not be read.
    Forbidden,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Starting, Self::Synced, Self::NotServed, Self::Forbidden];

    /// Its name, for people and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Synced => "synced",
            Self::NotServed => "not-served",
            Self::Forbidden => "forbidden",
        }
    }
}

/// How it stands with the watch of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// What is known.
    pub state: State,
    /// The version that is watched; empty while there is none.
    pub version: &'static str,
    /// It was listed after [`Cluster::freshness`] was asked for.
    pub fresh: bool,
    /// Failures so far, by what failed.
    pub errors: OrdMap<&'static str, u64>,
}

/// How it stands with every kind.
pub type States = OrdMap<Kind, Watched>;

/// A client of the API server of the cluster that this process runs in, or that the kubeconfig names. It gives up
/// connections that have fallen silent.
///
/// # Errors
/// When no API server is known, or what is known of it makes no sense.
pub async fn connect() -> Result<Client, kube::Error> {
    let mut config = Config::infer().await.map_err(kube::Error::InferConfig)?;
    config.read_timeout = Some(SILENCE);
    Client::try_from(config)
}

/// The URL of the API server that [`connect`] leads to, where one is known.
pub async fn api_server() -> Option<String> {
    Some(Config::infer().await.ok()?.cluster_url.to_string())
}

/// How objects are watched.
pub fn watching() -> watcher::Config {
    watcher::Config::default().timeout(WATCH)
}

/// An API server as a source.
pub struct Cluster {
    client: Client,
    watching: watcher::Config,
    namespaces: Namespaces,
    pumps: Pumps,
    states: watch::Sender<States>,
    /// Everything is to be listed anew.
    renew: watch::Sender<bool>,
    bundle: watch::Sender<Option<Bundle>>,
    wants: Wants,
}

impl Cluster {
    /// The API server that a client leads to.
    pub fn new(client: Client) -> Self {
        Self::watched(client, watching())
    }

    /// The same, watched in another way.
    pub fn watched(client: Client, watching: watcher::Config) -> Self {
        let states = table().map(|row| (row.kind, Watched::default())).collect();
        Self {
            client,
            watching,
            namespaces: None,
            pumps: Pumps::default(),
            states: watch::Sender::new(states),
            renew: watch::Sender::new(false),
            bundle: watch::Sender::new(None),
            wants: Wants::default(),
        }
    }

    /// The same, in these namespaces only.
    #[must_use]
    pub fn within(self, namespaces: Namespaces) -> Self {
        Self { namespaces, ..self }
    }

    /// The store of one kind, filled while the server is watched.
    pub fn store<K: Pumped>(&self) -> Option<Store<Obj<K>>> {
        self.pumps.store()
    }

    /// How it stands with every kind, now and later.
    pub fn states(&self) -> watch::Receiver<States> {
        self.states.subscribe()
    }

    /// Which Gateway API is installed, now and later; none when none is, or that is not known.
    pub fn bundle(&self) -> watch::Receiver<Option<Bundle>> {
        self.bundle.subscribe()
    }

    /// Where it is said which Secrets are looked up; of others nothing is told.
    pub fn wants(&self) -> Wants {
        self.wants.clone()
    }

    /// Set to true, has every kind listed once more, and [`Event::Fresh`] sent then: a watch says of itself only that it has
    /// seen something, never that there is nothing newer; a list that began now does.
    pub fn freshness(&self) -> watch::Sender<bool> {
        self.renew.clone()
    }

    /// Sends everything that is there, then [`Event::Synced`], then every change, until the receiver is gone.
    pub async fn watch(self, events: mpsc::Sender<Event>) {
        let (discovery, served) = Discovery::new(self.client.clone());
        let lists = Arc::new(Semaphore::new(LISTS));
        let mut tasks = JoinSet::new();
        for (kind, pump) in self.pumps {
            let row = super::kinds::row(kind);
            let watch = Watch {
                row,
                pump,
                client: self.client.clone(),
                config: self.watching.clone(),
                namespaces: self.namespaces.clone(),
                secrets: (kind == Kind::Secret).then(|| Secrets::new(self.client.clone(), &self.wants)),
                served: (row.origin == Origin::Crd).then(|| served.subscribe()),
                lists: lists.clone(),
                states: self.states.clone(),
                renew: self.renew.subscribe(),
                events: events.clone(),
                reported: State::Starting,
                denied: false,
                answered: 0,
            };
            tasks.spawn(watch.run());
        }
        tasks.spawn(discovery.run(served, self.bundle.clone()));
        let mut states = self.states.subscribe();
        let known = states.wait_for(|states| states.values().all(|watched| watched.state != State::Starting)).await.is_ok();
        if !known || events.send(Event::Synced).await.is_err() {
            return;
        }
        let is_fresh = |watched: &Watched| watched.fresh || matches!(watched.state, State::NotServed | State::Forbidden);
        let fresh = async { states.wait_for(|states| states.values().all(is_fresh)).await.is_ok() };
        let known = tokio::select! {
            fresh = fresh => fresh,
            () = events.closed() => false,
        };
        if !known || events.send(Event::Fresh).await.is_err() {
            return;
        }
        events.closed().await;
    }
}
