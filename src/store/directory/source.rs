//! The directory as it stands: its files, the links that lead to them, and what they say.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Settings;
use super::admit::admit;
use super::catalog::{Catalog, Document, Outcome};
use super::manifest::{self, Format};
use super::tree::{self, Resolved};
use super::watch::{Happened, Watches, What};

/// The top of the directory, as a path relative to it.
const TOP: &str = "";

/// A directory of manifests. Paths called *names* are relative to it, with `/` between their parts.
pub struct Source {
    settings: Settings,
    catalog: Catalog,
    /// Files and directories that were found, by name.
    found: BTreeMap<String, Found>,
    /// Directories as read, without links, with the names under which they were found.
    directories: HashMap<PathBuf, BTreeSet<String>>,
    /// Names that are reached through a path elsewhere: by its directory and its last part.
    dependents: HashMap<PathBuf, HashMap<OsString, BTreeSet<String>>>,
    watches: Option<Watches>,
    /// Files that somebody is writing, without links.
    writing: HashSet<PathBuf>,
    /// Names to look at again.
    pending: BTreeSet<String>,
}

struct Found {
    resolved: Resolved,
    is_directory: bool,
    /// Paths elsewhere on which it depends, as directory and last part.
    anchors: Vec<(PathBuf, OsString)>,
}

impl Source {
    /// A directory that has not been looked at.
    pub fn new(settings: Settings, watches: Option<Watches>) -> Self {
        let pending = BTreeSet::from([TOP.to_owned()]);
        let (found, directories, dependents) = Default::default();
        Self { settings, catalog: Catalog::default(), found, directories, dependents, watches, writing: HashSet::new(), pending }
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
        Ok(self.catalog.settle())
    }

    /// Whether [`Source::refresh`] left something to look at.
    pub fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    fn notice(&mut self) -> io::Result<()> {
        let happened = match &mut self.watches {
            Some(watches) => watches.read()?,
            None => Vec::new(),
        };
        for event in happened {
            match event {
                Happened::Overflow => {
                    self.writing.clear();
                    self.pending.insert(TOP.to_owned());
                }
                Happened::Name { directory, name, what } => self.note(&directory, name, what),
            }
        }
        Ok(())
    }

    fn note(&mut self, directory: &Path, name: OsString, what: What) {
        let path = directory.join(&name);
        match what {
            What::Writing => {
                self.writing.insert(path);
                return;
            }
            What::Settled => drop(self.writing.remove(&path)),
            // A new file is looked at when it is closed, unless it was complete from the start.
            What::Created => match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_file() && metadata.nlink() == 1 => return,
                _ => {}
            },
            What::Attributes => {}
        }
        let mut names: BTreeSet<String> = self.dependents.get(directory).and_then(|names| names.get(&name)).cloned().unwrap_or_default();
        if let (Some(name), Some(prefixes)) = (name.to_str().filter(|name| !name.starts_with('.')), self.directories.get(directory)) {
            names.extend(prefixes.iter().map(|prefix| tree::join(prefix, name)));
        }
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
            let Some(parent) = self.found.get(parent).filter(|found| found.is_directory) else { return };
            let parent = parent.resolved.target.clone();
            self.explore(name, &parent, Path::new(last), &mut seen);
        }
        for gone in self.at_and_below(name).into_iter().filter(|name| !seen.contains(name)) {
            self.forget(&gone);
        }
    }

    fn at_and_below(&self, name: &str) -> Vec<String> {
        if name == TOP {
            return self.found.keys().cloned().collect();
        }
        let below = format!("{name}/");
        let rest = self.found.range(below.clone()..).map(|(name, _)| name).take_while(|name| name.starts_with(&below));
        self.found.get_key_value(name).map(|(name, _)| name).into_iter().chain(rest).cloned().collect()
    }

    /// The top is looked at by its whole path. While it is missing, everything stays as it was.
    fn explore_top(&mut self, seen: &mut BTreeSet<String>) {
        let path = self.settings.path.clone();
        self.explore(TOP, Path::new("/"), &path, seen);
        if !seen.contains(TOP) {
            seen.extend(self.found.keys().cloned());
            let message = format!("{} does not exist; what it held last stays in place", path.display());
            self.catalog.put(&directory_entry(TOP), Err(message));
            if let Ok(resolved) = tree::resolve(Path::new("/"), &path) {
                self.record(TOP, resolved, true);
                seen.insert(TOP.to_owned());
            }
        }
    }

    fn explore(&mut self, name: &str, parent: &Path, last: &Path, seen: &mut BTreeSet<String>) {
        let resolved = match tree::resolve(parent, last) {
            Ok(resolved) => resolved,
            Err(error) => {
                self.keep(name, &format!("cannot be read: {error}"), seen);
                return;
            }
        };
        let is_manifest = name.rsplit('/').next().is_some_and(|last| Format::of(last).is_some());
        match fs::metadata(&resolved.target) {
            Ok(_) if self.is_read_elsewhere(name, &resolved) => {}
            Ok(metadata) if metadata.is_dir() => self.explore_directory(name, resolved, seen),
            Ok(metadata) if metadata.is_file() && is_manifest => self.explore_file(name, resolved, seen),
            Ok(_) => {}
            Err(_) if !resolved.links.is_empty() && is_manifest => self.explore_file(name, resolved, seen),
            Err(_) => {}
        }
    }

    /// A link to a place in the directory that is read in its own right, or to a directory that holds the link.
    fn is_read_elsewhere(&self, name: &str, resolved: &Resolved) -> bool {
        if name == TOP || resolved.links.is_empty() {
            return false;
        }
        let top = self.found.get(TOP).map(|top| top.resolved.target.as_path());
        let own_place = top.is_some_and(|top| tree::visible_below(top, &resolved.target))
            && (resolved.target.is_dir()
                || resolved.target.file_name().and_then(|name| name.to_str()).is_some_and(|name| Format::of(name).is_some()));
        let holds_link = name
            .match_indices('/')
            .filter_map(|(at, _)| self.found.get(name.get(..at)?))
            .any(|ancestor| ancestor.resolved.target == resolved.target);
        own_place || holds_link
    }

    fn explore_directory(&mut self, name: &str, resolved: Resolved, seen: &mut BTreeSet<String>) {
        let path = resolved.target.clone();
        // Watched before it is listed, so that nothing falls between.
        self.record(name, resolved, true);
        seen.insert(name.to_owned());
        match tree::names(&path) {
            Ok(names) => {
                self.catalog.remove(&directory_entry(name));
                for child in names {
                    self.explore(&tree::join(name, &child), &path, Path::new(&child), seen);
                }
            }
            Err(error) => self.keep(name, &format!("cannot be read: {error}"), seen),
        }
    }

    fn explore_file(&mut self, name: &str, resolved: Resolved, seen: &mut BTreeSet<String>) {
        let path = resolved.target.clone();
        self.record(name, resolved, false);
        seen.insert(name.to_owned());
        // Being written: it is looked at when its writer is done.
        if self.writing.contains(&path) {
            return;
        }
        let text = tree::read(&path, self.settings.file_limit);
        if self.notice().is_err() || self.writing.contains(&path) {
            return;
        }
        let reading = text.map(|text| judge(Format::of(name).unwrap_or(Format::Yaml), &text, self.catalog.documents(name)));
        self.catalog.put(name, reading);
    }

    /// What was found at and below `name` stays; the directory is reported.
    fn keep(&mut self, name: &str, message: &str, seen: &mut BTreeSet<String>) {
        seen.extend(self.at_and_below(name));
        self.catalog.put(&directory_entry(name), Err(message.to_owned()));
    }

    fn record(&mut self, name: &str, resolved: Resolved, is_directory: bool) {
        let anchors = if name == TOP || !resolved.links.is_empty() { anchors(&resolved) } else { Vec::new() };
        if let Some(old) = self.found.get(name) {
            if old.resolved == resolved && old.is_directory == is_directory && old.anchors == anchors {
                return self.watch(resolved.target, is_directory);
            }
            self.release(name);
        }
        for (directory, last) in &anchors {
            self.dependents.entry(directory.clone()).or_default().entry(last.clone()).or_default().insert(name.to_owned());
            self.watch(directory.clone(), true);
        }
        if is_directory {
            self.directories.entry(resolved.target.clone()).or_default().insert(name.to_owned());
            self.watch(resolved.target.clone(), true);
        }
        self.found.insert(name.to_owned(), Found { resolved, is_directory, anchors });
    }

    fn watch(&mut self, directory: PathBuf, is_directory: bool) {
        let Some(watches) = self.watches.as_mut().filter(|_| is_directory) else { return };
        match watches.add(&directory) {
            Ok(()) => {}
            // Its own disappearance is seen by a watch above it.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => tracing::error!(directory = %directory.display(), %error, "cannot watch: changes in it go unnoticed"),
        }
    }

    /// Undoes `record`, the watches last.
    fn release(&mut self, name: &str) {
        let Some(old) = self.found.remove(name) else { return };
        let mut directories: BTreeSet<PathBuf> = BTreeSet::new();
        if old.is_directory
            && let Some(names) = self.directories.get_mut(&old.resolved.target)
        {
            names.remove(name);
            directories.insert(old.resolved.target);
        }
        for (directory, last) in old.anchors {
            if let Some(names) = self.dependents.get_mut(&directory).and_then(|names| names.get_mut(&last)) {
                names.remove(name);
            }
            directories.insert(directory);
        }
        for directory in directories {
            if let Some(lasts) = self.dependents.get_mut(&directory) {
                lasts.retain(|_, names| !names.is_empty());
            }
            let unused = self.directories.get(&directory).is_none_or(BTreeSet::is_empty)
                && self.dependents.get(&directory).is_none_or(HashMap::is_empty);
            if unused {
                self.directories.remove(&directory);
                self.dependents.remove(&directory);
                self.watches.iter_mut().for_each(|watches| watches.remove(&directory));
            }
        }
    }

    fn forget(&mut self, name: &str) {
        self.release(name);
        self.catalog.remove(name);
        self.catalog.remove(&directory_entry(name));
    }
}

/// How the catalog calls a directory that cannot be read.
fn directory_entry(name: &str) -> String {
    if name == TOP { "./".to_owned() } else { format!("{name}/") }
}

/// The links and the end of a path, each as directory and last part. Of an end that does not exist, what is missing first.
fn anchors(resolved: &Resolved) -> Vec<(PathBuf, OsString)> {
    let mut end = resolved.target.as_path();
    while let Some(parent) = end.parent().filter(|parent| !parent.exists()) {
        end = parent;
    }
    let paths = resolved.links.iter().map(PathBuf::as_path).chain([end]);
    paths.filter_map(|path| Some((path.parent()?.to_owned(), path.file_name()?.to_owned()))).collect()
}

/// Parses and admits what was not judged before.
fn judge(format: Format, text: &str, before: &[Document]) -> Vec<Document> {
    let known: HashMap<blake3::Hash, &Document> = before.iter().map(|document| (document.hash, document)).collect();
    let chunks = manifest::split(format, text).into_iter();
    chunks
        .map(|chunk| {
            let hash = blake3::hash(chunk.text.as_bytes());
            match known.get(&hash) {
                Some(document) => Document { line: chunk.line, ..Document::clone(document) },
                None => {
                    let manifests = manifest::parse(format, chunk).map(|values| values.into_iter().map(admit).collect());
                    Document { line: chunk.line, hash, manifests }
                }
            }
        })
        .collect()
}
