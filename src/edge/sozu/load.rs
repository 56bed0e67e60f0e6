//! State files of our own: the bulk way into Sōzu, applied by a worker between two rounds of traffic.
//!
//! Records are JSON, each followed by a newline and a zero byte. Sōzu's own writer is not used: it writes whole states, and
//! binds listeners before their routes exist.

use std::path::{Path, PathBuf};

use sozu_command_lib::proto::command::request::RequestType;
use sozu_command_lib::proto::command::{Request, WorkerRequest};
use tokio::io::AsyncWriteExt;

use super::{Error, Step};

/// Records of one file; more would make a worker pause longer than clients notice.
pub(super) const MAX_RECORDS: usize = 1_900;

/// A state file; it holds private keys, and goes with its value.
#[derive(Debug)]
pub(super) struct StateFile(PathBuf);

impl StateFile {
    /// Writes the requests of `steps`, readable for this user only.
    pub(super) async fn write(path: PathBuf, steps: &[Step]) -> Result<Self, Error> {
        let mut text = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            serde_json::to_writer(&mut text, &record(number, &step.request))?;
            text.extend_from_slice(b"\n\0");
        }
        let file = Self(path);
        let written = async {
            let mut out = tokio::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file.0).await?;
            out.write_all(&text).await?;
            out.flush().await
        };
        written.await.map_err(|source| Error::File { path: file.0.clone(), source })?;
        Ok(file)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for StateFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::debug!(path = %self.0.display(), %error, "state file already gone");
        }
    }
}

fn record(number: usize, request: &RequestType) -> WorkerRequest {
    WorkerRequest { id: format!("kakehi-{number}"), content: Request { request_type: Some(request.clone()) } }
}

/// Cuts steps into files: few enough records each, and never between two that belong together.
pub(super) fn files(steps: &[Step]) -> Vec<&[Step]> {
    let mut files = Vec::new();
    let mut rest = steps;
    while rest.len() > MAX_RECORDS {
        let glued = |at: usize| rest.get(at).is_some_and(|step| step.glued);
        let cut = (1..=MAX_RECORDS).rev().find(|at| !glued(*at)).unwrap_or(MAX_RECORDS);
        let (file, others) = rest.split_at(cut);
        files.push(file);
        rest = others;
    }
    if !rest.is_empty() {
        files.push(rest);
    }
    files
}
