//! From the text of a file to documents: what was judged before under the same rules keeps its verdict.

use std::cell::OnceCell;
use std::collections::HashMap;

use kube::core::cel::Validator;

use super::admit::{Admission, admit};
use super::catalog::{Catalog, Document, Manifest, Reading};
use super::definitions::Definitions;
use super::lines::Lines;
use super::manifest::{self, Chunk, Format, Unreadable};

/// Files judged by one thread at least; starting it pays from there on.
const SHARE: usize = 32;

/// What a file was found to hold: its text, or why it cannot be read.
pub type Text = Result<String, String>;

/// What manifests are judged by.
pub struct Judge<'a> {
    /// The definitions in force.
    pub definitions: &'a Definitions,
    /// What was judged and stored before.
    pub catalog: &'a Catalog,
    /// For CEL rules; made when first needed.
    pub validator: OnceCell<Validator>,
}

/// Judges files, on all cores when there are many.
pub fn judge_all(definitions: &Definitions, catalog: &Catalog, files: Vec<(String, Text)>) -> Vec<(String, Reading)> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = cores.min(files.len() / SHARE).max(1);
    let share = files.len().div_ceil(threads).max(1);
    let judge_share = |files: &[(String, Text)]| -> Vec<(String, Reading)> {
        let judge = Judge { definitions, catalog, validator: OnceCell::new() };
        files.iter().map(|(name, text)| (name.clone(), judge.file(name, text))).collect()
    };
    if threads == 1 {
        return judge_share(&files);
    }
    std::thread::scope(|scope| {
        let shares: Vec<_> = files.chunks(share).map(|files| scope.spawn(move || judge_share(files))).collect();
        let join = |share: std::thread::ScopedJoinHandle<'_, _>| share.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        shares.into_iter().flat_map(join).collect()
    })
}

impl Judge<'_> {
    /// Judges one file.
    pub fn file(&self, name: &str, text: &Text) -> Reading {
        let format = name.rsplit('/').next().and_then(Format::of).unwrap_or(Format::Yaml);
        let text = text.as_ref().map_err(String::clone)?;
        let before = self.catalog.documents(name);
        let known: HashMap<blake3::Hash, &Document> = before.iter().map(|document| (document.hash, document)).collect();
        let chunks = manifest::split(format, text).into_iter();
        let documents = chunks.map(|chunk| {
            let hash = self.definitions.hash(chunk.text.as_bytes());
            match known.get(&hash) {
                Some(document) => Document { line: chunk.line, ..Document::clone(document) },
                None => Document { line: chunk.line, hash, manifests: self.document(name, format, chunk, before) },
            }
        });
        Ok(documents.collect())
    }

    fn document(&self, file: &str, format: Format, chunk: Chunk<'_>, before: &[Document]) -> Result<Vec<Manifest>, Unreadable> {
        let values = manifest::parse(format, chunk)?;
        let known: HashMap<blake3::Hash, &Admission> = match values.len() {
            0 | 1 => HashMap::new(),
            _ => {
                before.iter().flat_map(|document| document.manifests.iter().flatten()).map(|known| (known.hash, &known.admission)).collect()
            }
        };
        let lines = Located { chunk, lines: OnceCell::new() };
        let judged = values.into_iter().map(|(path, value)| {
            let hash = self.definitions.hash(value.to_string().as_bytes());
            let admission = known.get(&hash).map_or_else(|| admit(self, file, value), |known| Admission::clone(known));
            let after = if path.is_empty() { 0 } else { lines.after(&path) };
            let of_messages = match &admission {
                Admission::Refused { messages, .. } => messages.iter().map(|message| lines.of_message(&path, message, after)).collect(),
                _ => Vec::new(),
            };
            Manifest { hash, admission, after, of_messages }
        });
        Ok(judged.collect())
    }
}

/// The lines of a chunk, looked at when something is to be said of it.
struct Located<'c> {
    chunk: Chunk<'c>,
    lines: OnceCell<Option<Lines>>,
}

impl Located<'_> {
    /// Lines between the start of the document and a field; none when it is not found.
    fn find(&self, path: &str) -> Option<usize> {
        let lines = self.lines.get_or_init(|| Lines::of(self.chunk)).as_ref()?;
        Some(self.chunk.after(lines.find(path)?))
    }

    /// The same; 0 for a field that is not found.
    fn after(&self, path: &str) -> usize {
        self.find(path).unwrap_or_default()
    }

    /// Where the field is that a message about the object at `path` begins with; else where the object is.
    fn of_message(&self, path: &str, message: &str, object: usize) -> usize {
        let dot = if path.is_empty() { "" } else { "." };
        let field = field_of(message);
        field.and_then(|field| self.find(&format!("{path}{dot}{field}"))).unwrap_or(object)
    }
}

/// The field that a message in the words of an API server begins with.
pub fn field_of(message: &str) -> Option<&str> {
    let (field, _) = message.split_once(": ")?;
    (!field.is_empty() && !field.contains(' ')).then_some(field)
}
