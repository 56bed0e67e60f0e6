//! Session affinity: in which order the requests of one client try the endpoints of a backend.
//!
//! Rendezvous hashing: every endpoint is ranked by a hash of the client's address and its own, and the highest is tried first.
//! When an endpoint goes, only its clients move. The hash is the one by which Sōzu ranks a cluster of algorithm HRW, so that a
//! client has the same endpoint in both stages (`tests/standalone/affinity.rs`): FNV-1a from a seed, then the finalizer of
//! splitmix64. Both are public domain.

use std::net::{IpAddr, SocketAddr};

use crate::model::Endpoint;

/// Where Sōzu begins; any constant would do.
const SEED: u64 = 0x9E37_79B9_7F4A_7C15;

/// The endpoints, the one to be tried first last.
pub(super) fn ranked(client: IpAddr, endpoints: &[Endpoint]) -> Vec<Endpoint> {
    let client = key(client.to_canonical());
    let mut ranked = endpoints.to_vec();
    ranked.sort_by_cached_key(|endpoint| score(client, SocketAddr::new(endpoint.ip, endpoint.port)));
    ranked
}

/// What a client counts as.
fn key(client: IpAddr) -> u64 {
    Hash::new().bytes(b"I").address(client).finish()
}

/// The rank of an endpoint for a client.
fn score(client: u64, endpoint: SocketAddr) -> u64 {
    Hash::new().bytes(&client.to_ne_bytes()).address(endpoint.ip()).bytes(&endpoint.port().to_ne_bytes()).finish()
}

/// FNV-1a with 64 bits.
struct Hash(u64);

impl Hash {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325 ^ SEED)
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)))
    }

    fn address(self, ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => self.bytes(&[4]).bytes(&ip.octets()),
            IpAddr::V6(ip) => self.bytes(&[6]).bytes(&ip.octets()),
        }
    }

    /// Spreads what FNV-1a leaves alike in the low bits.
    fn finish(self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::{IpAddr, Ipv4Addr};

    use super::ranked;
    use crate::model::Endpoint;

    fn endpoints(count: u8) -> Vec<Endpoint> {
        (1..=count).map(|number| Endpoint { ip: [10, 0, 0, number].into(), port: 80 }).collect()
    }

    fn clients() -> impl Iterator<Item = IpAddr> {
        (0..4000_u32).map(|number| Ipv4Addr::from(0x0a01_0000 + number).into())
    }

    #[test]
    fn clients_spread_and_only_those_of_an_endpoint_that_goes_move() {
        let (all, fewer) = (endpoints(8), endpoints(7));
        let mut counts: BTreeMap<Endpoint, usize> = BTreeMap::new();
        let mut moved = 0;
        for client in clients() {
            let first = *ranked(client, &all).last().unwrap();
            *counts.entry(first).or_default() += 1;
            let after = *ranked(client, &fewer).last().unwrap();
            if first == all[7] {
                moved += 1;
                assert_eq!(after, ranked(client, &all)[6], "the next in rank takes over");
            } else {
                assert_eq!(after, first);
            }
        }
        assert_eq!(counts.len(), 8);
        assert!(counts.values().all(|count| (400..600).contains(count)), "{counts:?}");
        assert!((400..600).contains(&moved));
    }

    #[test]
    fn a_client_is_the_same_in_both_notations_and_in_any_order_of_endpoints() {
        let mut turned = endpoints(5);
        turned.reverse();
        let mapped = "::ffff:10.1.0.7".parse().unwrap();
        assert_eq!(ranked("10.1.0.7".parse().unwrap(), &endpoints(5)), ranked(mapped, &turned));
        assert_ne!(ranked("2001:db8::1".parse().unwrap(), &endpoints(5)), ranked("2001:db8::3".parse().unwrap(), &endpoints(5)));
    }
}
