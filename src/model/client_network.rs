//! Client addresses as connections are counted by.

use std::net::IpAddr;

/// An IPv4 address, or a network of 64 bits of IPv6: what one client has for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientNetwork {
    /// An address of IPv4, also where it is written as one of IPv6.
    V4(u32),
    /// The upper half of an address of IPv6.
    V6(u64),
}

impl From<IpAddr> for ClientNetwork {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}
