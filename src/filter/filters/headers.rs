//! Header edits (`RequestHeaderModifier`, `ResponseHeaderModifier`).

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::model::HeaderEdit;

/// Fields that frame the message or belong to one connection: an edit of them would desynchronise the two sides.
const FRAMING: [HeaderName; 7] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// Compiled edits. Names are unique across the lists, so their order does not matter.
#[derive(Debug, Default)]
pub struct Edits {
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
    remove: Vec<HeaderName>,
}

impl Edits {
    /// Compiles; names or values that cannot go on the wire, and framing fields, are problems.
    pub(super) fn compile(edit: &HeaderEdit, problems: &mut Vec<String>) -> Self {
        let mut edits = Self::default();
        let lists = [(&edit.set, &mut edits.set), (&edit.add, &mut edits.add)];
        for (from, to) in lists {
            for (name, value) in from {
                let parsed = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| format!("value of header {name:?}"));
                match (field(name), parsed) {
                    (Ok(name), Ok(value)) => to.push((name, value)),
                    (Err(problem), _) | (_, Err(problem)) => problems.push(problem),
                }
            }
        }
        for name in &edit.remove {
            match field(name) {
                Ok(name) => edits.remove.push(name),
                Err(problem) => problems.push(problem),
            }
        }
        edits
    }

    /// Applies the edits. An added value becomes a line of its own.
    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name, value.clone());
        }
        for name in &self.remove {
            headers.remove(name);
        }
    }
}

fn field(name: &str) -> Result<HeaderName, String> {
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("header name {name:?}"))?;
    if FRAMING.contains(&parsed) { Err(format!("header {name:?} belongs to the connection and cannot be edited")) } else { Ok(parsed) }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::Edits;
    use crate::model::HeaderEdit;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn set_replaces_add_appends_a_line_and_remove_takes_all() {
        let edit = HeaderEdit {
            set: pairs(&[("x-set", "new"), ("x-fresh", "1")]),
            add: pairs(&[("x-add", "b"), ("x-add", "c")]),
            remove: vec!["x-gone".into()],
        };
        let mut problems = Vec::new();
        let edits = Edits::compile(&edit, &mut problems);
        assert!(problems.is_empty());
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-set", "1"), ("x-set", "2"), ("x-add", "a"), ("x-gone", "1"), ("x-gone", "2")] {
            headers.append(name, value.parse().unwrap());
        }
        edits.apply(&mut headers);
        let all = |name: &str| headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!(all("x-set"), ["new"]);
        assert_eq!(all("x-fresh"), ["1"]);
        assert_eq!(all("x-add"), ["a", "b", "c"]);
        assert!(all("x-gone").is_empty());
    }

    #[test]
    fn what_cannot_go_on_the_wire_or_frames_the_message_is_a_problem() {
        let bad = [("content-length", "1"), ("transfer-encoding", "x"), ("a b", "1"), ("x", "a\r\nb: c"), ("", "1")];
        for pair in bad {
            let mut problems = Vec::new();
            Edits::compile(&HeaderEdit { set: pairs(&[pair]), ..Default::default() }, &mut problems);
            assert_eq!(problems.len(), 1, "{pair:?}");
        }
        let mut problems = Vec::new();
        Edits::compile(&HeaderEdit { remove: vec!["connection".into()], ..Default::default() }, &mut problems);
        assert_eq!(problems.len(), 1);
    }
}
