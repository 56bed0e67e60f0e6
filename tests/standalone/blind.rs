//! A client over TLS that takes any certificate.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use rustls_pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

use super::client;
use super::ingress::World;
use super::tls_client::connector;

fn connection(name: &str) -> io::Result<ClientConnection> {
    let server = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    ClientConnection::new(connector(b"http/1.1", true).config().clone(), server).map_err(io::Error::other)
}

fn connect(address: SocketAddr, name: &str) -> io::Result<impl Read + Write + use<>> {
    Ok(StreamOwned::new(connection(name)?, client::connect(address)?))
}

/// The certificates that are shown for `name`.
pub fn shown(address: SocketAddr, name: &str) -> io::Result<Vec<CertificateDer<'static>>> {
    let mut connection = connection(name)?;
    let mut stream = client::connect(address)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(connection.peer_certificates().unwrap_or_default().iter().map(|der| der.clone().into_owned()).collect())
}

/// The name of the backend that answers for a host of Ingresses, the status, or "nothing" where there is no answer.
pub fn met(world: &World, host: &str) -> String {
    met_at(world.https, host)
}

/// The same at another address.
pub fn met_at(address: SocketAddr, host: &str) -> String {
    let Ok(stream) = connect(address, host) else { return "nothing".to_owned() };
    match client::exchange(stream, host, "/", &[]) {
        Ok(answer) if answer.status == 200 => answer.backend(),
        Ok(answer) => answer.status.to_string(),
        Err(_) => "nothing".to_owned(),
    }
}
