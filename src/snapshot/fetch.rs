//! The client side of the snapshot stream.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::lines::{self, Lines};
use super::publish::SILENCE;
use super::tls;
use super::wire::{Ack, Have, Hello, Refused, Token, Update, VERSIONS};

/// A connection is made in this time or not at all.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest update: far more than an edge can hold.
const LONGEST_UPDATE: usize = 1 << 30;

/// Updates as they arrive.
pub struct Updates {
    lines: Lines<Box<dyn AsyncRead + Send + Unpin>>,
    /// The server is another machine, which may vanish without a word.
    remote: bool,
}

/// The way back.
pub struct Acks(Box<dyn AsyncWrite + Send + Unpin>);

/// Connects to a publisher's unix socket.
///
/// # Errors
/// When nobody listens at `path`.
pub async fn connect(path: &Path) -> io::Result<(Updates, Acks)> {
    let (reader, writer) = UnixStream::connect(path).await?.into_split();
    Ok((Updates { lines: Lines::new(Box::new(reader), LONGEST_UPDATE), remote: false }, Acks(Box::new(writer))))
}

/// A control plane on the network.
#[derive(Clone, Debug)]
pub struct Remote {
    host: String,
    port: u16,
    ca: PathBuf,
    token: PathBuf,
    edge: String,
}

/// A text that is not the address of a control plane.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not of the form https://HOST:PORT")]
pub struct UrlError(String);

impl Remote {
    /// The server at `https://HOST:PORT`, whose certificate must come from an authority in the PEM file `ca`. It is shown
    /// the token in the file `token`. Both are read at each connection.
    ///
    /// # Errors
    /// When the address is of another form.
    pub fn new(url: &str, ca: PathBuf, token: PathBuf, edge: String) -> Result<Self, UrlError> {
        let wrong = || UrlError(url.to_owned());
        let uri: http::Uri = url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(wrong)?;
        if uri.scheme_str() != Some("https") || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port: authority.port_u16().unwrap_or(443), ca, token, edge })
    }

    /// Connects, with what is held already, if anything.
    ///
    /// # Errors
    /// The files', the network's, or those of TLS.
    pub async fn connect(&self, have: Option<Have>) -> io::Result<(Updates, Acks)> {
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no connection in time");
        timeout(CONNECT, self.connect_when_ready(have)).await.map_err(late)?
    }

    async fn connect_when_ready(&self, have: Option<Have>) -> io::Result<(Updates, Acks)> {
        let connector = tls::connector(&read(&self.ca).await?)?;
        let token = String::from_utf8(read(&self.token).await?).map_err(io::Error::other)?;
        let name = rustls_pki_types::ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        let (reader, mut writer) = tokio::io::split(connector.connect(name, stream).await?);
        let wire = VERSIONS.first().copied().unwrap_or_default();
        let hello = Hello { wire, edge: self.edge.clone(), token: Token(token.trim().to_owned()), have };
        lines::write(&mut writer, &hello).await?;
        Ok((Updates { lines: Lines::new(Box::new(reader), LONGEST_UPDATE), remote: true }, Acks(Box::new(writer))))
    }
}

async fn read(path: &Path) -> io::Result<Vec<u8>> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    tokio::fs::read(path).await.map_err(named)
}

impl Updates {
    /// The next update; `None` when the publisher is gone. Safe to drop before it is ready.
    ///
    /// # Errors
    /// The connection's, a server's refusal, or text that is no update.
    pub async fn next(&mut self) -> io::Result<Option<Update>> {
        loop {
            let next = self.lines.next();
            let silent = |_| io::Error::new(io::ErrorKind::TimedOut, "the server is silent");
            let line = if self.remote { timeout(SILENCE, next).await.map_err(silent)?? } else { next.await? };
            let Some(line) = line else { return Ok(None) };
            if line.is_empty() {
                continue;
            }
            if self.remote
                && line.starts_with(b"{\"refused\"")
                && let Ok(refused) = serde_json::from_slice::<Refused>(&line)
            {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, refused.refused));
            }
            return Ok(Some(serde_json::from_slice(&line)?));
        }
    }
}

impl Acks {
    /// Sends an ack.
    ///
    /// # Errors
    /// The connection's.
    pub async fn send(&mut self, ack: &Ack) -> io::Result<()> {
        lines::write(&mut self.0, ack).await
    }

    /// Shows the server that this side lives.
    ///
    /// # Errors
    /// The connection's.
    pub async fn keep_alive(&mut self) -> io::Result<()> {
        lines::keep_alive(&mut self.0).await
    }
}

#[cfg(test)]
mod tests {
    use super::Remote;

    #[test]
    fn addresses() {
        let of = |url: &str| Remote::new(url, "ca".into(), "token".into(), "n/g".into()).map(|remote| (remote.host, remote.port));
        assert_eq!(of("https://kakehi.system.svc:9443"), Ok(("kakehi.system.svc".to_owned(), 9443)));
        assert_eq!(of("https://[::1]:9443/"), Ok(("::1".to_owned(), 9443)));
        assert_eq!(of("https://127.0.0.1"), Ok(("127.0.0.1".to_owned(), 443)));
        for wrong in ["http://a:1", "a:1", "https://", "https://u:p@a:1", "https://a:1/path", "https://a:1?x", ""] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
