//! Lines of fields of objects that were accepted: their files are read once more, when something is to be said of them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::lines::Lines;
use super::manifest::{self, Format};
use super::tree;

/// The files of a directory, by line.
pub struct Located {
    root: PathBuf,
    limit: u64,
    /// Of each file: documents with their lines.
    files: HashMap<String, Vec<Document>>,
}

struct Document {
    /// Line on which it starts.
    start: usize,
    /// Lines of its text without content before that.
    skipped: usize,
    lines: Option<Lines>,
}

impl Located {
    /// Nothing was read yet. Larger files than `limit` have no lines.
    pub fn new(root: &Path, limit: u64) -> Self {
        Self { root: root.to_owned(), limit, files: HashMap::new() }
    }

    /// The line of a field of the object that starts at a line of a file, or of what holds the field; at least the object's own.
    pub fn line(&mut self, (file, object): (&str, usize), field: &str) -> usize {
        let (root, limit) = (&self.root, self.limit);
        let documents = self.files.entry(file.to_owned()).or_insert_with(|| read(root, file, limit));
        let Some(document) = documents.iter().rev().find(|document| document.start <= object) else { return object };
        let Some(lines) = &document.lines else { return object };
        let find = |path: &str| lines.find(path).map(|line| (document.start + line).saturating_sub(document.skipped + 1));
        let line =
            if document.start == object { find(field) } else { item(find, object).and_then(|item| find(&format!("{item}.{field}"))) };
        line.unwrap_or(object).max(object)
    }
}

/// The item of a list that starts at a line.
fn item(find: impl Fn(&str) -> Option<usize>, line: usize) -> Option<String> {
    let item = |index: usize| format!("items[{index}]");
    // Past the last item, the list itself is found.
    let list = find("items")?;
    let at = |index: usize| find(&item(index)).filter(|found| *found > list || index == 0);
    (0..).map_while(|index| Some((index, at(index)?))).find(|(_, found)| *found == line).map(|(index, _)| item(index))
}

fn read(root: &Path, file: &str, limit: u64) -> Vec<Document> {
    let Some(format) = file.rsplit('/').next().and_then(Format::of) else { return Vec::new() };
    let Ok(text) = tree::read(&root.join(file), limit) else { return Vec::new() };
    let chunks = manifest::split(format, &text);
    let document = |chunk: manifest::Chunk<'_>| Document { start: chunk.line, skipped: chunk.skipped(), lines: Lines::of(chunk) };
    chunks.into_iter().map(document).collect()
}
