//! Who a client is, when proxies in front of the edge may say so: the one place that decides it.

use std::net::{IpAddr, SocketAddr};

use http::HeaderValue;

use super::connection::tokens;
use crate::model::Trusted;

/// Whom a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// The client: the first address, seen from the edge, that nobody trusts.
    pub(super) client: IpAddr,
    /// The trusted proxies that it came through, the edge's peer last; empty when it is the peer itself.
    pub(super) proxies: Vec<IpAddr>,
}

/// Finds the client by the lines of `X-Forwarded-For`, as they came by a connection of `peer`.
///
/// Each proxy adds the address that it sees to the end, so what counts is read from the right: members of trusted
/// addresses up to the first other one, or the given number of members. Whatever cannot be read there makes the peer the
/// client; where every member is trusted, the first one is.
pub(super) fn origin<'h>(peer: IpAddr, lines: impl DoubleEndedIterator<Item = &'h HeaderValue>, trusted: &Trusted) -> Origin {
    let peer = peer.to_canonical();
    let itself = || Origin { client: peer, proxies: Vec::new() };
    if !trusted.includes(peer) {
        return itself();
    }
    let members = lines.rev().flat_map(|line| tokens(line).collect::<Vec<_>>().into_iter().rev()).map(address);
    let mut proxies = vec![peer];
    let mut client = None;
    for (member, number) in members.zip(1_usize..) {
        let Some(member) = member else { return itself() };
        proxies.extend(client.replace(member));
        let is_client = match trusted {
            Trusted::Networks(_) => !trusted.includes(member),
            Trusted::Hops(hops) => number == usize::from(*hops),
        };
        if is_client {
            break;
        }
    }
    let complete = |hops: u8| proxies.len() == usize::from(hops);
    match (client, trusted) {
        (Some(_), Trusted::Hops(hops)) if !complete(*hops) => itself(),
        (Some(client), _) => {
            proxies.reverse();
            Origin { client, proxies }
        }
        (None, _) => itself(),
    }
}

/// The address of one member: alone, or with a port as some load balancers write it.
fn address(member: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(member).ok()?;
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().ok().map(IpAddr::from);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(bracketed).or_else(with_port).map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use http::HeaderValue;
    use proptest::prelude::*;

    use super::{Origin, origin};
    use crate::model::Trusted;

    fn networks(list: &[&str]) -> Trusted {
        Trusted::Networks(list.iter().map(|network| network.parse().unwrap()).collect())
    }

    fn found(peer: &str, lines: &[&str], trusted: &Trusted) -> String {
        let lines: Vec<HeaderValue> = lines.iter().map(|line| HeaderValue::from_bytes(line.as_bytes()).unwrap()).collect();
        let Origin { client, proxies } = origin(peer.parse().unwrap(), lines.iter(), trusted);
        let proxies: Vec<String> = proxies.iter().map(ToString::to_string).collect();
        format!("{client} by {}", proxies.join(","))
    }

    #[test]
    fn the_client_is_the_first_untrusted_address_from_the_right() {
        let ten = networks(&["10.0.0.0/8", "fd00::/8"]);
        for (peer, lines, expected) in [
            ("192.0.2.1", &["1.1.1.1"][..], "192.0.2.1 by "),
            ("10.0.0.1", &[], "10.0.0.1 by "),
            ("10.0.0.1", &["1.1.1.1"], "1.1.1.1 by 10.0.0.1"),
            ("10.0.0.1", &["6.6.6.6, 1.1.1.1"], "1.1.1.1 by 10.0.0.1"),
            ("10.0.0.1", &["6.6.6.6, 1.1.1.1, 10.0.0.2"], "1.1.1.1 by 10.0.0.2,10.0.0.1"),
            ("10.0.0.1", &["6.6.6.6", "1.1.1.1,10.0.0.3 ,, ", "10.0.0.2"], "1.1.1.1 by 10.0.0.3,10.0.0.2,10.0.0.1"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3 by 10.0.0.2,10.0.0.1"),
            ("::ffff:10.0.0.1", &["::ffff:1.1.1.1"], "1.1.1.1 by 10.0.0.1"),
            ("fd00::1", &["2001:db8::7"], "2001:db8::7 by fd00::1"),
            ("10.0.0.1", &["1.1.1.1:4711"], "1.1.1.1 by 10.0.0.1"),
            ("10.0.0.1", &["[2001:db8::7]:4711, [fd00::2]"], "2001:db8::7 by fd00::2,10.0.0.1"),
            ("10.0.0.1", &["1.1.1.1, unknown"], "10.0.0.1 by "),
            ("10.0.0.1", &["unknown, 1.1.1.1"], "1.1.1.1 by 10.0.0.1"),
            ("10.0.0.1", &["unknown, 10.0.0.2"], "10.0.0.1 by "),
            ("10.0.0.1", &["1.1.1.1, 10.0.0.256"], "10.0.0.1 by "),
            ("10.0.0.1", &["1.1.1.1, [10.0.0.2]"], "10.0.0.1 by "),
        ] {
            assert_eq!(found(peer, lines, &ten), expected, "{peer} {lines:?}");
        }
        assert_eq!(found("10.0.0.1", &["1.1.1.1"], &Trusted::default()), "10.0.0.1 by ");
    }

    #[test]
    fn or_the_member_of_that_number() {
        for (hops, lines, expected) in [
            (1, &["6.6.6.6, 1.1.1.1"][..], "1.1.1.1 by 10.0.0.1"),
            (2, &["6.6.6.6, 1.1.1.1", "10.0.0.2"], "1.1.1.1 by 10.0.0.2,10.0.0.1"),
            (2, &["1.1.1.1"], "10.0.0.1 by "),
            (1, &[], "10.0.0.1 by "),
            (2, &["1.1.1.1, x"], "10.0.0.1 by "),
            (1, &["x, 1.1.1.1"], "1.1.1.1 by 10.0.0.1"),
        ] {
            assert_eq!(found("10.0.0.1", lines, &Trusted::Hops(hops)), expected, "{hops} {lines:?}");
        }
    }

    /// As the documentation of `clientAddress` says it, over the whole list at once.
    fn naive(peer: IpAddr, members: &[Result<IpAddr, ()>], trusted: &Trusted) -> IpAddr {
        let read = |number: usize| members.iter().rev().take(number).copied().collect::<Result<Vec<_>, ()>>();
        match trusted {
            Trusted::Hops(hops) => {
                let of = usize::from(*hops);
                if members.len() < of { peer } else { read(of).map_or(peer, |list| list[of - 1]) }
            }
            Trusted::Networks(networks) => {
                let is_trusted = |ip: &IpAddr| networks.iter().any(|network| network.contains(ip));
                if members.is_empty() || !is_trusted(&peer) {
                    return peer;
                }
                let until = members.iter().rev().position(|member| !member.is_ok_and(|ip| is_trusted(&ip)));
                read(until.map_or(members.len(), |at| at + 1)).map_or(peer, |list| list[list.len() - 1])
            }
        }
    }

    fn any_member() -> impl Strategy<Value = String> {
        prop_oneof![
            3 => (0..3_u8, 0..3_u8).prop_map(|(a, b)| format!("10.{a}.0.{b}")),
            3 => (0..3_u8).prop_map(|a| format!("1.1.1.{a}")),
            1 => prop::sample::select(vec!["unknown", "_hidden", "1.1.1", "1.1.1.1.1", "for=1.1.1.1", "\"1.1.1.1\"", "[", "10.0.0.0/8", "-"]).prop_map(str::to_owned),
            1 => "[!-+\\--~]{1,12}",
        ]
    }

    proptest! {
        #[test]
        fn as_a_naive_reading_says(
            lines in prop::collection::vec(prop::collection::vec(any_member(), 0..4), 0..4),
            peer in prop_oneof!["10\\.[0-2]\\.0\\.[0-2]", "1\\.1\\.1\\.[0-2]"],
            hops in prop::option::of(1..4_u8),
        ) {
            let trusted = hops.map_or_else(|| networks(&["10.0.0.0/16", "10.1.0.0/16"]), Trusted::Hops);
            let members: Vec<_> = lines.iter().flatten().map(|member| super::address(member.as_bytes()).ok_or(())).collect();
            let values: Vec<_> = lines.iter().map(|line| HeaderValue::from_str(&line.join(", ")).unwrap()).collect();
            let peer: IpAddr = peer.parse().unwrap();
            let Origin { client, proxies } = origin(peer, values.iter(), &trusted);
            prop_assert_eq!(client, naive(peer, &members, &trusted));
            // Nobody but trusted proxies stands between the client and the edge.
            prop_assert!(proxies.iter().all(|proxy| trusted.includes(*proxy)));
            prop_assert!(proxies.last().is_none_or(|last| *last == peer) && proxies.is_empty() == (client == peer && proxies.is_empty()));
        }

        #[test]
        fn what_an_untrusted_client_says_changes_nothing(bytes in prop::collection::vec(any::<u8>(), 0..64), real in "1\\.1\\.1\\.[0-9]") {
            let claimed: Vec<u8> = bytes.into_iter().filter(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 127)).collect();
            let line = HeaderValue::from_bytes(&[&claimed[..], b", ", real.as_bytes()].concat()).unwrap();
            let trusted = networks(&["10.0.0.0/8"]);
            let Origin { client, .. } = origin("10.0.0.1".parse().unwrap(), [&line].into_iter(), &trusted);
            prop_assert_eq!(client.to_string(), real);
            let Origin { client, .. } = origin("192.0.2.1".parse().unwrap(), [&line].into_iter(), &trusted);
            prop_assert_eq!(client.to_string(), "192.0.2.1");
        }
    }
}
