//! A request as a line. Nothing of a request can end a line or look like another field.

use std::fmt::Write;
use std::net::IpAddr;

use time::OffsetDateTime;

use super::fields::{Field, Fields, Format};

/// A request. Texts are as the client sent them; empty ones are left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entry<'a> {
    /// What answered.
    pub stage: &'static str,
    /// When it began, in nanoseconds since the Unix epoch.
    pub nanos: i128,
    /// Whose it is.
    pub client: Option<IpAddr>,
    /// Whether it came by TLS, where that is known.
    pub secure: Option<bool>,
    /// Method.
    pub method: &'a [u8],
    /// Host.
    pub host: &'a [u8],
    /// Path and query.
    pub target: &'a [u8],
    /// User-Agent.
    pub user_agent: &'a [u8],
    /// X-Request-Id.
    pub request_id: &'a [u8],
    /// Status; 0 without an answer.
    pub status: u16,
    /// How long it took.
    pub micros: u64,
    /// Bytes from the client, and to it.
    pub bytes: [u64; 2],
    /// The route.
    pub route: &'a [u8],
    /// The backend.
    pub backend: &'a [u8],
}

/// Longest texts of each field as they are written, in bytes: with the names of all fields and the numbers, a line has
/// [`super::WRITE`] at most.
const METHOD: usize = 40;
const HOST: usize = 260;
const PATH: usize = 1000;
const QUERY: usize = 700;
const USER_AGENT: usize = 300;
const REQUEST_ID: usize = 130;
const OBJECT: usize = 350;
/// What ends a text that is longer.
const CUT: &str = "...";

impl Entry<'_> {
    /// The line, with its end.
    pub(super) fn line(&self, format: Format, fields: Fields, edge: &str) -> Vec<u8> {
        let mut line = Line { text: String::with_capacity(512), format, fields, first: true };
        line.start();
        if fields.has(Field::Time) {
            line.plain_text(Field::Time, &self.time());
        }
        line.text(Field::Edge, edge.as_bytes(), OBJECT);
        line.text(Field::Stage, self.stage.as_bytes(), METHOD);
        if let Some(client) = self.client.filter(|_| fields.has(Field::Client)) {
            line.plain_text(Field::Client, &client.to_string());
        }
        line.text(Field::Method, self.method, METHOD);
        line.text(Field::Scheme, self.secure.map_or(b"".as_slice(), |secure| if secure { b"https" } else { b"http" }), METHOD);
        line.text(Field::Host, self.host, HOST);
        let end = self.target.iter().position(|byte| *byte == b'?').unwrap_or(self.target.len());
        line.text(Field::Path, self.target.get(..end).unwrap_or_default(), PATH);
        line.text(Field::Query, self.target.get(end + 1..).unwrap_or_default(), QUERY);
        if self.status > 0 {
            line.number(Field::Status, u64::from(self.status));
        }
        line.milliseconds(self.micros);
        let [from_client, to_client] = self.bytes;
        line.number(Field::BytesIn, from_client);
        line.number(Field::BytesOut, to_client);
        line.text(Field::Route, self.route, OBJECT);
        line.text(Field::Backend, self.backend, OBJECT);
        line.text(Field::UserAgent, self.user_agent, USER_AGENT);
        line.text(Field::RequestId, self.request_id, REQUEST_ID);
        line.end()
    }

    /// The beginning as RFC 3339 has it, to the microsecond.
    fn time(&self) -> String {
        let at = OffsetDateTime::from_unix_timestamp_nanos(self.nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
        format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}Z", at.hour(), at.minute(), at.second(), at.microsecond())
    }
}

struct Line {
    text: String,
    format: Format,
    fields: Fields,
    first: bool,
}

impl Line {
    fn start(&mut self) {
        if self.format == Format::Json {
            self.text.push('{');
        }
    }

    fn end(mut self) -> Vec<u8> {
        self.text.push_str(if self.format == Format::Json { "}\n" } else { "\n" });
        self.text.into_bytes()
    }

    fn name(&mut self, field: Field) {
        let json = self.format == Format::Json;
        if !std::mem::replace(&mut self.first, false) {
            self.text.push(if json { ',' } else { ' ' });
        }
        if json {
            self.text.push('"');
        }
        self.text.push_str(field.name());
        self.text.push_str(if json { "\":" } else { "=" });
    }

    /// A text of ours.
    fn plain_text(&mut self, field: Field, text: &str) {
        self.text(field, text.as_bytes(), OBJECT);
    }

    fn text(&mut self, field: Field, bytes: &[u8], most: usize) {
        if bytes.is_empty() || !self.fields.has(field) {
            return;
        }
        self.name(field);
        let bare = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'=');
        let quoted = self.format == Format::Json || bytes.len() > most || !bytes.iter().all(bare);
        if quoted {
            self.text.push('"');
        }
        escape(&mut self.text, bytes, most);
        if quoted {
            self.text.push('"');
        }
    }

    fn number(&mut self, field: Field, number: u64) {
        if self.fields.has(field) {
            self.name(field);
            // Writing to a String cannot fail.
            write!(self.text, "{number}").unwrap_or_default();
        }
    }

    fn milliseconds(&mut self, micros: u64) {
        if self.fields.has(Field::Milliseconds) {
            self.name(Field::Milliseconds);
            write!(self.text, "{}.{:03}", micros / 1000, micros % 1000).unwrap_or_default();
        }
    }
}

/// Appends bytes as the inside of a JSON string: printable ASCII as it is, everything else as `\u` and four digits, and what is no
/// UTF-8 as the replacement character. At most so many bytes.
fn escape(into: &mut String, bytes: &[u8], most: usize) {
    let start = into.len();
    // Where it is cut off if it does not fit.
    let mut cut = start;
    for chunk in bytes.utf8_chunks() {
        let broken = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
        for char in chunk.valid().chars().chain(broken) {
            match char {
                '"' | '\\' => into.extend(['\\', char]),
                ' '..='~' => into.push(char),
                char => {
                    for unit in char.encode_utf16(&mut [0; 2]) {
                        // Writing to a String cannot fail.
                        write!(into, "\\u{unit:04x}").unwrap_or_default();
                    }
                }
            }
            let length = into.len() - start;
            if length > most {
                into.truncate(cut);
                return into.push_str(CUT);
            }
            if length + CUT.len() <= most {
                cut = into.len();
            }
        }
    }
}
