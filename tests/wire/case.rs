//! Cases, as their files have them.
//!
//! Texts are bytes: `\xE9` is one byte, and `é` is written `\xC3\xA9`. `HOST` stands for the listener's host, `{x*3}` for
//! `xxx`, `{fields 3}` for three fields of one byte each.

use std::path::Path;

use serde::Deserialize;

use crate::stage::Stage;

/// What a client sends, and what comes of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    /// Over HTTP/1.1, in one piece.
    #[serde(default)]
    pub send: String,
    /// Over HTTP/2: the fields of one request. `:method`, `:scheme`, `:authority` and `:path` are added when no pseudo-field is
    /// there.
    #[serde(default)]
    pub fields: Vec<(String, String)>,
    /// Its body; without one the stream ends with its head.
    pub body: Option<String>,
    /// In every stage that says nothing else.
    want: Want,
    native: Option<Other>,
    hop: Option<Other>,
    relay: Option<Other>,
}

/// What is wanted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Want {
    /// Statuses that the client reads, in order, and `closed` where the connection has to end then. Over HTTP/2 also
    /// `refused`: the stream was reset, or the connection ended.
    pub status: String,
    /// Requests that reach the backend.
    pub requests: usize,
    /// In what the backend reads, lower-cased.
    #[serde(default)]
    pub has: Vec<String>,
    /// Not in it.
    #[serde(default)]
    pub lacks: Vec<String>,
    /// What is unclean in the backend's requests; see [`crate::backend`].
    #[serde(default)]
    pub unclean: Vec<String>,
}

/// Another outcome in one stage.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Other {
    /// Why that is allowed.
    why: String,
    status: Option<String>,
    requests: Option<usize>,
    has: Option<Vec<String>>,
    lacks: Option<Vec<String>>,
    #[serde(default)]
    unclean: Vec<String>,
}

impl Case {
    /// All of them, file by file.
    pub fn all() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/cases");
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let read = |path: &std::path::PathBuf| {
            let text = std::fs::read_to_string(path).unwrap();
            serde_saphyr::from_str::<Vec<Self>>(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        files.iter().flat_map(read).collect()
    }

    /// What a stage must do.
    pub fn want(&self, stage: Stage) -> Want {
        let other = match stage {
            Stage::Native => &self.native,
            Stage::Hop => &self.hop,
            Stage::Relay => &self.relay,
        };
        let mut want = self.want.clone();
        if let Some(other) = other.clone() {
            assert!(other.why.len() > 10, "{}: no reason", self.name);
            want.status = other.status.unwrap_or(want.status);
            want.requests = other.requests.unwrap_or(want.requests);
            want.has = other.has.unwrap_or(want.has);
            want.lacks = other.lacks.unwrap_or(want.lacks);
            want.unclean = other.unclean;
        }
        want
    }

    /// Whether it is one of HTTP/2.
    pub fn is_h2(&self) -> bool {
        self.send.is_empty()
    }
}

/// The bytes of a text.
pub fn bytes(text: &str, host: &str) -> Vec<u8> {
    let text = expand(&text.replace("HOST", host));
    text.chars().map(|char| u8::try_from(u32::from(char)).expect("a character is a byte")).collect()
}

fn expand(text: &str) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (inside, after) = after.split_once('}').expect("a brace ends");
        expanded.push_str(before);
        if let Some(count) = inside.strip_prefix("fields ") {
            (0..count.parse().unwrap()).for_each(|index: usize| expanded.push_str(&format!("x-{index}: 1\r\n")));
        } else {
            let (text, count) = inside.split_once('*').expect("{text*count}");
            expanded.push_str(&text.repeat(count.parse().unwrap()));
        }
        rest = after;
    }
    expanded + rest
}
