//! Paths that users write.

use crate::model::{PathMatch, PathModifier};
use crate::report::Issue;

use super::shorten;

/// Longest path (`HTTPPathMatch.value`, `HTTPPathModifier`).
const MAX_LENGTH: usize = 1024;

/// Whether the text is an absolute path of legal characters.
fn is_absolute(text: &str) -> bool {
    text.starts_with('/') && text.len() <= MAX_LENGTH && has_legal_characters(text.as_bytes())
}

/// The characters of a path: `pchar` and `/` of RFC 3986, percent signs only before two hex digits.
fn has_legal_characters(mut text: &[u8]) -> bool {
    loop {
        text = match text {
            [] => return true,
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest,
            [first, rest @ ..] if first.is_ascii_alphanumeric() || b"-/._~!$&'()*+,;=:@".contains(first) => rest,
            _ => return false,
        }
    }
}

/// Whether the text can be compared byte by byte with request paths: no sequence that another proxy would normalise away
/// (`HTTPPathMatch.value`).
fn is_normal(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    !["//", "/./", "/../", "%2f"].iter().any(|part| lower.contains(part)) && !lower.ends_with("/.") && !lower.ends_with("/..")
}

fn checked(text: &str) -> Result<&str, Issue> {
    if is_absolute(text) && is_normal(text) { Ok(text) } else { Err(Issue::InvalidPath { path: shorten(text) }) }
}

/// An exact path condition.
pub(in crate::translate) fn exact(text: &str) -> Result<PathMatch, Issue> {
    checked(text).map(|path| PathMatch::Exact(path.to_owned()))
}

/// A prefix condition. A trailing slash says nothing (`PathMatchPathPrefix`).
pub(in crate::translate) fn prefix(text: &str) -> Result<PathMatch, Issue> {
    let path = checked(text)?;
    let path = if path == "/" { path } else { path.trim_end_matches('/') };
    Ok(PathMatch::Prefix(path.to_owned()))
}

/// A replacement of the whole path.
pub(super) fn full(text: &str) -> Result<PathModifier, Issue> {
    replacement(text).map(PathModifier::Full)
}

/// A replacement of the matched prefix.
pub(super) fn replaced_prefix(text: &str) -> Result<PathModifier, Issue> {
    replacement(text).map(PathModifier::Prefix)
}

fn replacement(text: &str) -> Result<String, Issue> {
    let path = if text.is_empty() { "/" } else { text };
    if is_absolute(path) { Ok(path.to_owned()) } else { Err(Issue::InvalidPath { path: shorten(text) }) }
}

#[cfg(test)]
mod tests {
    use super::{exact, full, prefix, replaced_prefix};
    use crate::model::{PathMatch, PathModifier};

    #[test]
    fn prefixes_lose_their_trailing_slash() {
        assert_eq!(prefix("/foo/"), Ok(PathMatch::Prefix("/foo".into())));
        assert_eq!(prefix("/"), Ok(PathMatch::Prefix("/".into())));
        assert_eq!(exact("/foo/"), Ok(PathMatch::Exact("/foo/".into())));
    }

    #[test]
    fn what_gateway_api_forbids_is_refused() {
        let long = format!("/{}", "a".repeat(1024));
        for bad in ["", "foo", "/a//b", "/./a", "/a/../b", "/a/..", "/a/.", "/a%2Fb", "/a%2", "/a?b", "/a#b", "/a b", "/ä", &long] {
            assert!(exact(bad).is_err() && prefix(bad).is_err(), "{bad}");
        }
        for good in ["/a.b/..c", "/%20", "/$x", "/a;b=c,d"] {
            assert!(exact(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn replacements_are_absolute_and_valid_on_the_wire() {
        assert_eq!(full(""), Ok(PathModifier::Full("/".into())));
        assert_eq!(replaced_prefix("/new/"), Ok(PathModifier::Prefix("/new/".into())));
        for bad in ["x", "/a\r\nSet-Cookie: b", "/a?b=c", "/a b"] {
            assert!(full(bad).is_err() && replaced_prefix(bad).is_err(), "{bad}");
        }
    }
}
