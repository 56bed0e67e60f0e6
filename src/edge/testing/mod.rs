//! What the tests of this room share: random snapshots and requests, the meaning of a snapshot in its plainest form, and
//! Sōzu's router as it was measured.

pub(crate) mod generate;
pub(crate) mod naive;
pub(crate) mod router;
