//! What a backend is told about the client of a relayed connection: the fields that Sōzu writes on the ports that it reads.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::client::{Origin, origin};
use crate::model::{ClientAddress, Trusted};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a client's connection says of all its requests, in the form that goes into them.
#[derive(Clone, Debug)]
pub struct Connection {
    peer: IpAddr,
    address: HeaderValue,
    port: HeaderValue,
    scheme: HeaderValue,
}

impl Connection {
    /// One that `peer` made to `server`, which is the listener's address; `secure` with TLS.
    pub fn new(peer: IpAddr, server: SocketAddr, secure: bool) -> Self {
        // A socket for both families calls IPv4 addresses by IPv6 names.
        let peer = peer.to_canonical();
        let scheme = HeaderValue::from_static(if secure { "https" } else { "http" });
        Self { peer, address: address(peer), port: HeaderValue::from(server.port()), scheme }
    }
}

impl Connection {
    /// Who made it.
    pub fn peer(&self) -> IpAddr {
        self.peer
    }
}

/// The text of an address has no byte that a field may not have.
fn address(ip: IpAddr) -> HeaderValue {
    HeaderValue::try_from(ip.to_string()).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Replaces what a client says about itself by the truth: its address in `X-Real-IP` and as the last member of
/// `X-Forwarded-For`, the listener's scheme and port. `id` names the request, unless the client has.
///
/// With `trust`, `X-Forwarded-For` begins with the client: what came before that is nobody's word. Where the connection is
/// one of a trusted proxy, which is returned, its scheme, port and host stand.
pub fn forwarded(headers: &mut HeaderMap, connection: &Connection, trust: Option<&ClientAddress>, id: u128) -> bool {
    let peer = connection.peer;
    let (client, said_by_proxy) = match trust {
        Some(ClientAddress { trusted, .. }) => {
            let Origin { client, proxies } = origin(peer, headers.get_all(FOR).iter(), trusted);
            let list: Vec<String> = std::iter::once(&client).chain(&proxies).map(ToString::to_string).collect();
            set(headers, FOR, list.join(", "));
            let by_proxy = match trusted {
                Trusted::Networks(_) => trusted.includes(peer),
                // With fewer members than proxies it did not come through them.
                Trusted::Hops(_) => !proxies.is_empty(),
            };
            (if client == peer { connection.address.clone() } else { address(client) }, by_proxy)
        }
        None => {
            append(headers, &FOR, &connection.address);
            (connection.address.clone(), false)
        }
    };
    let keeps = |headers: &HeaderMap, name: &HeaderName, fits: fn(&str) -> bool| {
        said_by_proxy && only(headers, name).and_then(|value| value.to_str().ok()).is_some_and(fits)
    };
    if !keeps(headers, &PROTO, |scheme| ["http", "https"].contains(&scheme)) {
        headers.insert(PROTO, connection.scheme.clone());
    }
    if !keeps(headers, &PORT, |port| port.parse::<u16>().is_ok()) {
        headers.insert(PORT, connection.port.clone());
    }
    if !keeps(headers, &HOST, |host| !host.contains(',')) {
        headers.remove(HOST);
    }
    headers.remove(header::FORWARDED);
    headers.insert(REAL_IP, client);
    if !headers.contains_key(REQUEST_ID) {
        set(headers, REQUEST_ID, format!("{id:032x}"));
    }
    said_by_proxy
}

/// The client of a request that has come in: as Sōzu says on a hop, or [`forwarded`] of a relayed connection.
pub fn real_ip(headers: &HeaderMap) -> Option<IpAddr> {
    headers.get(REAL_IP)?.to_str().ok()?.parse().ok()
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

/// The value of a field that there is one line of.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    lines.next().filter(|_| lines.next().is_none())
}

/// Adds a member to a list field, in one line.
fn append(headers: &mut HeaderMap, name: &HeaderName, member: &HeaderValue) {
    let mut list: Vec<u8> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b", "[..]);
    if list.is_empty() {
        headers.insert(name, member.clone());
        return;
    }
    list.extend_from_slice(b", ");
    list.extend_from_slice(member.as_bytes());
    if let Ok(value) = HeaderValue::try_from(list) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{Connection, forwarded};
    use crate::model::{ClientAddress, Trusted};

    const CLAIMS: [(&str, &str); 8] = [
        ("x-forwarded-for", "10.0.0.9"),
        ("x-forwarded-for", "10.0.0.8"),
        ("x-real-ip", "6.6.6.6"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "1"),
        ("x-forwarded-host", "bank.example"),
        ("forwarded", "for=6.6.6.6"),
        ("x-request-id", "mine"),
    ];

    /// What becomes of the claims of a client that connects from `peer`, sorted.
    fn told(peer: &str, trust: Option<Trusted>) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in CLAIMS {
            headers.append(name, value.parse().unwrap());
        }
        let connection = Connection::new(peer.parse().unwrap(), "[2001:db8::1]:8080".parse().unwrap(), false);
        let trust = trust.map(|trusted| ClientAddress { trusted, proxy_protocol: false });
        let by_proxy = forwarded(&mut headers, &connection, trust.as_ref(), 1);
        assert_eq!(by_proxy, headers.contains_key("x-forwarded-host"));
        let mut lines: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines
    }

    #[test]
    fn the_client_is_added_to_its_list_and_believed_in_nothing_else() {
        let expected = [
            "x-forwarded-for: 10.0.0.9, 10.0.0.8, 192.0.2.1",
            "x-forwarded-port: 8080",
            "x-forwarded-proto: http",
            "x-real-ip: 192.0.2.1",
            "x-request-id: mine",
        ];
        assert_eq!(told("192.0.2.1", None), expected);
    }

    #[test]
    fn an_ipv4_client_of_a_port_for_both_families_has_its_ipv4_address() {
        assert_eq!(told("::ffff:192.0.2.1", None), told("192.0.2.1", None));
    }

    #[test]
    fn trusted_proxies_are_believed_and_nobody_else() {
        let trusted = || Some(Trusted::Networks(vec!["10.0.0.8/32".parse().unwrap(), "192.0.2.0/24".parse().unwrap()]));
        let by_proxy = [
            "x-forwarded-for: 10.0.0.9, 10.0.0.8, 192.0.2.1",
            "x-forwarded-host: bank.example",
            "x-forwarded-port: 1",
            "x-forwarded-proto: https",
            "x-real-ip: 10.0.0.9",
            "x-request-id: mine",
        ];
        assert_eq!(told("192.0.2.1", trusted()), by_proxy);
        let by_nobody = [
            "x-forwarded-for: 198.51.100.1",
            "x-forwarded-port: 8080",
            "x-forwarded-proto: http",
            "x-real-ip: 198.51.100.1",
            "x-request-id: mine",
        ];
        assert_eq!(told("198.51.100.1", trusted()), by_nobody);
        assert_eq!(told("198.51.100.1", Some(Trusted::default())), by_nobody);
        let one_hop = told("192.0.2.1", Some(Trusted::Hops(1)));
        assert_eq!(one_hop.first().unwrap(), "x-forwarded-for: 10.0.0.8, 192.0.2.1");
        assert_eq!(told("198.51.100.1", Some(Trusted::Hops(3))), by_nobody, "who came by fewer proxies came by none");
    }

    #[test]
    fn a_request_has_a_name() {
        let mut headers = HeaderMap::new();
        let connection = Connection::new("192.0.2.1".parse().unwrap(), "192.0.2.2:443".parse().unwrap(), true);
        forwarded(&mut headers, &connection, None, 0xab);
        assert_eq!(headers["x-request-id"].len(), 32);
        assert_eq!((&headers["x-forwarded-proto"], &headers["x-forwarded-port"]), (&"https".parse().unwrap(), &"443".parse().unwrap()));
    }
}
