//! Parts of bodies that are charged until the last who holds them has dropped them.

use std::sync::Arc;

use bytes::Bytes;

use super::meter::Meter;

/// What a part takes beside its bytes.
const BESIDE: usize = 128;

struct Counted {
    bytes: Bytes,
    meter: Arc<Meter>,
    charge: usize,
    /// It waits to be written to the connection that it is charged to.
    queued: bool,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.queued {
            self.meter.unqueue(self.charge);
        } else {
            self.meter.release(self.charge);
        }
    }
}

/// The same bytes, charged.
pub(super) fn counted(bytes: Bytes, meter: &Arc<Meter>, queued: bool) -> Bytes {
    if bytes.is_empty() {
        return bytes;
    }
    let charge = bytes.len() + BESIDE;
    if queued {
        meter.queue(charge);
    } else {
        meter.charge(charge);
    }
    Bytes::from_owner(Counted { bytes, meter: meter.clone(), charge, queued })
}
