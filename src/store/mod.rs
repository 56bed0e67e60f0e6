//! What the world says: one kube store per kind, filled by one pump per kind, whatever the source.
//!
//! [`kinds`] is the table of kinds, [`pump`] turns watch events into [`api::Change`](crate::api::Change)s, and
//! [`directory`] and [`cluster`] are the sources: manifests in a directory, and an API server. [`names`] adds what DNS knows.

pub mod checks;
pub mod cluster;
pub mod crds;
pub mod directory;
pub mod fields;
pub mod kinds;
pub mod names;
pub mod pump;

use serde::Serialize;

use crate::api::Change;
use crate::model::ObjectId;

/// What a source tells the translator.
#[derive(Clone, Debug)]
pub enum Event {
    /// What one write to the source changed, to be translated as one step. Never empty; an object occurs once.
    Changes(Vec<Change>),
    /// Everything that existed when the source was opened has been sent. Comes once.
    Synced,
    /// What was sent is not older than the moment at which [`cluster::Cluster::freshness`] was asked for. Comes once.
    Fresh,
    /// The Secrets that [`cluster::Wants::want`] gave this number for, and earlier ones, were told, as far as they can be read.
    Secrets(u64),
    /// The refusals of one file are now these. Empty: none any more.
    Refusals {
        /// Path of the file, relative to the directory.
        file: String,
        /// All its refusals, sorted.
        refusals: Vec<Refusal>,
    },
}

/// How bad a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Severity {
    /// The write was refused; what was there before stays.
    Error,
    /// Accepted, but a part of it has no effect.
    Warning,
    /// Worth knowing.
    Info,
}

impl Severity {
    /// Its word in what `kakehi check` prints: that of SARIF.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "note",
        }
    }
}

/// What a source has against a manifest, as an API server would have answered the write.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Refusal {
    /// Path of the file, relative to the directory, with `/` between its parts.
    pub file: String,
    /// Line on which the document starts, from 1; 0 when the whole file is meant.
    pub line: usize,
    /// The object, when the document says which.
    pub object: Option<ObjectId>,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in the words of an API server: a field path, a colon, and the reason.
    pub message: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if let Some(object) = &self.object {
            write!(f, ": {object}")?;
        }
        write!(f, ": {}", self.message)
    }
}
