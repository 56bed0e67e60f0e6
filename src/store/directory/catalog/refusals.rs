//! What is wrong with a file, derived from its last reading and from what others define.

use std::collections::BTreeSet;

use super::Catalog;
use crate::model::ObjectId;
use crate::store::directory::admit::Admission;
use crate::store::{Refusal, Severity};

const OBJECT_STAYS: &str = "refused; the version before stays in force";
const FILE_STAYS: &str = "objects that the file defined before stay in force";

/// Refusals of one file that are told one by one: a file of noise may have hundreds of thousands.
const MOST: usize = 1_000;

/// What is said about one manifest.
type Said = (Severity, Option<ObjectId>, String);

impl Catalog {
    /// Everything that is wrong with one file.
    pub(super) fn refusals_of(&self, path: &str) -> Vec<Refusal> {
        let Some(file) = self.files.get(path) else { return Vec::new() };
        let refusal = |line, object, severity, message| Refusal { file: path.to_owned(), line, object, severity, message };
        let (mut refusals, mut more) = (Vec::new(), 0_usize);
        let mut tell = |refusal| if refusals.len() < MOST { refusals.push(refusal) } else { more += 1 };
        let broken = |message: &str| if file.claims.is_empty() { message.to_owned() } else { format!("{message} ({FILE_STAYS})") };
        match &file.reading {
            Some(Err(message)) => tell(refusal(0, None, Severity::Error, broken(message))),
            Some(Ok(documents)) => {
                let claimed: BTreeSet<&ObjectId> = file.claims.values().map(|claim| &claim.accepted.id).collect();
                for document in documents {
                    let said = match &document.manifests {
                        Err(message) => vec![(Severity::Error, None, broken(message))],
                        Ok(manifests) => {
                            manifests.iter().flat_map(|manifest| self.said_about(path, &claimed, &manifest.admission)).collect()
                        }
                    };
                    for (severity, object, message) in said {
                        tell(refusal(document.line, object, severity, message));
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
        if more > 0 {
            refusals.push(refusal(0, None, Severity::Error, format!("{more} more findings of this file are not told")));
        }
        refusals.sort();
        refusals.dedup();
        refusals
    }

    fn said_about(&self, path: &str, claimed: &BTreeSet<&ObjectId>, manifest: &Admission) -> Vec<Said> {
        match manifest {
            Admission::Accepted(accepted) => {
                let id = &accepted.id;
                accepted.warnings.iter().map(|message| (Severity::Warning, Some(id.clone()), message.clone())).collect()
            }
            Admission::Refused { id, messages } => {
                let stays = id.as_ref().is_some_and(|id| claimed.contains(id));
                let text = |message: &String| if stays { format!("{message} ({OBJECT_STAYS})") } else { message.clone() };
                messages.iter().map(|message| (Severity::Error, id.clone(), text(message))).collect()
            }
            Admission::Definition => Vec::new(),
            Admission::Unknown(kind) => {
                let first = self.unknown.get(kind).and_then(|files| files.first());
                let message = format!("{kind} is no kind that Kakehi reads; objects of it are left alone");
                if first.is_some_and(|first| first == path) { vec![(Severity::Info, None, message)] } else { Vec::new() }
            }
        }
    }
}
