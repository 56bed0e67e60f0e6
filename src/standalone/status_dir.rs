//! One YAML per object with its status, as `kubectl get -o yaml` would show it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::model::ObjectId;

/// A directory that this process alone writes to: `KIND/NAMESPACE/NAME.yaml`.
#[derive(Clone, Debug)]
pub struct StatusDir {
    root: PathBuf,
}

/// A status cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The file system's answer.
    #[error("{path}: {source}")]
    Io {
        /// File.
        path: PathBuf,
        /// Answer.
        source: io::Error,
    },
    /// The object cannot be written as YAML.
    #[error("{0}")]
    Yaml(String),
}

impl StatusDir {
    /// A status directory below `root`, which is made when it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(root: &Path) -> Result<Self, StatusError> {
        fs::create_dir_all(root).map_err(|source| StatusError::Io { path: root.to_owned(), source })?;
        Ok(Self { root: root.to_owned() })
    }

    /// Writes an object, replacing the file as a whole.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, id: &ObjectId, object: &Value) -> Result<(), StatusError> {
        let text = serde_saphyr::to_string(object).map_err(|error| StatusError::Yaml(error.to_string()))?;
        let path = self.path(id);
        let beside = path.with_extension("new");
        let written = path.parent().map_or(Ok(()), fs::create_dir_all);
        let written = written.and_then(|()| fs::write(&beside, text)).and_then(|()| fs::rename(&beside, &path));
        written.map_err(|source| StatusError::Io { path, source })
    }

    /// Removes an object's file.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub fn remove(&self, id: &ObjectId) -> Result<(), StatusError> {
        let path = self.path(id);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StatusError::Io { path, source }),
            _ => Ok(()),
        }
    }

    fn path(&self, id: &ObjectId) -> PathBuf {
        let mut path = self.root.join(id.kind.name());
        if !id.namespace.is_empty() {
            path.push(&id.namespace);
        }
        path.join(format!("{}.yaml", id.name))
    }
}
