//! The directory as it stands: looking at what happened, reading, judging.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Settings;
use super::catalog::{Catalog, Outcome, TOP_ENTRY};
use super::definitions::Definitions;
use super::judge::{Text, judge_all};
use super::manifest::Format;
use super::places::{self, Places, TOP};
use super::tree::{self, Resolved};
use super::watch::{Happened, Watches, What};

/// A directory of manifests. Paths called *names* are relative to it, with `/` between their parts.
pub struct Source {
    settings: Settings,
    catalog: Catalog,
    definitions: Definitions,
    places: Places,
    /// Files that somebody is writing, without links.
    writing: HashSet<PathBuf>,
    /// Names to look at again.
    pending: BTreeSet<String>,
    /// Files read and not judged yet.
    unjudged: BTreeMap<String, Text>,
}

impl Source {
    /// A directory that has not been looked at.
    pub fn new(settings: Settings, definitions: Definitions, watches: Option<Watches>) -> Self {
        let pending = BTreeSet::from([TOP.to_owned()]);
        let (catalog, places) = (Catalog::default(), Places::new(watches));
        Self { settings, catalog, definitions, places, writing: HashSet::new(), pending, unjudged: BTreeMap::new() }
    }

    /// What the files say together.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Looks at everything that happened since the last call; the first time, at everything.
    ///
    /// # Errors
    /// The watches cannot be read.
    pub fn refresh(&mut self) -> io::Result<Outcome> {
        self.notice()?;
        for name in std::mem::take(&mut self.pending) {
            self.look(&name);
            self.notice()?;
        }
        self.judge();
        Ok(self.catalog.settle())
    }

    /// Whether [`Source::refresh`] left something to look at.
    pub fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    fn notice(&mut self) -> io::Result<()> {
        for event in self.places.happened()? {
            match event {
                Happened::Overflow => {
                    self.writing.clear();
                    self.pending.insert(TOP.to_owned());
                }
                Happened::Name { directory, name, what } => self.note(&directory, &name, what),
            }
        }
        Ok(())
    }

    fn note(&mut self, directory: &Path, last: &OsStr, what: What) {
        let path = directory.join(last);
        match what {
            What::Writing => {
                self.writing.insert(path);
                return;
            }
            What::Settled => drop(self.writing.remove(&path)),
            // A new file is looked at when it is closed, unless it was complete from the start: a link.
            What::Created => match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_file() && metadata.nlink() == 1 => return,
                _ => {}
            },
            What::Attributes => {}
        }
        let mut names = self.places.concerned(directory, last);
        if what == What::Attributes {
            names.retain(|name| self.catalog.failed(name));
        }
        self.pending.extend(names);
    }

    /// Looks at `name` and everything below it.
    fn look(&mut self, name: &str) {
        let mut seen = BTreeSet::new();
        if name == TOP {
            self.explore_top(&mut seen);
        } else {
            let (parent, last) = name.rsplit_once('/').unwrap_or((TOP, name));
            let Some(parent) = self.places.get(parent).filter(|found| found.what == places::What::Directory) else { return };
            let parent = parent.resolved.target.clone();
            self.explore(name, &parent, Path::new(last), &mut seen);
        }
        for gone in self.places.at_and_below(name).into_iter().filter(|name| !seen.contains(name)) {
            self.forget(&gone);
        }
    }

    /// The top is looked at by its whole path. While it is missing, everything stays as it was.
    fn explore_top(&mut self, seen: &mut BTreeSet<String>) {
        let path = self.settings.path.clone();
        self.explore(TOP, Path::new("/"), &path, seen);
        if !seen.contains(TOP) {
            if let Ok(resolved) = tree::resolve(Path::new("/"), &path) {
                self.record(TOP, resolved, places::What::Directory);
            }
            let held = !self.catalog.is_empty();
            self.keep(TOP, if held { "is not there; what it held last stays in force" } else { "is not there" }, seen);
        }
    }

    fn explore(&mut self, name: &str, parent: &Path, last: &Path, seen: &mut BTreeSet<String>) {
        let resolved = match tree::resolve(parent, last) {
            Ok(resolved) => resolved,
            Err(error) => return self.keep(name, &format!("cannot be read: {error}"), seen),
        };
        let is_manifest = name.rsplit('/').next().is_some_and(|last| Format::of(last).is_some());
        let is_link = !resolved.links.is_empty() && name != TOP;
        match fs::metadata(&resolved.target) {
            Ok(_) if is_link && self.is_read_elsewhere(name, &resolved) => self.explore_link(name, resolved, seen),
            Ok(metadata) if metadata.is_dir() => self.explore_directory(name, resolved, seen),
            Ok(metadata) if metadata.is_file() && is_manifest => self.explore_file(name, resolved, seen),
            // What leads nowhere may lead somewhere later.
            Err(_) if is_link && is_manifest => self.explore_file(name, resolved, seen),
            _ if is_link => self.explore_link(name, resolved, seen),
            _ => {}
        }
    }

    /// A link to a place in the directory that is read in its own right, or to a directory that holds the link.
    fn is_read_elsewhere(&self, name: &str, resolved: &Resolved) -> bool {
        let target = resolved.target.as_path();
        let is_read = target.is_dir() || target.file_name().and_then(OsStr::to_str).and_then(Format::of).is_some();
        let is_below = self.places.get(TOP).is_some_and(|top| tree::visible_below(&top.resolved.target, target));
        let above = |at: usize| name.get(..at).and_then(|name| self.places.get(name));
        let holds_itself = name.match_indices('/').filter_map(|(at, _)| above(at)).any(|above| above.resolved.target == target);
        (is_read && is_below) || holds_itself
    }

    fn explore_directory(&mut self, name: &str, resolved: Resolved, seen: &mut BTreeSet<String>) {
        let path = resolved.target.clone();
        seen.insert(name.to_owned());
        self.unread(name);
        self.catalog.remove(&entry(name));
        self.record(name, resolved, places::What::Directory);
        match tree::list(&path) {
            Ok(listing) => {
                if !listing.odd.is_empty() {
                    let message = format!("holds names that are no UTF-8, which are not read: {}", listing.odd.join(", "));
                    self.catalog.put(&entry(name), Err(message));
                }
                for child in listing.names {
                    self.explore(&tree::join(name, &child), &path, Path::new(&child), seen);
                }
            }
            Err(error) => self.keep(name, &format!("cannot be read: {error}"), seen),
        }
    }

    fn explore_file(&mut self, name: &str, resolved: Resolved, seen: &mut BTreeSet<String>) {
        let path = resolved.target.clone();
        seen.insert(name.to_owned());
        self.catalog.remove(&entry(name));
        self.record(name, resolved, places::What::File);
        self.read(name, &path);
    }

    fn explore_link(&mut self, name: &str, resolved: Resolved, seen: &mut BTreeSet<String>) {
        seen.insert(name.to_owned());
        self.unread(name);
        self.catalog.remove(&entry(name));
        self.record(name, resolved, places::What::Link);
    }

    fn record(&mut self, name: &str, resolved: Resolved, what: places::What) {
        let recorded = self.places.record(name, resolved, what);
        if !recorded.is_current {
            self.pending.insert(name.to_owned());
        }
        if let Some(error) = recorded.unwatched {
            self.catalog.put(&entry(name), Err(format!("changes go unnoticed: {error} (the limit is fs.inotify.max_user_watches)")));
        }
    }

    /// What was found at and below `name` stays; the directory is reported.
    fn keep(&mut self, name: &str, message: &str, seen: &mut BTreeSet<String>) {
        seen.extend(self.places.at_and_below(name));
        self.catalog.put(&entry(name), Err(message.to_owned()));
    }

    fn forget(&mut self, name: &str) {
        self.places.release(name);
        self.unread(name);
        self.catalog.remove(&entry(name));
    }

    /// No file of this name counts any more.
    fn unread(&mut self, name: &str) {
        self.unjudged.remove(name);
        self.definitions.remove(name);
        self.catalog.remove(name);
    }

    /// Reads a file, unless it is being written: then it is looked at when its writer is done.
    fn read(&mut self, name: &str, path: &Path) {
        if self.writing.contains(path) {
            return;
        }
        let text = tree::read(path, self.settings.file_limit);
        if self.notice().is_ok() && !self.writing.contains(path) {
            self.unjudged.insert(name.to_owned(), text);
        }
    }

    /// Judges what was read; everything, when the definitions in force changed.
    fn judge(&mut self) {
        for (name, text) in &self.unjudged {
            if let (Ok(text), Some(format)) = (text, name.rsplit('/').next().and_then(Format::of)) {
                self.definitions.put(name, format, text);
            }
        }
        if self.definitions.settle() {
            for (name, path) in self.places.files() {
                if !self.unjudged.contains_key(&name) {
                    self.read(&name, &path);
                }
            }
        }
        let unjudged = std::mem::take(&mut self.unjudged).into_iter().collect();
        for (name, reading) in judge_all(&self.definitions, &self.catalog, unjudged) {
            self.catalog.put(&name, reading);
        }
    }
}

/// How the catalog calls what is wrong with a directory itself.
fn entry(directory: &str) -> String {
    if directory == TOP { TOP_ENTRY.to_owned() } else { format!("{directory}/") }
}

#[cfg(test)]
mod tests;
