//! What a Sōzu prints: a file that it appends to and this side logs as lines of ours.
//!
//! A file because a pipe holds up a Sōzu whose reader is slow, and fails under one whose launcher was killed.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// Name of the file in Sōzu's directory.
pub(super) const FILE: &str = "output.log";
/// How often it is read.
const READ: Duration = Duration::from_millis(200);
/// Longest line that is logged, in bytes; the rest of it is left out.
const LINE: usize = 2048;
/// Bytes that are logged of one read; what was printed beyond is left out.
const CHUNK: u64 = 64 << 10;
/// An error or a warning that Sōzu repeats is logged again after this.
const AGAIN: Duration = Duration::from_secs(600);
/// Lines that are remembered for that.
const REMEMBERED: usize = 64;
/// The file is emptied when it is larger.
const LARGE: u64 = 1 << 20;

/// Where a new process prints, twice. The file is empty then.
pub(super) fn open(dir: &Path) -> io::Result<(Stdio, Stdio)> {
    let file = OpenOptions::new().create(true).append(true).open(dir.join(FILE))?;
    file.set_len(0)?;
    Ok((file.try_clone()?.into(), file.into()))
}

/// The task that logs what a process prints, until this is dropped.
#[derive(Debug)]
pub(super) struct Output(#[expect(dead_code, reason = "its end is the news")] watch::Sender<()>);

impl Output {
    /// Logs what is printed from now on, and of a new process what it has printed already.
    pub(super) fn follow(dir: &Path, is_new: bool) -> Self {
        let (end, mut ends) = watch::channel(());
        let mut reader = Reader::of(dir);
        if !is_new {
            reader.skip();
        }
        tokio::spawn(async move {
            loop {
                let ended = tokio::select! {
                    _ = ends.changed() => true,
                    () = sleep(READ) => false,
                };
                reader.read();
                if ended {
                    return;
                }
            }
        });
        Self(end)
    }

    /// Logs what a process has printed that ended before it was up.
    pub(super) fn tell(dir: &Path) {
        Reader::of(dir).read();
    }
}

/// The last lines that a process has printed.
pub(super) fn last(dir: &Path, lines: usize) -> Vec<String> {
    let mut all = Reader::of(dir).take().unwrap_or_default();
    all.retain(|line| !line.is_empty());
    all.split_off(all.len().saturating_sub(lines))
}

struct Reader {
    /// Name of the Sōzu, which is that of its directory.
    sozu: String,
    file: io::Result<File>,
    offset: u64,
    /// Of a line whose end is not there yet.
    rest: Vec<u8>,
    repeats: Repeats,
}

impl Reader {
    fn of(dir: &Path) -> Self {
        let file = OpenOptions::new().read(true).write(true).open(dir.join(FILE));
        let sozu = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { sozu, file, offset: 0, rest: Vec::new(), repeats: Repeats::default() }
    }

    /// Leaves out what was printed so far.
    fn skip(&mut self) {
        self.offset = self.file.as_ref().ok().and_then(|file| file.metadata().ok()).map_or(0, |there| there.len());
    }

    fn read(&mut self) {
        match self.take() {
            Ok(lines) => lines.iter().for_each(|line| self.log(line)),
            Err(error) => tracing::debug!(%error, "what Sōzu prints cannot be read"),
        }
    }

    /// The lines that are new.
    fn take(&mut self) -> io::Result<Vec<String>> {
        let file = self.file.as_mut().map_err(|error| io::Error::from(error.kind()))?;
        let length = file.metadata()?.len();
        let start = if length < self.offset { 0 } else { self.offset };
        let skipped = (length - start).saturating_sub(CHUNK);
        file.seek(SeekFrom::Start(start + skipped))?;
        let mut bytes = Vec::new();
        self.offset = start + skipped + file.take(CHUNK).read_to_end(&mut bytes)? as u64;
        if self.offset > LARGE {
            // The process appends: what it prints next is at the start.
            file.set_len(0)?;
            self.offset = 0;
        }
        let mut lines = Vec::new();
        if skipped > 0 {
            self.rest.clear();
            lines.push(format!("{skipped} bytes of what Sōzu printed are left out"));
        }
        for byte in bytes {
            match byte {
                b'\n' => lines.push(text(&std::mem::take(&mut self.rest))),
                byte if self.rest.len() < LINE => self.rest.push(byte),
                _ => {}
            }
        }
        Ok(lines)
    }
}

/// A line without what could pretend to be another one.
fn text(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.trim_end().chars().map(|char| if char.is_control() && char != '\t' { '\u{fffd}' } else { char }).collect()
}

/// Errors and warnings that were logged: Sōzu says the same at each attempt.
#[derive(Debug, Default)]
struct Repeats(BTreeMap<String, Instant>);

impl Repeats {
    /// Whether a line is to be logged. That of another request says the same.
    fn is_news(&mut self, said: &str) -> bool {
        let said = &said.split(' ').filter(|word| !is_request(word)).collect::<Vec<_>>().join(" ");
        self.0.retain(|_, told| told.elapsed() < AGAIN);
        // Of more lines than are remembered all are logged.
        let known = self.0.contains_key(said);
        if !known && self.0.len() < REMEMBERED {
            self.0.insert(said.to_owned(), Instant::now());
        }
        !known
    }
}

/// Whether a word is Sōzu's number of a request, such as `0-14-0`.
fn is_request(word: &str) -> bool {
    let mut parts = word.trim_end_matches([',', ':']).split('-');
    let are_numbers = parts.by_ref().take(3).filter(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())).count() == 3;
    are_numbers && parts.next().is_none()
}

impl Reader {
    /// Logs a line at the level that it names. What has none are remarks about its start.
    fn log(&mut self, line: &str) {
        // Its time and process come first.
        let words = line.split_inclusive(char::is_whitespace).take(5).scan(0, |end, word| {
            *end += word.len();
            Some((*end, word.trim_end()))
        });
        let found = words.into_iter().find(|(_, word)| ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(word));
        let (end, level) = found.unwrap_or_default();
        let (sozu, said) = (&self.sozu, line.get(end..).unwrap_or_default());
        match level {
            "ERROR" if self.repeats.is_news(said) => tracing::error!(process = "sozu", sozu, "{said}"),
            "WARN" if self.repeats.is_news(said) => tracing::warn!(process = "sozu", sozu, "{said}"),
            "ERROR" | "WARN" => {}
            "INFO" => tracing::info!(process = "sozu", sozu, "{said}"),
            _ => tracing::debug!(process = "sozu", sozu, "{said}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::{AGAIN, CHUNK, FILE, LARGE, LINE, REMEMBERED, Reader, Repeats};

    #[tokio::test(start_paused = true)]
    async fn the_same_error_is_logged_once_in_ten_minutes() {
        let mut repeats = Repeats::default();
        assert_eq!(["refused", "refused", "other"].map(|said| repeats.is_news(said)), [true, false, true]);
        let of_request = ["error on request 0-14-0, port 81", "error on request 0-17-0, port 81", "error on request 0-17-0, port 82"];
        assert_eq!(of_request.map(|said| repeats.is_news(said)), [true, false, true]);
        tokio::time::advance(AGAIN).await;
        assert!(repeats.is_news("refused"));
        assert!((0..2 * REMEMBERED).all(|number| repeats.is_news(&format!("line {number}"))));
        assert_eq!(repeats.0.len(), REMEMBERED);
    }

    #[test]
    fn lines_are_taken_once_and_the_file_stays_small() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(dir.path().join(FILE)).unwrap();
        let mut reader = Reader::of(dir.path());
        file.write_all(b"one\ntw").unwrap();
        assert_eq!(reader.take().unwrap(), ["one"]);
        file.write_all(b"o\x1b[31m\r\n").unwrap();
        assert_eq!(reader.take().unwrap(), ["two\u{fffd}[31m"]);
        file.write_all(&[vec![b'x'; 3 * LINE], b"\n".to_vec()].concat()).unwrap();
        assert_eq!(reader.take().unwrap()[0].len(), LINE);
        let line = [vec![b'y'; 1023], b"\n".to_vec()].concat();
        file.write_all(&line.repeat(usize::try_from(LARGE / 1024).unwrap())).unwrap();
        let lines = reader.take().unwrap();
        assert!(lines[0].ends_with("are left out") && lines.len() as u64 <= CHUNK / 1024 + 1, "{} lines", lines.len());
        assert_eq!(file.metadata().unwrap().len(), 0, "it is emptied");
        file.write_all(b"after\n").unwrap();
        assert_eq!(reader.take().unwrap().last().unwrap(), "after");
        let mut later = Reader::of(dir.path());
        later.skip();
        file.write_all(b"new\n").unwrap();
        assert_eq!(later.take().unwrap(), ["new"]);
    }
}
