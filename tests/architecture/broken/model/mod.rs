pub use crate::snapshot::Snapshot;
