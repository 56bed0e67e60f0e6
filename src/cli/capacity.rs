//! Flags for how much an edge holds.

use clap::Args;

use crate::edge::Capacity;
use crate::model::{FILTER_CONNECTIONS, FILTER_CONNECTIONS_PER_ADDRESS, capacity as names};

/// Flags that `kakehi edge` and `kakehi launch` share.
#[derive(Args, Debug)]
pub(super) struct CapacitySettings {
    /// Memory that the process and its children may use, in bytes. Default: the limit of the control group, else a quarter of the
    /// machine's
    #[arg(long, env = names::MEMORY, value_name = "BYTES")]
    memory: Option<u64>,
    /// Client connections to hold. Default: as many as memory allows
    #[arg(long, env = FILTER_CONNECTIONS, value_name = "N")]
    connections: Option<u64>,
    /// Connections of one client address; 0 is no bound. Default: half of all
    #[arg(long, env = FILTER_CONNECTIONS_PER_ADDRESS, value_name = "N")]
    connections_per_address: Option<u64>,
    /// Size of Sōzu's buffers; a connection uses two, a response head must fit into one. Default: what memory gives to the connections that are wanted, from 16393 to 73728
    #[arg(long, env = names::BUFFER_BYTES, value_name = "BYTES")]
    buffer_bytes: Option<u64>,
    /// Worker processes of each Sōzu. Default: 1
    #[arg(long, env = names::SOZU_WORKERS, value_name = "N")]
    sozu_workers: Option<u64>,
    /// Sōzus that serve the same ports: 2, of which one serves while the other is replaced, or 1, which needs less memory. Default: 2
    #[arg(long, env = names::SOZUS, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=2))]
    sozus: Option<u64>,
}

impl From<CapacitySettings> for Capacity {
    fn from(given: CapacitySettings) -> Self {
        let CapacitySettings { memory, connections, connections_per_address, buffer_bytes, sozu_workers, sozus } = given;
        Self { memory, connections, connections_per_address, buffer_bytes, sozu_workers, sozus }
    }
}
