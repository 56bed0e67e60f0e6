//! The conditions of one match, compiled.

use http::{HeaderMap, HeaderName};

use super::patterns::Compiler;
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
    /// A gRPC call.
    Call(Box<CallCondition>),
    /// The whole path matches; nothing when it could not be compiled.
    Regex(Option<Pattern>),
}

/// A condition on what is called; none: any.
#[derive(Debug)]
pub(super) struct CallCondition {
    service: Option<ValueCondition>,
    method: Option<ValueCondition>,
}

#[derive(Debug)]
enum ValueCondition {
    Exact(Box<[u8]>),
    Regex(Option<Pattern>),
}

impl Conditions {
    /// Compiles a match; what fails is added to `problems`.
    pub(super) fn compile(matched: &Match, expressions: &mut Compiler<'_>, problems: &mut Vec<String>) -> Self {
        let before = problems.len();
        let path = match &matched.path {
            PathMatch::Exact(path) => PathCondition::Exact(path.as_str().into()),
            PathMatch::Prefix(prefix) => PathCondition::Prefix(prefix.trim_end_matches('/').into()),
            PathMatch::Call { service, method } => {
                let mut name = |name: &Option<ValueMatch>| name.as_ref().map(|name| ValueCondition::compile(name, expressions, problems));
                PathCondition::Call(Box::new(CallCondition { service: name(service), method: name(method) }))
            }
            PathMatch::Regex(expression) => PathCondition::Regex(expressions.pattern(expression, problems)),
        };
        let mut headers = Vec::with_capacity(matched.headers.len());
        for header in &matched.headers {
            let name = HeaderName::from_bytes(header.name.as_bytes());
            if name.is_err() {
                problems.push(format!("header name {:?}", header.name));
            }
            headers.push((name.ok(), ValueCondition::compile(&header.value, expressions, problems)));
        }
        let mut query = Vec::with_capacity(matched.query.len());
        for parameter in &matched.query {
            query.push((parameter.name.as_str().into(), ValueCondition::compile(&parameter.value, expressions, problems)));
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

impl CallCondition {
    fn holds(&self, path: &str) -> bool {
        let holds = |condition: &Option<ValueCondition>, name: Option<&str>| match (condition, name) {
            (None, _) => true,
            (Some(condition), Some(name)) => condition.holds(name.as_bytes()),
            (Some(_), None) => false,
        };
        let called = PathMatch::called(path);
        holds(&self.service, called.map(|called| called.0)) && holds(&self.method, called.map(|called| called.1))
    }

    /// Service and method with a slash between, empty where any will do; none with an expression among them.
    pub(super) fn names(&self) -> Option<String> {
        let name = |condition: &Option<ValueCondition>| match condition {
            None => Some(String::new()),
            Some(ValueCondition::Exact(name)) => String::from_utf8(name.to_vec()).ok(),
            Some(ValueCondition::Regex(_)) => None,
        };
        Some(format!("{}/{}", name(&self.service)?, name(&self.method)?))
    }
}

impl PathCondition {
    /// Whether the condition holds for a path, of a gRPC call or not. The router asks its indexes instead; this is their
    /// definition.
    pub(super) fn holds(&self, path: &str, is_call: bool) -> bool {
        match self {
            Self::Exact(exact) => **exact == *path,
            Self::Prefix(prefix) => path.strip_prefix(&**prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            Self::Call(condition) => is_call && path.starts_with('/') && condition.holds(path),
            Self::Regex(pattern) => pattern.as_ref().is_none_or(|pattern| pattern.matches(path.as_bytes())),
        }
    }

    /// Bytes of a matched prefix.
    pub(super) fn prefix(&self) -> Option<usize> {
        match self {
            Self::Prefix(prefix) => Some(prefix.len()),
            Self::Exact(_) | Self::Call(_) | Self::Regex(_) => None,
        }
    }
}

impl ValueCondition {
    fn compile(value: &ValueMatch, expressions: &mut Compiler<'_>, problems: &mut Vec<String>) -> Self {
        match value {
            ValueMatch::Exact(text) => Self::Exact(text.as_bytes().into()),
            ValueMatch::Regex(expression) => Self::Regex(expressions.pattern(expression, problems)),
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
