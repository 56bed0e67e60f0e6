//! What the fuzz target `access` calls: the reader of frames, as the file is read.

use super::{Damage, Record, frames};

/// A reader between two reads.
#[derive(Default)]
pub struct Reading(Damage);

/// Reads on: takes the frames at the start of `buffer` out of it, and returns how many places could not be read.
pub fn take(buffer: &mut Vec<u8>, reading: &mut Reading, each: impl FnMut(&Record<'_>)) -> u64 {
    let (used, lost) = frames(buffer, &mut reading.0, each);
    buffer.drain(..used);
    lost
}
