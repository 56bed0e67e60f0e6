//! What is wrong with a file, derived from its last reading and from what others define.

use std::collections::BTreeSet;

use super::{Catalog, Document, File, Manifest, TOP_ENTRY};
use crate::model::ObjectId;
use crate::store::directory::admit::Admission;
use crate::store::{Refusal, Severity};

const OBJECT_STAYS: &str = "refused; the version before stays in force";
const EMPTY: &str = "holds no manifest: files *.yaml, *.yml and *.json are read, also of directories below";
const FILE_STAYS: &str = "objects that the file defined before stay in force";

/// Refusals of one file that are told one by one: a file of noise may have hundreds of thousands.
const MOST: usize = 1_000;

/// What is said about one manifest: where, how bad, of which object.
type Said = (usize, Severity, Option<ObjectId>, String);

impl Catalog {
    /// Everything that is wrong with one file.
    pub(super) fn refusals_of(&self, path: &str) -> Vec<Refusal> {
        let refusal = |line, object, severity, message| Refusal { file: path.to_owned(), line, object, severity, message };
        let (mut refusals, mut more) = (Vec::new(), 0_usize);
        let mut tell = |refusal| if refusals.len() < MOST { refusals.push(refusal) } else { more += 1 };
        if self.empty && path == TOP_ENTRY {
            tell(refusal(0, None, Severity::Warning, EMPTY.to_owned()));
        }
        let Some(file) = self.files.get(path) else { return refusals };
        let kept: BTreeSet<&ObjectId> = file.claims.values().filter(|claim| claim.kept).map(|claim| &claim.accepted.id).collect();
        let broken = |message: &str| if kept.is_empty() { message.to_owned() } else { format!("{message} ({FILE_STAYS})") };
        match &file.reading {
            Some(Err(message)) => tell(refusal(0, None, Severity::Error, broken(message))),
            Some(Ok(documents)) => {
                for document in documents {
                    let said = match &document.manifests {
                        Err(error) => vec![(document.line + error.after, Severity::Error, None, broken(&error.message))],
                        Ok(manifests) => manifests.iter().flat_map(|manifest| self.said_about(path, &kept, (document, manifest))).collect(),
                    };
                    for (line, severity, object, message) in said {
                        tell(refusal(line, object, severity, message));
                    }
                }
            }
            None => {}
        }
        for (index, claim) in &file.claims {
            let id = &claim.accepted.id;
            let first = self.claims.get(id).and_then(|places| places.first());
            if let Some((elsewhere, _)) = first.filter(|(first, at)| (first.as_str(), at) != (path, index)) {
                let message = format!("already exists: {elsewhere} defines it, and the first file by path counts");
                tell(refusal(claim.line, Some(id.clone()), Severity::Error, message));
            }
        }
        if let Some((line, object, message)) = assumed(file) {
            tell(refusal(line, Some(object), Severity::Info, message));
        }
        if more > 0 {
            refusals.push(refusal(0, None, Severity::Error, format!("{more} more findings of this file are not told")));
        }
        refusals.sort();
        refusals.dedup();
        refusals
    }

    fn said_about(&self, path: &str, kept: &BTreeSet<&ObjectId>, (document, manifest): (&Document, &Manifest)) -> Vec<Said> {
        match &manifest.admission {
            Admission::Refused { id, messages } => {
                let stays = id.as_ref().is_some_and(|id| kept.contains(id));
                let text = |message: &String| if stays { format!("{message} ({OBJECT_STAYS})") } else { message.clone() };
                let said = messages.iter().zip(&manifest.of_messages);
                said.map(|(message, after)| (document.line + after, Severity::Error, id.clone(), text(message))).collect()
            }
            Admission::Accepted(_) | Admission::Definition => Vec::new(),
            Admission::Unknown(kind) => {
                let first = self.unknown.get(kind).and_then(|files| files.first());
                let message = format!("{kind} is no kind that Kakehi reads; objects of it are left alone");
                let line = document.line + manifest.after;
                if first.is_some_and(|first| first == path) { vec![(line, Severity::Info, None, message)] } else { Vec::new() }
            }
        }
    }
}

/// The first object of a file that names no namespace: where, which, and what is said of all of them.
fn assumed(file: &File) -> Option<(usize, ObjectId, String)> {
    let mut without = file.claims.values().filter(|claim| !claim.kept && claim.accepted.assumed_namespace);
    let first = without.next()?;
    let others = match without.count() {
        0 => String::new(),
        1 => "; the same holds for another object of this file".to_owned(),
        more => format!("; the same holds for {more} other objects of this file"),
    };
    let message = format!("metadata.namespace: not set, so the namespace \"default\" is assumed{others}");
    Some((first.line, first.accepted.id.clone(), message))
}
