//! Shapes: what a field may hold, and what stands in it when the manifest leaves it out.
//!
//! A shape is a table, not code. It names only what is checked or has a default: fields that it does not name are left to
//! the typed decoding that follows. Rules over several fields are functions attached to a node; they run when everything
//! below the node is in order.

use serde_json::{Map, Value};

use super::forms::Form;

/// What a value must look like.
pub enum Shape {
    /// A string, its length counted in characters.
    Text {
        /// Shortest.
        min: usize,
        /// Longest.
        max: usize,
        /// What it must look like.
        form: &'static Form,
    },
    /// One of these strings.
    Choice(&'static [&'static str]),
    /// A whole number.
    Integer {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// True or false.
    Boolean,
    /// A list.
    List {
        /// Shape of its items.
        of: &'static Shape,
        /// Fewest items.
        min: usize,
        /// Most items.
        max: usize,
        /// What may not occur twice.
        unique: Unique,
        /// Rules over the whole list.
        rules: &'static [Rule],
    },
    /// A mapping with free keys.
    Map {
        /// Shape of its values.
        of: &'static Shape,
        /// Most entries.
        max: usize,
        /// What keys must look like.
        keys: &'static Form,
    },
    /// A mapping with known fields.
    Object {
        /// Its fields.
        fields: &'static [Field],
        /// Rules over several fields.
        rules: &'static [Rule],
    },
    /// Anything that these rules accept.
    Any(&'static [Rule]),
}

/// A field: its name, its shape, and what its absence means.
pub type Field = (&'static str, &'static Shape, Absent);

/// What the absence of a field means.
#[derive(Clone, Copy, Debug)]
pub enum Absent {
    /// Nothing.
    Fine,
    /// A violation.
    Refused,
    /// This, as JSON. Defaults of the fields within apply to it too.
    Default(&'static str),
    /// The same, also in place of an empty text: where a built-in kind cannot tell the two apart.
    OrEmpty(&'static str),
}

/// What may occur only once in a list.
#[derive(Clone, Copy, Debug)]
pub enum Unique {
    /// Nothing in particular.
    No,
    /// Each item.
    Items,
    /// Each combination of these fields.
    By(&'static [&'static str]),
}

/// A rule over one node: what is wrong with it, if anything; optionally at a path below the node.
pub type Rule = fn(&Value) -> Option<Violation>;

/// What a rule found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where, relative to the node: empty, or beginning with `.` or `[`.
    pub at: String,
    /// What is wrong.
    pub message: String,
}

impl Violation {
    /// A violation of the node itself.
    pub fn here(message: impl Into<String>) -> Option<Self> {
        Some(Self { at: String::new(), message: format!("Invalid value: {}", message.into()) })
    }

    /// A violation of something below it.
    pub fn at(at: impl Into<String>, message: impl Into<String>) -> Option<Self> {
        Some(Self { at: at.into(), message: message.into() })
    }
}

/// What `null` means. The value of a field is absent in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Null {
    /// Built-in kinds: the empty value in lists and maps.
    Empty,
    /// Kinds defined by a schema: absent in maps, a violation in lists.
    Pruned,
}

/// Violations listed for one object, at most.
const LISTED: usize = 10;

/// Fills in defaults and checks; the violations as `path: message`.
pub fn conform(shape: &Shape, null: Null, value: &mut Value) -> Vec<String> {
    let mut walk = Walk { null, path: String::new(), violations: Vec::new(), count: 0 };
    walk.visit(shape, value);
    if walk.count > walk.violations.len() {
        walk.violations.push(format!("and {} more", walk.count - walk.violations.len()));
    }
    walk.violations
}

struct Walk {
    null: Null,
    path: String,
    violations: Vec<String>,
    count: usize,
}

impl Walk {
    fn report(&mut self, at: &str, message: &str) {
        self.count += 1;
        if self.violations.len() < LISTED {
            let path = format!("{}{at}", self.path);
            self.violations.push(format!("{}: {message}", path.trim_start_matches('.')));
        }
    }

    fn below(&mut self, step: &str, visit: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        self.path.push_str(step);
        visit(self);
        self.path.truncate(length);
    }

    fn visit(&mut self, shape: &Shape, value: &mut Value) {
        let before = self.count;
        match shape {
            Shape::Text { min, max, form } => self.text(value, (*min, *max), form),
            Shape::Choice(choices) => self.choice(value, choices),
            Shape::Integer { min, max } => self.integer(value, *min, *max),
            Shape::Boolean if value.is_boolean() => {}
            Shape::Boolean => self.report("", "Invalid value: must be true or false"),
            Shape::List { of, min, max, unique, rules } => {
                self.list(of, (*min, *max), *unique, value);
                self.rules(rules, value, before);
            }
            Shape::Map { of, max, keys } => self.map(of, *max, keys, value),
            Shape::Object { fields, rules } => {
                self.object(fields, value);
                self.rules(rules, value, before);
            }
            Shape::Any(rules) => self.rules(rules, value, before),
        }
    }

    fn rules(&mut self, rules: &[Rule], value: &Value, before: usize) {
        if self.count == before {
            for violation in rules.iter().filter_map(|rule| rule(value)) {
                self.report(&violation.at, &violation.message);
            }
        }
    }

    fn text(&mut self, value: &Value, (min, max): (usize, usize), form: &Form) {
        let Value::String(text) = value else {
            return self.report("", "Invalid value: must be a string; quote it if it looks like a number or a truth value");
        };
        // Bytes bound characters, so that a very long text is not walked.
        let length = if text.len() > max.saturating_mul(4) { text.len() } else { text.chars().count() };
        if length > max {
            self.report("", &format!("Too long: may not be more than {max} characters"));
        } else if length < min {
            self.report("", &format!("Invalid value: {text:?}: must be at least {min} characters long"));
        } else if !(form.holds)(text) {
            self.report("", &format!("Invalid value: {text:?}: {}", form.message));
        }
    }

    fn choice(&mut self, value: &Value, choices: &[&str]) {
        if !value.as_str().is_some_and(|text| choices.contains(&text)) {
            let shown: String = value.to_string().chars().take(100).collect();
            self.report("", &format!("Unsupported value: {shown}: supported values: {}", choices.join(", ")));
        }
    }

    fn integer(&mut self, value: &Value, min: i64, max: i64) {
        match value.as_i64() {
            Some(number) if (min..=max).contains(&number) => {}
            Some(number) if max == i64::MAX => self.report("", &format!("Invalid value: {number}: must be at least {min}")),
            Some(number) => self.report("", &format!("Invalid value: {number}: must be between {min} and {max}")),
            None => self.report("", "Invalid value: must be a whole number"),
        }
    }

    fn list(&mut self, of: &Shape, (min, max): (usize, usize), unique: Unique, value: &mut Value) {
        let Value::Array(items) = value else {
            return self.report("", "Invalid value: must be a list");
        };
        if items.len() > max {
            return self.report("", &format!("Too many: {}: must have at most {max} items", items.len()));
        }
        if items.len() < min {
            self.report("", &format!("Invalid value: must have at least {min} items"));
        }
        for (index, item) in items.iter_mut().enumerate() {
            self.below(&format!("[{index}]"), |walk| match item {
                Value::Null if walk.null == Null::Pruned => walk.report("", "Invalid value: must not be null"),
                item => walk.visit_or_empty(of, item),
            });
        }
        let mut seen = std::collections::BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            if let Some(key) = key(unique, item)
                && !seen.insert(key.clone())
            {
                self.report(&format!("[{index}]"), &format!("Duplicate value: {key}"));
            }
        }
    }

    fn map(&mut self, of: &Shape, max: usize, keys: &Form, value: &mut Value) {
        let Value::Object(entries) = value else {
            return self.report("", "Invalid value: must be a mapping");
        };
        if self.null == Null::Pruned {
            entries.retain(|_, value| !value.is_null());
        }
        if entries.len() > max {
            return self.report("", &format!("Too many: {}: must have at most {max} entries", entries.len()));
        }
        for (key, value) in entries {
            if !(keys.holds)(key) {
                let shown: String = key.chars().take(100).collect();
                self.report("", &format!("Invalid value: {shown:?}: {}", keys.message));
            }
            self.below(&format!(".{key}"), |walk| walk.visit_or_empty(of, value));
        }
    }

    fn visit_or_empty(&mut self, of: &Shape, value: &mut Value) {
        if value.is_null() {
            *value = match of {
                Shape::Object { .. } | Shape::Map { .. } => Value::Object(Map::new()),
                _ => Value::String(String::new()),
            };
        }
        self.visit(of, value);
    }

    fn object(&mut self, fields: &[Field], value: &mut Value) {
        let Value::Object(object) = value else {
            return self.report("", "Invalid value: must be a mapping");
        };
        for (name, shape, absent) in fields {
            self.settle_absence(object, name, *absent);
            if let Some(value) = object.get_mut(*name) {
                self.below(&format!(".{name}"), |walk| walk.visit(shape, value));
            }
        }
    }

    fn settle_absence(&mut self, object: &mut Map<String, Value>, name: &str, absent: Absent) {
        let is_empty = |value: &Value| value.is_null() || matches!(absent, Absent::OrEmpty(_)) && value == "";
        if object.get(name).is_some_and(is_empty) {
            object.remove(name);
        }
        if object.contains_key(name) {
            return;
        }
        match absent {
            Absent::Fine => {}
            Absent::Refused => self.report(&format!(".{name}"), "Required value"),
            Absent::Default(json) | Absent::OrEmpty(json) => {
                let parsed = serde_json::from_str(json);
                debug_assert!(parsed.is_ok(), "the default of {name} is JSON");
                object.extend(parsed.ok().map(|value| (name.to_owned(), value)));
            }
        }
    }
}

fn key(unique: Unique, item: &Value) -> Option<String> {
    match unique {
        Unique::No => None,
        Unique::Items => Some(item.to_string()),
        Unique::By(fields) => {
            let parts = fields.iter().map(|field| item.get(field).map(Value::to_string).unwrap_or_default());
            Some(parts.collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Absent, Null, Shape, Unique, Violation, conform};
    use crate::store::checks::forms::{ANY, LABEL};

    static NAME: Shape = Shape::Text { min: 1, max: 5, form: &LABEL };
    static PORT: Shape = Shape::Integer { min: 1, max: 65535 };
    static ITEM: Shape = Shape::Object {
        fields: &[("name", &NAME, Absent::Refused), ("port", &PORT, Absent::Default("80"))],
        rules: &[|value| if value["name"] == "odd" { Violation::at(".name", "Forbidden: odd") } else { None }],
    };
    static TOP: Shape = Shape::Object {
        fields: &[
            ("items", &Shape::List { of: &ITEM, min: 1, max: 3, unique: Unique::By(&["name"]), rules: &[] }, Absent::Fine),
            ("labels", &Shape::Map { of: &Shape::Text { min: 0, max: 3, form: &ANY }, max: 2, keys: &LABEL }, Absent::Fine),
        ],
        rules: &[],
    };

    fn violations(value: serde_json::Value) -> Vec<String> {
        conform(&TOP, Null::Pruned, &mut value.clone())
    }

    #[test]
    fn defaults_fill_in_and_nulls_give_way_to_them() {
        let mut value = json!({"items": [{"name": "a"}, {"name": "b", "port": null}]});
        assert_eq!(conform(&TOP, Null::Pruned, &mut value), [""; 0]);
        assert_eq!(value, json!({"items": [{"name": "a", "port": 80}, {"name": "b", "port": 80}]}));
    }

    #[test]
    fn violations_name_the_field() {
        assert_eq!(violations(json!({"items": []})), ["items: Invalid value: must have at least 1 items"]);
        assert_eq!(
            violations(json!({"items": [{}, {"name": "A", "port": 0}]})),
            [
                "items[0].name: Required value".to_owned(),
                format!("items[1].name: Invalid value: \"A\": {}", LABEL.message),
                "items[1].port: Invalid value: 0: must be between 1 and 65535".to_owned(),
            ]
        );
        assert_eq!(violations(json!({"items": [{"name": "odd"}]})), ["items[0].name: Forbidden: odd"]);
        assert_eq!(violations(json!({"items": [{"name": "a"}, {"name": "a"}]})), ["items[1]: Duplicate value: \"a\""]);
        assert_eq!(violations(json!({"items": [null]})), ["items[0]: Invalid value: must not be null"]);
        assert_eq!(violations(json!({"labels": {"a": 1}})).len(), 1);
    }

    #[test]
    fn nulls_are_absent_and_in_built_in_maps_empty() {
        for (null, labels) in [(Null::Pruned, json!({})), (Null::Empty, json!({"a": ""}))] {
            let mut value = json!({"items": null, "labels": {"a": null}});
            assert_eq!(conform(&TOP, null, &mut value), [""; 0]);
            assert_eq!(value, json!({ "labels": labels }));
        }
    }

    #[test]
    fn many_violations_are_counted_not_listed() {
        static MANY: Shape = Shape::List { of: &NAME, min: 0, max: 100, unique: Unique::No, rules: &[] };
        let violations = conform(&MANY, Null::Pruned, &mut json!(vec![""; 50]));
        assert_eq!((violations.len(), violations.last().unwrap().as_str()), (11, "and 40 more"));
    }
}
