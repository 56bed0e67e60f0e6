//! The directory source: manifests in a directory, read recursively, as if each had been sent to an API server.
//!
//! - Files `*.yaml`, `*.yml`, `*.json`; several documents, `List`s. Hidden names are skipped. Symbolic links are followed
//!   unless they lead to a place that is read anyway.
//! - Each object stands alone. A write that an API server would refuse is refused with a [`Refusal`] and what was there
//!   before stays; likewise for a file that cannot be read or parsed. Only a file that was closed, renamed or deleted
//!   changes anything, never one that is half-written.
//! - An object in two files: the first file by path counts.
//! - Namespaces that are used but not defined exist.
//! - Where age decides, a manifest's `creationTimestamp` counts; objects without one are older than those with one, and
//!   among themselves the older the earlier their file comes by path. A file's times never count.

mod admit;
mod catalog;
mod definitions;
mod judge;
mod lines;
mod located;
mod manifest;
mod places;
mod source;
#[cfg(test)]
mod tests;
mod tree;
mod watch;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use kube::runtime::reflector::Store;
use kube::runtime::watcher;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

pub use self::judge::field_of;
pub use self::located::Located;

use self::catalog::Outcome;
use self::definitions::Definitions;
use self::source::Source;
use self::watch::Watches;
use super::pump::{Pumped, Pumps};
use super::{Event, Refusal};
use crate::api::{Obj, Object};
use crate::model::ObjectId;

/// Where a directory is and what is read of it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The directory.
    pub path: PathBuf,
    /// Directory of CustomResourceDefinitions that apply to the manifests, read once. Those among the manifests come first.
    pub crds: Option<PathBuf>,
    /// Largest file that is read, in bytes.
    pub file_limit: u64,
}

impl Settings {
    /// Default limit: 8 MiB, over five times the largest object that an API server stores.
    pub const FILE_LIMIT: u64 = 8 << 20;

    /// The directory `path`, without CustomResourceDefinitions of its own, with the default limit.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), crds: None, file_limit: Self::FILE_LIMIT }
    }
}

/// Why a directory cannot serve as a source.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not there, or not a directory.
    #[error("{path}: {error}", path = path.display())]
    Unreadable {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A CustomResourceDefinition that was offered is unusable.
    #[error("{path}: {message}", path = path.display())]
    Definition {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// inotify cannot be used.
    #[error("cannot watch: {0}")]
    Watch(#[from] io::Error),
    /// Reading stopped half-way, which is a defect.
    #[error("reading the directory stopped: {0}")]
    Stopped(#[from] tokio::task::JoinError),
}

/// A directory, read once.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// All accepted objects, ordered by identity.
    pub objects: Vec<Object>,
    /// Everything that is wrong, sorted.
    pub refusals: Vec<Refusal>,
    /// Where each object is defined: file, relative to the directory, and line.
    pub places: BTreeMap<ObjectId, (String, usize)>,
}

/// A directory of manifests as a source.
pub struct Directory {
    settings: Settings,
    pumps: Pumps,
}

impl Directory {
    /// Opens it. It may appear later when it is watched.
    ///
    /// # Errors
    /// The working directory is needed to make the path absolute, and is gone.
    pub fn open(mut settings: Settings) -> Result<Self, Error> {
        settings.path = std::path::absolute(&settings.path)?;
        Ok(Self { settings, pumps: Pumps::default() })
    }

    /// The store of one kind, filled while the directory is watched.
    pub fn store<K: Pumped>(&self) -> Option<Store<Obj<K>>> {
        self.pumps.store()
    }

    fn definitions(&self) -> Result<Definitions, Error> {
        Definitions::offered(self.settings.crds.as_deref(), self.settings.file_limit)
    }

    /// Reads everything once.
    ///
    /// # Errors
    /// The path is no directory or cannot be listed, or an offered CustomResourceDefinition is unusable.
    pub fn load(&self) -> Result<Loaded, Error> {
        list(&self.settings.path)?;
        let mut source = Source::new(self.settings.clone(), self.definitions()?, None);
        source.refresh()?;
        let catalog = source.catalog();
        Ok(Loaded { objects: catalog.objects(), refusals: catalog.all_refusals(), places: catalog.places() })
    }

    /// Sends everything that is there, then [`Event::Synced`], then every change, until the receiver is gone.
    ///
    /// Each step reads what was written since the one before, and nothing else; it starts as soon as a file is closed.
    ///
    /// # Errors
    /// inotify cannot be used, or an offered CustomResourceDefinition is unusable.
    pub async fn watch(self, events: mpsc::Sender<Event>) -> Result<(), Error> {
        let watches = Watches::new()?;
        let readable = readable(&watches)?;
        let definitions = self.definitions()?;
        let mut step = Step { source: Source::new(self.settings, definitions, Some(watches)), pumps: self.pumps, synced: false };
        loop {
            let sent;
            (step, sent) = tokio::task::spawn_blocking(move || step.take()).await?;
            for event in sent? {
                if events.send(event).await.is_err() {
                    return Ok(());
                }
            }
            if step.source.is_pending() {
                continue;
            }
            tokio::select! {
                ready = readable.readable() => ready?.clear_ready(),
                () = events.closed() => return Ok(()),
            }
        }
    }
}

#[expect(deprecated, reason = "its successor is `unsafe`; an owned descriptor meets what it asks for")]
fn readable(watches: &Watches) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(watches.as_fd().try_clone_to_owned()?, Interest::READABLE)
}

fn list(path: &Path) -> Result<(), Error> {
    let unreadable = |error| Error::Unreadable { path: path.to_owned(), error };
    std::fs::read_dir(path).map(drop).map_err(unreadable)
}

struct Step {
    source: Source,
    pumps: Pumps,
    synced: bool,
}

impl Step {
    /// Looks at what happened and pumps what it changed.
    fn take(mut self) -> (Self, Result<Vec<Event>, io::Error>) {
        let events = match self.source.refresh() {
            Ok(outcome) => self.pump(outcome),
            Err(error) => return (self, Err(error)),
        };
        (self, Ok(events))
    }

    fn pump(&mut self, outcome: Outcome) -> Vec<Event> {
        let first = !std::mem::replace(&mut self.synced, true);
        let mut changes = Vec::new();
        if first {
            self.pumps.apply(watcher::Event::Init);
        }
        for event in outcome.events {
            changes.extend(self.pumps.apply(match event {
                watcher::Event::Apply(object) if first => watcher::Event::InitApply(object),
                event => event,
            }));
        }
        if first {
            changes = self.pumps.apply(watcher::Event::InitDone);
        }
        changes.sort_by(|a, b| a.id.cmp(&b.id));
        let mut events = Vec::new();
        if !changes.is_empty() {
            events.push(Event::Changes(changes));
        }
        events.extend(outcome.refusals.into_iter().map(|(file, refusals)| Event::Refusals { file, refusals }));
        if first {
            events.push(Event::Synced);
        }
        events
    }
}
