//! Lines of fields: where in a document a field is written, by its path.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::manifest::{self, Chunk};

/// The shape of a document with the line of each part, counted from 1 in its text.
pub struct Lines(Tree);

enum Tree {
    Map(Vec<(Spanned<String>, Tree)>),
    List(Vec<Spanned<Tree>>),
    Leaf,
}

impl Lines {
    /// The lines of a chunk; none when it cannot be read, or holds several JSON values.
    pub fn of(chunk: Chunk<'_>) -> Option<Self> {
        let options = manifest::options(chunk.text);
        let read =
            serde_saphyr::with_deserializer_from_str_with_options(chunk.text, options, |deserializer| Tree::deserialize(deserializer));
        read.ok().map(Self)
    }

    /// The line of the field at a path such as `spec.rules[0].matches`, or of the last part of the path that is written; none
    /// when no part is.
    pub fn find(&self, path: &str) -> Option<usize> {
        let (mut tree, mut rest, mut line) = (&self.0, path, None);
        while let Some((next, at, left)) = tree.step(rest) {
            (tree, rest, line) = (next, left, Some(at));
        }
        line.and_then(|line| usize::try_from(line).ok())
    }
}

impl Tree {
    /// The part that a path begins with: what is there, its line, and the rest of the path.
    fn step<'t, 'p>(&'t self, path: &'p str) -> Option<(&'t Self, u64, &'p str)> {
        match self {
            Self::Map(fields) => {
                let path = path.strip_prefix('.').unwrap_or(path);
                // Keys may hold dots: the longest that fits is meant.
                let fits = fields.iter().filter_map(|(key, below)| {
                    let left = path.strip_prefix(key.value.as_str()).filter(|_| !key.value.is_empty())?;
                    (left.is_empty() || left.starts_with(['.', '['])).then_some((below, key.referenced.line(), left))
                });
                fits.min_by_key(|(.., left)| left.len())
            }
            Self::List(items) => {
                let (index, left) = path.strip_prefix('[')?.split_once(']')?;
                let item = items.get(index.parse::<usize>().ok()?)?;
                Some((&item.value, item.referenced.line(), left))
            }
            Self::Leaf => None,
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts;

        impl<'de> Visitor<'de> for Parts {
            type Value = Tree;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Tree::Map(fields))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Tree::List(items))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Tree, E> {
                Ok(Tree::Leaf)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Tree, E> {
                Ok(Tree::Leaf)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Tree, E> {
                Ok(Tree::Leaf)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Tree, E> {
                Ok(Tree::Leaf)
            }

            fn visit_str<E>(self, _: &str) -> Result<Tree, E> {
                Ok(Tree::Leaf)
            }

            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Leaf)
            }

            fn visit_none<E>(self) -> Result<Tree, E> {
                Ok(Tree::Leaf)
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
                IgnoredAny::deserialize(deserializer).map(|_| Tree::Leaf)
            }
        }

        deserializer.deserialize_any(Parts)
    }
}

#[cfg(test)]
mod tests {
    use super::{Chunk, Lines};

    const TEXT: &str = "---\n# c\nmetadata:\n  annotations:\n    a.b/c: x\n    a: y\nspec:\n  rules:\n  - name: r\n    matches: []\n  - {name: s,\n     odd: 1}\n";

    #[test]
    fn fields_are_found_by_their_paths() {
        let lines = Lines::of(Chunk { line: 3, text: TEXT }).unwrap();
        for (path, line) in [
            ("metadata", Some(3)),
            ("metadata.annotations.a.b/c", Some(5)),
            ("metadata.annotations.a", Some(6)),
            ("spec.rules", Some(8)),
            ("spec.rules[0]", Some(9)),
            ("spec.rules[0].matches", Some(10)),
            ("spec.rules[1].odd", Some(12)),
            ("spec.rules[1].missing.more", Some(11)),
            ("spec.parentRefs[0]", Some(7)),
            ("status", None),
        ] {
            assert_eq!(lines.find(path), line, "{path}");
        }
    }

    #[test]
    fn json_has_lines_too() {
        let lines = Lines::of(Chunk { line: 1, text: "{\n  \"spec\": {\n    \"rules\": [\n      1\n    ]\n  }\n}\n" }).unwrap();
        assert_eq!((lines.find("spec"), lines.find("spec.rules[0]")), (Some(2), Some(4)));
    }
}
