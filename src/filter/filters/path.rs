//! Path changes shared by rewrite and redirect (`HTTPPathModifier`).

use http::uri::PathAndQuery;

use crate::model::PathModifier;

/// The target after `modifier`; the query is kept. `prefix` is the length of the prefix that matched, without its
/// trailing slash. The replacement's own trailing slashes go, so that the seam holds one slash; the rest of the path
/// stays as the client wrote it, and no path is empty.
pub(super) fn modify(modifier: &PathModifier, target: &str, prefix: Option<usize>) -> String {
    let (path, query) = match target.find('?') {
        Some(at) => target.split_at(at),
        None => (target, ""),
    };
    let (head, tail) = match modifier {
        PathModifier::Full(full) => (full.as_str(), ""),
        PathModifier::Prefix(replacement) => (replacement.trim_end_matches('/'), path.get(prefix.unwrap_or(0)..).unwrap_or("")),
    };
    let root = if head.is_empty() && tail.is_empty() { "/" } else { "" };
    [root, head, tail, query].concat()
}

/// Says what makes a modifier unusable: a replacement that is no path.
pub(super) fn check(modifier: &PathModifier, problems: &mut Vec<String>) {
    let (PathModifier::Full(text) | PathModifier::Prefix(text)) = modifier;
    let valid = text.is_empty() || (text.starts_with('/') && !text.contains(['?', '#']) && PathAndQuery::try_from(text.as_str()).is_ok());
    if !valid {
        problems.push(format!("{text:?} is no path"));
    }
}

#[cfg(test)]
mod tests {
    use super::{check, modify};
    use crate::model::PathModifier::{self, Full, Prefix};

    #[test]
    fn prefixes_are_replaced_without_doubling_the_slash() {
        // (prefix, replacement, target, result), the table of HTTPPathModifier and what surrounds it
        let table = [
            ("/foo", "/xyz", "/foo/bar", "/xyz/bar"),
            ("/foo", "/xyz/", "/foo/bar", "/xyz/bar"),
            ("/foo/", "/xyz", "/foo/bar", "/xyz/bar"),
            ("/foo/", "/xyz/", "/foo/bar", "/xyz/bar"),
            ("/foo", "/xyz", "/foo", "/xyz"),
            ("/foo", "/xyz", "/foo/", "/xyz/"),
            ("/foo", "", "/foo/bar", "/bar"),
            ("/foo", "", "/foo/", "/"),
            ("/foo", "", "/foo", "/"),
            ("/foo", "/", "/foo/bar", "/bar"),
            ("/foo", "/", "/foo/", "/"),
            ("/foo", "/", "/foo", "/"),
            ("/foo", "/", "/foo?a=/b", "/?a=/b"),
            ("/", "/xyz", "/bar?q", "/xyz/bar?q"),
            ("/", "/xyz", "/", "/xyz/"),
            ("/foo", "/xyz", "/foo//bar", "/xyz//bar"),
            ("/foo", "/xyz", "/foo/a%2fb?x=%20", "/xyz/a%2fb?x=%20"),
        ];
        for (prefix, replacement, target, expected) in table {
            let length = prefix.trim_end_matches('/').len();
            assert_eq!(modify(&Prefix(replacement.into()), target, Some(length)), expected, "{prefix} {replacement} {target}");
        }
    }

    #[test]
    fn a_full_path_drops_the_rest_and_keeps_the_query() {
        for (full, target, expected) in [("/one", "/a/b?c", "/one?c"), ("/one/", "/a", "/one/"), ("", "/a?b", "/?b"), ("/", "/a", "/")] {
            assert_eq!(modify(&Full(full.into()), target, None), expected);
        }
    }

    #[test]
    fn what_is_no_path_is_a_problem() {
        let problems = |modifier: PathModifier| {
            let mut problems = Vec::new();
            check(&modifier, &mut problems);
            problems.len()
        };
        for bad in ["x", "/a b", "/a?b", "/a#b", "/a\r\n", "http://a/"] {
            assert_eq!(problems(Full(bad.into())), 1, "{bad:?}");
            assert_eq!(problems(Prefix(bad.into())), 1, "{bad:?}");
        }
        for good in ["", "/", "/a%20b", "/a//b", "/~a;b=c@d"] {
            assert_eq!(problems(Full(good.into())), 0, "{good:?}");
        }
    }
}
