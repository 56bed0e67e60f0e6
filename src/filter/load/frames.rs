//! Follows the frames of an HTTP/2 connection as they are read, as far as they stay in memory: data, and header blocks that are
//! not complete.

/// Type, flags and payload of frames (RFC 9113 §6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Length, type, flags, stream.
const HEAD: usize = 9;
/// What one frame of data takes beside its bytes.
pub(super) const BESIDE: usize = 128;

/// What a peer has sent so far.
#[derive(Debug)]
pub(super) enum Frames {
    /// The first bytes of HTTP/2's preface, so many.
    Begun(usize),
    /// HTTP/1.1, or whatever followed it.
    None,
    /// HTTP/2.
    Within(Place),
}

/// Where in a frame.
#[derive(Debug, Default)]
pub(super) struct Place {
    head: [u8; HEAD],
    /// Bytes of the head that are here.
    known: usize,
    /// Bytes of the payload that are missing.
    left: usize,
}

/// What some bytes add to what is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Grown {
    /// Bytes of data, or all bytes where there are no frames.
    pub(super) data: usize,
    /// Bytes of header blocks.
    pub(super) block: usize,
    /// A header block was complete.
    pub(super) complete: bool,
}

impl Frames {
    /// Of a client: its first bytes tell.
    pub(super) const OF_CLIENT: Self = Self::Begun(0);

    /// Of a backend that speaks HTTP/2, which sends no preface.
    pub(super) fn of_backend() -> Self {
        Self::Within(Place::default())
    }

    /// Whether there are frames.
    pub(super) fn are_there(&self) -> bool {
        matches!(self, Self::Within(_))
    }

    /// More bytes came.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Grown {
        if let Self::Begun(known) = self {
            let wanted = PREFACE.get(*known..).unwrap_or_default();
            let length = wanted.len().min(bytes.len());
            let (start, rest) = bytes.split_at(length);
            if !wanted.starts_with(start) {
                *self = Self::None;
            } else if length < wanted.len() {
                *known += length;
                return Grown::default();
            } else {
                (*self, bytes) = (Self::of_backend(), rest);
            }
        }
        match self {
            Self::Within(place) => place.read(bytes),
            Self::None | Self::Begun(_) => Grown { data: bytes.len(), ..Grown::default() },
        }
    }
}

impl Place {
    fn read(&mut self, mut bytes: &[u8]) -> Grown {
        let mut grown = Grown::default();
        while !bytes.is_empty() {
            if self.known < HEAD {
                let (taken, rest) = bytes.split_at(bytes.len().min(HEAD - self.known));
                self.head.iter_mut().skip(self.known).zip(taken).for_each(|(known, byte)| *known = *byte);
                self.known += taken.len();
                bytes = rest;
                if self.known < HEAD {
                    break;
                }
                let [high, middle, low, kind, ..] = self.head;
                self.left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                grown.data += if kind == DATA { BESIDE } else { 0 };
            }
            let (taken, rest) = bytes.split_at(bytes.len().min(self.left));
            bytes = rest;
            self.left -= taken.len();
            let [_, _, _, kind, flags, ..] = self.head;
            match kind {
                DATA => grown.data += taken.len(),
                HEADERS | CONTINUATION => grown.block += taken.len(),
                _ => {}
            }
            if self.left == 0 {
                self.known = 0;
                if matches!(kind, HEADERS | CONTINUATION) && flags & END_HEADERS != 0 {
                    (grown.block, grown.complete) = (0, true);
                }
            }
        }
        grown
    }
}

#[cfg(test)]
mod tests {
    use super::{BESIDE, Frames, Grown, PREFACE};

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let [.., a, b, c] = payload.to_be_bytes();
        [&[a, b, c, kind, flags, 0, 0, 0, 1][..], &vec![7; payload]].concat()
    }

    /// What is held after these bytes, however they are cut.
    fn held(bytes: &[u8], cut: usize) -> (usize, usize) {
        let (mut frames, mut data, mut block) = (Frames::OF_CLIENT, 0, 0);
        for piece in bytes.chunks(cut) {
            let Grown { data: more, block: longer, complete } = frames.read(piece);
            data += more;
            block = if complete { longer } else { block + longer };
        }
        (data, block)
    }

    #[test]
    fn data_and_open_header_blocks_are_counted_and_nothing_else() {
        let settings = frame(4, 0, 12);
        let bytes =
            [PREFACE, &settings, &frame(1, 4, 40), &frame(0, 0, 1000), &frame(6, 0, 8), &frame(1, 0, 300), &frame(9, 0, 30)].concat();
        for cut in [1, 7, 9, 100, bytes.len()] {
            assert_eq!(held(&bytes, cut), (1000 + BESIDE, 330), "{cut}");
        }
        let complete = [&bytes[..], &frame(9, 4, 20)].concat();
        for cut in [1, 7, 9, 100, complete.len()] {
            assert_eq!(held(&complete, cut), (1000 + BESIDE, 0), "{cut}");
        }
    }

    #[test]
    fn what_is_no_preface_counts_as_it_is() {
        assert_eq!(held(b"PRI", 1), (0, 0));
        assert_eq!(held(b"PUT / HTTP/1.1\r\n", 20), (16, 0));
    }
}
