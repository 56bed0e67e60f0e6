//! What a rule changes on the way, one file per filter, compiled once and applied by pure functions.

mod answer;
pub(in crate::filter) mod cors;
mod grpc;
mod headers;
mod mirror;
mod path;
mod redirect;
mod retry;
mod rewrite;
mod timeouts;

use http::{HeaderMap, Uri, uri::PathAndQuery};

pub use answer::answer;
pub use cors::Cors;
pub use grpc::{answer_call, is_call};
pub use mirror::Mirror;
pub use redirect::Redirect;
pub use retry::Retry;
pub use timeouts::{Patience, Timeouts};

use self::headers::Edits;
use self::rewrite::Rewrite;
use crate::model::Filter;

/// The compiled filters of a rule or of a backend reference.
#[derive(Debug, Default)]
pub struct Filters {
    /// Edits in the order of the object.
    steps: Vec<Step>,
    /// How long a request may take.
    pub timeouts: Timeouts,
    /// When it is sent again.
    pub retry: Option<Retry>,
    /// Who may read answers across origins.
    pub cors: Option<Cors>,
    /// Who else gets a copy.
    pub mirrors: Vec<Mirror>,
}

/// One compiled edit.
#[derive(Debug)]
enum Step {
    RequestHeaders(Edits),
    ResponseHeaders(Edits),
    Rewrite(Rewrite),
}

/// A filter could not be applied to this request: it is answered with 500.
#[derive(Debug, thiserror::Error)]
#[error("the rewritten target is no request target: {0}")]
pub struct FilterError(#[from] http::uri::InvalidUri);

impl Filters {
    /// Compiles the filters of a rule; what fails is added to `problems`, and the rule must then not serve.
    pub fn of_rule(filters: &[Filter], problems: &mut Vec<String>) -> Self {
        let mut all = Self::default();
        for filter in filters {
            match filter {
                Filter::Timeouts(timeouts) => all.timeouts = Timeouts::compile(timeouts),
                Filter::Retry(retry) => all.retry = Some(Retry::compile(retry)),
                Filter::Cors(cors) => all.cors = Some(Cors::compile(cors, problems)),
                other => all.add(other, problems),
            }
        }
        all
    }

    /// The same for a backend reference, which has no say in what concerns the request as a whole.
    pub fn of_backend(filters: &[Filter], problems: &mut Vec<String>) -> Self {
        let mut all = Self::default();
        filters.iter().for_each(|filter| all.add(filter, problems));
        all
    }

    fn add(&mut self, filter: &Filter, problems: &mut Vec<String>) {
        match filter {
            Filter::RequestHeaders(edit) => self.steps.push(Step::RequestHeaders(Edits::compile(edit, problems))),
            Filter::ResponseHeaders(edit) => self.steps.push(Step::ResponseHeaders(Edits::compile(edit, problems))),
            Filter::Rewrite(rewrite) => self.steps.push(Step::Rewrite(Rewrite::compile(rewrite, problems))),
            Filter::Mirror(mirror) => self.mirrors.push(Mirror::compile(mirror, problems)),
            Filter::Timeouts(_) | Filter::Retry(_) | Filter::Cors(_) => {
                problems.push("a filter of whole rules on a backend reference".to_owned())
            }
        }
    }

    /// Applies what concerns the request. `prefix` is the length of the path prefix that matched.
    ///
    /// # Errors
    /// [`FilterError`] when a rewrite gives no valid target.
    pub fn apply_to_request(&self, headers: &mut HeaderMap, uri: &mut Uri, prefix: Option<usize>) -> Result<(), FilterError> {
        for step in &self.steps {
            match step {
                Step::RequestHeaders(edits) => edits.apply(headers),
                Step::Rewrite(rewrite) => rewrite.apply(headers, uri, prefix)?,
                Step::ResponseHeaders(_) => {}
            }
        }
        Ok(())
    }

    /// Applies what concerns the response.
    pub fn apply_to_response(&self, headers: &mut HeaderMap) {
        for step in &self.steps {
            match step {
                Step::ResponseHeaders(edits) => edits.apply(headers),
                Step::RequestHeaders(_) | Step::Rewrite(_) => {}
            }
        }
    }
}

/// Path and query of a target; `/` for an authority alone.
fn target_of(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", PathAndQuery::as_str)
}
