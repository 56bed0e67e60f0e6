//! The PROXY protocol, version 2 (haproxy's `proxy-protocol.txt` §2.2), as Sōzu writes it: one strict header before the
//! client's bytes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, a connection on behalf of somebody else.
const PROXY: u8 = 0x21;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
/// Bytes after the fixed part: addresses and as much more as a careful sender would add.
const LONGEST: usize = 512;

/// The two ends of a client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    /// The client.
    pub(super) client: SocketAddr,
    /// Where it connected to: the port is the listener's.
    pub(super) server: SocketAddr,
}

/// Why a connection begins with no header that is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Strange {
    #[error("no PROXY protocol of version 2")]
    Signature,
    #[error("neither a proxied connection nor TCP")]
    Kind,
    #[error("a header of {0} bytes")]
    Length(usize),
}

/// Reads the header and nothing after it.
///
/// # Errors
/// The stream's, and [`Strange`] as invalid data.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Ends> {
    let mut fixed = [0; 16];
    stream.read_exact(&mut fixed).await?;
    let (family, length) = begin(fixed).map_err(invalid)?;
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    ends(family, &rest).map_err(invalid)
}

fn invalid(strange: Strange) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, strange)
}

/// Family and length of what follows the fixed part.
fn begin(fixed: [u8; 16]) -> Result<(u8, usize), Strange> {
    let [signature @ .., command, family, high, low] = fixed;
    if signature != SIGNATURE {
        return Err(Strange::Signature);
    }
    if command != PROXY || ![TCP4, TCP6].contains(&family) {
        return Err(Strange::Kind);
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST { Err(Strange::Length(length)) } else { Ok((family, length)) }
}

/// The addresses; what may follow them is not ours to know.
fn ends(family: u8, rest: &[u8]) -> Result<Ends, Strange> {
    let short = Strange::Length(rest.len());
    let (client, server, ports) = if family == TCP4 {
        let (client, rest) = rest.split_first_chunk::<4>().ok_or(short)?;
        let (server, rest) = rest.split_first_chunk::<4>().ok_or(short)?;
        (IpAddr::V4(Ipv4Addr::from(*client)), IpAddr::V4(Ipv4Addr::from(*server)), rest)
    } else {
        let (client, rest) = rest.split_first_chunk::<16>().ok_or(short)?;
        let (server, rest) = rest.split_first_chunk::<16>().ok_or(short)?;
        (IpAddr::V6(Ipv6Addr::from(*client)), IpAddr::V6(Ipv6Addr::from(*server)), rest)
    };
    let [a, b, c, d] = *ports.first_chunk::<4>().ok_or(short)?;
    let end = |ip: IpAddr, port| SocketAddr::new(ip.to_canonical(), u16::from_be_bytes(port));
    Ok(Ends { client: end(client, [a, b]), server: end(server, [c, d]) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Ends, LONGEST, PROXY, SIGNATURE, TCP4, TCP6, read};

    /// What Sōzu writes for these ends.
    fn header(ends: &Ends) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        let mut addresses = Vec::new();
        let family = match (ends.client.ip(), ends.server.ip()) {
            (std::net::IpAddr::V4(client), std::net::IpAddr::V4(server)) => {
                addresses.extend(client.octets());
                addresses.extend(server.octets());
                TCP4
            }
            (std::net::IpAddr::V6(client), std::net::IpAddr::V6(server)) => {
                addresses.extend(client.octets());
                addresses.extend(server.octets());
                TCP6
            }
            _ => unreachable!("one family"),
        };
        addresses.extend(ends.client.port().to_be_bytes());
        addresses.extend(ends.server.port().to_be_bytes());
        bytes.extend([PROXY, family]);
        bytes.extend(u16::try_from(addresses.len()).unwrap().to_be_bytes());
        bytes.extend(addresses);
        bytes
    }

    fn parsed(bytes: &[u8]) -> (Option<Ends>, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut left = bytes;
        let ends = runtime.block_on(read(&mut left)).ok();
        (ends, left.len())
    }

    fn any_ends() -> impl Strategy<Value = Ends> {
        let four = (any::<std::net::SocketAddrV4>(), any::<std::net::SocketAddrV4>()).prop_map(|(a, b)| (a.into(), b.into()));
        let six = (any::<u128>(), any::<u128>(), any::<u16>(), any::<u16>()).prop_map(|(a, b, c, d)| {
            let ip = |bits: u128| std::net::IpAddr::from((bits | 1 << 127).to_be_bytes());
            (std::net::SocketAddr::new(ip(a), c), std::net::SocketAddr::new(ip(b), d))
        });
        prop_oneof![four, six].prop_map(|(client, server)| Ends { client, server })
    }

    proptest! {
        #[test]
        fn a_header_is_read_to_its_end_and_no_further(ends in any_ends(), payload in prop::collection::vec(any::<u8>(), 0..64)) {
            let bytes = [header(&ends), payload.clone()].concat();
            prop_assert_eq!(parsed(&bytes), (Some(ends), payload.len()));
            for cut in 0..bytes.len() - payload.len() {
                prop_assert_eq!(parsed(&bytes[..cut]).0, None);
            }
        }

        #[test]
        fn extensions_are_skipped_and_endless_ones_refused(ends in any_ends(), more in 0..2 * LONGEST) {
            let mut bytes = header(&ends);
            let length = bytes.len() - 16 + more;
            bytes[14..16].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
            bytes.extend(vec![7; more + 3]);
            let expected = if length <= LONGEST { (Some(ends), 3) } else { (None, bytes.len() - 16) };
            prop_assert_eq!(parsed(&bytes), expected);
        }

        #[test]
        fn one_wrong_byte_of_the_fixed_part_is_refused(ends in any_ends(), at in 0..14_usize, with in any::<u8>()) {
            let mut bytes = header(&ends);
            prop_assume!(bytes[at] != with && !(at == 13 && [TCP4, TCP6].contains(&with)));
            bytes[at] = with;
            prop_assert_eq!(parsed(&bytes).0, None);
        }

        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..80), signed in any::<bool>()) {
            let start = if signed { [&SIGNATURE[..], &[PROXY]].concat() } else { Vec::new() };
            parsed(&[start, bytes].concat());
        }
    }
}
