//! Parts of bodies that are charged until the last who holds them has dropped them.

use std::sync::Arc;

use bytes::Bytes;

use super::meter::Meter;
use super::queue::Queue;

/// What a part takes beside its bytes.
const BESIDE: usize = 128;

struct Counted {
    bytes: Bytes,
    meter: Arc<Meter>,
    charge: usize,
    /// Where it waits to be written to the connection that it is charged to.
    queue: Option<Arc<Queue>>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        match &self.queue {
            Some(queue) => {
                self.meter.unqueue(self.charge);
                queue.sub(self.charge);
            }
            None => self.meter.release(self.charge),
        }
    }
}

/// The same bytes, charged.
pub(super) fn counted(bytes: Bytes, meter: &Arc<Meter>, queue: Option<&Arc<Queue>>) -> Bytes {
    if bytes.is_empty() {
        return bytes;
    }
    let charge = bytes.len() + BESIDE;
    match queue {
        Some(_) => meter.queue(charge),
        None => meter.charge(charge),
    }
    let queue = queue.map(|queue| queue.add(charge));
    Bytes::from_owner(Counted { bytes, meter: meter.clone(), charge, queue })
}
