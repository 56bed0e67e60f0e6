//! Rewrites of host and path (`HTTPURLRewriteFilter`).

use http::{HeaderMap, HeaderValue, Uri, header};

use super::{FilterError, path, target_of};
use crate::model;

/// A compiled rewrite.
#[derive(Debug)]
pub struct Rewrite {
    hostname: Option<HeaderValue>,
    path: Option<model::PathModifier>,
}

impl Rewrite {
    /// Compiles; a host or path that cannot go on the wire is a problem.
    pub(super) fn compile(rewrite: &model::Rewrite, problems: &mut Vec<String>) -> Self {
        let hostname = rewrite.hostname.as_deref().map(|name| HeaderValue::from_str(name).map_err(|_| format!("host name {name:?}")));
        if let Some(modifier) = &rewrite.path {
            path::check(modifier, problems);
        }
        Self {
            hostname: hostname.transpose().unwrap_or_else(|problem| {
                problems.push(problem);
                None
            }),
            path: rewrite.path.clone(),
        }
    }

    /// Replaces the `Host` field and the target.
    pub(super) fn apply(&self, headers: &mut HeaderMap, uri: &mut Uri, prefix: Option<usize>) -> Result<(), FilterError> {
        if let Some(hostname) = &self.hostname {
            headers.insert(header::HOST, hostname.clone());
        }
        if let Some(modifier) = &self.path {
            *uri = Uri::try_from(path::modify(modifier, target_of(uri), prefix))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Uri};

    use super::Rewrite;
    use crate::model::{self, PathModifier};

    #[test]
    fn host_and_path_change_and_the_query_stays() {
        let mut problems = Vec::new();
        let model = model::Rewrite { hostname: Some("inner".into()), path: Some(PathModifier::Prefix("/v2".into())) };
        let rewrite = Rewrite::compile(&model, &mut problems);
        let (mut headers, mut uri) = (HeaderMap::new(), Uri::from_static("/v1/a?b=c"));
        headers.insert("host", "outer".parse().unwrap());
        rewrite.apply(&mut headers, &mut uri, Some(3)).unwrap();
        assert!(problems.is_empty());
        assert_eq!(headers.get_all("host").iter().collect::<Vec<_>>(), ["inner"]);
        assert_eq!(uri.to_string(), "/v2/a?b=c");
    }

    #[test]
    fn a_path_that_begins_with_two_slashes_stays_a_path() {
        let model = model::Rewrite { hostname: None, path: Some(PathModifier::Prefix("/".into())) };
        let rewrite = Rewrite::compile(&model, &mut Vec::new());
        let mut uri = Uri::from_static("/v1//evil.example/x");
        rewrite.apply(&mut HeaderMap::new(), &mut uri, Some(3)).unwrap();
        assert_eq!(uri.host(), None);
        assert_eq!(uri.path(), "//evil.example/x");
    }
}
