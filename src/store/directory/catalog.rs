//! What the files say together: which file defines each object, what it was last, and what is refused.
//!
//! A plain value: no I/O, no clock. The outcome depends on the files' contents only, except that a broken file keeps what
//! it said last and that generations count changes.

mod refusals;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use kube::runtime::watcher;

use super::admit::{Accepted, Admission, hash, implied_namespace};
use super::manifest::Unreadable;
use crate::api::Object;
use crate::model::{Kind, ObjectId};
use crate::store::Refusal;

/// One document of a file, judged.
#[derive(Clone, Debug)]
pub struct Document {
    /// Line on which it starts, from 1.
    pub line: usize,
    /// Hash of its text: equal text was judged already.
    pub hash: blake3::Hash,
    /// Its manifests, or why it cannot be read.
    pub manifests: Result<Vec<Manifest>, Unreadable>,
}

/// One manifest, judged.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Hash of what it says: equal manifests were judged already.
    pub hash: blake3::Hash,
    /// The verdict.
    pub admission: Admission,
    /// Lines between the start of the document and the manifest, which is 0 but in lists.
    pub after: usize,
    /// Lines between the start of the document and what each message of a refusal is about.
    pub of_messages: Vec<usize>,
}

/// What a file says, or why it cannot be read as a whole.
pub type Reading = Result<Vec<Document>, String>;

/// Where an object is defined: file, then place within it.
type Place = (String, usize);

#[derive(Default)]
struct File {
    /// The last reading; refusals are derived from it.
    reading: Option<Reading>,
    /// Objects it defines, by place; also those that it said last and no longer says readably.
    claims: BTreeMap<usize, Claim>,
}

#[derive(Clone)]
struct Claim {
    accepted: Arc<Accepted>,
    line: usize,
    /// An earlier reading said so, and the last one does not say otherwise readably.
    kept: bool,
}

struct Published {
    accepted: Arc<Accepted>,
    generation: i64,
    /// Its file, where its age is that of its file.
    file: Option<Arc<str>>,
}

impl Published {
    fn object(&self) -> Object {
        let version = hash(&serde_json::json!([self.accepted.content.to_hex().as_str(), self.generation, self.file.as_deref()]));
        self.accepted.object.clone().with_metadata(|metadata| {
            metadata.generation = Some(self.generation);
            metadata.resource_version = version.to_hex().get(..16).map(str::to_owned);
            metadata.self_link = self.file.as_deref().map(str::to_owned);
        })
    }
}

/// What a settled change amounts to.
#[derive(Default)]
pub struct Outcome {
    /// Objects applied and deleted, ordered by object.
    pub events: Vec<watcher::Event<Object>>,
    /// Files whose refusals changed, with all they have now.
    pub refusals: BTreeMap<String, Vec<Refusal>>,
}

/// All files of a directory.
#[derive(Default)]
pub struct Catalog {
    files: BTreeMap<String, File>,
    claims: HashMap<ObjectId, BTreeSet<Place>>,
    published: HashMap<ObjectId, Published>,
    /// How many published objects live in each namespace.
    namespaces: HashMap<String, usize>,
    /// Kinds that Kakehi does not read, with the files that hold them.
    unknown: BTreeMap<String, BTreeSet<String>>,
    refusals: BTreeMap<String, Vec<Refusal>>,
    touched: BTreeSet<ObjectId>,
    dirty: BTreeSet<String>,
    /// Whether no file held anything when this was last settled.
    empty: bool,
}

/// How what is wrong with the directory itself is told.
pub const TOP_ENTRY: &str = "./";

impl Catalog {
    /// The documents of a file as last read.
    pub fn documents(&self, file: &str) -> &[Document] {
        match self.files.get(file).and_then(|file| file.reading.as_ref()) {
            Some(Ok(documents)) => documents,
            _ => &[],
        }
    }

    /// The stored object, where this file is the one that defines it: what a write through the file would replace.
    pub fn stored(&self, file: &str, id: &ObjectId) -> Option<serde_json::Value> {
        let (defining, _) = self.claims.get(id)?.first()?;
        self.published.get(id).filter(|_| defining == file)?.object().to_value().ok()
    }

    /// Whether the file could not be read last time.
    pub fn failed(&self, file: &str) -> bool {
        let failed = |file: &str| self.files.get(file).is_some_and(|file| matches!(file.reading, Some(Err(_))));
        failed(file) || failed(&format!("{file}/"))
    }

    /// A file was read.
    pub fn put(&mut self, path: &str, reading: Reading) {
        let old = self.files.remove(path).unwrap_or_default();
        let mut claims = claims_of(&reading);
        keep_last_good(&old, &reading, &mut claims);
        self.unclaim(path, &old);
        for (index, claim) in &claims {
            let id = &claim.accepted.id;
            self.claims.entry(id.clone()).or_default().insert((path.to_owned(), *index));
            self.touched.insert(id.clone());
        }
        for kind in unknown_kinds(&reading) {
            self.unknown.entry(kind.clone()).or_default().insert(path.to_owned());
            self.mark_unknown(kind);
        }
        self.files.insert(path.to_owned(), File { reading: Some(reading), claims });
        self.dirty.insert(path.to_owned());
    }

    /// A file is gone.
    pub fn remove(&mut self, path: &str) {
        if let Some(old) = self.files.remove(path) {
            self.unclaim(path, &old);
            self.dirty.insert(path.to_owned());
        }
    }

    fn unclaim(&mut self, path: &str, old: &File) {
        for (index, claim) in &old.claims {
            let id = &claim.accepted.id;
            if let Some(places) = self.claims.get_mut(id) {
                places.remove(&(path.to_owned(), *index));
            }
            self.touched.insert(id.clone());
        }
        for kind in old.reading.iter().flat_map(unknown_kinds) {
            self.mark_unknown(kind);
            if let Some(files) = self.unknown.get_mut(kind) {
                files.remove(path);
            }
        }
    }

    /// The files that report an unknown kind may change.
    fn mark_unknown(&mut self, kind: &str) {
        self.dirty.extend(self.unknown.get(kind).into_iter().flatten().take(2).cloned());
    }

    /// Brings objects and refusals up to date with the files put and removed since the last call.
    pub fn settle(&mut self) -> Outcome {
        let mut outcome = Outcome::default();
        let mut namespaces = BTreeSet::new();
        for id in std::mem::take(&mut self.touched) {
            if id.kind == Kind::Namespace {
                namespaces.insert(id.name.clone());
                self.mark_claimants(&id);
            } else if let Some(event) = self.settle_object(&id) {
                namespaces.insert(id.namespace.clone());
                outcome.events.push(event);
            }
        }
        for namespace in namespaces {
            outcome.events.extend(self.settle_namespace(&namespace));
        }
        let empty = self.files.values().all(|file| matches!(&file.reading, Some(Ok(documents)) if documents.is_empty()));
        if std::mem::replace(&mut self.empty, empty) != empty {
            self.dirty.insert(TOP_ENTRY.to_owned());
        }
        for path in std::mem::take(&mut self.dirty) {
            let refusals = self.refusals_of(&path);
            let before =
                if refusals.is_empty() { self.refusals.remove(&path) } else { self.refusals.insert(path.clone(), refusals.clone()) };
            if before.unwrap_or_default() != refusals {
                outcome.refusals.insert(path, refusals);
            }
        }
        outcome
    }

    fn mark_claimants(&mut self, id: &ObjectId) {
        self.dirty.extend(self.claims.get(id).into_iter().flatten().map(|(path, _)| path.clone()));
    }

    /// What defines the object, with its file where that decides its age.
    fn winner(&self, id: &ObjectId) -> Option<(Arc<Accepted>, Option<Arc<str>>)> {
        let (path, index) = self.claims.get(id)?.first()?;
        let accepted = Arc::clone(&self.files.get(path)?.claims.get(index)?.accepted);
        let file = accepted.goes_by_path().then(|| path.as_str().into());
        Some((accepted, file))
    }

    fn settle_object(&mut self, id: &ObjectId) -> Option<watcher::Event<Object>> {
        self.mark_claimants(id);
        let winner = self.winner(id);
        let existed = self.published.contains_key(id);
        let event = self.publish(id, winner);
        let exists = self.published.contains_key(id);
        if exists != existed {
            let count = self.namespaces.entry(id.namespace.clone()).or_default();
            *count = if exists { *count + 1 } else { count.saturating_sub(1) };
        }
        event
    }

    /// A namespace exists when a manifest defines it, and when something lives in it.
    fn settle_namespace(&mut self, name: &str) -> Option<watcher::Event<Object>> {
        if name.is_empty() {
            return None;
        }
        let id = ObjectId::new(Kind::Namespace, "", name);
        let used = self.namespaces.get(name).is_some_and(|count| *count > 0);
        let implied = || Some((implied_namespace(name)?, None));
        let winner = self.winner(&id).or_else(|| used.then(implied).flatten());
        self.publish(&id, winner)
    }

    fn publish(&mut self, id: &ObjectId, winner: Option<(Arc<Accepted>, Option<Arc<str>>)>) -> Option<watcher::Event<Object>> {
        let Some((accepted, file)) = winner else {
            if self.claims.get(id).is_some_and(BTreeSet::is_empty) {
                self.claims.remove(id);
            }
            return self.published.remove(id).map(|published| watcher::Event::Delete(published.object()));
        };
        let before = self.published.get(id);
        if before.is_some_and(|published| published.accepted.content == accepted.content && published.file == file) {
            return None;
        }
        let generation = match before {
            Some(published) if published.accepted.spec == accepted.spec => published.generation,
            Some(published) => published.generation + 1,
            None => 1,
        };
        let published = Published { accepted, generation, file };
        let object = published.object();
        self.published.insert(id.clone(), published);
        Some(watcher::Event::Apply(object))
    }

    /// All objects, ordered.
    pub fn objects(&self) -> Vec<Object> {
        let ordered: BTreeMap<_, _> = self.published.iter().map(|(id, published)| (id, published.object())).collect();
        ordered.into_values().collect()
    }

    /// Whether no object is defined.
    pub fn is_empty(&self) -> bool {
        self.published.is_empty()
    }

    /// Where each object is defined: file and line.
    pub fn places(&self) -> BTreeMap<ObjectId, (String, usize)> {
        let place = |(id, places): (&ObjectId, &BTreeSet<Place>)| {
            let (file, index) = places.first()?;
            Some((id.clone(), (file.clone(), self.files.get(file)?.claims.get(index)?.line)))
        };
        self.claims.iter().filter_map(place).collect()
    }

    /// All refusals, sorted.
    pub fn all_refusals(&self) -> Vec<Refusal> {
        self.refusals.values().flatten().cloned().collect()
    }
}

fn manifests(reading: &Reading) -> impl Iterator<Item = (usize, &Admission)> {
    let documents = reading.as_deref().unwrap_or_default().iter();
    documents.flat_map(|document| document.manifests.iter().flatten().map(|manifest| (document.line + manifest.after, &manifest.admission)))
}

fn claims_of(reading: &Reading) -> BTreeMap<usize, Claim> {
    let accepted = manifests(reading).filter_map(|(line, manifest)| match manifest {
        Admission::Accepted(accepted) => Some(Claim { accepted: Arc::clone(accepted), line, kept: false }),
        _ => None,
    });
    accepted.enumerate().collect()
}

fn unknown_kinds(reading: &Reading) -> impl Iterator<Item = &String> {
    manifests(reading).filter_map(|(_, manifest)| match manifest {
        Admission::Unknown(kind) => Some(kind),
        _ => None,
    })
}

/// A refused write changes nothing: an object that the file defined stays while the file still holds a manifest of it,
/// and while it holds something that may be meant as one.
fn keep_last_good(old: &File, new: &Reading, claims: &mut BTreeMap<usize, Claim>) {
    let unreadable = match new {
        Err(_) => true,
        Ok(documents) => documents.iter().any(|document| match &document.manifests {
            Err(_) => true,
            Ok(manifests) => manifests.iter().any(|manifest| matches!(manifest.admission, Admission::Refused { id: None, .. })),
        }),
    };
    let said: BTreeSet<ObjectId> = claims.values().map(|claim| claim.accepted.id.clone()).collect();
    let refused: BTreeSet<&ObjectId> = manifests(new)
        .filter_map(|(_, manifest)| match manifest {
            Admission::Refused { id: Some(id), .. } => Some(id),
            _ => None,
        })
        .collect();
    for claim in old.claims.values() {
        let id = &claim.accepted.id;
        if !said.contains(id) && (unreadable || refused.contains(id)) {
            claims.insert(claims.len(), Claim { kept: true, ..claim.clone() });
        }
    }
}

#[cfg(test)]
mod tests;
