//! A plain HTTP/1.1 client that sends what it is told and never retries.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// An answer, read to the end of the connection.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// The echo backend's answer.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Name of the backend that answered.
    pub fn backend(&self) -> String {
        self.json()["name"].as_str().unwrap_or_default().to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

pub fn get(address: SocketAddr, host: &str, target: &str, headers: &[(&str, &str)]) -> io::Result<Answer> {
    exchange(connect(address)?, host, target, headers)
}

/// GET from another loopback address.
pub fn get_from(client: Ipv4Addr, address: SocketAddr, host: &str, target: &str, headers: &[(&str, &str)]) -> io::Result<Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind((client, 0).into())?;
        socket.connect(address).await?.into_std()
    })?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    exchange(stream, host, target, headers)
}

/// GET over TLS with SNI `name`, trusting only the certificates in `roots` (PEM).
pub fn get_tls(address: SocketAddr, name: &str, roots: &[u8]) -> io::Result<Answer> {
    exchange(connect_tls(address, name, roots, &[])?, &format!("{name}:{}", address.port()), "/", &[])
}

/// A connection over TLS with SNI `name` that offers these protocols.
pub fn connect_tls(address: SocketAddr, name: &str, roots: &[u8], protocols: &[&[u8]]) -> io::Result<impl Read + Write + use<>> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(roots) {
        store.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    let mut config = ClientConfig::builder().with_root_certificates(store).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let server = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let connection = ClientConnection::new(Arc::new(config), server).map_err(io::Error::other)?;
    Ok(StreamOwned::new(connection, connect(address)?))
}

pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(stream)
}

pub fn exchange(mut stream: impl Read + Write, host: &str, target: &str, headers: &[(&str, &str)]) -> io::Result<Answer> {
    let mut request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // A peer that closes without close_notify has still answered in full: the length is checked below.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
        _ => {}
    }
    parse(&String::from_utf8_lossy(&answer)).ok_or_else(|| io::Error::other("no whole HTTP answer"))
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let answer = Answer { status, head: head.to_owned(), body: body.to_owned() };
    let chunked = answer.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
    if chunked {
        return Some(Answer { body: dechunk(body)?, ..answer });
    }
    match answer.header("content-length").map(str::parse::<usize>) {
        Some(Ok(length)) if length > body.len() => None,
        _ => Some(answer),
    }
}

fn dechunk(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.push_str(after.get(..size)?);
        rest = after.get(size..)?.strip_prefix("\r\n")?;
    }
}
