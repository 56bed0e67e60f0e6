//! The CustomResourceDefinitions in force: those that were offered, and those among the manifests, which come first.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::manifest::{self, Chunk, Format, Unreadable};
use super::{Error, admit, tree};
use crate::model::Kind;
use crate::store::crds::{Crd, is_crd};

/// The outcome of compiling one definition; `None` for a kind that Kakehi does not read.
type Compiled = Result<Option<Arc<Crd>>, String>;

/// All definitions, and which of them is in force for each kind.
#[derive(Default)]
pub struct Definitions {
    compiled: HashMap<blake3::Hash, Compiled>,
    offered: Vec<Arc<Crd>>,
    files: BTreeMap<String, Vec<Arc<Crd>>>,
    in_force: BTreeMap<Kind, Arc<Crd>>,
    hash: Option<blake3::Hash>,
}

impl Definitions {
    /// The definitions that the files of a directory hold, other objects left aside.
    ///
    /// # Errors
    /// The directory or a file cannot be read, or a definition is unusable.
    pub fn offered(directory: Option<&Path>, limit: u64) -> Result<Self, Error> {
        let mut definitions = Self::default();
        if let Some(directory) = directory {
            definitions.offer(directory, limit)?;
        }
        definitions.settle();
        Ok(definitions)
    }

    fn offer(&mut self, directory: &Path, limit: u64) -> Result<(), Error> {
        let unreadable = |error| Error::Unreadable { path: directory.to_owned(), error };
        for name in tree::list(directory).map_err(unreadable)?.names {
            let path = directory.join(&name);
            if fs::metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
                self.offer(&path, limit)?;
                continue;
            }
            let Some(format) = Format::of(&name) else { continue };
            let unusable = |message| Error::Definition { path: path.clone(), message };
            let text = tree::read(&path, limit).map_err(unusable)?;
            for chunk in manifest::split(format, &text) {
                for value in values(format, chunk).map_err(unusable)?.iter().filter(|value| is_crd(value)) {
                    let crd = self.compile(value).map_err(unusable)?;
                    self.offered.extend(crd);
                }
            }
        }
        Ok(())
    }

    /// A file was read. A definition that cannot be used any more stays as it was.
    pub fn put(&mut self, file: &str, format: Format, text: &str) {
        let mut defined: Vec<Arc<Crd>> = Vec::new();
        let mut is_broken = false;
        // Most files hold none; those are not parsed here.
        if text.contains("CustomResourceDefinition") {
            for chunk in manifest::split(format, text) {
                match values(format, chunk) {
                    Ok(values) => {
                        for value in values.iter().filter(|value| is_crd(value)) {
                            match self.compile(value) {
                                Ok(crd) => defined.extend(crd),
                                Err(_) => is_broken = true,
                            }
                        }
                    }
                    Err(_) => is_broken = true,
                }
            }
        }
        let old = self.files.remove(file).unwrap_or_default();
        if is_broken {
            let kept: Vec<_> = old.into_iter().filter(|old| defined.iter().all(|new| new.kind != old.kind)).collect();
            defined.extend(kept);
        }
        if !defined.is_empty() {
            self.files.insert(file.to_owned(), defined);
        }
    }

    /// A file is gone.
    pub fn remove(&mut self, file: &str) {
        self.files.remove(file);
    }

    /// Settles which definitions are in force, and says whether that changed.
    pub fn settle(&mut self) -> bool {
        self.in_force.clear();
        for crd in self.files.values().flatten().chain(&self.offered) {
            self.in_force.entry(crd.kind).or_insert_with(|| Arc::clone(crd));
        }
        let mut hasher = blake3::Hasher::new();
        for crd in self.in_force.values() {
            hasher.update(crd.hash.as_bytes());
        }
        let before = self.hash.replace(hasher.finalize());
        before != self.hash
    }

    /// The definition of a kind.
    pub fn of(&self, kind: Kind) -> Option<&Crd> {
        self.in_force.get(&kind).map(Arc::as_ref)
    }

    /// What makes a definition among the manifests unusable.
    pub fn complaint(&self, value: &Value) -> Option<&str> {
        self.compiled.get(&admit::hash(value))?.as_ref().err().map(String::as_str)
    }

    /// Hash of a text under the definitions in force: the same hash means the same verdict.
    pub fn hash(&self, text: &[u8]) -> blake3::Hash {
        let rules = self.hash.map_or([0; 32], |hash| *hash.as_bytes());
        blake3::keyed_hash(&rules, text)
    }

    fn compile(&mut self, value: &Value) -> Compiled {
        let compile = || Crd::compile(value).map(|crd| crd.map(Arc::new));
        self.compiled.entry(admit::hash(value)).or_insert_with(compile).clone()
    }
}

fn values(format: Format, chunk: Chunk<'_>) -> Result<Vec<Value>, String> {
    let told = |error: Unreadable| format!("line {}: {}", chunk.line + error.after, error.message);
    manifest::parse(format, chunk).map(|values| values.into_iter().map(|(_, value)| value).collect()).map_err(told)
}
