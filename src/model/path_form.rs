//! What becomes of paths that can be read in two ways: by us as they are, by a backend as the path that they mean to it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// What is done with dot segments, empty segments and encoded slashes (`pathNormalization`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathForm {
    /// Paths are compared and passed on as they came.
    #[default]
    Keep,
    /// Paths are brought to one form before any rule looks at them, and passed on in it.
    Normalize,
    /// Requests with such paths are refused.
    Reject,
}

/// A path that can be read in two ways where that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a path that can be read in two ways")]
pub struct Ambiguous;

impl PathForm {
    /// Whether paths stay as they are.
    pub fn is_keep(&self) -> bool {
        *self == Self::Keep
    }

    /// The target, path and query, as rules and backends are to see it. The query is left alone.
    ///
    /// # Errors
    /// [`Ambiguous`], with [`PathForm::Reject`].
    pub fn settle(self, target: &str) -> Result<Cow<'_, str>, Ambiguous> {
        let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
        match self {
            Self::Keep => Ok(Cow::Borrowed(target)),
            // `*` and the like are no paths.
            Self::Normalize | Self::Reject if !path.starts_with('/') => Ok(Cow::Borrowed(target)),
            Self::Normalize => {
                let normal = normal(path);
                Ok(if normal == path { Cow::Borrowed(target) } else { Cow::Owned(normal + query) })
            }
            Self::Reject if is_ambiguous(path) => Err(Ambiguous),
            Self::Reject => Ok(Cow::Borrowed(target)),
        }
    }
}

/// The path with unreserved characters and slashes decoded (RFC 3986 §6.2.2), then without empty and dot segments (§5.2.4).
fn normal(path: &str) -> String {
    let decoded = decode(path, |byte| byte == b'/' || byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    let mut kept: Vec<&str> = Vec::new();
    let mut open = true;
    for segment in decoded.split('/') {
        open = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
    }
    let end = if open && !kept.is_empty() { "/" } else { "" };
    format!("/{}{end}", kept.join("/"))
}

/// Whether a backend may read it otherwise: empty or dot segments, slashes of either kind that are encoded, or backslashes.
fn is_ambiguous(path: &str) -> bool {
    let read = decode(path, |byte| b"./\\".contains(&byte));
    let slashes = |text: &str| text.bytes().filter(|byte| b"/\\".contains(byte)).count();
    let inner = read.strip_prefix('/').unwrap_or(&read);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    let odd = |segment: &str| matches!(segment, "" | "." | "..");
    read.contains('\\') || slashes(&read) != slashes(path) || read.starts_with("//") || (!inner.is_empty() && inner.split('/').any(odd))
}

/// Decodes the percent-encoded bytes that are wanted, all of them ASCII, and encodes percent signs that encode nothing.
fn decode(text: &str, wanted: impl Fn(u8) -> bool) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        decoded.push_str(before);
        let byte =
            after.get(..2).filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit())).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte.filter(|byte| byte.is_ascii() && wanted(*byte)) {
            Some(byte) => {
                decoded.push(char::from(byte));
                rest = after.get(2..).unwrap_or_default();
            }
            // What follows a bare percent sign may be decoded to what would make one of it.
            None if byte.is_none() => {
                decoded.push_str("%25");
                rest = after;
            }
            None => {
                decoded.push('%');
                rest = after;
            }
        }
    }
    decoded.push_str(rest);
    decoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::PathForm;

    #[test]
    fn paths_are_brought_to_one_form() {
        let cases = [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("//a///b", "/a/b"),
            ("/a/./b", "/a/b"),
            ("/a/../b?x=/../y", "/b?x=/../y"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/../../x", "/x"),
            ("/a%2Fb", "/a/b"),
            ("/a/%2e%2E/b", "/b"),
            ("/%61%7e%20%C3%A9", "/a~%20%C3%A9"),
            ("/a%2", "/a%252"),
            ("/a%zz%", "/a%25zz%25"),
            ("/%%32e%%32e/b", "/%252e%252e/b"),
            ("/a%25%32%65", "/a%252e"),
            ("/...", "/..."),
            ("*", "*"),
        ];
        for (path, normal) in cases {
            assert_eq!(PathForm::Normalize.settle(path).unwrap(), normal, "{path}");
            assert_eq!(PathForm::Keep.settle(path).unwrap(), path);
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for path in ["//a", "/a//b", "/a/./b", "/a/..", "/..", "/a%2fb", "/a%5Cb", "/a\\b", "/%2e%2e/b", "/a/", "/a//", "//"] {
            assert_eq!(PathForm::Reject.settle(path).is_err(), path != "/a/", "{path}");
        }
        for path in ["/", "/a", "/a/b/", "/a.b/..c", "/a%20b?x=//../%2f", "/...", "*"] {
            assert_eq!(PathForm::Reject.settle(path).unwrap(), path);
        }
    }

    proptest! {
        #[test]
        fn a_normal_path_is_normal_and_not_refused(path in "/([a./%2345efF5cC]|//|%2){0,12}") {
            let once = PathForm::Normalize.settle(&path).unwrap().into_owned();
            prop_assert_eq!(&*PathForm::Normalize.settle(&once).unwrap(), &once);
            prop_assert!(PathForm::Reject.settle(&once).is_ok() || once.to_ascii_lowercase().contains("%5c"), "{} {}", path, once);
        }
    }
}
