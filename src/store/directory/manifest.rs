//! From the bytes of one file to documents, and from a document to values. Bounded: depth, aliases, nodes, size.

use serde::Deserialize;
use serde_json::Value;

/// Collections within collections, at most. Kubernetes objects stay under 20.
const DEPTH: usize = 64;
/// Nodes of one document, aliases expanded, at most.
const NODES: usize = 1_000_000;
/// Of these so many in any document, and one more for each four bytes: a map of one key takes seven bytes of text and 600 of memory.
const NODES_FREE: usize = 1 << 16;
/// Bytes of all scalars of one document, aliases expanded, for each byte of it: escapes can make two bytes three.
const SCALAR_BYTES: usize = 4;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// YAML 1.1 or 1.2, of which JSON is a part.
    Yaml,
    /// JSON values one after the other.
    Json,
}

impl Format {
    /// The format of files of this name; `None` for hidden files and files that are no manifests.
    pub fn of(name: &str) -> Option<Self> {
        if name.starts_with('.') {
            return None;
        }
        match name.rsplit_once('.')?.1 {
            "yaml" | "yml" => Some(Self::Yaml),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// A part of a file that is parsed on its own: a YAML document, or all of a JSON file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Line on which it starts, from 1.
    pub line: usize,
    /// Its text.
    pub text: &'a str,
}

/// Why a chunk cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Lines between the start of the document and the place where reading ended.
    pub after: usize,
    /// The reason, without a line number.
    pub message: String,
}

impl Chunk<'_> {
    /// Lines between the start of the document and line `line` of the text, which counts from 1.
    pub fn after(&self, line: usize) -> usize {
        line.saturating_sub(self.skipped() + 1)
    }

    /// Lines of the text without content before the document starts.
    pub fn skipped(&self) -> usize {
        self.text.lines().take_while(|line| blank(line)).count()
    }
}

/// A line without content.
fn blank(line: &str) -> bool {
    let line = line.strip_prefix("---").unwrap_or(line).trim();
    line.is_empty() || line.starts_with('#') || line.starts_with('%')
}

/// Splits a file into chunks, those without content left out.
///
/// YAML allows `---` and `...` at the start of a line only as markers, whatever surrounds them, so lines suffice.
pub fn split(format: Format, text: &str) -> Vec<Chunk<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if format == Format::Json {
        return if text.trim().is_empty() { Vec::new() } else { vec![Chunk { line: 1, text }] };
    }
    let mut chunks = Vec::new();
    let (mut start, mut first_line) = (0, 1);
    let mut offset = 0;
    for (line, content) in (1..).zip(text.split_inclusive('\n')) {
        let ends = marks(content, "...");
        if ends || marks(content, "---") {
            push(&mut chunks, first_line, text.get(start..offset));
            (start, first_line) = if ends { (offset + content.len(), line + 1) } else { (offset, line) };
        }
        offset += content.len();
    }
    push(&mut chunks, first_line, text.get(start..));
    chunks
}

fn marks(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
}

fn push<'a>(chunks: &mut Vec<Chunk<'a>>, line: usize, text: Option<&'a str>) {
    if let Some(text) = text.filter(|text| !text.lines().all(blank)) {
        let skipped = text.lines().take_while(|line| blank(line)).count();
        chunks.push(Chunk { line: line + skipped, text });
    }
}

/// A value and its path in the chunk: empty, or that of an item of a list.
pub type At = (String, Value);

/// The values of a chunk: objects as written, a `List` as its items.
///
/// # Errors
/// What the parser says. It quotes no content, which may be secret.
pub fn parse(format: Format, chunk: Chunk<'_>) -> Result<Vec<At>, Unreadable> {
    let mut values = Vec::new();
    match format {
        Format::Yaml => flatten((String::new(), parse_yaml(chunk)?), &mut values),
        Format::Json => {
            for value in serde_json::Deserializer::from_str(chunk.text).into_iter::<Value>() {
                let value = value.map_err(|error| Unreadable {
                    after: chunk.after(error.line()),
                    message: format!("error parsing JSON: {}", without_place(&error.to_string(), " at line ")),
                })?;
                flatten((String::new(), value), &mut values);
            }
        }
    }
    values.iter_mut().for_each(|(_, value)| whole(value));
    Ok(values)
}

/// A message without the place at its end, which is told apart.
fn without_place(message: &str, place: &str) -> String {
    let message = message.rsplit_once(place).map_or(message, |(message, _)| message);
    // What the parser advises programs to set.
    let message = message.split_once(", set ").map_or(message, |(message, _)| message);
    message.trim_end().trim_end_matches(" at").trim_end_matches([':', ',']).to_owned()
}

/// Writes whole numbers as such: kubectl sends `8080.0` as 8080 and `1e+06` as 1000000.
fn whole(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            // Beyond that, not every whole number is a float.
            const EXACT: f64 = 9_007_199_254_740_992.0;
            let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= EXACT);
            if let Some(number) = float.and_then(|float| format!("{float:.0}").parse::<i64>().ok()) {
                *value = number.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole),
        Value::Object(fields) => fields.values_mut().for_each(whole),
        _ => {}
    }
}

/// What aliases add costs as much as if it were written, so a document of many would cost many times what its size says. They
/// may add as many events of the parser (a scalar, a beginning, an end) as the text has bytes.
pub fn options(text: &str) -> serde_saphyr::Options {
    let nodes = NODES.min(NODES_FREE + text.len() / 4);
    let scalar_bytes = SCALAR_BYTES.saturating_mul(text.len());
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH,
            max_nodes: nodes,
            max_events: 2 * nodes,
            max_documents: 1,
            max_total_scalar_bytes: scalar_bytes,
            max_total_comment_bytes: scalar_bytes,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: text.len() },
        // As kubectl reads numbers; it also takes a bare y, n, on, off, yes, no for truth values.
        legacy_octal_numbers: true,
        with_snippet: false,
    }
}

fn parse_yaml(chunk: Chunk<'_>) -> Result<Value, Unreadable> {
    let parsed = serde_saphyr::with_deserializer_from_str_with_options(chunk.text, options(chunk.text), |deserializer| {
        Value::deserialize(deserializer)
    });
    parsed.map_err(|error| {
        let line = error.location().map(|location| location.line()).and_then(|line| usize::try_from(line).ok());
        let message = format!("error parsing YAML: {}", without_place(&error.to_string(), "line "));
        Unreadable { after: chunk.after(line.unwrap_or_default()), message }
    })
}

/// Lists may hold lists; their depth is bounded by the parser's.
fn flatten((path, value): At, into: &mut Vec<At>) {
    let is_list = value.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    match value {
        Value::Object(mut fields) if is_list && fields.get("items").is_some_and(Value::is_array) => {
            if let Some(Value::Array(items)) = fields.remove("items") {
                let dot = if path.is_empty() { "" } else { "." };
                let items = items.into_iter().enumerate();
                items.for_each(|(index, item)| flatten((format!("{path}{dot}items[{index}]"), item), into));
            }
        }
        Value::Null => {}
        value => into.push((path, value)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Chunk, Format, parse, split};

    fn plain(values: Vec<super::At>) -> Vec<serde_json::Value> {
        values.into_iter().map(|(_, value)| value).collect()
    }

    fn chunks(text: &str) -> Vec<(usize, &str)> {
        split(Format::Yaml, text).into_iter().map(|chunk| (chunk.line, chunk.text.trim())).collect()
    }

    fn values(text: &str) -> Vec<serde_json::Value> {
        split(Format::Yaml, text).into_iter().flat_map(|chunk| plain(parse(Format::Yaml, chunk).unwrap())).collect()
    }

    #[test]
    fn documents_are_split_at_markers_and_empty_ones_left_out() {
        assert_eq!(chunks("a: 1\n---\n# nothing\n---\n\nb: 2\n--- # c\nc: 3\n"), [(1, "a: 1"), (6, "---\n\nb: 2"), (8, "--- # c\nc: 3")]);
        assert_eq!(chunks("a: 1\r\n---\r\nb: 2\r\n").len(), 2);
        assert_eq!(chunks("a: 1\n...\nb: 2").len(), 2);
        assert_eq!(values("%YAML 1.2\n---\na: |\n  ---\n  -----BEGIN\n"), [json!({"a": "---\n-----BEGIN\n"})]);
        assert_eq!(values("--- {a: 1}\n---\nb: 2"), [json!({"a": 1}), json!({"b": 2})]);
    }

    #[test]
    fn plain_words_and_numbers_are_read_as_kubectl_reads_them() {
        assert_eq!(values("[y, off, 010, 0x10, 1e3, ~, 2024-01-01]"), [json!([true, false, 8, 16, 1000, null, "2024-01-01"])]);
    }

    #[test]
    fn lists_are_their_items() {
        let list = "kind: List\nitems: [{kind: A}, {kind: BList, items: [{kind: B}]}]";
        assert_eq!(values(list), [json!({"kind": "A"}), json!({"kind": "B"})]);
    }

    #[test]
    fn json_values_may_follow_each_other() {
        let found = parse(Format::Json, Chunk { line: 1, text: "{\"a\": 1}\n{\"b\": 2}" }).unwrap();
        assert_eq!(plain(found), [json!({"a": 1}), json!({"b": 2})]);
    }

    #[test]
    fn errors_say_where_and_quote_nothing() {
        let error = parse(Format::Yaml, Chunk { line: 1, text: "data:\n  key: [c2VjcmV0" }).unwrap_err();
        assert!(error.message.starts_with("error parsing YAML: ") && !error.message.contains("c2VjcmV0"), "{error:?}");
        assert!(!error.message.contains("line"), "the line is told apart: {error:?}");
        let [_, chunk] = split(Format::Yaml, "a: 1\n---\n# c\nb: 2\nc: [1\nd: 3\n")[..] else { panic!() };
        let error = parse(Format::Yaml, chunk).unwrap_err();
        assert_eq!(chunk.line + error.after, 6, "{error:?}");
        let error = parse(Format::Json, Chunk { line: 1, text: "{\n\"a\": x}" }).unwrap_err();
        assert_eq!((error.after, error.message.contains("line")), (1, false), "{error:?}");
    }

    #[test]
    fn whole_numbers_are_whole_however_they_are_written() {
        assert_eq!(values("[8080.0, 1e+06, 1.5, -2.0, 1e300]"), [json!([8080, 1_000_000, 1.5, -2, 1e300])]);
        let found = parse(Format::Json, Chunk { line: 1, text: "[8080.0, 1e6]" }).unwrap();
        assert_eq!(plain(found), [json!([8080, 1_000_000])]);
    }

    #[test]
    fn aliases_add_no_more_events_than_the_text_has_bytes() {
        let of = |repeated: usize| {
            let rule = "{matches: [{path: {value: /a}}], filters: [{type: CORS}], backendRefs: [{name: s, port: 80}]}";
            parse(Format::Yaml, Chunk { line: 1, text: &format!("a: &a {rule}\nb: [{}]\n", vec!["*a"; repeated].join(",")) })
        };
        // Each is 28 events; with 2 the text has 111 bytes, with 8 it has 129.
        assert_eq!(of(2).unwrap()[0].1["b"][1]["backendRefs"][0]["port"], 80);
        assert!(of(8).is_err());
        let scalar = |repeated: usize| {
            let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(1_000), vec!["*a"; repeated].join(","));
            parse(Format::Yaml, Chunk { line: 1, text: &text })
        };
        assert!(scalar(2).is_ok() && scalar(20).is_err());
    }

    #[test]
    fn a_text_may_not_be_made_of_the_smallest_nodes() {
        let of = |maps: usize| parse(Format::Yaml, Chunk { line: 1, text: &format!("a: [{}]\n", "{a: 0},".repeat(maps)) });
        assert!(of(20_000).is_ok() && of(60_000).is_err());
    }

    #[test]
    fn bombs_are_refused() {
        let laughs = std::iter::once("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned())
            .chain((1..12).map(|i| format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(", "))))
            .collect::<String>();
        assert!(parse(Format::Yaml, Chunk { line: 1, text: &laughs }).is_err());
        let wide = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 90].join(", "));
        assert!(parse(Format::Yaml, Chunk { line: 1, text: &wide }).is_err());
        let deep = format!("a: {}{}", "[".repeat(5000), "]".repeat(5000));
        assert!(parse(Format::Yaml, Chunk { line: 1, text: &deep }).is_err());
        assert!(parse(Format::Json, Chunk { line: 1, text: &deep[3..] }).is_err());
    }
}
