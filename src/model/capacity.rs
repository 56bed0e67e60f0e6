//! How much an edge holds: what the EdgeProfile asks for, as its processes are told by variables of the environment.

/// Variable for the bytes of memory that a process may use; by default the limit of its control group.
pub const MEMORY: &str = "KAKEHI_MEMORY";
/// Variable for the size of Sōzu's buffers (`capacity.bufferBytes`).
pub const BUFFER_BYTES: &str = "KAKEHI_BUFFER_BYTES";
/// Variable for the number of Sōzus that serve the same ports (`capacity.sozus`).
pub const SOZUS: &str = "KAKEHI_SOZUS";
/// Variable for the number of worker processes of each Sōzu (`capacity.sozuWorkers`).
pub const SOZU_WORKERS: &str = "KAKEHI_SOZU_WORKERS";
/// Variable for the seconds that requests, streams and tunnels in flight may take when an edge ends.
pub const DRAIN: &str = "KAKEHI_DRAIN";
