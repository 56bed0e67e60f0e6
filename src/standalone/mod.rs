//! Standalone mode: store, translator and statuses in one process, edges as its children. No cluster.

mod check;
mod claims;
mod edges;
mod meaning;
mod processes;
mod status_dir;
mod statuses;
mod telling;
mod view;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

pub use self::check::Problem;
pub use self::meaning::{Meaning, translate};

use self::edges::{EdgeCommand, Edges};
use self::status_dir::{StatusDir, StatusError};
use self::statuses::Statuses;
use self::view::StandaloneView;
use crate::api::GATEWAY_API;
use crate::controller::pipeline::{Outputs, Pipeline};
use crate::controller::view::WorldView;
use crate::controller::world::World;
use crate::edge::sozu::VERSION as SOZU;
use crate::edge::{Unusable, check_sozu, private_directory};
use crate::listen::listen;
use crate::observe::admin;
use crate::observe::metrics::Metrics;
use crate::settings::{DirectorySettings, LogSettings, SamePort, StandaloneSettings};
use crate::store::Severity;
use crate::store::directory::{self, Directory};
use crate::translate::{self as translation, Translator};

/// One process, one leader, one epoch.
const EPOCH: u64 = 1;
/// Events of the directory that may wait for the translator.
const EVENTS: usize = 1024;

/// Standalone mode cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The manifests.
    #[error(transparent)]
    Directory(#[from] directory::Error),
    /// A manifest is refused, and `--strict` demands that none is.
    #[error("{} is refused (--strict):{lines}", path.display())]
    Strict {
        /// The directory.
        path: PathBuf,
        /// What is refused, each on a line of its own.
        lines: String,
    },
    /// The sozu binary cannot be used.
    #[error(transparent)]
    Sozu(#[from] Unusable),
    /// The end was asked for before anything was served as the manifests say.
    #[error("it was never ready: {0}")]
    NeverReady(String),
    /// An edge cannot be started, and none has ever served.
    #[error("{0}")]
    Hopeless(String),
    /// The status directory.
    #[error("status directory {0}")]
    Status(#[from] StatusError),
    /// The status directory lies among the manifests, which would then be read as such.
    #[error("{0} lies inside the directory of manifests")]
    StatusAmongManifests(PathBuf),
    /// The admin port.
    #[error("admin port {address}: {source}")]
    Admin {
        /// Its address.
        address: std::net::SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file or directory of ours.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A status cannot be rendered as JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// The metrics registry.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    /// Ports of edges of IngressClasses.
    #[error(transparent)]
    Ports(#[from] SamePort),
}

/// Serves a directory of manifests until `stop` resolves. Edges log as `log` says.
///
/// # Errors
/// When it cannot start, or the directory cannot be watched any more.
pub async fn run(settings: StandaloneSettings, log: LogSettings, stop: impl Future<Output = &'static str>) -> Result<(), Error> {
    if settings.strict {
        refuse(&settings)?;
    }
    check_sozu(&settings.sozu).await?;
    let metrics = Metrics::new()?;
    let mut translation = translation_settings(&settings.directory)?;
    translation.ingress.claims = Some(claims::place());
    let translator = Translator::new(translation);
    let source = Directory::open(source_settings(&settings.config_dir, &settings.directory))?;
    let statuses = settings.status_dir.as_deref().map(|root| open_statuses(root, &settings.config_dir)).transpose()?;
    let address = settings.admin;
    let listener = listen(address).map_err(|source| Error::Admin { address, source })?;
    let runtime = Runtime::make(settings.runtime_dir.as_deref())?;
    let program = std::env::current_exe().map_err(|source| Error::File { path: "/proc/self/exe".into(), source })?;
    let options = settings.directory.plan_options();
    let own = (Duration::from_secs(settings.drain), settings.memory);
    let command =
        EdgeCommand { program, sozu: settings.sozu, runtime_dir: runtime.path.clone(), options, own, log, access_log: settings.access_log };

    // The port may have been left to the system to choose.
    let admin = listener.local_addr().unwrap_or(address);
    let directory = settings.config_dir.display();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), sozu = SOZU, gateway_api = GATEWAY_API, %directory, %admin, "Kakehi serves a directory");
    let claims = claims::Keeper::open(&runtime.path);
    let world = watch::Sender::new(World::default());
    let (wakes, woken) = mpsc::unbounded_channel();
    let writer = Statuses::new(world.subscribe(), settings.directory.controller_name.clone(), statuses, metrics.clone());
    let writing = tokio::spawn(writer.run(woken));
    let edges = Edges::new(command, metrics.clone());
    let hopeless = edges.hopeless();
    let view = WorldView { world: world.subscribe(), metrics: metrics.clone(), options, awaits_edges: true };
    let view = Arc::new(StandaloneView { world: view, edges: edges.pages() });
    metrics.leader.set(1);
    let serving = tokio::spawn(admin::serve(listener, view.clone(), metrics.clone()));
    let (_only, epoch) = watch::channel(EPOCH);
    let outputs = Outputs { world, wakes, metrics };
    let known = outputs.world.subscribe();
    let pipeline = Pipeline::new(translator, edges, epoch, outputs).asking(settings.directory.names.source());
    let (events, received) = mpsc::channel(EVENTS);
    if let Some(first) = claims.first() {
        // There is room: nothing else was sent yet.
        drop(events.send(first).await);
    }
    let claiming = tokio::spawn(claims.run(known, events.downgrade()));
    let mut ended = None;
    let stopped = async { ended = ends(stop, hopeless, &view).await };
    let (watched, ()) = tokio::join!(source.watch(events), pipeline.run(received, stopped));
    serving.abort();
    claiming.abort();
    if let Err(error) = writing.await {
        tracing::error!(%error, "the status task ended badly");
    }
    watched?;
    ended.map_or(Ok(()), Err)
}

/// Waits for the end: it is asked for, or no edge can ever run. Returns what failed.
async fn ends(
    stop: impl Future<Output = &'static str>,
    mut hopeless: watch::Receiver<Option<String>>,
    view: &StandaloneView,
) -> Option<Error> {
    tokio::select! {
        reason = stop => {
            tracing::info!(reason, "ending");
            view.never_ready().map(Error::NeverReady)
        }
        Ok(words) = hopeless.wait_for(Option::is_some) => words.clone().map(Error::Hopeless),
    }
}

/// Refuses a directory in which a manifest is refused or a file cannot be read.
fn refuse(settings: &StandaloneSettings) -> Result<(), Error> {
    let loaded = Directory::open(source_settings(&settings.config_dir, &settings.directory))?.load()?;
    let refused = loaded.refusals.iter().filter(|refusal| refusal.severity == Severity::Error);
    let lines: Vec<_> = refused.map(|refusal| format!("\n  {refusal}")).collect();
    if lines.is_empty() { Ok(()) } else { Err(Error::Strict { path: settings.config_dir.clone(), lines: lines.concat() }) }
}

fn source_settings(path: &Path, settings: &DirectorySettings) -> directory::Settings {
    directory::Settings { crds: settings.crds.clone(), ..directory::Settings::new(path) }
}

fn translation_settings(settings: &DirectorySettings) -> Result<translation::Settings, SamePort> {
    Ok(translation::Settings {
        controller_name: settings.controller_name.clone(),
        loopback_endpoints: true,
        external_names: settings.names.allow_external_names,
        default_address: Some(settings.address),
        shared_host: true,
        alone: true,
        own_pods: translation::OwnPods::default(),
        // No API server has written the default class into the manifests.
        ingress: settings.ingress.translation(true)?,
    })
}

fn open_statuses(root: &Path, manifests: &Path) -> Result<StatusDir, Error> {
    let directory = StatusDir::open(root)?;
    match (root.canonicalize(), manifests.canonicalize()) {
        (Ok(status), Ok(manifests)) if status.starts_with(&manifests) => Err(Error::StatusAmongManifests(status)),
        _ => Ok(directory),
    }
}

/// The private directory of this run, removed at the end when it was made here.
struct Runtime {
    path: PathBuf,
    made: bool,
}

impl Runtime {
    fn make(given: Option<&Path>) -> Result<Self, Error> {
        let made = given.is_none();
        let own = || std::env::temp_dir().join(format!("kakehi-{}", std::process::id()));
        let path = given.map_or_else(own, Path::to_owned);
        // A process that had our number and was killed has left it; what another user made there is refused below.
        if made && let Err(error) = std::fs::remove_dir_all(&path) {
            tracing::trace!(path = %path.display(), %error, "nothing left behind");
        }
        private_directory(&path).map_err(|source| Error::File { path: path.clone(), source })?;
        Ok(Self { path, made })
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if self.made
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the runtime directory");
        }
    }
}
