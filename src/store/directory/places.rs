//! Where everything in the directory was found, what it depends on elsewhere, and which directories must be watched for it.
//!
//! Names are paths relative to the top, with `/` between their parts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use super::tree::{self, Resolved};
use super::watch::{Happened, Watches};

/// The name of the directory itself.
pub const TOP: &str = "";

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A directory, listed.
    Directory,
    /// A manifest, read.
    File,
    /// A link to what is read elsewhere, or to nothing.
    Link,
}

/// Something that was found.
pub struct Found {
    /// Where its name leads.
    pub resolved: Resolved,
    /// What is there.
    pub what: What,
    /// Paths elsewhere on which it depends, as directory and last part.
    anchors: Vec<(PathBuf, OsString)>,
}

/// What came of recording something.
pub struct Recorded {
    /// Whether what it depends on elsewhere is still as it was before it was watched; otherwise look again.
    pub is_current: bool,
    /// Why changes to it, or to what it depends on, will go unnoticed.
    pub unwatched: Option<io::Error>,
}

/// All that was found.
pub struct Places {
    found: BTreeMap<String, Found>,
    /// Directories as read, without links, with the names under which they were found.
    directories: HashMap<PathBuf, BTreeSet<String>>,
    /// What is reached through a path elsewhere: by its directory and its last part.
    dependents: HashMap<PathBuf, HashMap<OsString, BTreeSet<String>>>,
    watches: Option<Watches>,
}

impl Places {
    /// Nothing found yet; watching, if there are watches.
    pub fn new(watches: Option<Watches>) -> Self {
        Self { found: BTreeMap::new(), directories: HashMap::new(), dependents: HashMap::new(), watches }
    }

    /// What was found under this name.
    pub fn get(&self, name: &str) -> Option<&Found> {
        self.found.get(name)
    }

    /// All files, with the paths to read them from.
    pub fn files(&self) -> Vec<(String, PathBuf)> {
        let files = self.found.iter().filter(|(_, found)| found.what == What::File);
        files.map(|(name, found)| (name.clone(), found.resolved.target.clone())).collect()
    }

    /// Everything at and below this name.
    pub fn at_and_below(&self, name: &str) -> Vec<String> {
        if name == TOP {
            return self.found.keys().cloned().collect();
        }
        let below = format!("{name}/");
        let rest = self.found.range(below.clone()..).map(|(name, _)| name).take_while(|name| name.starts_with(&below));
        self.found.get_key_value(name).map(|(name, _)| name).into_iter().chain(rest).cloned().collect()
    }

    /// The names that are concerned when something happens to `last` in `directory`.
    pub fn concerned(&self, directory: &Path, last: &OsStr) -> BTreeSet<String> {
        let mut names = self.dependents.get(directory).and_then(|names| names.get(last)).cloned().unwrap_or_default();
        let Some(prefixes) = self.directories.get(directory) else { return names };
        match last.to_str() {
            Some(last) if last.starts_with('.') => {}
            Some(last) => names.extend(prefixes.iter().map(|prefix| tree::join(prefix, last))),
            // It can only be reported, with its directory.
            None => names.extend(prefixes.iter().cloned()),
        }
        names
    }

    /// What happened in the watched directories since the last call.
    ///
    /// # Errors
    /// inotify cannot be read.
    pub fn happened(&mut self) -> io::Result<Vec<Happened>> {
        self.watches.as_mut().map_or_else(|| Ok(Vec::new()), Watches::read)
    }

    /// Something was found. Directories are watched from here on, so that nothing falls between this and listing them.
    pub fn record(&mut self, name: &str, resolved: Resolved, what: What) -> Recorded {
        let anchors = if name == TOP || !resolved.links.is_empty() { self.anchors(&resolved) } else { Vec::new() };
        let is_new = self.found.get(name).is_none_or(|old| old.resolved != resolved || old.what != what || old.anchors != anchors);
        if is_new {
            self.release(name);
        }
        let mut unwatched = None;
        for (directory, last) in &anchors {
            self.dependents.entry(directory.clone()).or_default().entry(last.clone()).or_default().insert(name.to_owned());
            unwatched = self.watch(directory).err().or(unwatched);
        }
        if what == What::Directory {
            self.directories.entry(resolved.target.clone()).or_default().insert(name.to_owned());
            unwatched = self.watch(&resolved.target).err().or(unwatched);
        }
        let is_current = anchors.is_empty() || anchors == self.anchors(&resolved);
        self.found.insert(name.to_owned(), Found { resolved, what, anchors });
        Recorded { is_current, unwatched }
    }

    /// The links and the end of a path, each as directory and last part; below the top, the directories on the way too. Of
    /// an end that does not exist, what is missing first.
    fn anchors(&self, resolved: &Resolved) -> Vec<(PathBuf, OsString)> {
        let mut end = resolved.target.as_path();
        while let Some(parent) = end.parent().filter(|parent| !parent.exists()) {
            end = parent;
        }
        let top = self.found.get(TOP).map(|top| top.resolved.target.as_path());
        let is_below = |path: &&Path| top.is_some_and(|top| path.starts_with(top) && *path != top);
        let on_the_way = end.ancestors().skip(1).take_while(is_below);
        let paths = resolved.links.iter().map(PathBuf::as_path).chain([end]).chain(on_the_way);
        paths.filter_map(|path| Some((path.parent()?.to_owned(), path.file_name()?.to_owned()))).collect()
    }

    fn watch(&mut self, directory: &Path) -> io::Result<()> {
        match self.watches.as_mut().map_or(Ok(()), |watches| watches.add(directory)) {
            // Its coming and going is seen by a watch above it.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(()),
            watched => watched,
        }
    }

    /// Something is there no more.
    pub fn release(&mut self, name: &str) {
        let Some(old) = self.found.remove(name) else { return };
        let mut left: BTreeSet<PathBuf> = BTreeSet::new();
        if old.what == What::Directory {
            if let Some(names) = self.directories.get_mut(&old.resolved.target) {
                names.remove(name);
            }
            left.insert(old.resolved.target);
        }
        for (directory, last) in old.anchors {
            if let Some(names) = self.dependents.get_mut(&directory).and_then(|names| names.get_mut(&last)) {
                names.remove(name);
            }
            left.insert(directory);
        }
        for directory in left {
            self.leave(&directory);
        }
    }

    /// Watches a directory no more that nothing refers to.
    fn leave(&mut self, directory: &Path) {
        if let Some(lasts) = self.dependents.get_mut(directory) {
            lasts.retain(|_, names| !names.is_empty());
        }
        let is_unused =
            self.directories.get(directory).is_none_or(BTreeSet::is_empty) && self.dependents.get(directory).is_none_or(HashMap::is_empty);
        if is_unused {
            self.directories.remove(directory);
            self.dependents.remove(directory);
            self.watches.iter_mut().for_each(|watches| watches.remove(directory));
        }
    }
}
