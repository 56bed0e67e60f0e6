//! Sōzu's record of requests: a file of protobuf frames that Sōzu appends to and this side reads and empties.
//!
//! A file because Sōzu buffers what it writes there (about a microsecond of CPU per request, where one datagram per request
//! costs three) and because a reader that is slow or gone never holds up a request. A frame is a length, a message and two
//! zero bytes. Sōzu flushes at line feeds, which a frame may have anywhere, and writes a long frame past those that it
//! still buffers (`tests/sozu/access.rs`): so a frame may come in two parts with another one between them. What cannot be
//! read is skipped up to the next two zero bytes, which no frame has inside: header fields and paths have no zero bytes.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};

/// Name of the file in Sōzu's directory.
pub(super) const FILE: &str = "access.log";
/// Beginning of the paths of requests that have Sōzu write out what it buffers.
pub const NUDGE: &str = "/.kakehi/nudge/";
/// Name of the tag by which a frontend names its route.
pub(super) const ROUTE_TAG: &str = "route";
/// Most that is read at once.
const CHUNK: usize = 256 * 1024;
/// Longest frame: Sōzu's buffer for a message head, and then some.
const LONGEST: usize = 64 * 1024;
/// What was read is given back in pieces of at least this size.
const GIVE_BACK: u64 = 1 << 20;
/// A file that nobody empties is cut off at this size.
const NEGLECTED: u64 = 64 << 20;
/// Where pieces can be given back, the file only seems to grow; file systems allow at least this.
const LONGEST_FILE: u64 = 1 << 40;

/// One request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record<'a> {
    /// The cluster that a frontend named; none when no frontend took the request.
    pub cluster: Option<&'a [u8]>,
    /// The frontend's route; for a request that no frontend took, that of some other frontend of its host.
    pub route: Option<&'a [u8]>,
    /// Whether a backend was reached.
    pub reached: bool,
    /// Status of the answer; 0 without one.
    pub status: u16,
    /// It is one of ours, sent to have the buffer written out.
    pub nudge: bool,
    /// From the first byte of the request to the last of the answer, in microseconds.
    pub micros: u64,
    /// Bytes from the client, and to it.
    pub bytes: [u64; 2],
    /// The message that Sōzu wrote.
    message: &'a [u8],
}

/// The file, from where it was read last.
#[derive(Debug)]
pub struct Records {
    path: PathBuf,
    file: Option<File>,
    /// Whether a file was open before.
    opened: bool,
    offset: u64,
    given_back: u64,
    gives_back: bool,
    buffer: Vec<u8>,
    lost: u64,
    damage: Damage,
}

impl Records {
    /// The file in a Sōzu's directory. What it holds already is left out.
    pub fn of(directory: &Path) -> Self {
        let path = directory.join(FILE);
        Self {
            path,
            file: None,
            opened: false,
            offset: 0,
            given_back: 0,
            gives_back: true,
            buffer: Vec::new(),
            lost: 0,
            damage: Damage::default(),
        }
    }

    /// Places that could not be read.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Reads on, at most a good part of a megabyte; whether there may be more.
    ///
    /// # Errors
    /// The file's.
    pub fn read(&mut self, each: impl FnMut(&Record<'_>)) -> io::Result<bool> {
        let Some(file) = &mut self.file else { return self.open() };
        let held = self.buffer.len();
        let read = file.take(CHUNK as u64).read_to_end(&mut self.buffer)?;
        if read == 0 {
            let length = file.metadata()?.len();
            if length < self.offset {
                self.begin(0)?;
                return Ok(true);
            }
            return self.open();
        }
        debug_assert_eq!(self.buffer.len(), held + read);
        self.offset += read as u64;
        let (used, lost) = frames(&self.buffer, &mut self.damage, each);
        self.buffer.drain(..used);
        self.lost += lost;
        self.give_back()?;
        Ok(true)
    }

    /// Opens the file if there is one that is not open yet.
    fn open(&mut self) -> io::Result<bool> {
        let there = match std::fs::metadata(&self.path) {
            Ok(there) => there,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        if let Some(file) = &self.file
            && file.metadata()?.ino() == there.ino()
        {
            return Ok(false);
        }
        self.file = Some(OpenOptions::new().read(true).write(true).open(&self.path)?);
        let start = if self.opened { 0 } else { there.len() };
        self.opened = true;
        self.begin(start)?;
        Ok(start == 0)
    }

    fn begin(&mut self, offset: u64) -> io::Result<()> {
        self.buffer.clear();
        self.damage = Damage::default();
        (self.offset, self.given_back) = (offset, offset);
        if let Some(file) = &mut self.file {
            file.seek(SeekFrom::Start(offset))?;
        }
        Ok(())
    }

    /// Gives back the space of what was read. Sōzu appends, so the rest stays where it is.
    fn give_back(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let size = self.offset - self.given_back;
        if self.gives_back && size >= GIVE_BACK {
            let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            match fallocate(file, hole, self.given_back, size) {
                Ok(()) => self.given_back = self.offset,
                Err(error) => {
                    tracing::info!(%error, path = %self.path.display(), "no holes in files here: the file is cut off now and then");
                    self.gives_back = false;
                }
            }
        }
        let longest = if self.gives_back { LONGEST_FILE } else { NEGLECTED };
        if self.offset >= longest {
            // A record that came since the last read is lost with it.
            file.set_len(0)?;
            self.begin(0)?;
        }
        Ok(())
    }
}

/// Cuts off a file that nobody reads.
///
/// # Errors
/// The file's.
pub(super) fn trim(directory: &Path) -> io::Result<()> {
    let path = directory.join(FILE);
    match std::fs::metadata(&path) {
        Ok(there) if there.blocks() * 512 > NEGLECTED => OpenOptions::new().write(true).open(path)?.set_len(0),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// What reading has met that is no frame.
#[derive(Debug, Default)]
struct Damage {
    /// Something was skipped since the last frame.
    since: bool,
    /// Bytes are being skipped, up to two zeros and all that follow these: how many zeros came last.
    zeros: Option<usize>,
}

impl Damage {
    /// How many of these bytes are to be skipped.
    fn skip(&mut self, bytes: &[u8]) -> usize {
        let Some(mut zeros) = self.zeros else { return 0 };
        let goes_on = |byte: &&u8| {
            let ended = **byte != 0 && zeros >= 2;
            zeros = if **byte == 0 { zeros + 1 } else { 0 };
            !ended
        };
        let skipped = bytes.iter().take_while(goes_on).count();
        self.zeros = (skipped == bytes.len()).then_some(zeros);
        skipped
    }
}

/// Visits the whole frames at the start of some bytes: how many bytes they and what was skipped are, and how often something
/// was skipped between two of them. What is left is part of one frame.
fn frames(bytes: &[u8], damage: &mut Damage, mut each: impl FnMut(&Record<'_>)) -> (usize, u64) {
    let (mut used, mut lost) = (damage.skip(bytes), 0);
    loop {
        let rest = bytes.get(used..).unwrap_or_default();
        match frame(rest) {
            Frame::Whole(record, length) => {
                each(&record);
                damage.since = false;
                used += length;
            }
            Frame::Partial => return (used, lost),
            Frame::Damaged => {
                lost += u64::from(!std::mem::replace(&mut damage.since, true));
                damage.zeros = Some(0);
                used += damage.skip(rest);
            }
        }
    }
}

enum Frame<'a> {
    Whole(Record<'a>, usize),
    Partial,
    Damaged,
}

fn frame(bytes: &[u8]) -> Frame<'_> {
    let mut reader = Reader(bytes);
    let Some(length) = reader.varint() else { return if bytes.len() < 10 { Frame::Partial } else { Frame::Damaged } };
    let start = bytes.len() - reader.0.len();
    let length = match usize::try_from(length) {
        Ok(length) if (1..=LONGEST).contains(&length) => length,
        _ => return Frame::Damaged,
    };
    // A message begins with its first or second field. Noise seldom does, and is not waited for.
    if reader.0.first().is_some_and(|byte| ![0x0a, 0x12].contains(byte)) {
        return Frame::Damaged;
    }
    let (Some(message), Some(end)) = (reader.0.get(..length), reader.0.get(length..length + 2)) else { return Frame::Partial };
    match record(message) {
        Some(record) if end == [0, 0] => Frame::Whole(record, start + length + 2),
        _ => Frame::Damaged,
    }
}

/// What counts of a `ProtobufAccessLog`; none when it is no such message.
fn record(message: &[u8]) -> Option<Record<'_>> {
    let mut record = Record { message, ..Record::default() };
    let (mut reader, mut required) = (Reader(message), 0);
    while !reader.0.is_empty() {
        match reader.field()? {
            (3, Value::Bytes(cluster)) => record.cluster = Some(cluster),
            (4, Value::Bytes(_)) => record.reached = true,
            (2 | 7, Value::Bytes(_)) => required += 1,
            (8, Value::Bytes(endpoint)) => {
                (record.status, record.nudge) = answered(endpoint)?;
                required += 1;
            }
            (13, Value::Number(_)) => required += 1,
            (14, Value::Number(bytes)) => record.bytes[0] = bytes,
            (15, Value::Number(bytes)) => record.bytes[1] = bytes,
            (17, Value::Bytes(tag)) => record.route = tag_value(tag)?.or(record.route),
            (20, Value::Number(micros)) => record.micros = micros,
            _ => {}
        }
    }
    (required == 4).then_some(record)
}

/// The status, and whether the path is that of a nudge.
fn answered(endpoint: &[u8]) -> Option<(u16, bool)> {
    let mut reader = Reader(endpoint);
    let (1, Value::Bytes(http)) = reader.field()? else { return Some((0, false)) };
    let (mut reader, mut status, mut nudge) = (Reader(http), 0, false);
    while !reader.0.is_empty() {
        match reader.field()? {
            (3, Value::Bytes(path)) => nudge = is_nudge(path),
            (4, Value::Number(number)) => status = u16::try_from(number).ok()?,
            _ => {}
        }
    }
    Some((status, nudge))
}

/// Whether a path is one that we send: a client's path may begin as ours do.
fn is_nudge(path: &[u8]) -> bool {
    path.strip_prefix(NUDGE.as_bytes()).is_some_and(|rest| rest.iter().all(|byte| *byte == b'-'))
}

/// The value of the tag that names the route; inner none for another tag.
fn tag_value(tag: &[u8]) -> Option<Option<&[u8]>> {
    let (mut reader, mut ours, mut value) = (Reader(tag), false, None);
    while !reader.0.is_empty() {
        match reader.field()? {
            (1, Value::Bytes(key)) => ours = key == ROUTE_TAG.as_bytes(),
            (2, Value::Bytes(text)) => value = Some(text),
            _ => {}
        }
    }
    Some(value.filter(|_| ours))
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Protobuf's wire format, as far as the message needs it.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for (position, byte) in self.0.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * position).min(63);
            if byte & 0x80 == 0 {
                self.0 = self.0.get(position + 1..)?;
                return Some(value);
            }
        }
        None
    }

    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => Value::Bytes(self.bytes(8)?),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.bytes(length)?)
            }
            5 => Value::Bytes(self.bytes(4)?),
            _ => return None,
        };
        Some((key >> 3, value))
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}

#[cfg(fuzzing)]
pub mod fuzzing;
mod said;
#[cfg(test)]
mod tests;
