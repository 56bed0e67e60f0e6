use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde_json::{Value, json};

use super::fields::Fields;
use super::{AccessLog, AccessLogSettings, Entry, Field, Format, QUEUE, WRITE, size};

fn entry() -> Entry<'static> {
    Entry {
        stage: "native",
        nanos: 1_796_000_000_123_456_789,
        client: Some([192, 0, 2, 7].into()),
        secure: Some(true),
        method: b"GET",
        host: b"shop.example",
        target: b"/cart?token=secret",
        user_agent: b"curl/8.0 (x)",
        request_id: b"abc",
        status: 200,
        micros: 1_500,
        bytes: [120, 4096],
        route: b"HTTPRoute/shop/web",
        backend: b"shop/api:80",
    }
}

fn text(entry: &Entry<'_>, format: Format, fields: &[Field]) -> String {
    String::from_utf8(entry.line(format, Fields::of(fields), "shop/web")).unwrap()
}

#[test]
fn a_line_says_what_is_asked_for_and_no_query_unless_it_is() {
    let line = text(&entry(), Format::Json, &[]);
    let wanted = json!({
        "time": "2026-11-30T00:53:20.123456Z", "edge": "shop/web", "stage": "native", "client": "192.0.2.7", "method": "GET",
        "scheme": "https", "host": "shop.example", "path": "/cart", "status": 200, "milliseconds": 1.5, "bytesIn": 120, "bytesOut": 4096,
        "route": "HTTPRoute/shop/web", "backend": "shop/api:80", "userAgent": "curl/8.0 (x)",
    });
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), wanted);
    assert!(line.ends_with("}\n") && !line.contains("secret"));
    let chosen = [Field::UserAgent, Field::Query, Field::Path, Field::RequestId, Field::Milliseconds];
    assert_eq!(
        text(&entry(), Format::Text, &chosen),
        "path=/cart query=\"token=secret\" milliseconds=1.500 userAgent=\"curl/8.0 (x)\" requestId=abc\n"
    );
    let nothing = Entry { stage: "filtered", ..Entry::default() };
    assert_eq!(text(&nothing, Format::Text, &[Field::Stage, Field::Status, Field::Client, Field::Host]), "stage=filtered\n");
}

#[test]
fn no_byte_of_a_request_ends_a_line_or_makes_a_field() {
    let nasty = [&b"/a\r\nb\x1b[2J\"\\, \"status\":500, x=y \xff\xc3\xa9\xe2\x80\xa8\xf0\x9f\x92\xa3"[..], &[0, 127]].concat();
    let of = Entry { host: &nasty, target: &nasty, user_agent: &nasty, method: &nasty, request_id: &nasty, ..entry() };
    let line = text(&of, Format::Json, &Field::ALL);
    let told = "/a\r\nb\u{1b}[2J\"\\, \"status\":500, x=y \u{fffd}é\u{2028}💣\0\u{7f}";
    let read: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&read["host"], &read["userAgent"], &read["status"]), (&json!(told), &json!(told), &json!(200)));
    for line in [line, text(&of, Format::Text, &Field::ALL)] {
        assert!(line.trim_end_matches('\n').bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line}");
    }
    assert_eq!(text(&Entry { host: b"a status=500", ..entry() }, Format::Text, &[Field::Host]), "host=\"a status=500\"\n");
    assert_eq!(text(&Entry { host: b"a=b", ..entry() }, Format::Text, &[Field::Host]), "host=\"a=b\"\n");
}

#[test]
fn the_longest_line_is_one_write_and_still_json() {
    for byte in [b"\xff", b"a", b"\"", b"\\", b"\n"] {
        let long = byte.repeat(5000);
        let target = [&long[..], b"?", &long].concat();
        let of = Entry {
            stage: "filtered",
            client: Some("fd00:1111:2222:3333:4444:5555:6666:7777".parse().unwrap()),
            method: &long,
            host: &long,
            target: &target,
            user_agent: &long,
            request_id: &long,
            route: &long,
            backend: &long,
            micros: u64::MAX,
            bytes: [u64::MAX; 2],
            ..entry()
        };
        for format in [Format::Json, Format::Text] {
            let line = of.line(format, Fields::of(&Field::ALL), &"e".repeat(400));
            assert!(line.len() <= WRITE, "{} bytes of {byte:?}", line.len());
            assert!(format == Format::Text || serde_json::from_slice::<Value>(&line).is_ok(), "{byte:?}");
        }
    }
}

/// An output that takes nothing until it is told to.
struct Gate(Receiver<()>, Sender<Vec<u8>>);

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        self.1.send(bytes.to_vec()).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn an_output_that_hangs_costs_lines_and_no_time() {
    let (open, gate) = channel();
    let (sender, written) = channel();
    let settings = AccessLogSettings { access_log: Format::Json, access_log_fields: Vec::new() };
    let log = AccessLog::start(&settings, "shop/web", Gate(gate, sender)).unwrap();
    let fits = QUEUE.div_ceil(size(&entry().line(Format::Json, Fields::of(&[]), "shop/web")));
    for _ in 0..fits + 100 {
        log.log(&entry());
    }
    // Those in the writer's hands wait too.
    assert_eq!(log.counts(), [0, 100]);
    log.flush(Duration::from_millis(20)).await;
    drop(open);
    log.flush(Duration::from_secs(10)).await;
    assert_eq!(log.counts(), [fits as u64, 100]);
    let writes: Vec<Vec<u8>> = written.try_iter().collect();
    assert!(writes.iter().all(|write| write.len() <= WRITE && write.ends_with(b"}\n")), "whole lines alone");
    assert!(writes.len() < fits / 5, "{} writes for {fits} lines", writes.len());
    log.log(&entry());
    log.flush(Duration::from_secs(10)).await;
    assert_eq!(log.counts(), [fits as u64 + 1, 100], "it goes on");
}

#[test]
fn a_broken_output_is_counted() {
    struct Broken;
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let settings = AccessLogSettings { access_log: Format::Text, access_log_fields: Vec::new() };
    let log = AccessLog::start(&settings, "", Broken).unwrap();
    (0..10).for_each(|_| log.log(&entry()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(log.flush(Duration::from_secs(10)));
    assert_eq!(log.counts(), [0, 10]);
}

#[test]
fn every_field_is_named_as_on_the_command_line() {
    use clap::ValueEnum;
    assert_eq!(Field::ALL, Field::value_variants());
    for field in Field::ALL {
        assert_eq!(field.to_possible_value().unwrap().get_name(), field.name());
    }
    for format in Format::value_variants() {
        assert_eq!(format.to_possible_value().unwrap().get_name(), format.name());
    }
}
