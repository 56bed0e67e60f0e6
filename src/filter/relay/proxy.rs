//! The PROXY protocol (haproxy's `proxy-protocol.txt`): the strict header of version 2 that Sōzu writes before the client's
//! bytes, and the header of either version that a load balancer in front of the edge has written there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, a connection on behalf of somebody else.
const PROXY: u8 = 0x21;
/// Version 2, a connection of the sender's own, as for health checks.
const LOCAL: u8 = 0x20;
/// How a line of version 1 begins, and the most bytes that it has.
const LINE: (&[u8], usize) = (b"PROXY ", 107);
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
    #[error("no header of the PROXY protocol")]
    Signature,
    #[error("neither a proxied connection nor TCP")]
    Kind,
    #[error("a header of {0} bytes")]
    Length(usize),
    #[error("a line that is none of version 1")]
    Line,
}

/// Reads the header and nothing after it.
///
/// # Errors
/// The stream's, and [`Strange`] as invalid data.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Ends> {
    let mut fixed = [0; 16];
    stream.read_exact(&mut fixed).await?;
    let (command, family, length) = begin(fixed).map_err(invalid)?;
    if command != PROXY || ![TCP4, TCP6].contains(&family) {
        return Err(invalid(Strange::Kind));
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    ends(family, &rest).map_err(invalid)
}

/// Reads the header of either version that a load balancer wrote, and nothing after it: whom the connection is for, or
/// none when it is the load balancer's own, or for somebody without an IP address.
///
/// # Errors
/// The stream's, and [`Strange`] as invalid data.
pub(super) async fn read_client(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<IpAddr>> {
    // The shortest line of version 1 has 15 bytes.
    let mut first = [0; 12];
    stream.read_exact(&mut first).await?;
    if first.starts_with(LINE.0) {
        let mut line = first.to_vec();
        while !line.ends_with(b"\r\n") {
            if line.len() == LINE.1 {
                return Err(invalid(Strange::Line));
            }
            line.push(stream.read_u8().await?);
        }
        return client_of_line(&line).map_err(invalid);
    }
    let mut fixed = [0; 16];
    let (start, more) = fixed.split_at_mut(first.len());
    start.copy_from_slice(&first);
    if first != SIGNATURE {
        return Err(invalid(Strange::Signature));
    }
    stream.read_exact(more).await?;
    let (command, family, length) = begin(fixed).map_err(invalid)?;
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    match (command, family) {
        (PROXY, TCP4 | TCP6) => ends(family, &rest).map(|ends| Some(ends.client.ip())).map_err(invalid),
        (PROXY | LOCAL, _) => Ok(None),
        _ => Err(invalid(Strange::Kind)),
    }
}

/// The client that a line of version 1 names: `PROXY TCP4 CLIENT SERVER PORT PORT`, or `PROXY UNKNOWN` and anything.
fn client_of_line(line: &[u8]) -> Result<Option<IpAddr>, Strange> {
    let text = line.strip_suffix(b"\r\n").and_then(|line| std::str::from_utf8(line).ok()).ok_or(Strange::Line)?;
    let mut words = text.split(' ').skip(1);
    let v4 = match words.next() {
        Some("TCP4") => true,
        Some("TCP6") => false,
        Some("UNKNOWN") => return Ok(None),
        _ => return Err(Strange::Line),
    };
    let words: Vec<&str> = words.collect();
    let [client, server, from, to] = words.as_slice() else { return Err(Strange::Line) };
    let ip = |text: &str| text.parse::<IpAddr>().ok().filter(|ip| ip.is_ipv4() == v4).ok_or(Strange::Line);
    for port in [from, to] {
        port.parse::<u16>().map_err(|_| Strange::Line)?;
    }
    ip(server)?;
    ip(client).map(|ip| Some(ip.to_canonical()))
}

fn invalid(strange: Strange) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, strange)
}

/// Command, family, and length of what follows the fixed part.
fn begin(fixed: [u8; 16]) -> Result<(u8, u8, usize), Strange> {
    let [signature @ .., command, family, high, low] = fixed;
    if signature != SIGNATURE {
        return Err(Strange::Signature);
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST { Err(Strange::Length(length)) } else { Ok((command, family, length)) }
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

    use super::{Ends, LINE, LONGEST, PROXY, SIGNATURE, TCP4, TCP6, read, read_client};

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

    /// What a load balancer is understood to say, and how many bytes are left.
    fn client(bytes: &[u8]) -> (Result<Option<String>, ()>, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut left = bytes;
        let client = runtime.block_on(read_client(&mut left)).map_err(drop);
        (client.map(|client| client.map(|ip| ip.to_string())), left.len())
    }

    #[test]
    fn load_balancers_write_either_version() {
        let v2 = |start: &[u8], rest: &[u8]| [&SIGNATURE[..], start, rest].concat();
        let local = v2(b"\x20\0\0\0", b"");
        let local_with_addresses = v2(b"\x20\x11\0\x0c", &[1; 12]);
        let unspecified = v2(b"\x21\0\0\x03", b"abc");
        let to_unix = v2(b"\x21\x31\0\xd8", &[b'/'; 216]);
        let known = v2(b"\x21\x11\0\x0f", b"\xc0\0\x02\x07\x0a\0\0\x01\x30\x39\0\x50\x04\0\0");
        for (header, expected) in [
            (&b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\n"[..], Ok(Some("192.0.2.7"))),
            (b"PROXY TCP6 2001:db8::7 fd00::1 12345 80\r\n", Ok(Some("2001:db8::7"))),
            (b"PROXY TCP6 ::ffff:192.0.2.7 fd00::1 12345 80\r\n", Ok(Some("192.0.2.7"))),
            (b"PROXY UNKNOWN\r\n", Ok(None)),
            (b"PROXY UNKNOWN ffff:f...f ffff 65535 65535\r\n", Ok(None)),
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 12345\r\n", Err(())),
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 80 \r\n", Err(())),
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 65536\r\n", Err(())),
            (b"PROXY TCP4 2001:db8::7 fd00::1 12345 80\r\n", Err(())),
            (b"PROXY UDP4 192.0.2.7 10.0.0.1 12345 80\r\n", Err(())),
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\n\n", Err(())),
            (b"GET / HTTP/1.1\r\nhost: h\r\n\r\n", Err(())),
            (&known, Ok(Some("192.0.2.7"))),
            (&local, Ok(None)),
            (&local_with_addresses, Ok(None)),
            (&unspecified, Ok(None)),
            (&to_unix, Ok(None)),
            (&v2(b"\x22\x11\0\x0c", &[1; 12]), Err(())),
            (&v2(b"\x11\x11\0\x0c", &[1; 12]), Err(())),
        ] {
            let (client, left) = client(&[header, b"GET /"].concat());
            let expected = expected.map(|client| client.map(str::to_owned));
            assert_eq!(client, expected, "{}", header.escape_ascii());
            assert!(expected.is_err() || left == 5, "{}", header.escape_ascii());
            for cut in 0..header.len() {
                assert_eq!(self::client(&header[..cut]).0, Err(()), "{}", header[..cut].escape_ascii());
            }
        }
        let (endless, _) = client(&[LINE.0, &[b'x'; 200]].concat());
        assert_eq!(endless, Err(()));
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
            parsed(&[start.clone(), bytes.clone()].concat());
            client(&[start, bytes.clone()].concat()).0.unwrap_or_default();
            client(&[LINE.0, &bytes].concat()).0.unwrap_or_default();
        }
    }
}
