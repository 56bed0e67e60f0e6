//! Filters of routes: what becomes of a request on the way to a backend, and of the answer on the way back.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Cors, Mirror, Retry, Timeouts};

/// One L7 behaviour on the way to a backend or back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Filter {
    /// Edits request headers.
    RequestHeaders(HeaderEdit),
    /// Edits response headers.
    ResponseHeaders(HeaderEdit),
    /// Rewrites host or path of the request.
    Rewrite(Rewrite),
    /// Bounds how long a request may take. At most one in a rule, none in a backend reference.
    Timeouts(Timeouts),
    /// Sends the request again when it fails. At most one in a rule, none in a backend reference.
    Retry(Retry),
    /// Answers browsers that ask across origins. At most one in a rule, none in a backend reference.
    Cors(Cors),
    /// Sends a copy of the request to another backend, with the header edits of its list and without rewrites.
    Mirror(Mirror),
}

/// Header edits. Names are lower-case, unique across the three lists; names and values are valid on the wire. `Debug` shows no
/// values, some of which are credentials; serialisation does, so every view for people goes through [`Route::redacted`](super::Route::redacted).
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HeaderEdit {
    /// Replaces all values of the name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<(String, String)>,
    /// Appends a value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<(String, String)>,
    /// Removes all values of the name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

/// Rewrites towards the backend. The query is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rewrite {
    /// New `Host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// New path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathModifier>,
}

/// How a path changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PathModifier {
    /// The whole path becomes this; the query is kept.
    Full(String),
    /// The matched prefix becomes this; legal only where every match of the rule is a prefix match. The result never
    /// contains a doubled slash at the seam and is never empty.
    Prefix(String),
}

/// URL scheme of a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scheme {
    /// `http`.
    Http,
    /// `https`.
    Https,
}

/// A redirect answer. What is absent stays as the request had it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Redirect {
    /// New scheme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// New host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// New port. Absent: the well-known port of `scheme` when that is given, else the listener's port. A port that is
    /// the scheme's well-known one is left out of `Location`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// New path. The query is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathModifier>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// What people see in place of a value that is not theirs to see.
const REDACTED: &str = "redacted";

impl fmt::Debug for HeaderEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |entries: &[(String, String)]| entries.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        f.debug_struct("HeaderEdit").field("set", &names(&self.set)).field("add", &names(&self.add)).field("remove", &self.remove).finish()
    }
}

impl Filter {
    pub(super) fn redact(&mut self) {
        if let Self::RequestHeaders(edit) | Self::ResponseHeaders(edit) = self {
            for (_, value) in edit.set.iter_mut().chain(&mut edit.add) {
                REDACTED.clone_into(value);
            }
        }
    }
}
