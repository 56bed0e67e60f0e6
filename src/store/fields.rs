//! Which fields a kind has at each place of an object, as its type declares them: what a misspelt field was meant to be.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Map, Value};

use super::kinds::{self, Row};
use super::pump::Pumped;
use crate::model::{Kind, nearest};

/// Fields by the path of the mapping that may hold them; the top has an empty path.
type Found = BTreeMap<String, &'static [&'static str]>;

/// What is said of a field that is not known where it stands.
pub fn unknown<'k>(path: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    let (_, name) = path.rsplit_once('.').unwrap_or(("", path));
    match nearest(name, known) {
        Some(meant) => format!("{path}: unknown field; did you mean {meant:?}?"),
        None => format!("{path}: unknown field"),
    }
}

/// The fields of a kind, as far as an object of it can be read.
pub struct Fields(Found);

impl Fields {
    /// Of an object.
    pub fn of(kind: Kind, value: &Value) -> Self {
        struct One<'v>(Kind, &'v Value, RefCell<Found>);

        impl kinds::Visitor for One<'_> {
            fn visit<K: Pumped>(&mut self, row: &'static Row) {
                if row.kind == self.0 {
                    // What cannot be read is told by whoever reads it.
                    drop(K::deserialize(Probe { value: self.1, path: String::new(), found: &self.2 }));
                }
            }
        }

        let mut one = One(kind, value, RefCell::default());
        kinds::visit(&mut one);
        Self(one.2.into_inner())
    }

    /// What is said of an unknown field at a path.
    pub fn unknown(&self, path: &str) -> String {
        let (parent, _) = path.rsplit_once('.').unwrap_or_default();
        unknown(path, self.0.get(parent).copied().unwrap_or_default().iter().copied())
    }
}

/// Shows a value to a type, and notes which fields the type asks for.
struct Probe<'v> {
    value: &'v Value,
    path: String,
    found: &'v RefCell<Found>,
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), ..) => visitor.visit_u64(number),
                (_, Some(number), _) => visitor.visit_i64(number),
                (_, _, number) => visitor.visit_f64(number.unwrap_or_default()),
            },
            Value::String(text) => visitor.visit_str(text),
            Value::Array(items) => visitor.visit_seq(Items { items, next: 0, probe: &self }),
            Value::Object(fields) => visitor.visit_map(Entries { entries: fields.iter(), below: None, probe: &self }),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(self, _: &'static str, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.found.borrow_mut().insert(self.path.clone(), fields);
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::String(text) => {
                let text: StrDeserializer<'_, Error> = text.as_str().into_deserializer();
                visitor.visit_enum(text)
            }
            Value::Object(fields) => {
                visitor.visit_enum(MapAccessDeserializer::new(Entries { entries: fields.iter(), below: None, probe: &self }))
            }
            _ => visitor.visit_unit(),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

struct Items<'v, 'p> {
    items: &'v [Value],
    next: usize,
    probe: &'p Probe<'v>,
}

impl<'de> SeqAccess<'de> for Items<'_, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(value) = self.items.get(self.next) else { return Ok(None) };
        let path = format!("{}[{}]", self.probe.path, self.next);
        self.next += 1;
        seed.deserialize(Probe { value, path, found: self.probe.found }).map(Some)
    }
}

struct Entries<'v, 'p> {
    entries: serde_json::map::Iter<'v>,
    below: Option<(&'v String, &'v Value)>,
    probe: &'p Probe<'v>,
}

impl<'de> MapAccess<'de> for Entries<'_, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.below = self.entries.next();
        let Some((key, _)) = self.below else { return Ok(None) };
        let key: StrDeserializer<'_, Error> = key.as_str().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let Some((key, value)) = self.below.take() else { return seed.deserialize(Value::Null) };
        let dot = if self.probe.path.is_empty() { "" } else { "." };
        let path = format!("{}{dot}{key}", self.probe.path);
        seed.deserialize(Probe { value, path, found: self.probe.found })
    }
}

/// The body of an object as a type sees it: what every object carries is left out.
pub fn body(value: &Value) -> Value {
    let mut fields = value.as_object().cloned().unwrap_or_else(Map::new);
    fields.remove("apiVersion");
    fields.remove("kind");
    fields.insert("metadata".to_owned(), Value::Object(Map::new()));
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Fields, body};
    use crate::model::Kind;

    #[test]
    fn a_misspelt_field_is_told_with_what_was_meant() {
        let route = json!({"metadata": {"name": "r"}, "spec": {"hostname": ["a"], "rules": [{"matchs": [], "matches": [{"path": {"kind": "Exact"}}]}], "odd": 1}});
        let fields = Fields::of(Kind::HttpRoute, &body(&route));
        for (path, told) in [
            ("spec.hostname", "spec.hostname: unknown field; did you mean \"hostnames\"?"),
            ("spec.rules[0].matchs", "spec.rules[0].matchs: unknown field; did you mean \"matches\"?"),
            ("spec.odd", "spec.odd: unknown field"),
            ("specs", "specs: unknown field; did you mean \"spec\"?"),
        ] {
            assert_eq!(fields.unknown(path), told);
        }
    }

    #[test]
    fn fields_of_built_in_kinds_are_known_too() {
        let service = json!({"metadata": {}, "spec": {"ports": [{"targetport": 1, "port": 80}]}});
        let fields = Fields::of(Kind::Service, &body(&service));
        assert_eq!(fields.unknown("spec.ports[0].targetport"), "spec.ports[0].targetport: unknown field; did you mean \"targetPort\"?");
    }
}
