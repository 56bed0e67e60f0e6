//! Header names, values and edits that users write. What reaches the model is valid on the wire.

use http::{HeaderName, HeaderValue};

use crate::model::{HOP_FIELD, HeaderEdit};
use crate::report::Issue;

use super::shorten;

/// Headers that belong to the connection, to framing or to Kakehi itself.
const FORBIDDEN: &[&str] =
    &["connection", "content-length", "host", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", HOP_FIELD];

/// A header name, lower-case.
pub(super) fn name(text: &str) -> Result<String, Issue> {
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| Issue::InvalidHeaderName { name: shorten(text) })?;
    match name.as_str() {
        // Kakehi's own: no condition may look at it either.
        HOP_FIELD => Err(Issue::ForbiddenHeader { name: name.as_str().to_owned() }),
        name => Ok(name.to_owned()),
    }
}

/// The name of a header that an edit may touch.
fn editable(text: &str) -> Result<String, Issue> {
    let name = name(text)?;
    if FORBIDDEN.contains(&name.as_str()) { Err(Issue::ForbiddenHeader { name }) } else { Ok(name) }
}

/// A header value: no control characters, no space around it, never empty.
fn value(name: &str, text: &str) -> Result<String, Issue> {
    let trimmed = text.trim_matches([' ', '\t']);
    match HeaderValue::from_str(text) {
        Ok(_) if !text.is_empty() && trimmed.len() == text.len() => Ok(text.to_owned()),
        _ => Err(Issue::InvalidHeaderValue { name: name.to_owned() }),
    }
}

/// Header edits from the three lists of a modifier. A name counts once, in the order set, add, remove.
pub(super) fn edit<'a>(
    set: impl Iterator<Item = (&'a str, &'a str)>,
    add: impl Iterator<Item = (&'a str, &'a str)>,
    remove: impl Iterator<Item = &'a str>,
) -> (HeaderEdit, Vec<Issue>) {
    let mut seen = Vec::new();
    let mut issues = Vec::new();
    let mut valued = |entries: &mut dyn Iterator<Item = (&'a str, &'a str)>, issues: &mut Vec<Issue>| {
        let mut pairs = Vec::new();
        for (text, content) in entries {
            match editable(text).and_then(|name| value(&name, content).map(|content| (name, content))) {
                Err(issue) => issues.push(issue),
                Ok((name, _)) if seen.contains(&name) => issues.push(Issue::DuplicateName { name }),
                Ok((name, content)) => {
                    seen.push(name.clone());
                    pairs.push((name, content));
                }
            }
        }
        pairs
    };
    let set = valued(&mut { set }, &mut issues);
    let add = valued(&mut { add }, &mut issues);
    let mut removed = Vec::new();
    for text in remove {
        match editable(text) {
            Err(issue) => issues.push(issue),
            Ok(name) if seen.contains(&name) => issues.push(Issue::DuplicateName { name }),
            Ok(name) => {
                seen.push(name.clone());
                removed.push(name);
            }
        }
    }
    (HeaderEdit { set, add, remove: removed }, issues)
}

#[cfg(test)]
mod tests {
    use super::edit;
    use crate::report::Issue;

    #[test]
    fn names_are_lower_case_and_count_once() {
        let (edit, issues) = edit([("X-A", "1"), ("x-a", "2")].into_iter(), [("X-B", "b c")].into_iter(), ["X-C", "x-b"].into_iter());
        assert_eq!(edit.set, [("x-a".to_owned(), "1".to_owned())]);
        assert_eq!(edit.add, [("x-b".to_owned(), "b c".to_owned())]);
        assert_eq!(edit.remove, ["x-c"]);
        assert_eq!(issues.len(), 2);
    }

    #[test]
    fn nothing_that_could_break_framing_passes() {
        for value in ["a\r\nb: c", "a\nb", "\0", "", " a", "a\t", "\u{7f}"] {
            let (edit, issues) = edit([("x-a", value)].into_iter(), [].into_iter(), [].into_iter());
            assert!(edit.set.is_empty(), "{value:?}");
            assert_eq!(issues, [Issue::InvalidHeaderValue { name: "x-a".into() }]);
        }
        for name in ["Host", "Transfer-Encoding", "content-length", "X-Kakehi-Hop", "a b", "", ":path", "a:", "a\r\n"] {
            let (edit, issues) = edit([(name, "v")].into_iter(), [(name, "v")].into_iter(), [name].into_iter());
            assert!(edit == Default::default() && issues.len() == 3, "{name}");
        }
    }
}
