//! One budget of memory for an edge: from the bytes that it may use follow the connections and buffers of Sōzu and the bytes of
//! the filter proxy.
//!
//! Measured by `make bench-limits`: a kept connection that is idle costs Sōzu 24 kB, whatever the size of its buffers, because
//! the system gives a page only when it is written to; one that fills both buffers costs their size too.

use std::path::Path;

use super::limits;

/// What an edge was told of its size. What is left out follows from the memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Bytes of memory that the process and its children may use.
    pub memory: Option<u64>,
    /// Client connections.
    pub connections: Option<u64>,
    /// Connections of one client address; 0 is no bound.
    pub connections_per_address: Option<u64>,
    /// Size of one of Sōzu's buffers, in bytes.
    pub buffer_bytes: Option<u64>,
    /// Worker processes of each Sōzu.
    pub sozu_workers: Option<u64>,
    /// Sōzus that serve the same ports: one or two.
    pub sozus: Option<u64>,
}

/// What each Sōzu is started with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SozuBudget {
    /// Worker processes.
    pub workers: u64,
    /// Connections that one worker may have by Sōzu's own count. Its buffers are used up before that: at this limit it would take no
    /// connection, and answer nothing, until a tenth of those that it has are gone (`make bench-limits`).
    pub places: u64,
    /// Buffers of one worker. A connection takes two, and so does a stream of HTTP/2. Without one a new connection is reset.
    pub buffers: u64,
    /// Bytes of a buffer.
    pub buffer_bytes: u64,
    /// Connections of one client address to one upstream; 0 is no bound.
    pub connections_per_address: u64,
}

/// What the filter proxy is started with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterBudget {
    /// Bytes that its connections may make it hold.
    pub memory: u64,
    /// Client connections.
    pub connections: u64,
    /// Connections of one client address; 0 is no bound.
    pub connections_per_address: u64,
}

/// The least size of Sōzu's buffers: a frame of HTTP/2 with its head.
pub const BUFFER_BYTES: u64 = 16_393;
/// The largest that is chosen for them, where there is memory for more: the head of an answer of 64 KB, with what is added to it.
const LARGE_BUFFER: u64 = 72 << 10;
/// Connections that there is to be memory for before buffers are larger than they must be.
const USUAL: u64 = 10_000;
/// What the processes need before anyone connects.
const BASE: u64 = 64 << 20;
/// The least memory of an edge: what Sōzu and the filter proxy need before anyone connects.
const LEAST: u64 = 2 * BASE;
/// What a buffer costs beside its bytes: half of a connection's session, TLS state and place in Sōzu's tables.
const BESIDE: u64 = 6 << 10;
/// Fewest connections of an edge, however little memory there is.
const FEWEST: u64 = 100;
/// Sōzu's own limit of connections is so much higher than the one that its buffers set.
const PLACES: (u64, u64) = (9, 8);
/// A twin may have this part of all connections beyond its half.
const UNEVEN: u64 = 20;
/// What is assumed where nothing says how much memory there is.
const UNKNOWN: u64 = 1 << 30;
/// The part of a machine's memory that an edge takes where no control group bounds it.
const SHARE: u64 = 4;

impl Capacity {
    /// The bytes that may be used: what was told, else the limit of the control group, else a quarter of the machine's.
    pub fn memory(&self) -> u64 {
        self.memory.unwrap_or_else(|| available(Path::new("/")))
    }

    /// Sōzus that serve the same ports. While one is replaced, the other takes all new connections.
    pub fn sozus(&self) -> usize {
        if self.sozus == Some(1) { 1 } else { 2 }
    }

    /// What each Sōzu may use where they have the memory for themselves.
    pub fn launched(&self) -> SozuBudget {
        self.sozu(self.memory(), limits::files())
    }

    /// What each Sōzu may use of the `memory` bytes of all, when it may open `files` files. Three fifths are for connections, the
    /// rest for what it is configured with. The kernel does not deal connections out evenly, so a twin gets somewhat more than half
    /// of those that are wanted.
    pub fn sozu(&self, memory: u64, files: u64) -> SozuBudget {
        let sozus = self.sozus() as u64;
        let memory = memory / sozus;
        let workers = self.sozu_workers.unwrap_or(1).max(1);
        let pool = memory.saturating_sub(BASE) / 5 * 3;
        let part = |all: u64| all.div_ceil(sozus) + if sozus > 1 { all.div_ceil(UNEVEN) } else { 0 };
        let usual = part(self.connections.unwrap_or(USUAL)).max(FEWEST);
        let fitting = (pool / (2 * usual)).saturating_sub(BESIDE).min(LARGE_BUFFER);
        let buffer_bytes = self.buffer_bytes.unwrap_or(fitting).max(BUFFER_BYTES);
        let affordable = pool / (buffer_bytes + BESIDE);
        // Sōzu refuses to start when it may open fewer files than twice the connections of a worker.
        let openable = files / 2 / PLACES.0 * PLACES.1;
        let wanted = self.connections.map_or(u64::MAX, part);
        let connections = (affordable / 2).min(wanted).max(FEWEST).div_ceil(workers).min(openable);
        let places = connections / PLACES.1 * PLACES.0 + PLACES.0;
        let connections_per_address = self.connections_per_address.unwrap_or(connections / 2);
        SozuBudget { workers, places: places.min(files / 2), buffers: 2 * connections, buffer_bytes, connections_per_address }
    }

    /// What the filter proxy may use of `memory` bytes; half of them are for connections.
    pub fn filter(&self, memory: u64, files: u64) -> FilterBudget {
        let connections = self.connections.unwrap_or(u64::MAX).min(files / 2).max(FEWEST);
        let connections_per_address = self.connections_per_address.unwrap_or(connections / 2);
        FilterBudget { memory: memory.saturating_sub(BASE).max(BASE) / 2, connections, connections_per_address }
    }
}

/// The memory of an edge in bytes, as a flag gives it.
///
/// # Errors
/// When it is no number, or too little for an edge to start.
pub fn parse_memory(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(bytes) if bytes < LEAST => Err(format!("an edge needs {LEAST} bytes (128 MiB) at least")),
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(format!("no number of bytes: {error}")),
    }
}

/// The memory that a process below this root directory may use.
fn available(root: &Path) -> u64 {
    let number = |file: &str| -> Option<u64> { std::fs::read_to_string(root.join(file)).ok()?.trim().parse().ok() };
    let machine = std::fs::read_to_string(root.join("proc/meminfo")).ok().and_then(|text| total(&text));
    let groups = ["sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let group = groups.into_iter().find_map(number).filter(|limit| machine.is_none_or(|machine| *limit < machine));
    group.or(machine.map(|machine| machine / SHARE)).unwrap_or(UNKNOWN)
}

/// `MemTotal` of /proc/meminfo, in bytes.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{BASE, BUFFER_BYTES, Capacity, FEWEST, LARGE_BUFFER, available};

    const GIB: u64 = 1 << 30;
    const MANY: u64 = 1 << 20;

    #[test]
    fn a_gibibyte_holds_ten_thousand_connections() {
        let budget = Capacity::default().sozu(GIB, MANY);
        assert!((5_000..7_500).contains(&(budget.buffers / 2)), "each of two: {budget:?}");
        assert_eq!(budget.connections_per_address, budget.buffers / 4);
        let alone = Capacity { sozus: Some(1), ..Default::default() }.sozu(GIB, MANY);
        assert!((10_000..15_000).contains(&(alone.buffers / 2)), "{alone:?}");
    }

    #[test]
    fn what_the_profile_says_counts_within_what_memory_and_descriptors_allow() {
        let capacity = Capacity {
            connections: Some(5000),
            connections_per_address: Some(0),
            sozu_workers: Some(2),
            sozus: Some(1),
            ..Default::default()
        };
        let budget = capacity.sozu(GIB, MANY);
        assert_eq!((budget.workers, budget.buffers, budget.connections_per_address), (2, 5000, 0));
        let twins = Capacity { sozus: None, ..capacity }.sozu(GIB, MANY);
        assert_eq!((twins.workers, twins.buffers), (2, 2750), "somewhat more than half each");
        assert!(capacity.sozu(GIB, 3000).places <= 1500, "Sōzu would not start");
        let greedy = Capacity { connections: Some(1_000_000), ..Default::default() };
        assert!((11_000..14_000).contains(&greedy.sozu(GIB, MANY).buffers), "what memory allows");
        assert_eq!(capacity.filter(GIB, MANY).connections, 5000);
    }

    #[test]
    fn buffers_grow_with_the_memory_that_ten_thousand_connections_leave() {
        let size = |capacity: Capacity, memory| capacity.sozu(memory, MANY).buffer_bytes;
        let usual = [GIB / 4, GIB, 2 * GIB, 4 * GIB, 64 * GIB].map(|memory| size(Capacity::default(), memory));
        assert!(usual.is_sorted() && usual[0] == BUFFER_BYTES && usual[4] == LARGE_BUFFER, "{usual:?}");
        assert!((17_000..20_000).contains(&usual[1]) && usual[3] >= 66 << 10, "{usual:?}");
        assert_eq!(size(Capacity { connections: Some(1000), ..Default::default() }, GIB), LARGE_BUFFER, "fewer are wanted");
        assert_eq!(size(Capacity { buffer_bytes: Some(20_000), ..Default::default() }, 64 * GIB), 20_000);
    }

    #[test]
    fn the_limit_of_the_control_group_counts_then_a_share_of_the_machine() {
        let root = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        assert_eq!(available(root.path()), GIB);
        write("proc/meminfo", "MemTotal:        8388608 kB\nMemFree:  5 kB\n");
        assert_eq!(available(root.path()), 2 * GIB);
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(available(root.path()), 2 * GIB, "that is no limit");
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n");
        assert_eq!(available(root.path()), GIB / 2);
        write("sys/fs/cgroup/memory.max", "max\n");
        assert_eq!(available(root.path()), GIB / 2, "the other version has a limit");
        write("sys/fs/cgroup/memory.max", "268435456\n");
        assert_eq!(available(root.path()), GIB / 4);
    }

    proptest! {
        #[test]
        fn full_buffers_stay_within_the_memory(
            memory in 2 * BASE..64 * GIB,
            connections in prop::option::of(1..1_000_000_u64),
            buffer_bytes in prop::option::of(BUFFER_BYTES..1 << 20),
            sozu_workers in prop::option::of(1..16_u64),
            sozus in prop::option::of(1..3_u64),
        ) {
            let capacity = Capacity { connections, buffer_bytes, sozu_workers, sozus, ..Default::default() };
            let budget = capacity.sozu(memory, MANY);
            let held = capacity.sozus() as u64 * budget.workers * budget.buffers * budget.buffer_bytes;
            let least = capacity.sozus() as u64 * 2 * (FEWEST + budget.workers) * budget.buffer_bytes;
            prop_assert!(held <= memory.max(least), "{:?}", budget);
            prop_assert!(budget.buffers >= 2 && budget.places > budget.buffers / 2, "buffers are used up first: {:?}", budget);
        }
    }
}
