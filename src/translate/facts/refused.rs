//! Addresses that are never backends, whoever names them: an EndpointSlice, or DNS for an ExternalName.
//!
//! A tenant who can write a slice must not reach by it the proxy's own machine or link, or what a cloud gives credentials at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The range that only standalone mode accepts.
const LOOPBACK: &str = "loopback";
/// Where clouds answer machines with credentials or with what the machine is to run.
const METADATA: &str = "cloud metadata";
/// IPv4 written into IPv6: packets end at a machine that the IPv6 address does not show.
const TRANSITION: &str = "IPv4 transition";

/// Refused networks of IPv4: the first address, the length of the prefix, the name.
const V4: &[(Ipv4Addr, u8, &str)] = &[
    // "This network" (RFC 1122 §3.2.1.3) is this machine to many systems.
    (Ipv4Addr::new(0, 0, 0, 0), 8, "unspecified"),
    // RFC 1122 §3.2.1.3.
    (Ipv4Addr::new(127, 0, 0, 0), 8, LOOPBACK),
    // RFC 3927. Metadata of most clouds: 169.254.169.254; of ECS tasks and EKS pods: 169.254.170.2 and .23.
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    // RFC 5771.
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    // RFC 1112 §4 (reserved) and RFC 919 §7 (255.255.255.255).
    (Ipv4Addr::new(240, 0, 0, 0), 4, "broadcast"),
    // Alibaba Cloud, "Instance metadata".
    (Ipv4Addr::new(100, 100, 100, 200), 32, METADATA),
    // Oracle Cloud Infrastructure Classic, "Instance metadata".
    (Ipv4Addr::new(192, 0, 0, 192), 32, METADATA),
    // Azure, "What is IP address 168.63.129.16?": the channel to the platform, with the machine's goal state.
    (Ipv4Addr::new(168, 63, 129, 16), 32, METADATA),
];

/// Refused networks of IPv6.
const V6: &[(Ipv6Addr, u8, &str)] = &[
    // RFC 4291 §2.5.2.
    (Ipv6Addr::UNSPECIFIED, 128, "unspecified"),
    // RFC 4291 §2.5.3.
    (Ipv6Addr::LOCALHOST, 128, LOOPBACK),
    // RFC 4291 §2.5.6.
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "link-local"),
    // RFC 4291 §2.7.
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "multicast"),
    // AWS, "Use the Instance Metadata Service": fd00:ec2::254; EKS Pod Identity: fd00:ec2::23. The range is the machine's own.
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0), 32, METADATA),
    // Google Cloud, "About VM metadata": metadata.google.internal over IPv6.
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128, METADATA),
    // Scaleway, "Using the metadata API".
    (Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42), 128, METADATA),
    // Oracle Cloud Infrastructure, "Getting instance metadata".
    (Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe), 128, METADATA),
    // Akamai (Linode), "Overview of the Metadata service".
    (Ipv6Addr::new(0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1), 128, METADATA),
    // NAT64, well-known prefix (RFC 6052 §2.1).
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96, TRANSITION),
    // NAT64, local use (RFC 8215).
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, TRANSITION),
    // IPv4-translated (RFC 2765 §2.1).
    (Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96, TRANSITION),
    // 6to4 (RFC 3056 §2).
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, TRANSITION),
    // Teredo (RFC 4380 §4).
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, TRANSITION),
];

/// The name of the range that keeps an address from being a backend. Loopback is one unless `loopback` is accepted.
pub(crate) fn refused_range(ip: IpAddr, loopback: bool) -> Option<&'static str> {
    let range = match reached(ip) {
        IpAddr::V4(ip) => {
            let bits = |ip: Ipv4Addr| u128::from(ip.to_bits());
            V4.iter().find(|(network, length, _)| agree(bits(ip), bits(*network), 32 - length)).map(|(_, _, name)| *name)
        }
        IpAddr::V6(ip) => {
            V6.iter().find(|(network, length, _)| agree(ip.to_bits(), network.to_bits(), 128 - length)).map(|(_, _, name)| *name)
        }
    };
    range.filter(|name| !(loopback && *name == LOOPBACK))
}

/// Whether two addresses agree but for their last `free` bits.
fn agree(ip: u128, network: u128, free: u8) -> bool {
    (ip ^ network).checked_shr(free.into()).unwrap_or_default() == 0
}

/// The address that packets end at, of those ways to write IPv4 in IPv6 that are the same address: mapped and
/// IPv4-compatible (RFC 4291 §2.5.5).
pub(crate) fn reached(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip.to_canonical() else { return ip.to_canonical() };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))),
        _ => IpAddr::V6(v6),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{LOOPBACK, METADATA, TRANSITION, V4, V6, refused_range};

    fn judged(address: &str) -> Option<&'static str> {
        let ip = address.parse().unwrap();
        let range = refused_range(ip, false);
        assert_eq!(refused_range(ip, true), range.filter(|range| *range != LOOPBACK), "{address} in standalone");
        range
    }

    #[test]
    fn every_row_holds_at_both_of_its_ends_and_however_it_is_written() {
        for (network, length, name) in V4 {
            let last = network.to_bits() | u32::MAX.checked_shr((*length).into()).unwrap_or_default();
            for ip in [*network, last.into()] {
                assert_eq!(judged(&ip.to_string()), Some(*name), "{ip}");
                assert_eq!(judged(&ip.to_ipv6_mapped().to_string()), Some(*name), "{ip} mapped");
                if ip.octets()[..2] != [0, 0] {
                    assert_eq!(judged(&format!("::{ip}")), Some(*name), "{ip} compatible");
                }
            }
        }
        for (network, length, name) in V6 {
            let last = network.to_bits() | u128::MAX.checked_shr((*length).into()).unwrap_or_default();
            for ip in [*network, last.into()] {
                assert_eq!(judged(&ip.to_string()), Some(*name), "{ip}");
            }
        }
    }

    #[test]
    fn addresses_by_which_tenants_reached_their_platform_are_refused() {
        for (address, range) in [
            ("168.63.129.16", METADATA),
            ("169.254.169.254", "link-local"),
            ("100.100.100.200", METADATA),
            ("192.0.0.192", METADATA),
            ("fd00:ec2::254", METADATA),
            ("fd20:ce::254", METADATA),
            ("fd00:42::42", METADATA),
            ("64:ff9b::a9fe:a9fe", TRANSITION),
            ("64:ff9b:1::a9fe:a9fe", TRANSITION),
            ("2002:a9fe:a9fe::1", TRANSITION),
            ("2001:0:a9fe:a9fe::1", TRANSITION),
            ("::ffff:168.63.129.16", METADATA),
            ("::168.63.129.16", METADATA),
            ("::ffff:0:127.0.0.1", TRANSITION),
            ("::127.0.0.1", LOOPBACK),
            ("febf::1", "link-local"),
        ] {
            assert_eq!(judged(address), Some(range), "{address}");
        }
    }

    #[test]
    fn neighbours_of_refused_networks_are_served() {
        for address in [
            "10.0.0.1",
            "192.168.1.1",
            "100.100.100.201",
            "192.0.0.191",
            "168.63.129.17",
            "169.253.255.255",
            "223.255.255.255",
            "::ffff:10.0.0.1",
            "2001:db8::1",
            "2001:1::1",
            "2003::1",
            "fd00::1",
            "fd00:42::43",
            "fd20:ce::253",
            "64:ff9c::1",
            "fec0::1",
        ] {
            let ip: IpAddr = address.parse().unwrap();
            assert_eq!(judged(address), None, "{ip}");
        }
    }
}
