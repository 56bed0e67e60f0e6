//! The last good snapshot in a file, which holds private keys: mode 0600, meant for a memory-backed volume.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::wire::Stamp;
use super::{Hash, Held, Resource, Snapshot};

/// The file.
#[derive(Clone, Debug)]
pub struct Disk {
    directory: PathBuf,
}

/// A state from the file.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its stamp.
    pub stamp: Stamp,
    /// Its content.
    pub held: Held,
    /// It is all that the server sent, so differences to it may be asked for.
    pub whole: bool,
}

#[derive(Serialize, Deserialize)]
struct File<'a> {
    stamp: Stamp,
    /// The server's hash of the snapshot.
    theirs: Hash,
    /// The hash of what is written here: guards against a damaged file.
    ours: Hash,
    resources: std::borrow::Cow<'a, [Arc<Resource>]>,
}

/// The file is there and no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not JSON of the right form.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// It is of the right form and not what was written.
    #[error("the content is not what its hash says")]
    Damaged,
}

impl Disk {
    /// The file in this directory, which must be there.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    fn file(&self) -> PathBuf {
        self.directory.join("snapshot.json")
    }

    /// What was saved last; `None` when nothing was.
    ///
    /// # Errors
    /// When the file is unreadable or damaged.
    pub fn load(&self) -> Result<Option<Kept>, LoadError> {
        let bytes = match fs::read(self.file()) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let File { stamp, theirs, ours, resources } = serde_json::from_slice(&bytes)?;
        let mut snapshot = Snapshot::default();
        for resource in resources.iter() {
            snapshot.set(resource.clone());
        }
        if snapshot.hash() != ours {
            return Err(LoadError::Damaged);
        }
        Ok(Some(Kept { stamp, held: Held::new(snapshot), whole: ours == theirs }))
    }

    /// Replaces what was saved, whole or not at all. Blocks.
    ///
    /// # Errors
    /// The file system's: what was saved before stays then.
    pub fn save(&self, stamp: Stamp, held: &Held) -> io::Result<()> {
        let snapshot = held.snapshot();
        let resources: Vec<_> = snapshot.iter().map(|(_, resource)| resource.clone()).collect();
        let bytes = serde_json::to_vec(&File { stamp, theirs: held.hash(), ours: snapshot.hash(), resources: resources.into() })?;
        let fresh = self.directory.join("snapshot.json.new");
        let written = write_private(&fresh, &bytes).and_then(|()| fs::rename(&fresh, self.file()));
        if written.is_err() {
            // What was written so far only takes space that is missing already.
            drop(fs::remove_file(&fresh));
        }
        written
    }
}

fn write_private(path: &PathBuf, bytes: &[u8]) -> io::Result<()> {
    // Left behind by a process that was killed; its mode cannot be trusted.
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
}
