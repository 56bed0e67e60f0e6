//! The conditions of one match, compiled.

use http::{HeaderMap, HeaderName};

use super::{Head, query};
use crate::model::{Match, PathMatch, Pattern, ValueMatch};

/// One compiled match. `problems` of its compilation make every request that satisfies the rest answer 500.
#[derive(Debug)]
pub(super) struct Conditions {
    /// On the path.
    pub(super) path: PathCondition,
    method: Option<Box<str>>,
    headers: Vec<(Option<HeaderName>, ValueCondition)>,
    query: Vec<(Box<str>, ValueCondition)>,
    /// Something could not be compiled.
    pub(super) broken: bool,
}

/// A path condition.
#[derive(Debug)]
pub(super) enum PathCondition {
    /// The whole path.
    Exact(Box<str>),
    /// By element, without trailing slashes: `/` is the empty text.
    Prefix(Box<str>),
    /// A method of any service.
    Method(Box<str>),
    /// The whole path matches; nothing when it could not be compiled.
    Regex(Option<Pattern>),
}

#[derive(Debug)]
enum ValueCondition {
    Exact(Box<[u8]>),
    Regex(Option<Pattern>),
}

impl Conditions {
    /// Compiles a match; what fails is added to `problems`.
    pub(super) fn compile(matched: &Match, problems: &mut Vec<String>) -> Self {
        let before = problems.len();
        let path = match &matched.path {
            PathMatch::Exact(path) => PathCondition::Exact(path.as_str().into()),
            PathMatch::Prefix(prefix) => PathCondition::Prefix(prefix.trim_end_matches('/').into()),
            PathMatch::Method(method) => PathCondition::Method(method.as_str().into()),
            PathMatch::Regex(expression) => PathCondition::Regex(pattern(expression, problems)),
        };
        let mut headers = Vec::with_capacity(matched.headers.len());
        for header in &matched.headers {
            let name = HeaderName::from_bytes(header.name.as_bytes());
            if name.is_err() {
                problems.push(format!("header name {:?}", header.name));
            }
            headers.push((name.ok(), ValueCondition::compile(&header.value, problems)));
        }
        let mut query = Vec::with_capacity(matched.query.len());
        for parameter in &matched.query {
            query.push((parameter.name.as_str().into(), ValueCondition::compile(&parameter.value, problems)));
        }
        let method = matched.method.as_deref().map(Into::into);
        Self { path, method, headers, query, broken: problems.len() > before }
    }

    /// Whether everything but the path holds.
    pub(super) fn hold(&self, head: &Head<'_>) -> bool {
        self.method.as_deref().is_none_or(|method| method == head.method)
            && self.headers.iter().all(|(name, value)| name.as_ref().is_none_or(|name| value.holds_for_header(head.headers, name)))
            && (self.query.is_empty() || {
                let query = head.query();
                self.query.iter().all(|(name, value)| query::first(query, name.as_bytes()).is_some_and(|found| value.holds(&found)))
            })
    }
}

/// The method that a path of two elements calls.
pub(super) fn called(path: &str) -> Option<&str> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    if service.is_empty() || method.contains('/') { None } else { Some(method) }
}

impl PathCondition {
    /// Whether the condition holds for a path. The router asks its indexes instead; this is their definition.
    pub(super) fn holds(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *path,
            Self::Prefix(prefix) => path.strip_prefix(&**prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            Self::Method(method) => called(path).is_some_and(|called| called == &**method),
            Self::Regex(pattern) => pattern.as_ref().is_none_or(|pattern| pattern.matches(path.as_bytes())),
        }
    }

    /// Bytes of a matched prefix.
    pub(super) fn prefix(&self) -> Option<usize> {
        match self {
            Self::Prefix(prefix) => Some(prefix.len()),
            Self::Exact(_) | Self::Method(_) | Self::Regex(_) => None,
        }
    }
}

impl ValueCondition {
    fn compile(value: &ValueMatch, problems: &mut Vec<String>) -> Self {
        match value {
            ValueMatch::Exact(text) => Self::Exact(text.as_bytes().into()),
            ValueMatch::Regex(expression) => Self::Regex(pattern(expression, problems)),
        }
    }

    fn holds(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => **exact == *value,
            Self::Regex(pattern) => pattern.as_ref().is_none_or(|pattern| pattern.matches(value)),
        }
    }

    /// Several lines count as one value, joined by a comma.
    fn holds_for_header(&self, headers: &HeaderMap, name: &HeaderName) -> bool {
        let mut lines = headers.get_all(name).iter();
        let Some(first) = lines.next() else { return false };
        match lines.next() {
            None => self.holds(first.as_bytes()),
            Some(second) => {
                let mut joined = first.as_bytes().to_vec();
                for line in std::iter::once(second).chain(lines) {
                    joined.push(b',');
                    joined.extend_from_slice(line.as_bytes());
                }
                self.holds(&joined)
            }
        }
    }
}

/// A compiled expression. One that cannot be compiled counts as satisfied, and its match answers 500: rules that restrict
/// access fail closed.
fn pattern(expression: &str, problems: &mut Vec<String>) -> Option<Pattern> {
    let compiled = Pattern::compile(expression);
    compiled.map_err(|problem| problems.push(format!("regular expression {expression:?}: {problem}"))).ok()
}
