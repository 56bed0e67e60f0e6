//! What a rule changes on the way, one file per filter, compiled once and applied by pure functions.

mod answer;
mod headers;
mod path;
mod redirect;
mod rewrite;

use http::{HeaderMap, Uri, uri::PathAndQuery};

pub use answer::answer;
pub use redirect::Redirect;

use self::headers::Edits;
use self::rewrite::Rewrite;
use crate::model::Filter;

/// Compiled filters in the order of the rule.
pub type Steps = Vec<Step>;

/// One compiled filter.
#[derive(Debug)]
pub enum Step {
    /// Edits request headers.
    RequestHeaders(Edits),
    /// Edits response headers.
    ResponseHeaders(Edits),
    /// Rewrites host or path.
    Rewrite(Rewrite),
}

/// A filter could not be applied to this request: it is answered with 500.
#[derive(Debug, thiserror::Error)]
#[error("the rewritten target is no request target: {0}")]
pub struct FilterError(#[from] http::uri::InvalidUri);

/// Compiles filters; what fails is added to `problems`, and their rule must then not serve.
pub fn compile(filters: &[Filter], problems: &mut Vec<String>) -> Steps {
    let step = |filter: &Filter| match filter {
        Filter::RequestHeaders(edit) => Step::RequestHeaders(Edits::compile(edit, problems)),
        Filter::ResponseHeaders(edit) => Step::ResponseHeaders(Edits::compile(edit, problems)),
        Filter::Rewrite(rewrite) => Step::Rewrite(Rewrite::compile(rewrite, problems)),
    };
    filters.iter().map(step).collect()
}

/// Applies what concerns the request. `prefix` is the length of the path prefix that matched.
///
/// # Errors
/// [`FilterError`] when a rewrite gives no valid target.
pub fn apply_to_request(steps: &[Step], headers: &mut HeaderMap, uri: &mut Uri, prefix: Option<usize>) -> Result<(), FilterError> {
    for step in steps {
        match step {
            Step::RequestHeaders(edits) => edits.apply(headers),
            Step::Rewrite(rewrite) => rewrite.apply(headers, uri, prefix)?,
            Step::ResponseHeaders(_) => {}
        }
    }
    Ok(())
}

/// Applies what concerns the response.
pub fn apply_to_response(steps: &[Step], headers: &mut HeaderMap) {
    for step in steps {
        match step {
            Step::ResponseHeaders(edits) => edits.apply(headers),
            Step::RequestHeaders(_) | Step::Rewrite(_) => {}
        }
    }
}

/// Path and query of a target; `/` for an authority alone.
fn target_of(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", PathAndQuery::as_str)
}
