//! What a record says of a request beyond what is counted: read only where it is logged.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Reader, Record, Value};

/// A request, in the client's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said<'a> {
    /// When it began, in nanoseconds since the Unix epoch.
    pub nanos: i128,
    /// The client.
    pub client: Option<IpAddr>,
    /// Whether it came by TLS.
    pub secure: bool,
    /// Method.
    pub method: &'a [u8],
    /// Host.
    pub authority: &'a [u8],
    /// Path and query.
    pub path: &'a [u8],
    /// User-Agent.
    pub user_agent: &'a [u8],
    /// X-Request-Id.
    pub request_id: &'a [u8],
}

impl<'a> Record<'a> {
    /// What the record says.
    pub fn said(&self) -> Said<'a> {
        let mut said = Said::default();
        let mut reader = Reader(self.message);
        // A whole record was read before; without its rest a line says what it can.
        while let Some(field) = (!reader.0.is_empty()).then(|| reader.field()).flatten() {
            match field {
                (5, Value::Bytes(address)) => said.client = client(address),
                (8, Value::Bytes(endpoint)) => said.request(endpoint),
                (16, Value::Bytes(agent)) => said.user_agent = agent,
                (24, Value::Bytes(id)) => said.request_id = id,
                (25, Value::Bytes(_)) => said.secure = true,
                (30, Value::Bytes(start)) => said.nanos = number(start).and_then(|nanos| i128::try_from(nanos).ok()).unwrap_or_default(),
                _ => {}
            }
        }
        said
    }
}

impl<'a> Said<'a> {
    fn request(&mut self, endpoint: &'a [u8]) {
        let Some((1, Value::Bytes(http))) = Reader(endpoint).field() else { return };
        let mut reader = Reader(http);
        while let Some(field) = (!reader.0.is_empty()).then(|| reader.field()).flatten() {
            match field {
                (1, Value::Bytes(method)) => self.method = method,
                (2, Value::Bytes(authority)) => self.authority = authority,
                (3, Value::Bytes(path)) => self.path = path,
                _ => {}
            }
        }
    }
}

/// The IP address of a `SocketAddress`.
fn client(address: &[u8]) -> Option<IpAddr> {
    let (1, Value::Bytes(ip)) = Reader(address).field()? else { return None };
    match Reader(ip).field()? {
        (1, Value::Bytes(four)) => Some(IpAddr::V4(Ipv4Addr::from(u32::from_le_bytes(four.try_into().ok()?)))),
        (2, Value::Bytes(sixteen)) => Some(IpAddr::V6(Ipv6Addr::from(number(sixteen)?)).to_canonical()),
        _ => None,
    }
}

/// A `Uint128`.
fn number(bytes: &[u8]) -> Option<u128> {
    let (mut reader, mut low, mut high) = (Reader(bytes), 0, 0);
    while !reader.0.is_empty() {
        match reader.field()? {
            (1, Value::Number(half)) => low = half,
            (2, Value::Number(half)) => high = half,
            _ => {}
        }
    }
    Some(u128::from(high) << 64 | u128::from(low))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use prost::Message;
    use sozu_command_lib::proto::command::{HttpEndpoint, ProtobufAccessLog, ProtobufEndpoint, Uint128, protobuf_endpoint};

    use super::super::record;
    use super::Said;

    #[test]
    fn a_record_says_what_sozu_wrote() {
        for client in ["192.0.2.7", "2001:db8::7"] {
            let client: IpAddr = client.parse().unwrap();
            let http = HttpEndpoint {
                method: Some("POST".into()),
                authority: Some("a.test".into()),
                path: Some("/x?y=z".into()),
                status: Some(201),
                reason: None,
            };
            let log = ProtobufAccessLog {
                session_address: Some(std::net::SocketAddr::new(client, 4711).into()),
                protocol: "HTTPS".into(),
                endpoint: ProtobufEndpoint { inner: Some(protobuf_endpoint::Inner::Http(http)) },
                bytes_in: 7,
                bytes_out: 9,
                user_agent: Some("curl".into()),
                x_request_id: Some("id".into()),
                tls_version: Some("TLSv1.3".into()),
                start_time: Some(Uint128::from(1_796_000_000_123_456_789_u128)),
                ..Default::default()
            };
            let bytes = log.encode_to_vec();
            let said = record(&bytes).unwrap().said();
            let wanted = Said {
                nanos: 1_796_000_000_123_456_789,
                client: Some(client),
                secure: true,
                method: b"POST",
                authority: b"a.test",
                path: b"/x?y=z",
                user_agent: b"curl",
                request_id: b"id",
            };
            assert_eq!((said, record(&bytes).unwrap().bytes), (wanted, [7, 9]));
        }
    }
}
