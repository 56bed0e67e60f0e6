//! Access logs: a line on standard output for each request, whichever stage of an edge answered it.
//!
//! Lines wait for a thread of their own in a bounded queue: an output that is slow or hangs costs lines, which are counted, and
//! never holds up a request. A write is one line or a few whole ones of at most [`WRITE`] bytes together, which a pipe takes in one
//! piece: the processes of an edge share theirs.

mod fields;
mod line;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tokio::time::{sleep, timeout};

pub use fields::{Field, Format};
pub use line::Entry;

use crate::model::{ACCESS_LOG, ACCESS_LOG_FIELDS};
use fields::Fields;

/// Longest line and longest write, in bytes: `PIPE_BUF` of Linux.
pub const WRITE: usize = 4096;
/// Bytes of lines that may wait, with what the queue itself needs for each.
const QUEUE: usize = 4 << 20;
/// What the queue needs for a line.
const PLACE: usize = 64;
/// At the end of a process its lines have this long to be written.
pub const LAST_LINES: Duration = Duration::from_millis(300);
/// How often is looked whether all lines are written, at the end.
const LOOK: Duration = Duration::from_millis(5);

/// How requests are logged.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct AccessLogSettings {
    /// Write a line for each request to standard output: off, json, text
    #[arg(long, env = ACCESS_LOG, value_enum, default_value_t = Format::Off, value_name = "FORMAT")]
    pub access_log: Format,
    /// Fields of these lines, with commas between them: see `docs/operations.md`. Default: all but query, which may hold secrets,
    /// and requestId
    #[arg(long, env = ACCESS_LOG_FIELDS, value_enum, value_name = "FIELD", value_delimiter = ',')]
    pub access_log_fields: Vec<Field>,
}

impl AccessLogSettings {
    /// The flags that have a child process log the same way.
    pub fn flags(&self) -> Vec<String> {
        let fields: Vec<_> = self.access_log_fields.iter().map(|field| field.name()).collect();
        let mut flags = vec!["--access-log".to_owned(), self.access_log.name().to_owned()];
        if !fields.is_empty() {
            flags.extend(["--access-log-fields".to_owned(), fields.join(",")]);
        }
        flags
    }

    /// The variables of the environment that say the same, where nothing wins over them.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let fields: Vec<_> = self.access_log_fields.iter().map(|field| field.name()).collect();
        let named = (!fields.is_empty()).then(|| (ACCESS_LOG_FIELDS, fields.join(",")));
        [(ACCESS_LOG, self.access_log.name().to_owned())].into_iter().chain(named).collect()
    }
}

/// The access log of a process.
#[derive(Debug)]
pub struct AccessLog {
    format: Format,
    fields: Fields,
    edge: String,
    lines: Sender<Vec<u8>>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Bytes that wait.
    waiting: AtomicUsize,
    written: AtomicU64,
    dropped: AtomicU64,
}

impl AccessLog {
    /// One on standard output; none where the settings say so.
    ///
    /// # Errors
    /// When standard output cannot be had, or its thread cannot be started.
    pub fn on_stdout(settings: &AccessLogSettings, edge: &str) -> io::Result<Option<Arc<Self>>> {
        if settings.access_log == Format::Off {
            return Ok(None);
        }
        let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Self::start(settings, edge, output).map(|log| Some(Arc::new(log)))
    }

    /// One on any output.
    ///
    /// # Errors
    /// When its thread cannot be started.
    pub fn start(settings: &AccessLogSettings, edge: &str, output: impl Write + Send + 'static) -> io::Result<Self> {
        let (lines, received) = channel();
        let counts = Arc::<Counts>::default();
        let writer = Writer { edge: edge.to_owned(), lines: received, output, counts: counts.clone(), told: 0, broken: false };
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || writer.run())?;
        Ok(Self { format: settings.access_log, fields: Fields::of(&settings.access_log_fields), edge: edge.to_owned(), lines, counts })
    }

    /// Logs a request. Returns at once, and logs nothing of a line that is dropped: standard error may hang as well.
    pub fn log(&self, entry: &Entry<'_>) {
        let counts = &self.counts;
        if counts.waiting.load(Relaxed) < QUEUE {
            let line = entry.line(self.format, self.fields, &self.edge);
            counts.waiting.fetch_add(size(&line), Relaxed);
            if self.lines.send(line).is_ok() {
                return;
            }
        }
        counts.dropped.fetch_add(1, Relaxed);
    }

    /// Lines that were written, and lines that were dropped.
    pub fn counts(&self) -> [u64; 2] {
        [self.counts.written.load(Relaxed), self.counts.dropped.load(Relaxed)]
    }

    /// Waits until what waits is written, so long at most.
    pub async fn flush(&self, within: Duration) {
        let empty = async {
            while self.counts.waiting.load(Relaxed) > 0 {
                sleep(LOOK).await;
            }
        };
        drop(timeout(within, empty).await);
    }
}

/// What a line takes while it waits.
fn size(line: &Vec<u8>) -> usize {
    line.capacity() + PLACE
}

struct Writer<W> {
    edge: String,
    lines: Receiver<Vec<u8>>,
    output: W,
    counts: Arc<Counts>,
    /// Dropped lines of which the log says something.
    told: u64,
    /// Whether the last write failed.
    broken: bool,
}

impl<W: Write> Writer<W> {
    fn run(mut self) {
        let mut next = self.lines.recv().ok();
        while let Some(mut batch) = next.take() {
            let (mut lines, mut waited) = (1, size(&batch));
            next = loop {
                match self.lines.try_recv() {
                    Ok(line) if batch.len() + line.len() <= WRITE => {
                        batch.extend_from_slice(&line);
                        (lines, waited) = (lines + 1, waited + size(&line));
                    }
                    Ok(line) => break Some(line),
                    Err(_) => break None,
                }
            };
            let written = self.output.write_all(&batch).and_then(|()| self.output.flush());
            let count = if written.is_ok() { &self.counts.written } else { &self.counts.dropped };
            count.fetch_add(lines, Relaxed);
            if self.counts.waiting.fetch_sub(waited, Relaxed) - waited < QUEUE / 2 {
                self.tell(written.err());
            }
            if next.is_none() {
                next = self.lines.recv().ok();
            }
        }
    }

    /// Tells how many lines were dropped: once the output takes them again, or when it breaks.
    fn tell(&mut self, broken: Option<io::Error>) {
        let all = self.counts.dropped.load(Relaxed);
        let (dropped, edge) = (all - std::mem::replace(&mut self.told, all), &self.edge);
        let before = std::mem::replace(&mut self.broken, broken.is_some());
        match broken {
            Some(_) if before => {}
            Some(error) => tracing::warn!(edge, %error, "standard output is broken: lines of the access log are dropped"),
            None if dropped > 0 => tracing::warn!(edge, dropped, "lines of the access log were dropped: standard output was too slow"),
            None => {}
        }
    }
}
